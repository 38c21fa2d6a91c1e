import json
from dataclasses import asdict, fields, replace

import fake_dataset
import numpy as np
import pytest
import torch

from rgbd_lib.datasets import batches, draws, lighting
from rgbd_lib.datasets.augment import Augment
from rgbd_lib.datasets.base import DepthKind, Sample
from rgbd_lib.datasets.batches import Batches, Statistics, normalise, statistics, sweep
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.errors import UserError

SCENES = 11
EVERYTHING = Augment(photometric=1, blur=0.5, modality_dropout=0.5, vflip=0.5)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batches")
    return open_cache(fake_dataset.make(folder / "data", SCENES), (12, 16), folder=folder, progress=False)


def make(cache, **options) -> Batches:
    return Batches(cache, range(SCENES), (0, 1, 2), **({"batch": 4, "seed": 5} | options))


def by_scene(samples) -> dict[int, list[torch.Tensor]]:
    """Single images of many samples by scene, whatever the batch they came in."""
    return {
        int(sample.scene[i]): [getattr(sample, f.name)[i] for f in fields(Sample)]
        for sample in samples
        for i in range(len(sample.scene))
    }


def assert_same(a: dict[int, list[torch.Tensor]], b: dict[int, list[torch.Tensor]]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(x, y) for scene in a for x, y in zip(a[scene], b[scene], strict=True))


# raw values


def test_a_sample_is_the_cache_in_raw_units(cache):
    (sample,) = sweep(cache, range(SCENES), 2, batch=64)
    rgb = torch.from_numpy(cache.rgb[:, 2].astype(np.float32)).permute(0, 3, 1, 2) / 255
    torch.testing.assert_close(sample.rgb, rgb)
    assert cache.depth.max() > 2**15  # the upper half of 16 bits must survive
    np.testing.assert_allclose(sample.depth[:, 0].numpy(), cache.depth / 1000, rtol=1e-6)
    assert torch.equal(sample.depth == 0, torch.from_numpy(cache.depth == 0)[:, None])
    assert np.array_equal(sample.valid[:, 0].numpy(), cache.valid)
    assert np.array_equal(sample.label.numpy(), cache.label)
    assert (sample.label.dtype, sample.valid.dtype) == (torch.long, torch.bool)
    assert sample.lighting.tolist() == [2] * SCENES


def test_depth_that_is_not_metric_is_levels(cache):
    levels = replace(cache, dataset=replace(cache.dataset, depth_kind=DepthKind("level", None)))
    (sample,) = sweep(levels, [3], 0, batch=1)
    np.testing.assert_allclose(sample.depth[0, 0].numpy(), cache.depth[3] / 255, rtol=1e-6)


def test_arrays_held_by_the_device_give_the_same_samples(cache, monkeypatch):
    positions, lights = np.array([3, 0, 3]), np.array([1, 2, 0])
    mapped = batches.Store(cache, torch.device("cpu")).gather(positions, lights)
    monkeypatch.setattr(batches.Store, "_fits", lambda self: True)
    held = batches.Store(cache, torch.device("cpu"))
    assert held.resident
    held = held.gather(positions, lights)
    assert all(torch.equal(getattr(mapped, f.name), getattr(held, f.name)) for f in fields(Sample))


def test_training_and_evaluation_share_one_store(cache):
    assert make(cache).store is batches.store(cache, "cpu")


def test_sweep_keeps_the_order_it_is_given(cache):
    assert [s.scene.tolist() for s in sweep(cache, [7, 1, 4], 0, batch=2)] == [[7, 1], [4]]


# one run, the same batches everywhere


