"""Intervals on made data with known answers: do they cover, and do they pair what belongs together?"""

from functools import partial

import numpy as np
import pytest
from scipy import stats

from rgbd_lib import metrics, statistics
from rgbd_lib.errors import UserError

TRUE_DIFFERENCE = 0.03
PIXELS = 1000


def made(
    rng: np.random.Generator,
    seeds: int,
    *,
    scenes: int = 40,
    lightings: int = 4,
    seed_spread: float = 0.02,
    scene_spread: float = 0.1,
) -> np.ndarray:
    """Two methods whose pixel accuracy differs by a known amount; (2, seeds, scenes, lightings, 2, 2).

    Scenes differ in difficulty, each method likes some scenes better (in every light), seeds differ.
    """
    accuracy = (
        0.7
        + rng.normal(0, 0.1, (1, 1, scenes, 1))
        + rng.normal(0, scene_spread, (2, 1, scenes, 1))
        + rng.normal(0, seed_spread, (2, seeds, 1, 1))
        + rng.normal(0, 0.02, (2, seeds, scenes, lightings))
    )
    accuracy[0] += TRUE_DIFFERENCE
    matrices = np.zeros((*accuracy.shape, 2, 2))
    matrices[..., 0, 0] = PIXELS * accuracy
    matrices[..., 0, 1] = PIXELS * (1 - accuracy)
    return matrices


def coverage(seeds: int, *, apart: bool = False, trials: int = 200, **world: float) -> tuple[float, float]:
    """How often the 95 % interval holds the true difference, and its mean width."""
    rng = np.random.default_rng(seeds)
    hits, width = 0, 0.0
    for trial in range(trials):
        matrices = made(rng, seeds, **world)
        if apart:  # eight lights counted as eight scenes
            matrices = matrices.reshape(2, seeds, -1, 1, 2, 2)
        found = statistics.paired_difference(*matrices, metrics.pixel_accuracy, replicates=300, seed=trial)
        hits += found.low <= TRUE_DIFFERENCE <= found.high
        width += found.high - found.low
    return hits / trials, width / trials


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_over_seeds_and_scenes_cover_the_truth(seeds):
    share, _ = coverage(seeds, seed_spread=0.03, scene_spread=0.05)
    assert 0.91 <= share <= 0.985


def test_intervals_over_scenes_alone_cover_when_seeds_do_not_differ():
    share, _ = coverage(1, seed_spread=0.0)
    assert 0.90 <= share <= 0.985


def test_counting_lightings_as_scenes_makes_intervals_too_narrow():
    together, width = coverage(1, seed_spread=0.0, trials=100)
    apart, narrow = coverage(1, seed_spread=0.0, trials=100, apart=True)
    assert narrow < 0.6 * width  # 4 lightings: up to a factor 2
    assert apart < 0.8 < together


def test_bootstrap_equals_a_slow_loop_over_drawn_scenes():
    rng = np.random.default_rng(0)
    matrices = rng.integers(0, 40, (3, 6, 2, 4, 4))
    got = statistics.scene_bootstrap(matrices, replicates=20, seed=7)
    by_scene, by_seed = np.random.default_rng(7).spawn(2)
    times = by_scene.multinomial(6, np.full(6, 1 / 6), 20)
    seeds = by_seed.multinomial(3, np.full(3, 1 / 3), 20)
    widening = np.sqrt(3 / 2) * 4.302653 / 1.959964
    for r in range(20):
        world = np.repeat(matrices, times[r], axis=1)  # a scene drawn twice is there twice
        score = np.array(
            [np.mean([metrics.miou(world[s].sum(0)[light]) for light in range(2)]) for s in range(3)]
        )
        want = score.mean() + widening * (np.repeat(score, seeds[r]).mean() - score.mean())
        assert got[r] == pytest.approx(want, rel=1e-5)


def test_mean_is_the_plain_score_and_spread_is_known():
    rng = np.random.default_rng(1)
    a, b = made(rng, 1, scenes=400, seed_spread=0.0)
    found = statistics.interval(a, metrics.pixel_accuracy, 2000)
    per_scene = a[0, :, :, 0, 0].mean(1) / PIXELS
    assert found.mean == pytest.approx(per_scene.mean())
    half = 1.96 * per_scene.std() / np.sqrt(400)  # the accuracy is a mean: its error is known
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)
    assert (found.seeds, found.scenes) == (1, 400)
    difference = statistics.paired_difference(a, b, metrics.pixel_accuracy)
    assert difference.mean == pytest.approx(found.mean - statistics.scores(b, metrics.pixel_accuracy)[0])


def test_pairing_removes_what_methods_share():
    a, b = made(np.random.default_rng(2), 1, seed_spread=0.0, scene_spread=0.005)
    paired = statistics.paired_difference(a, b, metrics.pixel_accuracy)
    alone = statistics.interval(a, metrics.pixel_accuracy)
    assert paired.high - paired.low < 0.2 * (alone.high - alone.low)
    assert paired.excludes_zero
    assert paired.p < 0.01
    same = statistics.paired_difference(a, a, metrics.pixel_accuracy)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_p_values_of_equal_methods_are_uniform():
    rng = np.random.default_rng(3)
    p = []
    for trial in range(200):
        a, b = made(rng, 1, seed_spread=0.0)
        a[..., 0, 0] -= PIXELS * TRUE_DIFFERENCE
        a[..., 0, 1] += PIXELS * TRUE_DIFFERENCE
        p.append(statistics.paired_difference(a, b, metrics.pixel_accuracy, 300, trial).p)
    assert np.mean(np.array(p) < 0.05) < 0.1
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_the_worst_lighting_is_found_in_every_replicate():
    a, _ = made(np.random.default_rng(4), 2)
    a[:, :, 2, 0, 0] *= 0.5
    a[:, :, 2, 0, 1] = PIXELS - a[:, :, 2, 0, 0]
    worst = statistics.interval(a, metrics.pixel_accuracy, over="worst")
    only = statistics.interval(a[:, :, 2:3], metrics.pixel_accuracy)
    got, want = (vars(x) for x in (worst, only))
    assert got == pytest.approx(want, rel=1e-6, nan_ok=True)
    with pytest.raises(UserError, match="Known: best, mean, worst"):
        statistics.interval(a, over="median")


