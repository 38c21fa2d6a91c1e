"""Indoor frames as image files, named by lists: one file each for colour, depth and label."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from rgbd_lib.datasets import images, indoor
from rgbd_lib.datasets.base import DepthKind
from rgbd_lib.datasets.rooms import RoomDataset
from rgbd_lib.errors import UserError

PACKED = "packed"  # SUN RGB-D's rotated bits instead of a factor
REPACKED_FACTOR = 10_000.0  # counts per metre that the numbered re-packed SUN RGB-D documents
SATURATED = 65535  # what some tools write where nothing was seen
FARTHEST = 8000  # mm; SUN RGB-D's own tools believe no depth beyond it

COUNTS = {"nyuv2": (795, 654), "sunrgbd": (5285, 5050)}
_PROBED = 16  # label files looked at to tell what their void value is


@dataclass(frozen=True)
class Entry:
    """The files of one frame; ``camera`` is its intrinsics.txt where there is one."""

    scene: str
    rgb: Path
    depth: Path
    label: Path
    camera: Path | None = None


@dataclass(frozen=True)
class DepthRule:
    """How a depth file becomes counts of ``kind``; ``text`` says it in words."""

    kind: DepthKind
    dtype: str
    text: str
    decode: Callable[[np.ndarray], np.ndarray]
    read: Callable[[Path], np.ndarray] = images.read_plane


def depth_rule(first: Path, factor: float | str | None, *, hha: bool = False, raw: bool = False) -> DepthRule:
    """Decide from the first file what depth values mean.

    ``factor`` is counts per metre or "packed"; None looks at 16-bit values and leaves 8-bit ones as levels.
    """
    if hha:
        text = "first channel of HHA (disparity: near is high)"
        return DepthRule(
            indoor.LEVELS, "uint8", text, lambda v: v, lambda path: images.read_rgb(path)[..., 0]
        )
    values = images.read_plane(first)
    if values.dtype.kind == "f":
        return DepthRule(indoor.MILLIMETRES, str(values.dtype), "metres as numbers", indoor.to_millimetres)
    if factor is None:
        if values.dtype == np.uint8:
            return DepthRule(indoor.LEVELS, "uint8", "8-bit levels without metric scale", lambda v: v)
        factor = PACKED if indoor.looks_packed(values) else REPACKED_FACTOR
    if factor == PACKED:
        if values.dtype != np.uint16:
            raise UserError(
                f"{first} holds {values.dtype} values; packed depth is 16-bit. Leave depth_factor out"
            )
        text = "packed bits" + (", beyond 8 m missing" if raw else ", cut at 8 m")
        return DepthRule(indoor.MILLIMETRES, "uint16", text, lambda v: limit(indoor.unpack(v), raw))
    if not isinstance(factor, int | float) or not factor > 0:
        raise UserError(f"depth_factor={factor!r} is neither counts per metre, such as 1000, nor '{PACKED}'")
    return DepthRule(
        indoor.MILLIMETRES,
        str(values.dtype),
        f"{factor:g} counts per metre",
        lambda v: indoor.to_millimetres(np.where(v == SATURATED, 0, v) / factor),
    )


def limit(millimetres: np.ndarray, raw: bool) -> np.ndarray:
    """Bring depth beyond SUN RGB-D's 8 m to 8 m, or to missing in raw depth."""
    return np.where(millimetres > FARTHEST, np.uint16(0 if raw else FARTHEST), millimetres)


class ListedDataset(RoomDataset):
    """Frames of which every part is an image file."""

    def __init__(
        self,
        *,
        data: str,
        entries: Mapping[str, Sequence[Entry]],
        sources: Sequence[Path],
        depth_rule: DepthRule,
        crops_depth: bool = False,
        **common: object,
    ) -> None:
        self.data, self.depth_rule, self.sources, self.crops_depth = (
            data,
            depth_rule,
            tuple(sources),
            crops_depth,
        )
        self.entries = {entry.scene: entry for part in entries.values() for entry in part}
        lists = {part: [entry.scene for entry in frames] for part, frames in entries.items()}
        super().__init__(depth_kind=depth_rule.kind, lists=lists, **common)
        counts = len(self.lists["train"]), len(self.lists["test"])
        if counts != COUNTS[data]:
            self.note(
                f"{counts[0]} train and {counts[1]} test frames, not {COUNTS[data][0]} and {COUNTS[data][1]}"
            )

    def rgb(self, scene: str) -> np.ndarray:
        """Return H,W,3 uint8."""
        return images.read_rgb(self.entries[scene].rgb)

    def depth(self, scene: str) -> np.ndarray:
        """Return H,W uint16 counts."""
        path = self.entries[scene].depth
        values = self.depth_rule.read(path)
        if str(values.dtype) != self.depth_rule.dtype:
            raise UserError(
                f"{path} holds {values.dtype} values, the first depth file {self.depth_rule.dtype}"
            )
        return self.depth_rule.decode(values).astype(np.uint16)

    def stored_label(self, scene: str) -> np.ndarray:
        """Return the label file's values."""
        return images.read_label(self.entries[scene].label)

    def where(self, scene: str, part: str) -> str:
        """Name the file."""
        return str(getattr(self.entries[scene], part))

    def intrinsics(self, scene: str) -> np.ndarray | None:
        """Return the frame's own camera, or NYUv2's adapted to the frame's size; None for other SUN RGB-D frames."""
        entry = self.entries[scene]
        if entry.camera:
            return read_camera(entry.camera)
        if self.data != "nyuv2":
            return None
        found = images.probe(entry.rgb)
        size = found.height, found.width
        if not self.crops_depth or size == indoor.NYU_SIZE:
            return indoor.nyu_camera(size)
        camera = indoor.NYU_CAMERA.copy()  # the frame is the middle of the full one
        camera[:2, 2] -= [
            (full - part) // 2 for full, part in zip(indoor.NYU_SIZE[::-1], size[::-1], strict=True)
        ]
        return camera

    def files(self) -> list[Path]:
        """Return all image files and the lists that name them."""
        frames = (
            path
            for entry in self.entries.values()
            for path in (entry.rgb, entry.depth, entry.label, entry.camera)
        )
        return sorted({*self.sources, *(path for path in frames if path)})


def read_camera(path: Path) -> np.ndarray:
    """Return the camera matrix of an intrinsics.txt: nine numbers, row by row."""
    try:
        numbers = [float(text) for text in path.read_text().split()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not hold the nine numbers of a camera matrix: {error}") from error
    if len(numbers) != 9:
        raise UserError(f"{path} holds {len(numbers)} numbers; a camera matrix has nine, row by row")
    return np.array(numbers).reshape(3, 3)


def sample_labels(entries: Sequence[Entry]) -> list[np.ndarray]:
    """Return the labels of a few frames, spread over the list."""
    chosen = sorted({int(i) for i in np.linspace(0, len(entries) - 1, _PROBED)}) if entries else []
    return [images.read_label(entries[i].label) for i in chosen]


def require(part: str, entries: Sequence[Entry], source: Path) -> None:
    """Raise for the first file that the list ``source`` names and the disk does not have, before any training."""

    @cache
    def names(folder: str) -> frozenset[str]:
        return frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset()

    paths = [path for entry in entries for path in (entry.rgb, entry.depth, entry.label)]
    missing = [path for path in paths if path.name not in names(str(path.parent))]
    if missing:
        raise UserError(
            f"{missing[0]} does not exist, but {source} names it "
            f"({len(missing)} of the {len(paths)} files of {part} are missing)"
        )
