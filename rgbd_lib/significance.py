"""Tests between methods on small numbers of runs, and the published table they can be tried on.

With few seeds no test can say much: a sign-flip test over n pairs has no p-value below 2 / 2**n. Hence
intervals first (statistics.py), these beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from io import StringIO
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rgbd_lib.errors import UserError

EXACT_PAIRS = 14  # up to here all sign flips are counted; beyond, 20 000 are drawn
DRAWS = 20_000


def sign_flip(differences: ArrayLike, seed: int = 0) -> float:
    """Return the two-sided p-value of "the differences are symmetric about 0", pair by pair.

    Exact for up to 14 pairs; never below 2 / 2**n. One number per seed (or per scene).
    """
    d = np.asarray(differences, dtype=np.float64).ravel()
    if not len(d) or not np.any(d):
        return 1.0
    if len(d) <= EXACT_PAIRS:
        signs = np.array(list(product((1, -1), repeat=len(d))))
    else:
        drawn = np.random.default_rng(seed).integers(0, 2, (DRAWS, len(d))) * 2 - 1
        signs = np.concatenate([np.ones((1, len(d)), dtype=int), drawn])  # what was seen is one of them
    sums = np.abs(signs @ d)
    return float((sums >= sums[0] * (1 - 1e-12)).mean())


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted for the whole family by Holm's step-down rule; NaN stays NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    flat = p.ravel()
    order = np.argsort(flat)[: np.isfinite(flat).sum()]
    adjusted = np.full(flat.shape, np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * flat[order]), 1)
    return adjusted.reshape(p.shape)


def cohens_d(differences: ArrayLike) -> float:
    """Return the mean of paired differences in units of their standard deviation."""
    d = np.asarray(differences, dtype=np.float64)
    spread = d.std(ddof=1) if d.size > 1 else np.nan
    return float(d.mean() / spread) if spread > 0 else float("nan")


@dataclass(frozen=True)
class Ranking:
    """Friedman's test of "all methods are equal", with what a critical-difference diagram needs."""

    methods: tuple[str, ...]
    mean_ranks: NDArray[np.float64]  # 1 is best
    statistic: float
    p: float
    critical_difference: float  # mean ranks nearer than this cannot be told apart (Nemenyi)
    blocks: int

    def groups(self) -> list[tuple[str, ...]]:
        """Return the largest sets of methods that the critical difference does not separate, best first."""
        order = np.argsort(self.mean_ranks, kind="stable")
        ranks = self.mean_ranks[order]
        found: list[tuple[int, int]] = []
        for start in range(len(order)):
            stop = int(np.searchsorted(ranks, ranks[start] + self.critical_difference))
            if stop - start > 1 and (not found or stop > found[-1][1]):
                found.append((start, stop))
        return [tuple(self.methods[i] for i in order[a:b]) for a, b in found]


def friedman(scores: ArrayLike, methods: Sequence[str] | None = None, alpha: float = 0.05) -> Ranking:
    """Rank methods within every block (seed, scene or lighting); ``scores`` is blocks x methods, high is good."""
    from scipy import stats  # takes a second to import, and most of the book does without

    scores = np.asarray(scores, dtype=np.float64)
    blocks, count = scores.shape
    if blocks < 2 or count < 3:
        raise UserError(f"Friedman's test needs 2 blocks and 3 methods or more, got {blocks} and {count}")
    ranks = stats.rankdata(-scores, axis=1)
    test = stats.friedmanchisquare(*scores.T)
    quantile = stats.studentized_range.ppf(1 - alpha, count, np.inf) / np.sqrt(2)
    distance = quantile * np.sqrt(count * (count + 1) / (6 * blocks))
    names = tuple(str(i) for i in range(count)) if methods is None else tuple(methods)
    return Ranking(names, ranks.mean(0), float(test.statistic), float(test.pvalue), float(distance), blocks)


def published_seed_study() -> pd.DataFrame:
    """Return the 48 mIoU values (%) that the seed study published: lightings 1..8 x its six methods.

    Numbers from the literature: maxima over epochs on the evaluation split, single runs, a forgiving
    metric. To compare with, never to mix with measurements of this project.
    """
    text = resources.files("rgbd_lib").joinpath("published/seed_study.csv").read_text(encoding="utf-8")
    return pd.read_csv(StringIO(text), comment="#", index_col="lighting")
