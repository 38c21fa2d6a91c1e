"""How sure are we? Intervals from confusion matrices, with the scene as the unit of evidence.

Matrices come as (seeds, scenes, lightings, K, K). A score is made per seed and lighting from the sum over
scenes, then reduced over lightings (or over any other conditions in their place). Resampling draws whole
scenes, with all their lightings: eight lights of one scene share its objects and its label, and are not eight
scenes.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit  # quantiles of normal and t; scipy.stats takes a second to import

from rgbd_lib import metrics
from rgbd_lib.errors import UserError, unknown
from rgbd_lib.significance import Ranking as Ranking  # the small tests, found here as well
from rgbd_lib.significance import cohens_d as cohens_d
from rgbd_lib.significance import friedman as friedman
from rgbd_lib.significance import holm as holm
from rgbd_lib.significance import sign_flip as sign_flip

Metric = Callable[[ArrayLike], NDArray[np.float64]]  # (..., K, K) -> (...)
Array = NDArray[np.float64]
Over = str | Callable[[Array], Array]  # "mean", "worst", "best", or any reduction of the last axis
CHUNK = 2**21  # numbers held at once while resampling: what stays in a cache is read twice as fast
REMEMBERED = 512  # resampled worlds: a few thousand numbers each
_WORLDS: dict[tuple, Array] = {}

METRICS: dict[str, tuple[str, Callable[..., Array]]] = {
    "miou": ("", metrics.miou),
    "miou_foreground": (" of foreground mIoU", partial(metrics.miou, include_background=False)),
    "mean_accuracy": (" of mean accuracy", metrics.mean_accuracy),
    "pixel_accuracy": (" of pixel accuracy", lambda matrix, background: metrics.pixel_accuracy(matrix)),
    "forgiving_miou": (" of forgiving mIoU", metrics.forgiving_miou),
}
REDUCTIONS = {"mean": np.mean, "worst": np.min, "best": np.max}


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, and what it rests on. In the unit of the score (0..1)."""

    mean: float
    low: float
    high: float
    seeds: int
    scenes: int
    p: float = float("nan")  # two-sided, of "the true value is 0"; only for differences

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"

    @property
    def excludes_zero(self) -> bool:
        """Say whether these data can tell the value from 0."""
        return self.low > 0 or self.high < 0


def scores(matrices: ArrayLike, metric: Metric = metrics.miou, over: Over = "mean") -> Array:
    """Return one score per seed: over all scenes, then the mean (or "worst", "best") over lightings."""
    return _reduce(metric(_checked(matrices).sum(1)), over)


def scene_bootstrap(
    matrices: ArrayLike,
    metric: Metric = metrics.miou,
    replicates: int = 2000,
    seed: int = 0,
    over: Over = "mean",
) -> Array:
    """Return the score in resampled worlds: other seeds, other scenes, drawn with replacement.

    The same ``seed`` draws the same scenes and seeds for every method, so that replicates of two
    methods can be subtracted. Few seeds drawn with replacement spread too little; their deviation is
    widened by sqrt(n / (n - 1)) * t / z, which makes it that of Student's t (Hesterberg 2015). One
    seed cannot say how much seeds differ: then only scenes are drawn. Worlds that were drawn before are
    remembered: a method that is compared with ten others is resampled once.
    """
    matrices = _checked(matrices)
    known = (_content(matrices), _same(metric), replicates, seed, over)
    if known not in _WORLDS:
        if len(_WORLDS) >= REMEMBERED:
            _WORLDS.pop(next(iter(_WORLDS)))
        _WORLDS[known] = _world(matrices, metric, replicates, seed, over)
        _WORLDS[known].setflags(write=False)
    return _WORLDS[known]


def _world(matrices: NDArray, metric: Metric, replicates: int, seed: int, over: Over) -> Array:
    seeds, scenes = matrices.shape[:2]
    by_scene, by_seed = np.random.default_rng(seed).spawn(2)
    weights = by_scene.multinomial(scenes, np.full(scenes, 1 / scenes), replicates)
    drawn = by_seed.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds  # R,S
    values = _resampled(matrices, weights, metric, over)  # R,S
    mean = values.mean(1)
    return mean + _widening(seeds) * ((drawn * values).sum(1) - mean)


