"""SUN RGB-D: the authors' tree of frame folders with the labels of their toolbox, or the numbered re-packed one.

Wanted: ``SUNRGBD/`` (four sensors) and beside it ``SUNRGBDtoolbox/`` with ``traintestSUNRGBD/allsplit.mat`` and
``Metadata/SUNRGBD2Dseg.mat``. Labels are read by reference, one frame at a time: the file does not fit in memory.
A frame's id is its folder below SUNRGBD/. Depth files hold rotated bits; here they are millimetres up to 8 m.
Cite Song, Lichtenberg, Xiao, CVPR 2015, and its parts NYUv2, B3DO (Janoch et al. 2011), SUN3D (Xiao et al. 2013).
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from rgbd_lib.datasets import indoor, listed, matfiles, sun_repacked
from rgbd_lib.datasets.listed import Entry, ListedDataset
from rgbd_lib.datasets.rooms import blocks, check_lists
from rgbd_lib.errors import UserError, unknown

SENSORS = ("kv1", "kv2", "realsense", "xtion")
SPLIT, LABELS = "traintestSUNRGBD/allsplit.mat", "Metadata/SUNRGBD2Dseg.mat"
DEPTHS = {"filled": "depth_bfx", "raw": "depth"}
_ORDERS = ("SUNRGBDMeta.mat", "Metadata/SUNRGBDMeta.mat")  # where the order of the labels may be stated


def detect(path: Path) -> str | None:
    """Say why this is SUN RGB-D, official or re-packed, or return None."""
    tree = _tree(path)
    if tree is not None:
        there = [sensor for sensor in SENSORS if (tree / sensor).is_dir()]
        return f"SUN RGB-D, official tree: sensors {', '.join(there)} in {tree.name}/"
    return sun_repacked.detect(path)


def open(
    path: Path,
    classes: int | str = 37,
    depth: str = "filled",
    depth_factor: float | str | None = None,
    partial: bool = False,
) -> ListedDataset:
    """Open the folder with 37 or 13 classes and "filled" or "raw" depth.

    ``depth_factor`` is counts per metre where depth is not packed as published. ``partial`` accepts that frames
    of the official lists are not on disk; scores are then not comparable with published ones.
    """
    if depth not in DEPTHS:
        raise unknown("depth", depth, DEPTHS)
    tree = _tree(path)
    if tree is None:
        return sun_repacked.open(path, classes, depth_factor)
    return SunRgbd(path, tree, indoor.class_names("sunrgbd", classes), depth, depth_factor, partial)


class SunRgbd(ListedDataset):
    """The official tree. ``groups`` are the four sensors; validation is taken by place."""

    def __init__(
        self,
        root: Path,
        tree: Path,
        classes: tuple[str, ...],
        depth: str,
        depth_factor: float | str | None,
        partial: bool,
    ) -> None:
        toolbox = next(
            (t for t in (root / "SUNRGBDtoolbox", tree.parent / "SUNRGBDtoolbox") if t.is_dir()), root
        )
        split, self.label_file = toolbox / SPLIT, toolbox / LABELS
        official = {part: _frames(split, key) for part, key in (("train", "alltrain"), ("test", "alltest"))}
        lists, missing = _on_disk(tree, official, split, partial)
        check_lists(lists, root)
        order = next(
            (place / name for name in _ORDERS for place in (root, toolbox) if (place / name).is_file()), None
        )
        self.by_reference = self.label_file.is_file()
        sources = [split]
        if self.by_reference:
            frames = _order(order) if order else official["test"] + official["train"]
            self.index = self._checked_index(frames, lists)
            sources += [order] if order else []
        entries = {
            part: [self._entry(tree, scene, depth) for scene in scenes] for part, scenes in lists.items()
        }
        factor = listed.PACKED if depth_factor is None else depth_factor
        rule = listed.depth_rule(entries["train"][0].depth, factor, raw=depth == "raw")
        unusual = [
            len(classes) == 13 and "13",
            depth == "raw" and "raw",
            depth_factor and f"depth{depth_factor}",
        ]
        super().__init__(
            data="sunrgbd",
            entries=entries,
            sources=sources,
            depth_rule=rule,
            name="-".join(["sunrgbd", *(str(text) for text in unusual if text)]),
            root=root,
            decision=f"{detect(root)}; labels from {self._label_source()}; depth from {DEPTHS[depth]}/: {rule.text}",
            rule=indoor.LabelRule(void=0, stored=37, classes=len(classes)),
            classes=classes,
            places={scene: place for part in lists for scene, place in places(lists[part], part).items()},
            groups={scene: scene.split("/")[0] for part in lists.values() for scene in part},
        )
        if missing:
            self.note(f"{len(missing)} frames of {split.name} are not on disk, the first is {missing[0]}")

    @cached_property
    def _scene_texts(self) -> dict[str, str]:
        files = {scene: entry.rgb.parent.parent / "scene.txt" for scene, entry in self.entries.items()}
        return {
            scene: file.read_text(errors="replace").strip() for scene, file in files.items() if file.is_file()
        }

    @cached_property
    def scene_names(self) -> tuple[str, ...]:
        """Return the scene classes that occur, in alphabetical order."""
        return tuple(sorted(set(self._scene_texts.values())))

    @cached_property
    def scene_classes(self) -> dict[str, int]:
        """Return scene -> position in ``scene_names``, from scene.txt."""
        position = {name: i for i, name in enumerate(self.scene_names)}
        return {scene: position[text] for scene, text in self._scene_texts.items()}

    def stored_label(self, scene: str) -> np.ndarray:
        """Return H,W labels of 0 (unlabelled) to 37."""
        if not self.by_reference:
            return super().stored_label(scene)
        with matfiles.hdf5(self.label_file) as opened:
            cells = matfiles.dataset(opened, "SUNRGBD2Dseg/seglabel", self.label_file)
            return opened[np.ravel(cells[()])[self.index[scene]]][()].T

    def where(self, scene: str, part: str) -> str:
        """Name the file, and the frame inside it."""
        if part == "label" and self.by_reference:
            return f"{self.label_file}, label {self.index[scene] + 1} of {scene}"
        return super().where(scene, part)

    def _entry(self, tree: Path, scene: str, depth: str) -> Entry:
        folder = tree / scene
        label = self.label_file if self.by_reference else folder / "label" / "label.npy"
        if not label.is_file():
            raise UserError(
                f"{label} does not exist, nor does {self.label_file}: the labels of SUN RGB-D are in the "
                "latter, which comes with SUNRGBDtoolbox.zip"
            )
        camera = folder / "intrinsics.txt"
        image = _only(folder / "image", (".jpg", ".jpeg", ".png"))
        return Entry(
            scene,
            image,
            _only(folder / DEPTHS[depth], (".png",)),
            label,
            camera if camera.is_file() else None,
        )

    def _label_source(self) -> str:
        return self.label_file.name if self.by_reference else "label/label.npy of every frame"

    def _checked_index(self, frames: Sequence[str], lists: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Return the position of every frame's label in the label file."""
        with matfiles.hdf5(self.label_file) as opened:
            count = matfiles.dataset(opened, "SUNRGBD2Dseg/seglabel", self.label_file).size
        if count != len(frames):
            raise UserError(
                f"{self.label_file} has {count} labels for {len(frames)} frames; the files do not belong together"
            )
        index = {frame: i for i, frame in enumerate(frames)}
        for scenes in lists.values():
            for scene in scenes:
                if scene not in index:
                    raise UserError(
                        f"{self.label_file}: no label for frame {scene}, its order of frames does not name it"
                    )
        return index