def test_ranks_share_the_batches_of_one_process(cache):
    alone = list(make(cache, augment=EVERYTHING).epoch(3))
    ranks = [list(make(cache, augment=EVERYTHING, rank=r, world=2).epoch(3)) for r in range(2)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        assert_same(by_scene([whole]), by_scene(shares))
        assert abs(len(shares[0].scene) - len(shares[1].scene)) <= 1


def test_a_sample_does_not_depend_on_the_batch_around_it(cache):
    one_by_one = make(cache, augment=EVERYTHING, batch=1).epoch(2)
    together = make(cache, augment=EVERYTHING, batch=SCENES).epoch(2)
    assert_same(by_scene(one_by_one), by_scene(together))


def test_an_epoch_is_repeatable_and_can_be_entered_in_the_middle(cache):
    whole = list(make(cache, augment=EVERYTHING).epoch(1))
    rest = list(make(cache, augment=EVERYTHING).epoch(1, first=2))
    assert len(rest) == 1
    assert_same(by_scene(whole[2:]), by_scene(rest))


def test_every_scene_once_per_epoch_in_an_order_of_its_own(cache):
    orders = [
        torch.cat([s.scene for s in make(cache, seed=seed).epoch(e)]) for seed in (0, 1) for e in (0, 1)
    ]
    assert all(sorted(order.tolist()) == list(range(SCENES)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4


def test_dropping_the_last_batch(cache):
    assert [len(s.scene) for s in make(cache).epoch(0)] == [4, 4, 3]
    dropped = make(cache, drop_last=True)
    assert [len(s.scene) for s in dropped.epoch(0)] == [4, 4]
    assert (len(make(cache)), len(dropped)) == (3, 2)


def test_every_lighting_is_drawn_equally_often_for_every_scene(cache):
    counts = np.zeros((SCENES, 3))
    for e in range(600):
        for sample in Batches(cache, range(SCENES), (0, 2), batch=SCENES, seed=9).epoch(e):
            counts[sample.scene.numpy(), sample.lighting.numpy()] += 1
    assert not counts[:, 1].any()
    spread = (counts[:, 0] - 300) / np.sqrt(600 * 0.25)
    assert np.abs(spread).max() < 4  # 11 binomials; a fair draw exceeds 4 deviations once in 1,400 such tests
    assert abs(np.square(spread).mean() - 1) < 1.5  # neither constant (600) nor balanced by force (0)
    assert np.square(spread).mean() > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 1, "world": 2}, "batch 1 cannot be shared by 2 processes"),
        ({"batch": 5, "world": 2}, "last batch of 11 scenes has 1 for 2 processes"),
        ({"batch": 12, "drop_last": True}, "batch 12 is larger than the 11 training scenes"),
    ],
)
def test_batches_that_cannot_be(cache, options, message):
    with pytest.raises(UserError, match=message):
        make(cache, **options)


def test_nothing_or_the_same_twice_is_no_training_set(cache):
    with pytest.raises(UserError, match="nothing to train on: 0 scenes"):
        Batches(cache, [], (0,), batch=2, seed=0)
    with pytest.raises(UserError, match="listed twice"):
        Batches(cache, [1, 2, 1], (0,), batch=2, seed=0)


# statistics


def test_statistics_are_those_of_valid_pixels_of_the_given_scenes(cache):
    some = np.array([2, 5])
    pixels = cache.depth[some][cache.valid[some]] / 1000
    stats = statistics(cache, some)
    assert stats.depth_mean == pytest.approx(pixels.mean(), rel=1e-9)
    assert stats.depth_std == pytest.approx(pixels.std(), rel=1e-9)
    wild = np.array(cache.depth)
    wild[~cache.valid] = 65535
    assert statistics(replace(cache, depth=wild), some) == stats


def test_constant_and_absent_depth_give_numbers(cache):
    flat = replace(cache, depth=np.full_like(cache.depth, 800), valid=np.ones_like(cache.valid))
    stats = statistics(flat, np.arange(SCENES))
    assert (stats.depth_mean, stats.depth_std) == (pytest.approx(0.8), batches.STD_FLOOR)
    (sample,) = sweep(flat, range(SCENES), 0, batch=64)
    assert normalise(sample, stats)[1].abs().max() < 1e-3
    assert statistics(replace(cache, valid=np.zeros_like(cache.valid)), np.arange(3)) == Statistics(0.0, 1.0)


