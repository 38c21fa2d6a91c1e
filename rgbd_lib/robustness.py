"""Scores over many conditions: what is left, what is lost more than by others, and what was to be expected.

Values are scores in 0..1 (mIoU) with one condition per place of the last axis; any axes before it are kept.
Averages are over corruptions first by severity: a corruption with more severities weighs no more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from rgbd_lib import corruptions
from rgbd_lib.errors import UserError

Array = NDArray[np.float64]
REFERENCE = "early"  # a reference must use both modalities: blind to one, it loses nothing there (0 / 0)


@dataclass(frozen=True)
class Layout:
    """Which condition is where on the last axis: "clean", "holes 1", "holes 3", "depth_off", ..."""

    names: tuple[str, ...]

    def at(self, name: str) -> int:
        """Return the place of one condition."""
        if name not in self.names:
            raise UserError(
                f"no condition '{name}' among the {len(self.names)} evaluated; evaluate the suite"
            )
        return self.names.index(name)

    @cached_property
    def families(self) -> dict[str, dict[int, int]]:
        """Return corruption -> severity -> place, for all corruptions that have severities."""
        found: dict[str, dict[int, int]] = {}
        for place, name in enumerate(self.names):
            corruption, _, severity = name.rpartition(" ")
            if corruption in corruptions.names():
                found.setdefault(corruption, {})[int(severity)] = place
        return found

    def touching(self, modality: str | None) -> list[str]:
        """Return the corruptions with severities that touch "rgb", "depth" or "both"; None: all."""
        chosen = [c for c in self.families if modality in (None, corruptions.get(c).touches)]
        if not chosen:
            raise UserError(f"no corruption of {modality or 'any sensor'} evaluated; evaluate the suite")
        return chosen


def by_corruption(values: ArrayLike, layout: Layout, modality: str | None = None) -> Array:
    """Return the mean over severities of each corruption, (..., corruptions)."""
    values = np.asarray(values, dtype=np.float64)
    places = [list(layout.families[c].values()) for c in layout.touching(modality)]
    return np.stack([values[..., p].mean(-1) for p in places], axis=-1)


def suite_mean(values: ArrayLike, layout: Layout, modality: str | None = None) -> Array:
    """Return the mean over corruptions of the mean over severities."""
    return by_corruption(values, layout, modality).mean(-1)


def retention(values: ArrayLike, layout: Layout, modality: str | None = None) -> Array:
    """Return the share of the clean score that is left, mean over corruptions; 1 is nothing lost."""
    clean = np.asarray(values, dtype=np.float64)[..., layout.at(corruptions.CLEAN)]
    return _ratio(suite_mean(values, layout, modality), clean)


def degradation(
    values: ArrayLike, reference: ArrayLike, layout: Layout, modality: str | None = None
) -> Array:
    """Return the mean corruption error: errors summed over severities, relative to the reference's.

    Below 1 is better than the reference. A higher clean score alone lowers it: see ``relative_degradation``.
    """
    own, other = (1 - by_corruption(x, layout, modality) for x in (values, reference))
    return _ratio(own, other).mean(-1)


def relative_degradation(
    values: ArrayLike, reference: ArrayLike, layout: Layout, modality: str | None = None
) -> Array:
    """Return the loss against clean relative to the reference's loss, mean over corruptions.

    NaN where the reference loses nothing, as one that is blind to the corrupted modality.
    """
    place = layout.at(corruptions.CLEAN)
    lost = []
    for x in (values, reference):
        x = np.asarray(x, dtype=np.float64)
        lost.append(x[..., place, None] - by_corruption(x, layout, modality))
    return _ratio(*lost).mean(-1)


def curve(values: ArrayLike, layout: Layout, corruption: str) -> tuple[NDArray[np.int64], Array]:
    """Return severities (0 is clean) and scores of one corruption, to be drawn as a line."""
    if corruption not in layout.families:
        raise UserError(
            f"corruption '{corruption}' was not evaluated; evaluated: {', '.join(layout.families)}"
        )
    places = {0: layout.at(corruptions.CLEAN)} | layout.families[corruption]
    severities = np.array(sorted(places))
    return severities, np.asarray(values, dtype=np.float64)[..., [places[s] for s in severities]]


@dataclass(frozen=True)
class Lightings:
    """How a score varies over lightings; every field has the axes that were before the last one."""

    mean: Array
    worst: Array
    best: Array
    spread: Array  # best - worst
    deviation: Array  # over lightings, as of a sample
    dark_to_bright: Array  # score under the darkest over that under the brightest light


def over_lightings(values: ArrayLike, luminance: Sequence[float]) -> Lightings:
    """Return the summary over lightings, whose mean luminances tell dark from bright."""
    values = np.asarray(values, dtype=np.float64)
    if values.shape[-1] != len(luminance):
        raise UserError(f"{values.shape[-1]} lightings, but {len(luminance)} luminances")
    best, worst = values.max(-1), values.min(-1)
    ratio = _ratio(values[..., np.argmin(luminance)], values[..., np.argmax(luminance)])
    deviation = values.std(-1, ddof=1) if len(luminance) > 1 else np.zeros(values.shape[:-1])
    return Lightings(values.mean(-1), worst, best, best - worst, deviation, ratio)


def missing_average(full: ArrayLike, rgb_only: ArrayLike, depth_only: ArrayLike) -> Array:
    """Return the plain mean over everything there, colour alone and depth alone (Liao et al. 2025)."""
    return np.mean([np.asarray(x, dtype=np.float64) for x in (full, rgb_only, depth_only)], axis=0)


def missing_expected(full: ArrayLike, rgb_only: ArrayLike, depth_only: ArrayLike, p: float) -> Array:
    """Return E(p): the score to be expected if each sensor fails with chance p and one of them works.

    ``rgb_only`` is the score with depth off, ``depth_only`` that with the camera off.
    """
    if not 0 <= p < 1:
        raise UserError(f"the chance of a sensor to fail must be in [0, 1), got {p}")
    full, rgb_only, depth_only = (np.asarray(x, dtype=np.float64) for x in (full, rgb_only, depth_only))
    return ((1 - p) ** 2 * full + p * (1 - p) * (rgb_only + depth_only)) / (1 - p**2)


@dataclass(frozen=True)
class EffectiveRobustness:
    """Robustness beyond what the clean score predicts (Taori et al. 2020)."""

    slope: float
    intercept: float
    residuals: Array  # one per model; above 0 is more robust than its clean score predicts


def effective_robustness(clean: ArrayLike, corrupted: ArrayLike) -> EffectiveRobustness:
    """Fit the line of corrupted on clean scores over all models; three or more, better eight."""
    clean, corrupted = (np.asarray(x, dtype=np.float64) for x in (clean, corrupted))
    if len(clean) < 3 or np.ptp(clean) == 0:
        raise UserError(
            f"effective robustness needs three models with different clean scores, got {len(clean)}"
        )
    slope, intercept = np.polyfit(clean, corrupted, 1)
    return EffectiveRobustness(float(slope), float(intercept), corrupted - (slope * clean + intercept))


def summary(
    values: Mapping[str, ArrayLike], layout: Layout, reference: str = REFERENCE, p: float = 0.1
) -> pd.DataFrame:
    """Return one row per method of scores under the suite, for values of shape (seeds, conditions).

    Means over seeds. Scores against the reference are NaN where it was not evaluated, effective
    robustness where there are too few methods.
    """
    mean = {name: np.asarray(v, dtype=np.float64).mean(0) for name, v in values.items()}
    rows = []
    for name, v in mean.items():
        clean, depth_off, rgb_off = (v[layout.at(c)] for c in (corruptions.CLEAN, "depth_off", "rgb_off"))
        row = {
            "method": name,
            "clean": clean,
            "suite": suite_mean(v, layout),
            "depth_off": depth_off,
            "rgb_off": rgb_off,
            "missing_expected": missing_expected(clean, depth_off, rgb_off, p),
            "missing_average": missing_average(clean, depth_off, rgb_off),
            "retention": retention(v, layout),
            "retention_rgb": retention(v, layout, "rgb"),
            "retention_depth": retention(v, layout, "depth"),
            "degradation": np.nan,
            "relative_degradation": np.nan,
            "relies_on_depth": clean - v[layout.at("permuted_depth")],
            "relies_on_rgb": clean - v[layout.at("permuted_rgb")],
        }
        if reference in mean:
            row["degradation"] = degradation(v, mean[reference], layout)
            row["relative_degradation"] = relative_degradation(v, mean[reference], layout)
        rows.append(row)
    table = pd.DataFrame(rows)
    enough = len(table) > 2 and np.ptp(table["clean"]) > 0
    table["effective_robustness"] = (
        effective_robustness(table["clean"], table["suite"]).residuals if enough else np.nan
    )
    return table


def _ratio(part: Array, whole: Array) -> Array:
    part, whole = np.broadcast_arrays(np.asarray(part, dtype=np.float64), whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole != 0)[()]
