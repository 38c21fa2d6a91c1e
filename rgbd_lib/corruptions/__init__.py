"""Corruptions of colour and depth, five severities each, applied to raw samples before normalisation."""

from rgbd_lib.corruptions import depth, holes, light, missing, rgb  # noqa: F401  (they register theirs)
from rgbd_lib.corruptions.base import (
    SEVERITIES,
    Corruption,
    apply,
    apply_normalised,
    depth_change,
    get,
    names,
    seeds_for,
)
from rgbd_lib.corruptions.light import dim
from rgbd_lib.corruptions.suite import CLEAN, SUITE, Setting, every, partners, suite, training_corruption

__all__ = [
    "CLEAN",
    "SEVERITIES",
    "SUITE",
    "Corruption",
    "Setting",
    "apply",
    "apply_normalised",
    "depth_change",
    "dim",
    "every",
    "get",
    "names",
    "partners",
    "seeds_for",
    "suite",
    "training_corruption",
]
