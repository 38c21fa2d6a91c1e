"""MM5 and its synthetic stand-in: one folder per lighting, one file name per scene.

RGB1..RGB8, D16 (millimetres, 0 = missing) and its 8-bit relatives D, D_Focus and D_FocusN, ANNO_CLASS. D_Focus
and D_FocusN are filled in and stretched image by image: they carry no holes and no metres, so what was really
measured is taken from D16 (or D) for them as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from rgbd_lib.datasets import images, mm5_layout, splits
from rgbd_lib.datasets.base import IGNORE, DepthKind, Frame
from rgbd_lib.datasets.mm5_tables import CLASSES, COLLAPSED, LabelVersion, read_ids, read_labels
from rgbd_lib.errors import UserError, unknown

DEPTHS: dict[str, DepthKind] = {
    "D16": DepthKind("mm", 0.001),
    "D": DepthKind("level", None),
    "D_Focus": DepthKind("level", None, mean=0.5799 * 255, std=0.3355 * 255),
    "D_FocusN": DepthKind("level", None, mean=138.94, std=56.24),
}
"""Depth folders; the statistics are those that GF-Net publishes."""

LABELS: dict[str, tuple[str, ...]] = {"32": CLASSES, "9": COLLAPSED}
SHARES = {"train": 203, "test": 76, "val": 45}  # of 324: the official sizes, with val taken from training
SATURATED = 65535  # what some tools write where a sensor saw nothing

_MEASURED = ("D16", "D")  # folders in which 0 marks a missing measurement
_LISTS = {"train": "train_dataset.csv", "test": "eval_dataset.csv"}


def detect(path: Path) -> str | None:
    """Return why a folder is MM5, or None. The data may lie up to two folders down, as archives unpack."""
    root = mm5_layout.root(path)
    if root is None:
        return None
    synthetic = (root / "synthetic.json").is_file()
    inside = "" if root == path else f" in {root.relative_to(path)}/"
    return (
        f"MM5's layout{inside}: {len(mm5_layout.lightings(root))} folders RGB<n> beside ANNO_CLASS"
        f"{', marked as synthetic by synthetic.json' if synthetic else ''}"
    )


def open(path: Path, depth: str = "D16", labels: str = "32") -> "MM5":
    """Open the folder; nothing is decoded before a frame is asked for.

    ``depth`` selects the folder that frames carry. ``labels`` is "32" or "9" (kinds of object only).
    """
    if depth not in DEPTHS:
        raise unknown("depth of MM5", depth, DEPTHS)
    if str(labels) not in LABELS:
        raise unknown("label set of MM5", str(labels), LABELS)
    root = mm5_layout.root(path)
    if root is None:
        raise UserError(f"{path} is not MM5: it needs the folders RGB1.. and ANNO_CLASS")
    folders = {"label": root / "ANNO_CLASS"} | {
        f"RGB{n}": root / f"RGB{n}" for n in mm5_layout.lightings(root)
    }
    folders["depth"] = mm5_layout.depth_folder(root, depth, DEPTHS)
    folders["measured"] = next(
        (folder for name in _MEASURED if (folder := mm5_layout.find(root, name))), folders["depth"]
    )
    official = {name: read_ids(root / file) for name, file in _LISTS.items() if (root / file).is_file()}
    twice = set(official.get("train", ())) & set(official.get("test", ()))
    if twice:
        raise UserError(f"{root}: scene {min(twice, key=int)} is in both {' and '.join(_LISTS.values())}")
    version = read_labels(root)
    return MM5(
        root=root,
        depth=depth,
        labels=str(labels),
        version=version,
        folders=folders,
        official=official,
        made=mm5_layout.made(root),
        decision=f"{detect(path)}; labels of the {version.classes}-class version by {version.source}; depth from {depth}",
    )


@dataclass
class MM5:
    """One folder in MM5's layout. See ``datasets.base.Dataset``."""

    root: Path
    depth: str
    labels: str
    version: LabelVersion
    folders: Mapping[str, Path]  # "RGB1".., "label", "depth", "measured" -> folder
    official: Mapping[str, tuple[str, ...]]  # split -> ids, as listed
    made: Mapping[str, object] | None  # synthetic.json, None for the real data
    decision: str
    skipped: dict[str, str] = field(default_factory=dict)  # scene -> why it is left out

    def __post_init__(self) -> None:
        self.synthetic = self.made is not None
        self.name = "mm5-synthetic" if self.synthetic else "mm5"
        self.classes = LABELS[self.labels]
        self.background: int | None = 0
        self.lightings = mm5_layout.lightings(self.root)
        self.depth_kind = DEPTHS[self.depth]
        self.scene_classes: dict[str, int] = {}
        guessed = self.folders["measured"].name not in (*mm5_layout.SPELLINGS["D16"], "D")
        self.notes = [f"neither D16 nor D is there: what {self.depth} has filled in cannot be told"] * guessed
        self.scenes = self._complete()
        self._known = frozenset(self.scenes)
        self._table = self.version.table(collapsed=self.labels == "9")

    def _complete(self) -> tuple[str, ...]:
        """Return the scenes that have every file, in order, and note the others as skipped."""
        there = {name: mm5_layout.stems(folder) for name, folder in self.folders.items()}
        listed = [scene for ids in self.official.values() for scene in ids]
        every = sorted(set(listed or there["label"]), key=int)
        for scene in every:
            gone = next((name for name, stems in there.items() if scene not in stems), None)
            if gone:
                self.skipped[scene] = f"{self.folders[gone]}/{scene}.png is missing"
        whole = tuple(scene for scene in every if scene not in self.skipped)
        if not whole:
            why = next(iter(self.skipped.values()), f"{self.folders['label']} holds no <number>.png")
            raise UserError(f"{self.root}: no scene is complete. {why}")
        return whole

    @cached_property
    def content(self) -> dict[str, frozenset[int]]:
        """Return the objects seen in each scene, as ids of the 32 classes (decodes every label once)."""
        table = self.version.table()
        return splits.content(self.scenes, lambda scene: table[self._stored_label(scene)], ignore=(0, IGNORE))

    @cached_property
    def groups(self) -> dict[str, str]:
        """Return the capture run of each scene: recorded if synthetic, else consecutive ids of equal content."""
        recorded = mm5_layout.recorded_runs(self.made or {})
        if self._known <= recorded.keys():
            return {scene: recorded[scene] for scene in self.scenes}
        return splits.runs_by_change(self.scenes, self.content)

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        """Return the scenes of "train", "val" or "test".

        "official": test is MM5's evaluation list, val a share of its training list by capture run.
        "grouped": all three by capture run, at the official sizes. Prefer it: most official test scenes are
        direct neighbours of training scenes.
        """
        table = self._splits(kind)
        if name not in table:
            raise unknown("split", name, table)
        return table[name]

    def _splits(self, kind: str) -> dict[str, tuple[str, ...]]:
        memo = self.__dict__.setdefault("_memo", {})
        if kind not in memo:
            makers = {"official": self._official, "grouped": self._grouped}
            if kind not in makers:
                raise unknown("kind of split", kind, makers)
            memo[kind] = makers[kind]()
        return memo[kind]

    def _grouped(self) -> dict[str, tuple[str, ...]]:
        return splits.divide(self.scenes, self.groups, self.content, SHARES)

    def _official(self) -> dict[str, tuple[str, ...]]:
        for name, file in _LISTS.items():
            if name not in self.official:
                raise UserError(
                    f"no official split: {self.root / file} does not exist. Use the split 'grouped'"
                )
        listed = {name: tuple(s for s in ids if s in self._known) for name, ids in self.official.items()}
        inner = {name: SHARES[name] for name in ("train", "val")}
        return splits.divide(listed["train"], self.groups, self.content, inner) | {"test": listed["test"]}

    def read(self, scene: str, lighting: int) -> Frame:
        """Decode one frame; a bad file raises UserError with its path."""
        rgb = self.read_rgb(scene, lighting)
        depth, valid = self._read_depth(scene)
        label = self._read_label(scene)
        for what, plane in (("depth", depth), ("label", label), ("measured", valid)):
            if plane.shape != rgb.shape[:2]:
                raise UserError(
                    f"{self._path(what, scene)} is {_size(plane)}, but "
                    f"{self._path(f'RGB{lighting}', scene)} is {_size(rgb)}; all files of a scene must be equal"
                )
        return Frame(rgb, depth, valid, label)

    def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
        """Decode the colour image alone (the rest is shared by all lightings)."""
        if lighting not in self.lightings:
            raise UserError(f"{self.root} has no lighting {lighting}; there are {self.lightings}")
        return images.read_rgb(self._path(f"RGB{lighting}", scene))

    def files(self) -> list[Path]:
        """Return every file whose content decides what ``read`` returns, sorted."""
        found = {folder / f"{scene}.png" for folder in self.folders.values() for scene in self.scenes}
        return sorted(found | {self.root / self.version.source})

    def paths(self, scene: str) -> dict[str, Path]:
        """Return the files of a scene by what they hold."""
        shared = self.folders["measured"] == self.folders["depth"]
        parts = {name: folder for name, folder in self.folders.items() if not (shared and name == "measured")}
        return {name: folder / f"{scene}.png" for name, folder in parts.items()}

    def _path(self, what: str, scene: str) -> Path:
        if scene not in self._known:
            why = self.skipped.get(
                scene, f"there are {len(self.scenes)}, from {self.scenes[0]} to {self.scenes[-1]}"
            )
            raise UserError(f"{self.root}: no scene '{scene}' ({why})")
        return self.folders[what] / f"{scene}.png"

    def _read_depth(self, scene: str) -> tuple[np.ndarray, np.ndarray]:
        depth = self._plane("depth", scene, self.depth)
        if self.depth in _MEASURED:
            return depth, depth > 0
        valid = self._plane("measured", scene, self.folders["measured"].name) > 0
        # a filled-in picture holds no hole, and 0 means a hole everywhere else
        return np.maximum(depth, 1), valid

    def _plane(self, what: str, scene: str, kind: str) -> np.ndarray:
        path = self._path(what, scene)
        plane = images.read_plane(path)
        metric = kind in mm5_layout.SPELLINGS["D16"]
        if plane.dtype != (np.uint16 if metric else np.uint8):
            wanted = "16-bit millimetres" if metric else "8-bit levels"
            raise UserError(
                f"{path} holds {plane.dtype} values where {wanted} are expected; is it a copy of another folder?"
            )
        plane = plane.astype(np.uint16, copy=False)
        if metric:
            plane[plane == SATURATED] = 0
        return plane

    def _stored_label(self, scene: str) -> np.ndarray:
        path = self._path("label", scene)
        stored = images.read_label(path)
        if stored.dtype != np.uint8:
            if stored.max(initial=0) > 255:
                raise UserError(
                    f"{path} holds label {stored.max()}; MM5's labels are 0..{self.version.classes - 1}"
                )
            stored = stored.astype(np.uint8)
        return stored

    def _read_label(self, scene: str) -> np.ndarray:
        stored = self._stored_label(scene)
        label = self._table[stored]
        if label.max(initial=0) > 255:
            raise UserError(
                f"{self._path('label', scene)} holds label {stored[label > 255].min()}, which "
                f"{self.root / self.version.source} does not name ({self.version.classes} classes, 0 = background)"
            )
        return label.astype(np.uint8)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]}x{array.shape[1]}"
