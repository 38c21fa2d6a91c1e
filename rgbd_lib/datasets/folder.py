"""Anybody's folder: rgb/, depth/ and label/ with equal file names, and a dataset.toml that says what they mean.

Colour under several lightings lies in rgb1/, rgb2/ .. instead of rgb/. Split lists (train.txt, val.txt, test.txt)
are optional.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from rgbd_lib.datasets import folder_toml, images, splits
from rgbd_lib.datasets.base import IGNORE, DepthKind, Frame
from rgbd_lib.datasets.folder_lists import official, scene_files
from rgbd_lib.datasets.folder_toml import Description
from rgbd_lib.datasets.rooms import natural
from rgbd_lib.errors import UserError, unknown

SHARES = {"train": 0.7, "test": 0.15, "val": 0.15}
MOST = 65535
_NUMBERS = (".npy", ".tif", ".tiff")  # depth in these may have fractions; it becomes millimetres


def detect(path: Path) -> str | None:
    """Say that the folder describes itself, or return None."""
    return f"a folder with its own {folder_toml.FILE}" if (path / folder_toml.FILE).is_file() else None


def open(path: Path) -> "Folder":
    """Open a folder that has a dataset.toml; nothing is decoded but the header of one depth file."""
    description = folder_toml.read(path / folder_toml.FILE)
    there = {entry.name.casefold(): entry for entry in sorted(path.iterdir()) if entry.is_dir()}
    folders = {name: _folder(path, there, description.folders[name]) for name in ("depth", "label")}
    files = {name: scene_files(folder) for name, folder in folders.items()}
    colours = _colours(path, there, description.folders["rgb"])
    files |= {f"rgb{light}": scene_files(folder) for light, folder in colours.items()}
    return Folder(path, description, tuple(colours), files)


@dataclass
class Folder:
    """A folder that describes itself. See ``datasets.base.Dataset``."""

    root: Path
    description: Description
    lightings: tuple[int, ...]
    there: Mapping[str, Mapping[str, Path]]  # "rgb1".., "depth", "label" -> scene -> file
    notes: list[str] = field(default_factory=list)  # what is odd about the data
    skipped: dict[str, str] = field(default_factory=dict)  # scene -> why it is left out

    def __post_init__(self) -> None:
        told = self.description
        self.name, self.synthetic = told.name, told.synthetic
        self.classes, self.background = told.classes, told.background
        self.scene_classes: dict[str, int] = {}
        self.scenes = self._complete()
        self._known = frozenset(self.scenes)
        first = self.there["depth"][self.scenes[0]]
        self._numbers = first.suffix.lower() in _NUMBERS
        self._bits = images.probe(first).bits
        self.depth_kind = self._kind(first)
        self.lists = official(self.root, told.lists, self._known, self.skipped)
        self.decision = self._decide()

    def _complete(self) -> tuple[str, ...]:
        every = sorted(set().union(*self.there.values()), key=natural)
        for scene in every:
            gone = [what for what, files in self.there.items() if scene not in files]
            if gone:
                self.skipped[scene] = f"no file '{scene}' in {', '.join(gone)}"
        whole = tuple(scene for scene in every if scene not in self.skipped)
        if not whole:
            counts = ", ".join(f"{what}: {len(files)}" for what, files in self.there.items())
            raise UserError(
                f"{self.root}: no name is common to all folders (files {counts}); a scene has the same name, "
                "without its ending, in each"
            )
        return whole

    def _kind(self, first: Path) -> DepthKind:
        metres = self.description.metres_per_count
        if self._numbers:
            if metres is None:
                raise UserError(
                    f"{self.description.path}: depth.metres_per_count is missing, which {first.name} needs "
                    "(1.0 where the numbers are metres)"
                )
            return DepthKind("mm", 0.001)
        return DepthKind("level", None) if metres is None else DepthKind("mm", metres)

    def _decide(self) -> str:
        told, metres = self.description, self.description.metres_per_count
        where = (
            "no background" if self.background is None else f"background '{self.classes[self.background]}'"
        )
        depth = f"{metres:g} m per count" if metres else "levels without metres"
        void = f", {', '.join(map(str, told.ignore))} void" if told.ignore else ""
        lists = (
            f"splits from {', '.join(told.lists[n] for n in self.lists)}"
            if self.lists
            else "splits made here"
        )
        return (
            f"a folder described by its {folder_toml.FILE}: {len(self.classes)} classes ({where}), "
            f"lightings {', '.join(map(str, self.lightings))}, depth {depth}, label {told.offset} = "
            f"'{self.classes[0]}'{void}, {lists}"
        )

    @cached_property
    def groups(self) -> dict[str, str]:
        """Return the capture run of each scene, by run_pattern; without one every scene is its own."""
        pattern = self.description.run_pattern
        found = {scene: pattern.match(scene) if pattern else None for scene in self.scenes}
        return {scene: match[1] or scene if match else scene for scene, match in found.items()}

    @cached_property
    def _splits(self) -> dict[str, dict[str, tuple[str, ...]]]:
        made = {} if self.lists and not self.description.run_pattern else self._divide(self.scenes, SHARES)
        listed = dict(self.lists)
        if "train" in listed and "val" not in listed:
            inner = {name: SHARES[name] for name in ("train", "val")}
            listed |= self._divide(listed["train"], inner)
        return {"official": listed, "grouped": made or listed}

    def _divide(self, scenes: tuple[str, ...], shares: splits.Shares) -> dict[str, tuple[str, ...]]:
        few = len(set(self.groups.values())) <= splits.MANY
        ignore = {IGNORE} if self.background is None else {IGNORE, self.background}
        content = splits.content(scenes, self._read_label, ignore) if few else {}
        return splits.divide(scenes, self.groups, content, shares)

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        """Return the scenes of "train", "val" or "test".

        "official" are the lists in the folder (val is cut out of train where it has none). "grouped" is made here
        by capture run; where no run_pattern tells the runs, lists are believed.
        """
        kinds = self._splits
        if kind not in kinds:
            raise unknown("kind of split", kind, kinds)
        if name not in SHARES:
            raise unknown("split", name, SHARES)
        if name not in kinds[kind]:
            listed = self.description.lists[name]
            raise UserError(
                f"no split '{name}': {self.root / listed} does not exist. Lists found there: "
                f"{', '.join(self.lists) or 'none'}. Without any list use the split 'grouped'"
            )
        return kinds[kind][name]

    def read(self, scene: str, lighting: int) -> Frame:
        """Decode one frame; a bad file raises UserError with its path."""
        rgb = self.read_rgb(scene, lighting)
        depth, label = self._read_depth(scene), self._read_label(scene)
        for what, plane in (("depth", depth), ("label", label)):
            if plane.shape != rgb.shape[:2]:
                sizes = [f"{a.shape[0]}x{a.shape[1]}" for a in (plane, rgb)]
                raise UserError(
                    f"{self.there[what][scene]} is {sizes[0]}, but {self.there[f'rgb{lighting}'][scene]} is {sizes[1]}; "
                    "all files of a scene must have one size"
                )
        return Frame(rgb, depth, depth > 0, label)

    def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
        """Decode the colour image alone (the rest is shared by all lightings)."""
        if lighting not in self.lightings:
            raise UserError(f"{self.root} has no lighting {lighting}; there are {self.lightings}")
        if scene not in self._known:
            why = self.skipped.get(scene, f"there are {len(self.scenes)}, the first is '{self.scenes[0]}'")
            raise UserError(f"{self.root}: no scene '{scene}' ({why})")
        return images.read_rgb(self.there[f"rgb{lighting}"][scene])

    def files(self) -> list[Path]:
        """Return every file whose content decides what ``read`` returns, sorted."""
        return sorted(
            [self.description.path, *(f[scene] for f in self.there.values() for scene in self.scenes)]
        )

    def paths(self, scene: str) -> dict[str, Path]:
        """Return the files of a scene by what they hold."""
        return {what: files[scene] for what, files in self.there.items()}

    def _read_depth(self, scene: str) -> np.ndarray:
        path = self.there["depth"][scene]
        stored = images.read_plane(path)
        if stored.dtype.itemsize * 8 != self._bits:
            raise UserError(
                f"{path} holds {stored.dtype} values, other depth files {self._bits}-bit ones; convert it"
            )
        gone = np.isin(stored, self.description.missing)
        if self._numbers:
            with np.errstate(invalid="ignore"):
                gone |= ~(np.isfinite(stored) & (stored > 0))
                counts = np.where(gone, 0, stored) * (1000 * (self.description.metres_per_count or 1))
            return np.minimum(np.rint(counts), MOST).astype(np.uint16)
        counts = np.maximum(stored.astype(np.uint16), 1)  # a stored 0 that is not in `missing` was measured
        counts[gone] = 0
        return counts

    def _read_label(self, scene: str) -> np.ndarray:
        told, path = self.description, self.there["label"][scene]
        stored = images.read_label(path).astype(np.int64)
        label = stored - told.offset
        label[np.isin(stored, told.ignore) | (label < 0)] = IGNORE
        if told.border:
            inside = np.zeros(label.shape, bool)
            inside[told.border : -told.border, told.border : -told.border] = True
            label[~inside] = IGNORE
        wrong = (label >= len(self.classes)) & (label != IGNORE)
        if wrong.any():
            raise UserError(
                f"{path} holds label {stored[wrong].min()}, but {told.path.name} has {len(self.classes)} classes from "
                f"{told.offset} to {told.offset + len(self.classes) - 1}; check label.offset, label.ignore and classes"
            )
        return label.astype(np.uint8)


def _folder(root: Path, there: Mapping[str, Path], name: str) -> Path:
    if name.casefold() not in there:
        raise UserError(
            f"{root} has no folder {name}/; there is {', '.join(p.name for p in there.values()) or 'none'}. "
            f"Make it, or name yours below [folders] in {folder_toml.FILE}"
        )
    return there[name.casefold()]


def _colours(root: Path, there: Mapping[str, Path], name: str) -> dict[int, Path]:
    """Return lighting -> folder: rgb alone is lighting 1, else rgb1, rgb2 .."""
    numbered = {
        int(match[1]): path
        for key, path in there.items()
        if (match := re.fullmatch(rf"{re.escape(name.casefold())}_?([1-9][0-9]*)", key))
    }
    if numbered and name.casefold() in there:
        raise UserError(
            f"{root} has {name}/ and {name}{min(numbered)}/; name the folder without a number, {name}1, too"
        )
    return dict(sorted(numbered.items())) or {1: _folder(root, there, name)}