def test_seed_interval_is_students():
    values = [0.1, 0.14, 0.09, 0.12, 0.15]
    found = statistics.seed_interval(values)
    want = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((want.low, want.high))
    assert statistics.seed_interval([0.1]).high == np.inf


def test_ranks_are_stable_only_where_methods_differ():
    a, b = made(np.random.default_rng(5), 3, scene_spread=0.02, seed_spread=0.0)
    worse = b.copy()
    worse[..., 0, 0] -= 200
    worse[..., 0, 1] += 200
    found = {s.method: s for s in statistics.rank_stability({"b": b, "twin": b, "worse": worse})}
    assert found["b"].share_best == found["twin"].share_best == 0.5
    assert found["worse"].share_best == 0
    assert (found["worse"].low, found["worse"].high) == (3, 3)
    assert sum(s.share_best for s in statistics.rank_stability({"a": a, "b": b})) == pytest.approx(1)


def test_drop_one_class_shows_the_class_that_carries_a_difference():
    b = np.zeros((1, 3, 1, 4, 4))
    b[..., [0, 1, 2], [0, 1, 2]] = 50  # class 3 is in no scene
    a = b.copy()
    b[..., 2, 2], b[..., 2, 0] = 0, 50  # b misses class 2, into the background
    change = statistics.drop_one_class(a, b)
    whole = statistics.paired_difference(a, b, replicates=10).mean
    assert whole == pytest.approx((0.5 + 0 + 1) / 3)
    np.testing.assert_allclose(change, [0.5, 0.75, 0.25, np.nan])


def results(**changes: object) -> statistics.Results:
    a, b = made(np.random.default_rng(6), 3, scene_spread=0.005, seed_spread=0.002)
    values = {
        "matrices": {"mid": a, "early": b},
        "profile": "quick",
        "data": "mm5-synthetic",
        "synthetic": True,
    }
    return statistics.Results(**(values | changes))


def test_sentence_says_what_was_measured_and_on_what():
    text = statistics.sentence(results(), "mid", "early", metric="pixel_accuracy")
    found = statistics.paired_difference(*results().paired("mid", "early"), metrics.pixel_accuracy)
    points = [f"{100 * x:+.1f}" for x in (found.mean, found.low, found.high)]
    assert text == (
        f"mid − early: {points[0]} points of pixel accuracy (95 % interval {points[1]} to {points[2]}; "
        "3 seeds, 40 scenes, profile quick, synthetic data)"
    )
    back = statistics.sentence(results(synthetic=False, data="mm5"), "early", "mid", metric="pixel_accuracy")
    assert back.startswith(f"early − mid: {points[0].replace('+', '−')} points")
    assert "data mm5)" in back
    assert "mid − mid: +0.0 points (95" in statistics.sentence(results(), "mid", "mid")


def test_results_pair_the_seeds_that_both_methods_have():
    all_results = results(seeds={"mid": (0, 1, 2), "early": (2, 4, 1)})
    a, b = all_results.paired("mid", "early")
    np.testing.assert_array_equal(a, all_results.matrices["mid"][[1, 2]])
    np.testing.assert_array_equal(b, all_results.matrices["early"][[2, 0]])
    with pytest.raises(UserError, match="share no seed"):
        results(seeds={"mid": (0, 1, 2), "early": (3, 4, 5)}).paired("mid", "early")
    with pytest.raises(UserError, match="Known: early, mid"):
        statistics.sentence(results(), "mid", "late")
    with pytest.raises(UserError, match="metric 'iou'"):
        statistics.sentence(results(), "mid", "early", metric="iou")
    one = results(matrices={k: v[:1] for k, v in results().matrices.items()})
    assert "1 seed, so over scenes only" in statistics.sentence(one, "mid", "early")


@pytest.mark.parametrize("shape", [(3, 4, 2, 5), (3, 4, 2, 5, 6), (3, 0, 2, 5, 5)])
def test_matrices_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(UserError, match="needed: seeds, scenes, lightings, K, K"):
        statistics.scores(np.zeros(shape))


def test_a_world_is_drawn_once_and_never_taken_for_another():
    rng = np.random.default_rng(3)
    a = rng.integers(1, 50, (2, 6, 2, 3, 3))
    first = statistics.scene_bootstrap(a, partial(metrics.miou, background=0), 50)
    assert statistics.scene_bootstrap(a.copy(), partial(metrics.miou, background=0), 50) is first
    other = a.copy()
    other[0, 0, 0, 0, 0] += 1
    for world in (
        statistics.scene_bootstrap(other, partial(metrics.miou, background=0), 50),
        statistics.scene_bootstrap(a, partial(metrics.miou, background=None), 50),
        statistics.scene_bootstrap(a, partial(metrics.miou, background=0), 50, seed=1),
        statistics.scene_bootstrap(a, partial(metrics.miou, background=0), 50, over="worst"),
    ):
        assert world is not first
