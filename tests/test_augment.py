from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from rgbd_lib.datasets import draws
from rgbd_lib.datasets.augment import LUMA, Augment, blur, color_matrix, drop_modality, recolor, warp
from rgbd_lib.datasets.base import IGNORE, Sample
from rgbd_lib.errors import UserError

NOTHING = Augment(flip=0, warp=0, photometric=0)


def make_sample(batch: int = 4, height: int = 20, width: int = 28, seed: int = 0) -> Sample:
    """Random images whose depth encodes where a pixel was: no two are equal in one image."""
    generator = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, height, width, generator=generator) + 0.5
    valid = torch.rand(batch, 1, height, width, generator=generator) > 0.1
    return Sample(
        rgb=torch.randint(0, 256, (batch, 3, height, width), generator=generator) / 255,
        depth=depth * valid,
        valid=valid,
        label=torch.randint(0, 6, (batch, height, width), generator=generator),
        scene=torch.arange(batch),
        lighting=torch.zeros(batch, dtype=torch.long),
    )


def differing(a: Sample, b: Sample) -> set[str]:
    return {f.name for f in fields(Sample) if not torch.equal(getattr(a, f.name), getattr(b, f.name))}


def image(sample: Sample, i: int) -> Sample:
    return Sample(*(getattr(sample, f.name)[i : i + 1] for f in fields(Sample)))


def warped(
    sample: Sample,
    zoom: float = 1.0,
    degrees: float = 0.0,
    shift: tuple = (0.0, 0.0),
    mirror: tuple = (False, False),
) -> Sample:
    """Move every image of the batch in the same way."""
    n = len(sample.scene)
    return warp(
        sample,
        zoom=np.full(n, zoom),
        angle=np.full(n, np.deg2rad(degrees)),
        shift=np.tile(shift, (n, 1)),
        mirror=np.tile(mirror, (n, 1)),
    )


# photometry


@pytest.mark.parametrize("op", ["brightness", "contrast", "saturation", "hue", "blur"])
def test_photometry_changes_colour_and_nothing_else(op):
    none = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "blur": 0}
    augment = replace(NOTHING, photometric=1, **(none | {op: 0.5 if op != "blur" else 1.0}))
    sample = make_sample()
    assert differing(sample, augment.apply(sample, np.arange(4))) == {"rgb"}


def test_all_of_photometry_leaves_depth_bit_identical():
    sample = make_sample(64)
    augment = Augment(
        flip=0, warp=0, photometric=1, brightness=0.9, contrast=0.9, saturation=0.9, hue=0.5, blur=1
    )
    changed = augment.apply(sample, draws.seeds(1, np.arange(64)))
    assert differing(sample, changed) == {"rgb"}
    assert changed.rgb.min() >= 0
    assert changed.rgb.max() <= 1


def test_images_that_are_not_drawn_keep_every_bit():
    sample, seeds = make_sample(64), draws.seeds(2, np.arange(64))
    changed = replace(NOTHING, photometric=0.5).apply(sample, seeds)
    same = (changed.rgb == sample.rgb).flatten(1).all(1)
    assert 16 < same.sum() < 48


def test_colour_operations_are_what_they_say():
    ones, zeros = np.ones(1), np.zeros(1)
    rgb = make_sample(1).rgb * 0.5

    def color(brightness=1.0, saturation=1.0, turn=0.0, contrast=1.0):
        matrix = color_matrix(brightness * ones, saturation * ones, turn * ones)
        return recolor(rgb, matrix, contrast * ones)

    luma = (rgb * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).float()
    torch.testing.assert_close(color(), rgb, rtol=0, atol=0)
    torch.testing.assert_close(color(brightness=1.5), rgb * 1.5)
    torch.testing.assert_close(color(saturation=0), luma.expand_as(rgb))
    torch.testing.assert_close(color(turn=1 / 3), rgb[:, [2, 0, 1]])  # red becomes green, green blue
    torch.testing.assert_close(color(turn=1), rgb)
    flat = color(contrast=0)
    assert flat.max() - flat.min() < 1e-6
    torch.testing.assert_close(flat.mean(), luma[..., ::4, ::4].mean(), rtol=0.01, atol=0)
    # In the order brightness, saturation, contrast: the grey mean scales with brightness.
    torch.testing.assert_close(color(brightness=0.5, contrast=0), flat / 2)
    grey = np.full((1, 3, 1), 0.3)
    np.testing.assert_allclose(color_matrix(ones, ones * 0.2, ones * 0.37) @ grey, grey)
    np.testing.assert_allclose(color_matrix(zeros, ones, zeros), 0)


def test_blur_is_gaussian():
    rgb = make_sample(2).rgb
    blurred = blur(rgb, np.array([0.0, 1.1]), radius=4)
    assert torch.equal(blurred[0], rgb[0])
    expected = [ndimage.gaussian_filter(c, 1.1, mode="nearest", radius=4) for c in rgb[1].numpy()]
    np.testing.assert_allclose(blurred[1].numpy(), expected, atol=1e-6)


