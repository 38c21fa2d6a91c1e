"""What holds for every corruption, and the suites that are made of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from corrupted import GRADED, RAW, SCENES, SEEDS, distance, same, spoiled, table

from rgbd_lib import corruptions
from rgbd_lib.corruptions.suite import TRAINING
from rgbd_lib.errors import UserError

MOVES = {"misalign", "permuted_depth"}  # the holes of the map move along with it


@pytest.mark.parametrize("name", RAW)
def test_severity_zero_is_the_sample_itself(name):
    sample = table()
    assert same(spoiled(name, 0, sample), sample)


@pytest.mark.parametrize("name", RAW)
def test_touches_its_own_modality_alone(name):
    sample, untouched = table(), table()
    bad = spoiled(name, 5, sample)
    assert same(sample, untouched)  # the input is left as it was
    kept = {"rgb": ("depth", "valid"), "depth": ("rgb",), "both": ()}[corruptions.get(name).touches]
    assert same(bad, sample, "label", "scene", "lighting", *kept)
    assert not same(bad, sample)
    assert all(getattr(bad, n).shape == getattr(sample, n).shape for n in vars(sample))
    assert all(getattr(bad, n).dtype == getattr(sample, n).dtype for n in vars(sample))


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
@pytest.mark.parametrize("name", RAW)
def test_results_are_what_sensors_deliver(name, severity):
    sample = table(54, 70)
    bad = spoiled(name, severity, sample)
    levels = bad.rgb * 255
    assert 0 <= bad.rgb.min() <= bad.rgb.max() <= 1
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)  # 8 bit
    assert (bad.depth[~bad.valid] == 0).all()  # the one code of missing depth
    assert (bad.depth[bad.valid] > 0).all()
    if name not in MOVES:
        assert not (bad.valid & ~sample.valid).any()  # no measurement out of nothing


@pytest.mark.parametrize("name", GRADED)
def test_distance_grows_with_severity(name):
    sample = table(224, 224)
    steps = [distance(sample, spoiled(name, s, sample)) for s in corruptions.SEVERITIES]
    if name == "saturate":  # its first two take colour away, the others add
        assert 0 < steps[0] < steps[1]
        assert 0 < steps[2] < steps[3] < steps[4]
    else:
        assert steps[0] > 0
        assert np.all(np.diff(steps) > 0), steps


@pytest.mark.parametrize("name", RAW)
def test_noise_belongs_to_the_scene_and_not_to_the_batch(name):
    sample = table()
    both = spoiled(name, 3, sample)
    assert same(both, spoiled(name, 3, sample))
    turned = spoiled(name, 3, sample, SCENES[::-1])
    for key in ("rgb", "depth", "valid"):
        torch.testing.assert_close(getattr(both, key).flip(0), getattr(turned, key), atol=1e-6, rtol=0)


def test_scenes_have_noise_of_their_own():
    bad = spoiled("gaussian_noise", 3, table())
    assert not torch.equal(bad.rgb[0], bad.rgb[1])
    noise = corruptions.seeds_for("holes", range(100)), corruptions.seeds_for("dropout", range(100))
    assert len(np.unique(np.concatenate(noise))) == 200


@pytest.mark.parametrize("name", RAW)
def test_a_dead_sensor_makes_no_nan(name):
    sample = table()
    dead = replace(
        sample,
        rgb=torch.zeros_like(sample.rgb),
        depth=torch.zeros_like(sample.depth),
        valid=torch.zeros_like(sample.valid),
    )
    bad = spoiled(name, 4, dead)
    assert bad.rgb.isfinite().all()
    assert (bad.depth == 0).all()
    assert not bad.valid.any()


@pytest.mark.parametrize("name", [n for n in RAW if corruptions.get(n).touches == "depth"])
def test_encoded_depth_is_served_or_refused(name):
    sample = table()
    levels = replace(sample, depth=sample.depth * 0.6)
    if corruptions.get(name).metric:
        with pytest.raises(UserError, match="needs depth in metres"):
            spoiled(name, 3, levels, depth_range=0.5)
    else:
        assert not same(spoiled(name, 3, levels, depth_range=0.5), levels)


def test_every_corruption_names_its_source_and_its_unit():
    for name in corruptions.names():
        info = corruptions.get(name)
        assert info.source
        assert info.means
        assert info.function.__doc__
        assert info.touches in ("rgb", "depth", "both")


def test_wrong_requests_name_the_way_out():
    with pytest.raises(UserError, match="Did you mean 'gaussian_noise'"):
        spoiled("gausian_noise", 1, table())
    with pytest.raises(UserError, match="severity 6 is not one of 0"):
        spoiled("holes", 6, table())
    with pytest.raises(UserError, match="pass other=sample"):
        corruptions.apply("permuted_depth", 1, table(), SEEDS)
    with pytest.raises(UserError, match="Known: both, depth, none, rgb"):
        corruptions.training_corruption("light")


def test_the_two_conventions_of_a_missing_modality():
    sample = table()
    off = spoiled("depth_off", 1, sample)
    assert (off.depth == 0).all()
    assert not off.valid.any()
    assert (spoiled("rgb_off", 1, sample).rgb == 0).all()
    rgb, depth = torch.randn(2, 3, 8, 8), torch.randn(2, 1, 8, 8)
    setting = corruptions.Setting("depth_mean", 1)
    assert same(setting.apply_raw(sample, SCENES), sample)  # it acts after normalisation
    kept, gone = setting.apply_normalised(rgb, depth, SCENES)
    assert torch.equal(kept, rgb)
    assert (gone == 0).all()
    gone, kept = corruptions.Setting("rgb_mean", 1).apply_normalised(rgb, depth, SCENES)
    assert torch.equal(kept, depth)
    assert (gone == 0).all()
    assert corruptions.Setting("depth_off", 1).apply_normalised(rgb, depth, SCENES)[1] is depth


def test_noisy_modalities_have_the_stated_statistics():
    rgb, depth = torch.zeros(2, 3, 200, 200), torch.zeros(2, 1, 200, 200)
    rgb[..., 0, 0], rgb[..., 0, 1] = -3.0, 3.0  # the extremes that salt and pepper take
    noisy, other = corruptions.apply_normalised("noisy_modalities", 3, rgb, depth, SEEDS)
    assert float((noisy.abs() > 1.5).float().mean()) == pytest.approx(0.1, rel=0.05)
    assert float(noisy[noisy.abs() < 1.5].std()) == pytest.approx(0.2, rel=0.03)
    assert float(other.std()) == pytest.approx(0.2, rel=0.03)
    again = corruptions.apply_normalised("noisy_modalities", 3, rgb, depth, SEEDS)
    assert torch.equal(noisy, again[0])


def test_suite_is_the_budgeted_one():
    names = [s.name for s in corruptions.SUITE]
    assert len(set(names)) == len(names) == 47
    assert {"clean", "low_light 5", "low_light_gain 1", "random_missing 3", "rgb_off", "depth_mean"} < set(
        names
    )
    encoded = {s.corruption for s in corruptions.suite(metric=False)}
    assert {s.corruption for s in corruptions.SUITE} - encoded == {"kinect_noise"}
    assert len(corruptions.every()) == 1 + 5 * (len(GRADED) + 1) + 6  # noisy_modalities is graded, too


def test_a_setting_is_the_corruption_seeded_by_scene_names():
    sample = table()
    for setting in (corruptions.Setting("holes", 3), corruptions.Setting("gaussian_noise", 5)):
        assert same(setting.apply_raw(sample, SCENES), spoiled(setting.corruption, setting.severity, sample))
    clean = corruptions.Setting("clean", 0)
    assert clean.apply_raw(sample, SCENES) is sample
    assert clean.keeps_depth
    assert not corruptions.Setting("holes", 1).keeps_depth
    assert corruptions.Setting("rgb_mean", 1).keeps_depth
    assert corruptions.Setting("permuted_rgb", 1).needs_other


@pytest.mark.parametrize("scenes", [2, 3, 17])
def test_partners_are_other_scenes_each_once(scenes):
    found = corruptions.partners(scenes)
    assert (found != np.arange(scenes)).all()
    assert sorted(found) == list(range(scenes))
    with pytest.raises(UserError, match="two scenes or more"):
        corruptions.partners(1)


def test_training_never_sees_a_family_of_the_suite():
    tested = {s.corruption for s in corruptions.SUITE}
    for kind in ("rgb", "depth", "both"):
        assert not tested & set(TRAINING[kind])
        assert all(not corruptions.get(n).metric for n in TRAINING[kind])
    assert corruptions.training_corruption("none") is None


@pytest.mark.parametrize("kind", ["rgb", "depth", "both"])
def test_training_spoils_half_of_the_samples_by_their_seed_alone(kind):
    sample, seeds = table(24, 32, batch=64), np.arange(64, dtype=np.uint64)
    corrupt = corruptions.training_corruption(kind)
    bad = corrupt(sample, seeds)
    changed = (bad.rgb != sample.rgb).flatten(1).any(1) | (bad.depth != sample.depth).flatten(1).any(1)
    assert 0.3 < float(changed.float().mean()) < 0.65
    touched = {"rgb": ("depth", "valid"), "depth": ("rgb",), "both": ()}[kind]
    assert same(bad, sample, "label", *touched)
    half = corrupt(table(24, 32, batch=32), seeds[32:])
    torch.testing.assert_close(half.rgb, bad.rgb[32:], atol=1e-6, rtol=0)
    torch.testing.assert_close(half.depth, bad.depth[32:])
