"""Which corruptions a model is tested under, and which it may be trained with. They share none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from rgbd_lib.corruptions import base
from rgbd_lib.datasets import draws
from rgbd_lib.datasets.base import Sample
from rgbd_lib.errors import UserError, unknown

CLEAN = "clean"
GRADED = (1, 3, 5)  # severities of the suite; the curve over all five is for the best few models


@dataclass(frozen=True)
class Setting:
    """One corruption at one severity; ("clean", 0) changes nothing."""

    corruption: str
    severity: int

    @property
    def name(self) -> str:
        """Return "gaussian_noise 3"; no number where all severities are the same."""
        if self.corruption == CLEAN or len(set(base.get(self.corruption).levels)) == 1:
            return self.corruption
        return f"{self.corruption} {self.severity}"

    @property
    def info(self) -> base.Corruption | None:
        """Return what is known of the corruption; None for clean."""
        return None if self.corruption == CLEAN else base.get(self.corruption)

    @property
    def keeps_depth(self) -> bool:
        """Say whether depth is that of the clean sample."""
        return self.info is None or self.info.touches == "rgb"

    @property
    def needs_other(self) -> bool:
        """Say whether ``apply_raw`` must be given samples of other scenes."""
        return self.info is not None and self.info.needs_other

    def apply_raw(
        self,
        sample: Sample,
        scenes: Sequence[int | str],
        *,
        other: Sample | None = None,
        depth_range: float | None = None,
    ) -> Sample:
        """Return the raw sample under this setting; ``scenes`` (ids, one per row) seed the noise."""
        if self.info is None:
            return sample
        seeds = base.seeds_for(self.corruption, scenes)
        return base.apply(self.corruption, self.severity, sample, seeds, other=other, depth_range=depth_range)

    def apply_normalised(
        self, rgb: Tensor, depth: Tensor, scenes: Sequence[int | str]
    ) -> tuple[Tensor, Tensor]:
        """Return normalised inputs under this setting."""
        if self.info is None:
            return rgb, depth
        seeds = base.seeds_for(self.corruption, scenes)
        return base.apply_normalised(self.corruption, self.severity, rgb, depth, seeds)


_RGB = ("low_light", "low_light_gain", "over_exposure", "motion_blur", "gaussian_noise", "contrast", "jpeg")
_DEPTH = ("kinect_noise", "quantise", "holes", "edge_holes", "misalign", "low_res")
_GONE = ("rgb_off", "depth_off", "rgb_mean", "depth_mean", "permuted_depth", "permuted_rgb")

SUITE: tuple[Setting, ...] = (
    Setting(CLEAN, 0),
    *(Setting(name, severity) for name in (*_RGB, *_DEPTH) for severity in GRADED),
    Setting("random_missing", 3),
    *(Setting(name, 1) for name in _GONE),
)


def suite(metric: bool = True) -> tuple[Setting, ...]:
    """Return the default suite; without what needs metres where depth is encoded."""
    return tuple(s for s in SUITE if metric or s.info is None or not s.info.metric)


def every(metric: bool = True) -> tuple[Setting, ...]:
    """Return all corruptions at all severities, clean first."""
    found = [Setting(CLEAN, 0)]
    for name in base.names():
        info = base.get(name)
        if metric or not info.metric:
            graded = len(set(info.levels)) > 1
            found += [Setting(name, s) for s in (base.SEVERITIES if graded else (1,))]
    return tuple(found)


def partners(scenes: int, seed: int = 0) -> np.ndarray:
    """Return for each of ``scenes`` the position of another one; every scene is used once."""
    if scenes < 2:
        raise UserError(f"permuted modalities need two scenes or more, got {scenes}")
    order = np.random.default_rng(seed).permutation(scenes)
    result = np.empty(scenes, dtype=np.int64)
    result[order] = np.roll(order, -1)
    return result


# In training: other families than in the suite, so that the suite shows what carries over.
TRAINING = {
    "rgb": ("shot_noise", "gaussian_blur", "brightness", "saturate", "color_quant", "low_light_fast", "warm"),
    "depth": ("gaussian_depth", "dropout", "flying_pixels", "scale"),
}
TRAINING["both"] = TRAINING["rgb"] + TRAINING["depth"]
CLEAN_SHARE = 0.5
TRAINING_SEVERITIES = 3  # 1 to this


def training_corruption(
    kind: str, depth_range: float | None = None
) -> Callable[[Sample, np.ndarray], Sample] | None:
    """Return what augmentation may do to a raw sample: "rgb", "depth", "both"; "none" gives None.

    Half of the samples stay clean; each other one gets one corruption of severity 1 to 3, as its seed says.
    """
    if kind == "none":
        return None
    if kind not in TRAINING:
        raise unknown("training corruption", kind, [*TRAINING, "none"])
    pool = TRAINING[kind]

    def corrupt(sample: Sample, seeds: np.ndarray) -> Sample:
        spoil, which, how = draws.uniform(seeds, 3).T
        chosen = (which * len(pool)).astype(int)
        severity = 1 + (how * TRAINING_SEVERITIES).astype(int)
        for name in np.unique(chosen):
            for level in np.unique(severity):
                rows = np.flatnonzero((spoil >= CLEAN_SHARE) & (chosen == name) & (severity == level))
                if len(rows):
                    part = base.apply(
                        pool[name], int(level), _rows(sample, rows), seeds[rows], depth_range=depth_range
                    )
                    sample = _put(sample, rows, part)
        return sample

    return corrupt


def _rows(sample: Sample, rows: np.ndarray) -> Sample:
    return Sample(**{name: value[rows] for name, value in vars(sample).items()})


def _put(sample: Sample, rows: np.ndarray, part: Sample) -> Sample:
    changed = {}
    for name in ("rgb", "depth", "valid"):
        changed[name] = getattr(sample, name).clone()
        changed[name][rows] = getattr(part, name)
    return replace(sample, **changed)