# geometry


def source_of(
    height: int, width: int, zoom: float, degrees: float, shift: tuple, mirror: tuple
) -> np.ndarray:
    """Where each output pixel comes from (row, column), by inverting: out = zoom * R * M * in + shift."""
    angle = np.deg2rad(degrees)
    forward = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])  # on (x, y)
    forward = forward @ np.diag([-1 if m else 1 for m in mirror])
    inverse = np.linalg.inv(forward)
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    out = np.empty((height, width, 2))
    for row in range(height):
        for column in range(width):
            offset = np.array([column, row]) - centre - np.array(shift) * (width, height)
            out[row, column] = (inverse @ offset + centre)[::-1]
    return out


@pytest.mark.parametrize(
    "move",
    [
        (1.0, 17.0, (0.0, 0.0), (False, False)),
        (1.3, 0.0, (0.04, -0.1), (False, False)),
        (0.7, -33.0, (-0.11, 0.07), (True, False)),
        (1.9, 140.0, (0.2, 0.1), (False, True)),
    ],
)
def test_warp_agrees_with_a_slow_one(move):
    sample = make_sample(2)
    moved = warped(sample, *move)
    source = source_of(20, 28, *move)
    nearest = np.rint(source).astype(int)
    inside = ((nearest >= 0) & (nearest < (20, 28))).all(-1)
    clear = (np.abs(source - np.floor(source) - 0.5) > 1e-3).all(-1)  # no tie between two pixels
    assert clear.mean() > 0.85
    rows, columns = np.clip(nearest[..., 0], 0, 19), np.clip(nearest[..., 1], 0, 27)
    for i in range(2):
        for moved_plane, plane, outside in (
            (moved.label[i], sample.label[i], IGNORE),
            (moved.depth[i, 0], sample.depth[i, 0], 0),
            (moved.valid[i, 0], sample.valid[i, 0], False),
        ):
            expected = np.where(inside, plane.numpy()[rows, columns], outside)
            np.testing.assert_array_equal(moved_plane.numpy()[clear], expected[clear])
        for moved_plane, plane in zip(moved.rgb[i], sample.rgb[i], strict=True):
            expected = ndimage.map_coordinates(
                plane.numpy(), source.transpose(2, 0, 1), order=1, mode="nearest"
            )
            np.testing.assert_allclose(moved_plane.numpy(), expected, atol=1e-4)


def test_positive_angles_turn_clockwise():
    square = make_sample(height=21, width=21)
    turned = warped(square, degrees=90)
    assert torch.equal(turned.label, square.label.rot90(-1, (1, 2)))
    assert torch.equal(turned.depth, square.depth.rot90(-1, (2, 3)))
    assert torch.equal(turned.valid, square.valid.rot90(-1, (2, 3)))
    torch.testing.assert_close(turned.rgb, square.rgb.rot90(-1, (2, 3)), rtol=0, atol=1e-5)


def test_shift_by_whole_pixels():
    sample = make_sample()
    moved = warped(sample, shift=(3 / 28, -2 / 20))
    assert torch.equal(moved.label[:, :-2, 3:], sample.label[:, 2:, :-3])
    assert torch.equal(moved.depth[..., :-2, 3:], sample.depth[..., 2:, :-3])
    assert (moved.label[:, -2:] == IGNORE).all()
    assert (moved.label[..., :3] == IGNORE).all()


def test_standing_still_changes_no_depth_and_no_label():
    sample = make_sample()
    assert differing(sample, warped(sample)) <= {"rgb"}
    torch.testing.assert_close(warped(sample).rgb, sample.rgb, rtol=0, atol=1e-5)