def test_published_statistics_win(cache):
    kind = DepthKind("level", None, mean=102.0, std=51.0)
    published = replace(cache, dataset=replace(cache.dataset, depth_kind=kind))
    stats = statistics(published, np.arange(3))
    assert (stats.depth_mean, stats.depth_std) == (pytest.approx(0.4), pytest.approx(0.2))


def test_statistics_survive_json(cache):
    stats = statistics(cache, np.arange(3))
    assert Statistics(**json.loads(json.dumps(asdict(stats)))) == stats


def test_normalise_removes_mean_and_deviation(cache):
    stats = Statistics(2.0, 0.5)
    (sample,) = sweep(cache, range(4), 1, batch=8)
    rgb, depth = normalise(sample, stats)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (batches.IMAGENET_MEAN, batches.IMAGENET_STD))
    torch.testing.assert_close(rgb, (sample.rgb - mean) / std)
    torch.testing.assert_close(depth, (sample.depth - 2) / 0.5)
    assert (depth[sample.depth == 0] == -4).all()  # missing: raw 0 through the same formula
    assert rgb.is_contiguous(memory_format=torch.channels_last)


# draws and names of lightings


def test_draws_are_uniform_and_independent():
    seeds = draws.seeds(3, 8, np.arange(4000))
    table = draws.uniform(seeds, 6)
    assert table.min() >= 0
    assert table.max() < 1
    for column in table.T:
        counts = np.histogram(column, bins=20, range=(0, 1))[0]
        assert ((counts - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees of freedom, 0.1 %
    correlation = np.corrcoef(table.T)
    assert np.abs(correlation - np.eye(6)).max() < 4 / np.sqrt(4000)
    others = draws.uniform(draws.seeds(3, 9, np.arange(4000)), 6)  # the next epoch
    assert abs(np.corrcoef(table[:, 0], others[:, 0])[0, 1]) < 4 / np.sqrt(4000)
    assert abs(np.corrcoef(table[:-1, 0], table[1:, 0])[0, 1]) < 4 / np.sqrt(4000)  # the next scene


def test_draws_never_change():
    """A change here would change every run with an old seed."""
    assert draws._mix(np.array([draws._STEP])).tolist() == [
        0xE220A8397B1DCDAF
    ]  # SplitMix64's first of seed 0
    assert draws.seeds(0, 0, np.arange(2)).tolist() == [2558736989570252433, 4764156602392020899]
    drawn = draws.uniform(draws.seeds(1, 2, 3), 3)
    assert drawn.tolist() == [[0.02280212962528494, 0.07215403157447708, 0.9577100518405319]]


def test_parts_of_a_seed_are_not_exchangeable():
    assert (
        len({int(draws.seeds(*parts)[0]) for parts in ((1, 2), (2, 1), (0, 3), (3,), (0, 0, 3), (-1, 2))})
        == 6
    )


@pytest.mark.parametrize(
    ("text", "positions"),
    [
        ("mixed", (0, 1, 2)),
        ("7", (2,)),
        (3, (1,)),
        ("7, 1", (0, 2)),
        ("all-but-3", (0, 2)),
        ("all-but-1,7", (1,)),
        ("Mixed", (0, 1, 2)),
    ],
)
def test_lightings_are_named_by_number_and_returned_by_position(text, positions):
    assert lighting.parse(text, (1, 3, 7)) == positions


@pytest.mark.parametrize("text", ["2", "", "1,,3", "all-but-", "all-but-9", "bright", "1-3", "-1"])
def test_unknown_lightings(text):
    with pytest.raises(UserError, match=r"is not understood.*has 1,3,7"):
        lighting.parse(text, (1, 3, 7))


def test_leaving_out_the_only_lighting():
    with pytest.raises(UserError, match="leaves nothing to train on"):
        lighting.parse("all-but-1", (1,))
