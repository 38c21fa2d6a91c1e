"""What a corruption is, the list of them, and how one is applied.

A corruption takes a raw sample (colours 0..1, depth in metres, 0 = missing) and a level, and returns the changed
modality. Here it is made sure that colour corruptions leave depth alone and depth corruptions leave colour
alone, that colours stay what an 8-bit camera can deliver, and that no measurement appears where there was
none. Noise depends on a seed per sample and on nothing else, so that every model sees the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

from rgbd_lib.datasets.base import Sample
from rgbd_lib.errors import UserError, unknown

SEVERITIES = (1, 2, 3, 4, 5)  # and 0, which is the sample itself


class World:
    """What a corruption may use beside the sample: random numbers, another scene, the depth's range."""

    def __init__(
        self, seeds: np.ndarray, device: torch.device, other: Sample | None, depth_range: float | None
    ) -> None:
        self.generators = [torch.Generator(device).manual_seed(int(seed)) for seed in seeds]
        self.device, self.other, self.depth_range = device, other, depth_range

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers of shape B,*shape."""
        return torch.stack([torch.randn(shape, generator=g, device=self.device) for g in self.generators])

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1) of shape B,*shape."""
        return torch.stack([torch.rand(shape, generator=g, device=self.device) for g in self.generators])

    def poisson(self, rate: Tensor) -> Tensor:
        """Return counts with the given means, B,..."""
        return torch.stack(
            [torch.poisson(r, generator=g) for r, g in zip(rate, self.generators, strict=True)]
        )

    def partner(self) -> Sample:
        """Return the sample of other scenes, row by row."""
        if self.other is None:
            raise UserError(
                "a permuted modality needs other scenes to take it from: pass other=sample of them"
            )
        return self.other


@dataclass(frozen=True)
class Corruption:
    """One way in which a sensor can fail, in five severities."""

    name: str
    touches: str  # "rgb", "depth" or "both"
    levels: tuple  # what the function is given for severities 1..5
    means: str  # what a level is, with its unit
    source: str
    stage: str  # "raw", or "normalised" for what only makes sense after normalisation
    metric: bool  # needs depth in metres, so not for encoded depth
    needs_other: bool  # needs samples of other scenes
    function: Callable


_REGISTRY: dict[str, Corruption] = {}


def corruption(
    name: str,
    *,
    touches: str,
    levels: Sequence,
    means: str,
    source: str,
    stage: str = "raw",
    metric: bool = False,
    needs_other: bool = False,
) -> Callable[[Callable], Callable]:
    """Declare a function as the corruption ``name``.

    It is called as ``function(sample, level, world)`` and returns new colours ("rgb"), new (depth, valid)
    ("depth") or a sample ("both"); for stage "normalised" ``function(rgb, depth, level, world)`` returns both.
    """

    def register(function: Callable) -> Callable:
        if len(levels) != len(SEVERITIES) or name in _REGISTRY:
            raise ValueError(f"corruption '{name}' needs {len(SEVERITIES)} levels and a name of its own")
        _REGISTRY[name] = Corruption(
            name, touches, tuple(levels), means, source, stage, metric, needs_other, function
        )
        return function

    return register


def get(name: str) -> Corruption:
    """Return the corruption of that name; an unknown name lists the known ones."""
    if name not in _REGISTRY:
        raise unknown("corruption", name, _REGISTRY)
    return _REGISTRY[name]


def names(touches: str | None = None) -> tuple[str, ...]:
    """Return all names, or those that touch "rgb", "depth" or "both"."""
    return tuple(n for n, c in _REGISTRY.items() if touches in (None, c.touches))


def seeds_for(name: str, scenes: Sequence[int | str]) -> np.ndarray:
    """Return one uint64 seed per scene for a corruption.

    Severities share it on purpose: they then differ by their strength alone, not by luck.
    """
    keys = (blake2b(f"{name}/{scene}".encode(), digest_size=8).digest() for scene in scenes)
    return np.array([int.from_bytes(key, "little") for key in keys], dtype=np.uint64)


def apply(
    name: str,
    severity: int,
    sample: Sample,
    seeds: np.ndarray,
    *,
    other: Sample | None = None,
    depth_range: float | None = None,
) -> Sample:
    """Return the raw sample as the failing sensor would deliver it; the input is left as it was.

    ``seeds`` holds one integer per row. ``other`` is a sample of other scenes, for permuted modalities.
    ``depth_range`` is the span of valid training depth where depth is no metric length (None: metres).
    """
    found = get(name)
    if not _at_work(found, severity) or found.stage != "raw":
        return sample
    if found.metric and depth_range is not None:
        raise UserError(f"corruption '{name}' needs depth in metres; this data set's depth is encoded")
    world = World(seeds, sample.rgb.device, other, depth_range)
    result = found.function(sample, found.levels[severity - 1], world)
    if found.touches == "rgb":
        return replace(sample, rgb=eight_bit(result))
    if found.touches == "depth":
        return replace(sample, **_measured(*result))
    return replace(sample, rgb=eight_bit(result.rgb), **_measured(result.depth, result.valid))


def apply_normalised(
    name: str, severity: int, rgb: Tensor, depth: Tensor, seeds: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return normalised inputs (mean 0, deviation 1) under a corruption of that stage; else unchanged."""
    found = get(name)
    if not _at_work(found, severity) or found.stage != "normalised":
        return rgb, depth
    world = World(seeds, rgb.device, None, None)
    return found.function(rgb, depth, found.levels[severity - 1], world)


def depth_change(before: Sample, after: Sample) -> tuple[float, float]:
    """Return the mean absolute change (millimetres, where both are valid) and the share of valid pixels lost.

    To be shown beside a severity: at the distance of a table real sensor noise is a millimetre.
    """
    both = before.valid & after.valid
    change = (after.depth - before.depth).abs()[both].mean() if both.any() else before.depth.new_tensor(0.0)
    lost = (before.valid & ~after.valid).sum() / before.valid.sum().clamp(min=1)
    return 1000 * float(change), float(lost)


def eight_bit(rgb: Tensor) -> Tensor:
    """Clip to 0..1 and round to the 256 values that an image file can hold."""
    return rgb.clamp(0, 1).mul(255).round().div(255)


def _measured(depth: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Give missing depth its code, 0; what is measured is never 0."""
    return {"depth": torch.where(valid, depth.clamp(min=1e-4), 0.0), "valid": valid}


def _at_work(found: Corruption, severity: int) -> bool:
    if severity not in (0, *SEVERITIES):
        raise UserError(f"corruption '{found.name}': severity {severity} is not one of 0 (clean) to 5")
    return severity > 0