def test_new_corners_are_ignored_and_unmeasured():
    sample = make_sample()
    sample.label[:] = 3
    moved = warped(sample, degrees=45)
    outside = moved.label == IGNORE
    assert set(moved.label.unique().tolist()) == {3, IGNORE}
    assert outside[:, [0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert not moved.valid[:, 0][outside].any()
    assert not moved.depth[:, 0][outside].any()
    assert not outside[:, 10, 14].any()


def test_depth_keeps_its_values_under_zoom_and_rotation():
    sample = make_sample()
    moved = warped(sample, zoom=1.25, degrees=10)
    for i in range(4):
        assert set(moved.depth[i].unique().tolist()) <= set(sample.depth[i].unique().tolist()) | {0.0}


@pytest.mark.parametrize(("mirror", "axis"), [((True, False), -1), ((False, True), -2)])
def test_flips_mirror_together_and_twice_is_nothing(mirror, axis):
    sample = make_sample()
    once = warped(sample, mirror=mirror)
    for name in ("depth", "valid", "label"):
        assert torch.equal(getattr(once, name), getattr(sample, name).flip(axis))
    torch.testing.assert_close(once.rgb, sample.rgb.flip(axis), rtol=0, atol=1e-5)
    twice = warped(once, mirror=mirror)
    assert differing(sample, twice) <= {"rgb"}
    torch.testing.assert_close(twice.rgb, sample.rgb, rtol=0, atol=2e-5)


def test_reduced_precision_moves_no_pixel():
    sample, seeds = make_sample(8, 96, 128), draws.seeds(4, np.arange(8))
    augment = Augment(photometric=1, warp=1)
    exact = augment.apply(sample, seeds)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert differing(exact, augment.apply(sample, seeds)) == set()


# the whole


def test_defaults_respect_gravity_and_are_mild():
    sample = make_sample(200, 24, 32)
    sample.label[:] = 0
    sample.label[:, 14:] = 1  # the ground is below
    changed = Augment().apply(sample, draws.seeds(0, np.arange(200)))
    assert (changed.label[:, 5, 16] != 1).all()
    assert (changed.label[:, -4, 16] != 0).all()
    seen = changed.label != IGNORE
    assert seen.float().mean() > 0.9


def test_every_option_is_drawn_as_often_as_it_says():
    sample, seeds = make_sample(2000, 4, 6), draws.seeds(6, np.arange(2000))

    def share(name: str, **options) -> float:
        changed = replace(NOTHING, **options).apply(sample, seeds)
        change = (getattr(changed, name).float() - getattr(sample, name).float()).abs().flatten(1).amax(1)
        return (change > 1e-4).float().mean().item()

    assert share("label", flip=0.3) == pytest.approx(0.3, abs=0.04)
    assert share("label", vflip=0.2) == pytest.approx(0.2, abs=0.04)
    assert share("rgb", photometric=0.4) == pytest.approx(0.4, abs=0.04)
    assert share("rgb", warp=0.6) == pytest.approx(0.6, abs=0.04)
    assert share("rgb", blur=0.25) == pytest.approx(0.25, abs=0.04)
    assert share("rgb", modality_dropout=0.5) == pytest.approx(0.25, abs=0.04)
    assert share("depth", modality_dropout=0.5) == pytest.approx(0.25, abs=0.04)


def test_a_dropped_modality_is_raw_zero():
    sample = make_sample(3)
    dropped = drop_modality(sample, np.array([0, 1, 2]))
    assert differing(image(sample, 0), image(dropped, 0)) == set()
    assert differing(image(sample, 1), image(dropped, 1)) == {"rgb"}
    assert differing(image(sample, 2), image(dropped, 2)) == {"depth", "valid"}
    assert not dropped.rgb[1].any()
    assert not dropped.depth[2].any()
    assert not dropped.valid[2].any()


def test_an_image_does_not_depend_on_its_neighbours():
    sample, seeds = make_sample(9, 48, 64), draws.seeds(3, np.arange(9))
    augment = Augment(photometric=0.7, blur=0.9, blur_sigma=(0.3, 2.0), vflip=0.5, modality_dropout=0.3)
    together = augment.apply(sample, seeds)
    for i in range(9):
        assert differing(image(together, i), augment.apply(image(sample, i), seeds[i : i + 1])) == set()
    assert differing(together, augment.apply(sample, seeds + np.uint64(1))) == {
        "rgb",
        "depth",
        "valid",
        "label",
    }


def test_the_input_is_left_alone():
    sample, copy = make_sample(), make_sample()
    Augment(flip=1, vflip=1, warp=1, photometric=1, blur=1, modality_dropout=1).apply(sample, np.arange(4))
    assert differing(sample, copy) == set()


def test_corruptions_see_the_raw_sample_and_the_seeds():
    sample, seen = make_sample(), []

    def corrupt(raw: Sample, seeds: np.ndarray) -> Sample:
        seen.append((raw, seeds))
        return replace(raw, depth=raw.depth * 2)

    seeds = draws.seeds(8, np.arange(4))
    changed = replace(NOTHING, corrupt=corrupt).apply(sample, seeds)
    assert differing(seen[0][0], sample) == set()
    assert np.array_equal(seen[0][1], seeds)
    assert torch.equal(changed.depth, sample.depth * 2)
    off = replace(NOTHING, corrupt=corrupt, modality_dropout=1).apply(sample, seeds)  # what is off stays off
    assert ((off.depth.flatten(1).abs().sum(1) == 0) | (off.rgb.flatten(1).sum(1) == 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, "flip=1.5 is no probability"),
        ({"modality_dropout": -0.1}, "modality_dropout=-0.1 is no probability"),
        ({"rotate": -3}, "rotate=-3 must not be negative"),
        ({"scale": (1.2, 0.8)}, "scale=1.2,0.8 must be two positive numbers"),
        ({"blur_sigma": (0, 1)}, "blur_sigma=0,1 must be two positive numbers"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        Augment(**options)