def places(scenes: Sequence[str], part: str) -> dict[str, str]:
    """Return where frames were taken: the folders between source and frame, else neighbours of one list."""
    found: dict[str, str] = {}
    flat: dict[str, list[str]] = {}
    for scene in scenes:
        parts = scene.split("/")
        if len(parts) > 3:
            found[scene] = "/".join(parts[:3])
        else:
            flat.setdefault("/".join(parts[:-1]), []).append(scene)
    for source, frames in flat.items():
        found |= blocks(frames, f"{source}, {part}")
    return found


def _tree(path: Path) -> Path | None:
    """Return the folder with the four sensors."""
    return next((p for p in (path / "SUNRGBD", path) if any((p / s).is_dir() for s in SENSORS)), None)


def _frames(split: Path, key: str) -> list[str]:
    """Return the frame folders of a list, without the authors' own path in front."""
    if not split.is_file():
        raise UserError(f"{split} does not exist: the official lists of frames come with SUNRGBDtoolbox.zip")
    return [_relative(str(text), split) for text in np.atleast_1d(matfiles.variable(split, key))]


def _order(path: Path) -> list[str]:
    """Return the frames in the order of the labels."""
    rows = np.atleast_1d(matfiles.variable(path, path.stem))
    if all(hasattr(row, "sequenceName") for row in rows):
        return [_relative(f"/{row.sequenceName}", path) for row in rows]
    if all(hasattr(row, "rgbpath") for row in rows):  # <frame>/image/<file>
        return [_relative(str(PurePosixPath(row.rgbpath).parent.parent), path) for row in rows]
    raise UserError(f"{path}: {path.stem} names no frames (no sequenceName, no rgbpath); copy it again")


def _relative(text: str, path: Path) -> str:
    _, found, rest = text.replace("\\", "/").rpartition("/SUNRGBD/")
    parts = PurePosixPath(rest).parts
    if not found or not parts or ".." in parts or PurePosixPath(rest).is_absolute():
        raise UserError(f"{path}: '{text}' is no frame folder; '.../SUNRGBD/<sensor>/...' expected")
    return "/".join(parts)


def _on_disk(
    tree: Path, official: Mapping[str, Sequence[str]], split: Path, partial: bool
) -> tuple[dict[str, list[str]], list[str]]:
    """Return the lists as far as their frames are on disk, and what is missing."""
    there = {scene for scenes in official.values() for scene in scenes if (tree / scene).is_dir()}
    lists = {part: [scene for scene in scenes if scene in there] for part, scenes in official.items()}
    missing = [scene for scenes in official.values() for scene in scenes if scene not in there]
    if missing and not partial:
        raise UserError(
            f"{tree / missing[0]} does not exist, but {split} names it ({len(missing)} frames are missing). "
            "Unpack SUNRGBD.zip completely, or accept the part that is there with partial=True"
        )
    return lists, missing


def _only(folder: Path, endings: tuple[str, ...]) -> Path:
    """Return the one image file of a folder."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in endings) if folder.is_dir() else []
    if len(found) != 1:
        raise UserError(f"{folder} holds {len(found)} image files, one is expected")
    return found[0]
