"""What every data set looks like to the rest of the library."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import Tensor

IGNORE = 255  # the label of pixels that are neither trained on nor scored, in every data set


@dataclass(frozen=True)
class DepthKind:
    """How the stored 16-bit depth is to be read. A stored 0 is a missing measurement."""

    unit: str  # "mm" (metric) or "level" (an encoding that is only monotone in depth)
    to_metres: float | None  # metres per count; None where the encoding is not metric
    mean: float | None = None  # published statistics of valid counts, where there are any;
    std: float | None = None  # None: measured on the training split


@dataclass(frozen=True)
class Frame:
    """One scene under one light, as read from disk: raw units, original size."""

    rgb: np.ndarray  # H,W,3 uint8, R G B order
    depth: np.ndarray  # H,W uint16 in the data set's DepthKind
    valid: np.ndarray  # H,W bool: depth was measured here
    label: np.ndarray  # H,W uint8: class id, or IGNORE


class Dataset(Protocol):
    """A folder of scenes. All readers in this folder return one of these from ``open_dataset``."""

    name: str  # "mm5", "mm5-synthetic", "nyuv2", "sunrgbd", ...
    root: Path
    synthetic: bool
    classes: tuple[str, ...]  # names in id order
    background: int | None  # the class that is "no object", or None where every class is a thing
    lightings: tuple[int, ...]  # (1, .., 8) on MM5, (1,) where there is one image per scene
    depth_kind: DepthKind
    scenes: tuple[str, ...]  # scene ids, in order
    groups: dict[str, str]  # scene -> capture run (or place): near-duplicates share one
    scene_classes: dict[str, int]  # scene -> scene class, empty where the data has none

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        """Return the scene ids of "train", "val" or "test" for a kind of split."""
        ...

    def read(self, scene: str, lighting: int) -> Frame:
        """Decode one frame; a bad file raises UserError with its path."""
        ...

    def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
        """Decode the colour image alone (the rest is shared by all lightings)."""
        ...

    def files(self) -> list[Path]:
        """Return every file whose content decides what ``read`` returns, sorted."""
        ...


@dataclass
class Sample:
    """A batch on the device, in raw units until ``normalise`` (datasets.batches) is applied."""

    rgb: Tensor  # B,3,H,W float, 0..1 raw
    depth: Tensor  # B,1,H,W float, metres (or level / 255 where not metric), 0 = missing
    valid: Tensor  # B,1,H,W bool
    label: Tensor  # B,H,W long, IGNORE = 255
    scene: Tensor  # B long, index into the cache's scenes
    lighting: Tensor  # B long, index into the data set's lightings

    def parts(self, size: int) -> list["Sample"]:
        """Return the batch in parts of at most ``size`` images."""
        count = len(self.label)
        if size >= count:
            return [self]
        return [
            Sample(**{key: value[i : i + size] for key, value in vars(self).items()})
            for i in range(0, count, size)
        ]