def interval(
    matrices: ArrayLike,
    metric: Metric = metrics.miou,
    replicates: int = 2000,
    seed: int = 0,
    over: Over = "mean",
) -> Interval:
    """Return a method's mean score over seeds with its interval over seeds and scenes."""
    matrices = _checked(matrices)
    mean = scores(matrices, metric, over).mean()
    world = scene_bootstrap(matrices, metric, replicates, seed, over)
    low, high = np.quantile(world, (0.025, 0.975)).clip(
        0, 1
    )  # widened for few seeds, it could leave the scale
    return Interval(float(mean), float(low), float(high), *matrices.shape[:2])


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    metric: Metric = metrics.miou,
    replicates: int = 2000,
    seed: int = 0,
    over: Over = "mean",
) -> Interval:
    """Return a - b with its interval and bootstrap p-value, over the same seeds, scenes and lightings."""
    a, b = _checked(a), _checked(b)
    if a.shape != b.shape:
        raise UserError(
            f"cannot pair matrices of shapes {a.shape} and {b.shape}: same seeds, scenes, lightings"
        )
    mean = (scores(a, metric, over) - scores(b, metric, over)).mean()
    world = [scene_bootstrap(x, metric, replicates, seed, over) for x in (a, b)]
    change = world[0] - world[1]
    low, high = np.quantile(change, (0.025, 0.975))
    tail = min((change <= 0).sum(), (change >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (replicates + 1))
    return Interval(float(mean), float(low), float(high), *a.shape[:2], p=p)


def seed_interval(values: ArrayLike, scenes: int = 0, confidence: float = 0.95) -> Interval:
    """Return Student's t interval of one number per seed; infinite from a single one."""
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    half = np.inf
    if count > 1:
        half = stdtrit(count - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(count)
    mean = float(values.mean())
    return Interval(mean, float(mean - half), float(mean + half), count, scenes)


@dataclass(frozen=True)
class RankStability:
    """How often a method came first in resampled worlds, and the ranks it took in 95 % of them."""

    method: str
    share_best: float
    low: int
    high: int


def rank_stability(
    matrices: Mapping[str, ArrayLike],
    metric: Metric = metrics.miou,
    replicates: int = 2000,
    seed: int = 0,
    over: Over = "mean",
) -> list[RankStability]:
    """Return every method's stability of rank; all must have the same seeds, scenes and lightings."""
    world = np.stack([scene_bootstrap(m, metric, replicates, seed, over) for m in matrices.values()])
    ranks = 1 + (world[None] > world[:, None]).sum(1)
    best = (ranks == 1) / (ranks == 1).sum(0)  # a tie is shared
    low, high = np.quantile(ranks, (0.025, 0.975), axis=1, method="nearest").astype(int)
    return [RankStability(name, float(best[i].mean()), low[i], high[i]) for i, name in enumerate(matrices)]


def drop_one_class(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the mIoU difference a - b without each class in turn: does one rare class carry it?

    NaN for classes that no scene contains.
    """
    both = [metrics.iou(_checked(x).sum(1)) for x in (a, b)]  # seeds, lightings, K
    difference = (both[0] - both[1]).reshape(-1, both[0].shape[-1])
    without = [metrics.nanmean(np.delete(difference, k, axis=1)).mean() for k in range(difference.shape[1])]
    return np.where(np.isfinite(difference).any(0), without, np.nan)


@dataclass(frozen=True)
class Results:
    """What was measured: matrices by method, and where the numbers come from."""

    matrices: Mapping[str, NDArray]  # method -> (seeds, scenes, lightings, K, K)
    profile: str
    data: str
    synthetic: bool
    background: int | None = 0
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # which seeds; empty: 0, 1, 2, ...

    def paired(self, a: str, b: str) -> tuple[NDArray, NDArray]:
        """Return both methods' matrices for the seeds that both have."""
        for name in (a, b):
            if name not in self.matrices:
                raise unknown("method among these results", name, self.matrices)
        owned = [self.seeds.get(name, tuple(range(len(self.matrices[name])))) for name in (a, b)]
        common = [s for s in owned[0] if s in owned[1]]
        if not common:
            raise UserError(f"'{a}' (seeds {owned[0]}) and '{b}' (seeds {owned[1]}) share no seed to pair")
        return tuple(
            np.asarray(self.matrices[name])[[have.index(s) for s in common]]
            for name, have in zip((a, b), owned, strict=True)
        )

    def metric(self, name: str) -> Metric:
        """Return the metric of that name with this data's background class."""
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
        return partial(METRICS[name][1], background=self.background)


def sentence(results: Results, a: str, b: str, metric: str = "miou", over: str = "mean") -> str:
    """Return a difference between methods as Markdown, with its interval and what it rests on."""
    found = paired_difference(*results.paired(a, b), results.metric(metric), over=over)
    mean, low, high = (signed(100 * x) for x in (found.mean, found.low, found.high))
    what = METRICS[metric][0] + ("" if over == "mean" else f", {over} lighting")
    seeds = f"{found.seeds} seeds" if found.seeds > 1 else "1 seed, so over scenes only"
    data = "synthetic data" if results.synthetic else f"data {results.data}"
    return (
        f"{a} − {b}: {mean} points{what} (95 % interval {low} to {high}; "
        f"{seeds}, {found.scenes} scenes, profile {results.profile}, {data})"
    )


def signed(points: float) -> str:
    """Return points with a sign and a proper minus."""
    digits = 2 if 0 < abs(points) < 0.05 else 1  # "+0.0" would hide on which side of zero an interval ends
    return f"{round(points, digits) + 0.0:+.{digits}f}".replace("-", "−")  # + 0.0: no minus before a zero


def _content(matrices: NDArray) -> tuple:
    """Return what makes matrices the same matrices, wherever they lie in memory."""
    return hashlib.sha1(np.ascontiguousarray(matrices)).digest(), matrices.shape, matrices.dtype.str


def _same(metric: Metric) -> object:
    """Return what makes a metric the same one: each call of ``Results.metric`` makes a new partial."""
    if isinstance(metric, partial):
        return metric.func, metric.args, tuple(sorted(metric.keywords.items()))
    return metric


def _checked(matrices: ArrayLike) -> NDArray:
    matrices = np.asarray(matrices)
    if matrices.ndim != 5 or matrices.shape[-1] != matrices.shape[-2] or 0 in matrices.shape:
        raise UserError(f"matrices of shape {matrices.shape}; needed: seeds, scenes, lightings, K, K")
    return matrices


def _reduce(values: Array, over: Over) -> Array:
    if callable(over):
        return over(values)
    if over not in REDUCTIONS:
        raise unknown("reduction over lightings", over, REDUCTIONS)
    return REDUCTIONS[over](values, axis=-1)


def _resampled(matrices: NDArray, weights: NDArray[np.integer], metric: Metric, over: Over) -> Array:
    """Return the score of every replicate and seed, R,S, for R,N scene weights."""
    seeds, scenes, *rest = matrices.shape
    flat = np.ascontiguousarray(matrices.reshape(seeds, scenes, -1), dtype=np.float32)
    weights = weights.astype(np.float32)
    size = max(1, CHUNK // (seeds * flat.shape[2]))
    parts = []
    for start in range(0, len(weights), size):
        sums = np.matmul(weights[start : start + size], flat)  # S,R,X: one matrix product per seed
        parts.append(_reduce(metric(sums.reshape(*sums.shape[:2], *rest)), over).T)
    return np.concatenate(parts)


def _widening(seeds: int) -> float:
    if seeds == 1:
        return 0.0
    return float(np.sqrt(seeds / (seeds - 1)) * stdtrit(seeds - 1, 0.975) / ndtri(0.975))
