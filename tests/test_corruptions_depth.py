"""The statistics of depth corruptions, in metres and in pixels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from corrupted import plain, spoiled, spread, table

from rgbd_lib import corruptions
from rgbd_lib.corruptions import filters
from rgbd_lib.corruptions.depth import axial_sigma, jumps, surface_angle
from rgbd_lib.datasets.base import Sample


def level(name: str, severity: int):
    return corruptions.get(name).levels[severity - 1]


def step(near: float = 0.5, far: float = 1.0, size: int = 224) -> Sample:
    """A near right half before a far left half."""
    sample = plain(size=size, depth=far)
    sample.depth[..., size // 2 :] = near
    return sample


def test_axial_noise_of_the_kinect_by_distance():
    flat = torch.tensor(0.0)
    for z, millimetres in ((0.5, 1.2), (0.8, 1.5), (1.0, 1.9), (2.0, 6.1), (3.0, 14), (5.0, 41)):
        assert 1000 * float(axial_sigma(torch.tensor(z), flat)) == pytest.approx(millimetres, rel=0.03)
    at = torch.tensor(math.radians(75))
    extra = 1e-4 / math.sqrt(2) * (75 / 15) ** 2
    assert float(axial_sigma(torch.tensor(2.0), at)) == pytest.approx(
        0.0012 + 0.0019 * 1.6**2 + extra, rel=1e-5
    )


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_kinect_noise_on_a_wall_is_axial(severity):
    bad = spoiled("kinect_noise", severity, plain(depth=2.0)).depth[..., 32:96, 32:96]
    # in the middle of the image the wall is seen from the front; sampling beside the pixel changes nothing
    assert spread(bad) == pytest.approx(0.006064 * level("kinect_noise", severity), rel=0.04)
    assert float(bad.mean()) == pytest.approx(2.0, abs=0.01 * severity)


@pytest.mark.parametrize("size", [320, 160])
def test_kinect_noise_moves_edges_sideways(size):
    """Beside a step some pixels measure the other side: further away with every doubling."""
    reach = []
    for severity in corruptions.SEVERITIES:
        bad = spoiled("kinect_noise", severity, step(0.5, 1.5, size)).depth
        swapped = (bad > 1.0) != (torch.arange(size) < size // 2)
        columns = swapped.nonzero()[:, -1] - (size - 1) / 2
        reach.append(float(columns.abs().double().mean()) if len(columns) else 0.0)
    assert reach[1] < reach[2] < reach[3] < reach[4]
    sigma = 16 * 0.8 * size / 640  # pixels of this image
    assert reach[4] == pytest.approx(sigma / 2 * math.sqrt(math.pi / 2), rel=0.2)


@pytest.mark.parametrize("degrees", [0, 30, 60])
def test_angle_of_a_slanted_plane(degrees):
    size, slope = 129, math.tan(math.radians(degrees))
    u = (torch.arange(size) - (size - 1) / 2) / (0.75 * size)
    sample = plain(size=size)
    sample.depth = (1 / (1 - slope * u)).expand(2, 1, size, size).contiguous()  # z = 1 + slope * x
    sample.valid = sample.depth > 0
    got = surface_angle(sample)[0, 0, size // 2, 20:-20]
    sight = torch.atan(u)[20:-20]
    want = (math.radians(degrees) + sight).abs().rad2deg()
    usable = sample.valid[0, 0, 0, 20:-20] & (want < 80)
    torch.testing.assert_close(got.rad2deg()[usable], want[usable], atol=0.6, rtol=0)


def test_grazing_surfaces_are_lost_more_often():
    bad = spoiled("grazing_loss", 3, plain(size=200))
    angle = surface_angle(plain(size=200))[0, 0]
    corner, middle = bad.valid[..., :40, :40].float(), bad.valid[..., 90:110, 90:110].float()
    assert float(1 - corner.mean()) == pytest.approx(float(1 - angle[:40, :40].cos().mean()), abs=0.015)
    assert float(middle.mean()) > 0.98


@pytest.mark.parametrize("z", [0.5, 1.0, 3.0, 5.0])
def test_gaussian_depth_grows_with_the_square(z):
    bad = spoiled("gaussian_depth", 1, plain(depth=z)).depth
    assert spread(bad) == pytest.approx(0.001425 * z**2, rel=0.03)
    coded = spoiled("gaussian_depth", 4, plain(depth=z), depth_range=0.8).depth
    assert spread(coded) == pytest.approx(0.05 * 0.8, rel=0.03)


@pytest.mark.parametrize(
    ("z", "millimetres"), [(0.5, 0.9), (0.8, 2.2), (1.0, 3.5), (2.0, 14), (3.0, 31), (5.0, 87)]
)
def test_quantisation_steps_of_the_disparity(z, millimetres):
    sample = plain(size=256)
    sample.depth = torch.linspace(0.8 * z, 1.2 * z, 256).expand(2, 1, 256, 256).contiguous()
    for severity, factor in ((1, 1), (3, 4)):
        bad = spoiled("quantise", severity, sample).depth
        values = bad.unique()
        at = int((values - z).abs().argmin())
        gap = float(values[min(at + 1, len(values) - 1)] - values[max(at - 1, 0)]) / 2
        wide = 0.4 * z / 255  # of the ramp itself
        if len(values) < 200:
            assert 1000 * gap == pytest.approx(factor * millimetres, rel=0.1)
        assert float((bad - sample.depth).abs().max()) <= factor * millimetres / 1000 * 0.75 + wide
    coded = spoiled("quantise", 5, sample, depth_range=0.8 * z).depth.unique()
    torch.testing.assert_close(coded.diff(), torch.full_like(coded[1:], 0.8 * z / 16))


def test_disparity_of_nothing_is_infinitely_far():
    bad = spoiled("quantise", 5, plain(depth=40.0))  # 0.9 px, in steps of 2
    assert not bad.valid.any()


def test_kinect_disparity_without_luck_is_the_formula():
    sample = plain(depth=3.0)
    bad = spoiled("kinect_disparity", 1, sample).depth
    steps = 351.30 / bad
    # round(117 + N(0, 1/36) + 1/2): 117 or 118 with equal chance
    assert set(steps.round().int().unique().tolist()) == {117, 118}
    assert float(steps.mean()) == pytest.approx(117.5, abs=0.02)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
@pytest.mark.parametrize("name", ["holes", "specular"])
def test_exactly_the_stated_share_is_lost(name, severity):
    sample = table(60, 80)
    sample = replace(sample, valid=torch.ones_like(sample.valid), depth=sample.depth.clamp(min=0.5))
    bad = spoiled(name, severity, sample)
    lost = (~bad.valid).flatten(1).sum(1)
    assert (lost == round(level(name, severity) * 60 * 80)).all()


def test_holes_are_blobs_and_dropout_is_dust():
    sample = plain(size=192)
    for name, share, neighbours in (("holes", 0.1, 0.9), ("dropout", 0.1, 0.1)):
        severity = corruptions.get(name).levels.index(share) + 1
        lost = ~spoiled(name, severity, sample).valid
        also = lost[..., 1:][lost[..., :-1]].float().mean()  # how often the neighbour is lost as well
        assert float(lost.float().mean()) == pytest.approx(share, abs=0.005)
        assert float(also) == pytest.approx(neighbours, abs=0.08)


def test_shiny_things_are_lost():
    sample = plain(0.3, size=100)
    sample.rgb[:, :, 20:30, 20:40] = 0.9  # 2 % of the image
    bad = spoiled("specular", 1, sample)
    assert not bad.valid[..., 20:30, 20:40].any()
    assert bad.valid.sum() == 2 * 9800


def test_a_jump_is_relative_and_needs_two_measurements():
    assert jumps(step(1.0, 1.04)).sum() == 0
    assert jumps(step(0.5, 0.54)).sum() > 0
    found = jumps(step(1.0, 1.06, size=20))[0, 0]
    assert torch.equal(found.nonzero()[:, 1].unique(), torch.tensor([9, 10]))
    hole = step(0.5, 1.0, size=20)
    hole.valid[..., 8:12] = False
    hole.depth[..., 8:12] = 0
    assert jumps(hole).sum() == 0


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_edges_are_lost_to_the_stated_reach(severity):
    bad = spoiled("edge_holes", severity, step())
    reach = level("edge_holes", severity)
    lost = (~bad.valid)[0, 0, 100].nonzero()[:, 0]
    assert lost.tolist() == list(range(112 - reach, 112 + reach))


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_flying_pixels_lie_between_the_two_sides(severity):
    bad = spoiled("flying_pixels", severity, step()).depth
    reach = level("flying_pixels", severity)
    mixed = bad[..., 112 - reach : 112 + reach]
    assert 0.5 <= float(mixed.min()) < 0.55
    assert 0.95 < float(mixed.max()) <= 1.0
    assert float(mixed.mean()) == pytest.approx(0.75, abs=0.01)
    assert (bad[..., : 112 - reach] == 1).all()
    assert (bad[..., 112 + reach :] == 0.5).all()


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_shadow_has_the_width_of_the_disparity(severity):
    bad = spoiled("shadow", severity, step(0.5, 1.0, size=320))
    width = level("shadow", severity) * 36 / 2 * (1 / 0.5 - 1 / 1.0)
    lost = (~bad.valid)[0, 0, 100].nonzero()[:, 0]
    assert lost.tolist() == list(range(160 - int(width), 160))  # beside the far side's end, on the left
    hole = plain()
    hole.depth[..., 40:60], hole.valid[..., 40:60] = 0, False
    assert torch.equal(spoiled("shadow", severity, hole).valid, hole.valid)  # what is not there casts none
    turned = spoiled("shadow", severity, step(1.0, 0.5, size=320))  # near left, far right: seen by both
    assert turned.valid.all()


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_low_resolution_is_constant_in_blocks(severity):
    factor = level("low_res", severity)
    sample = table(64, 96)
    sample.depth = sample.depth + torch.rand(sample.depth.shape, generator=torch.Generator().manual_seed(0))
    sample.valid[:] = True
    bad = spoiled("low_res", severity, sample).depth
    blocks = bad.unfold(2, factor, factor).unfold(3, factor, factor).flatten(-2)
    assert torch.equal(blocks.amin(-1), blocks.amax(-1))
    source = sample.depth[..., factor // 2 :: factor, factor // 2 :: factor]
    assert torch.equal(blocks[..., 0], source)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_misaligned_depth_is_the_same_map_moved(severity):
    size = 224
    sample = table(size, size, batch=6)
    bad = spoiled("misalign", severity, sample, range(6))
    length = level("misalign", severity)
    moves = []
    for before, after in zip(sample.depth[:, 0], bad.depth[:, 0], strict=True):
        found = [
            (dy, dx)
            for dy in range(-length, length + 1)
            for dx in range(-length, length + 1)
            if torch.equal(moved(before, dy, dx), after)
        ]
        assert len(found) == 1
        moves += found
    lengths = np.hypot(*np.array(moves).T)
    assert np.abs(lengths - length).max() <= math.sqrt(0.5)
    assert len(set(moves)) > 1


def moved(image: torch.Tensor, dy: int, dx: int) -> torch.Tensor:
    result = torch.zeros_like(image)
    height, width = image.shape
    target = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    source = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
    result[target] = image[source]
    return result


def test_scale_goes_either_way():
    bad = spoiled("scale", 5, plain(batch=40, size=8), range(40)).depth[:, 0, 0, 0]
    up = (bad > 1).float().mean()
    assert set(bad.mul(1e4).round().tolist()) == {14000.0, 7143.0}
    assert 0.2 < float(up) < 0.8


def test_random_missing_strikes_modalities_apart():
    bad = spoiled("random_missing", 3, plain())
    dark, lost = (bad.rgb[:, :1] == 0), ~bad.valid
    assert float(dark.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(lost.float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float((dark & lost).float().mean()) == pytest.approx(0.25, abs=0.01)


def test_permuted_modalities_come_from_the_other_scene():
    sample = table()
    bad = spoiled("permuted_depth", 1, sample)
    assert torch.equal(bad.depth, sample.depth.flip(-2))
    assert torch.equal(bad.valid, sample.valid.flip(-2))
    assert torch.equal(spoiled("permuted_rgb", 1, sample).rgb, sample.rgb.flip(-2))


@pytest.mark.parametrize("width", [80, 128, 224, 320])
def test_lengths_in_pixels_stay_different_at_small_sizes(width):
    for levels in ((1, 2, 3, 4, 6), (1, 2, 4, 7, 12)):
        found = filters.pixels(levels, width / 224)
        assert len(set(found)) == 5
        assert list(found) == sorted(found)
        assert found[0] >= 1
    assert filters.pixels((1, 2, 4, 7, 12), 1.0) == (1, 2, 4, 7, 12)


def test_change_is_reported_in_millimetres_and_share():
    sample = plain(depth=1.0)
    bad = spoiled("scale", 1, sample)
    millimetres, lost = corruptions.depth_change(sample, bad)
    assert millimetres == pytest.approx(20, abs=0.5)
    assert lost == 0
    assert corruptions.depth_change(sample, spoiled("depth_off", 1, sample)) == (0, 1)
