"""NYUv2 as its authors publish it: one MATLAB file of 1,449 samples, with split and class files beside it.

Wanted in one folder: ``nyu_depth_v2_labeled.mat`` (2.8 GB), ``splits.mat`` and ``classMapping40.mat``.
MATLAB v7.3 is HDF5 with all axes reversed. Samples are read one by one. Scene ids are the official numbers, from 1.
Depth is registered to the colour camera, in metres in the file and in millimetres here; 0 in the raw one is missing.
Cite Silberman, Hoiem, Kohli, Fergus, ECCV 2012; no licence is stated, so treat it as research use.
"""

from pathlib import Path

import numpy as np

from rgbd_lib.datasets import indoor, matfiles
from rgbd_lib.datasets.rooms import RoomDataset
from rgbd_lib.errors import UserError, unknown

FILE, SPLITS, MAPPING = "nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat"
_FINE = 894  # classes in the original labels
_PROBED = 8  # samples whose labels tell 894 classes from 40
DEPTHS = {"filled": "depths", "raw": "rawDepths"}


def detect(path: Path) -> str | None:
    """Say why this is the official NYUv2 file or its folder, or return None."""
    if path.is_file() and path.suffix == ".mat":
        return f"NYUv2, official file: {path.name} is a MATLAB file"
    return f"NYUv2, official file: the folder has {FILE}" if (path / FILE).is_file() else None


def open(path: Path, classes: int | str = 40, depth: str = "filled") -> "NyuV2":
    """Open the file, or the folder it is in, with 40 or 13 classes and "filled" or "raw" depth."""
    return NyuV2(path if path.is_file() else path / FILE, classes, depth)


class NyuV2(RoomDataset):
    """The official file. ``classes`` 40 or 13; ``depth`` "filled" (the authors' in-painting) or "raw"."""

    def __init__(self, file: Path, classes: int | str = 40, depth: str = "filled") -> None:
        if depth not in DEPTHS:
            raise unknown("depth", depth, DEPTHS)
        names = indoor.class_names("nyuv2", classes)
        self.file, self.depth_key = file, DEPTHS[depth]
        with matfiles.hdf5(file) as opened:
            shapes = {
                key: matfiles.dataset(opened, key, file).shape for key in ("images", "labels", self.depth_key)
            }
            count = _checked_count(shapes, file)
            rooms = matfiles.strings(opened, "scenes")
            types = matfiles.strings(opened, "sceneTypes")
            top = max(int(opened["labels"][i].max()) for i in range(min(count, _PROBED)))
            if "names" in opened:
                top = max(top, opened["names"].size)
        self.mapping = self._read_mapping(top)
        for key, found in (("scenes", rooms), ("sceneTypes", types)):
            if found and len(found) != count:
                raise UserError(
                    f"{file}: '{key}' has {len(found)} entries for {count} samples; copy the file again"
                )
        places = {str(i + 1): room for i, room in enumerate(rooms)} if rooms else None
        super().__init__(
            name="nyuv2" + ("-13" if len(names) == 13 else "") + ("-raw" if depth == "raw" else ""),
            root=file.parent,
            decision=(
                f"{file.name}: official NYUv2 file, {count} samples, {self.depth_key} in metres, "
                + (
                    "894 labels mapped to 40 by " + MAPPING
                    if self.mapping is not None
                    else "labels already 0..40"
                )
            ),
            rule=indoor.LabelRule(void=0, stored=40, classes=len(names)),
            classes=names,
            depth_kind=indoor.MILLIMETRES,
            lists=read_splits(file.parent / SPLITS, count, file.name),
            places=places,
        )
        self.size = shapes["labels"][2], shapes["labels"][1]
        if not rooms:
            self.note(
                f"{file.name} has no 'scenes': validation is cut out of train in blocks of consecutive frames"
            )
        if (len(self.lists["train"]), len(self.lists["test"])) != (795, 654):
            self.note(
                f"{len(self.lists['train'])} train and {len(self.lists['test'])} test frames, not 795 and 654"
            )
        if types:
            self.scene_names = indoor.SCENES10
            self.scene_classes = {scene: indoor.scene_class(types[int(scene) - 1]) for scene in self.scenes}

    def rgb(self, scene: str) -> np.ndarray:
        """Return H,W,3 uint8."""
        return np.ascontiguousarray(self._sample("images", scene).transpose(2, 1, 0).astype(np.uint8))

    def depth(self, scene: str) -> np.ndarray:
        """Return H,W uint16 millimetres."""
        return indoor.to_millimetres(self._sample(self.depth_key, scene).T)

    def stored_label(self, scene: str) -> np.ndarray:
        """Return H,W labels of 0 (unlabelled) to 40."""
        label = self._sample("labels", scene).T
        if self.mapping is None:
            return label
        if label.max() >= len(self.mapping):
            raise UserError(
                f"{self.where(scene, 'label')}: label {label.max()} is beyond the {len(self.mapping) - 1} of {MAPPING}"
            )
        return self.mapping[label]

    def where(self, scene: str, part: str) -> str:
        """Name the file, the sample and the part."""
        return f"{self.file}, sample {scene}, {part}"

    def intrinsics(self, scene: str) -> np.ndarray:
        """Return the colour camera, which depth is registered to."""
        return indoor.nyu_camera(self.size)

    def files(self) -> list[Path]:
        """Return the samples, the split and, where it is used, the class mapping."""
        used = [self.file, self.root / SPLITS] + [self.root / MAPPING] * (self.mapping is not None)
        return sorted(used)

    def _sample(self, key: str, scene: str) -> np.ndarray:
        with matfiles.hdf5(self.file) as opened:
            return opened[key][int(scene) - 1]

    def _read_mapping(self, top: int) -> np.ndarray | None:
        """Return the table 0..894 -> 0..40, or None where the labels are the 40 classes already."""
        path = self.file.parent / MAPPING
        if top <= 40:
            return None
        if not path.is_file():
            raise UserError(
                f"{self.file} holds the 894 original labels and {path.name} is not beside it. Put {path.name} "
                "there (it comes with the 40-class lists of nyuv2-meta-data), or use a folder with 40-class labels"
            )
        classes = np.ravel(matfiles.variable(path, "mapClass")).astype(np.int64)
        if len(classes) < _FINE or classes.min() < 1 or classes.max() > 40:
            raise UserError(
                f"{path}: mapClass has {len(classes)} entries of {classes.min()}..{classes.max()}; "
                f"{_FINE} entries of 1..40 are needed"
            )
        return np.concatenate([[0], classes]).astype(np.uint8)


def read_splits(path: Path, count: int, of: str) -> dict[str, list[str]]:
    """Return the official lists (numbers from 1 in the file) as scene ids."""
    if not path.is_file():
        raise UserError(
            f"{path} does not exist: the official list of 795 train and 654 test frames is needed there"
        )
    lists = {}
    for part, key in (("train", "trainNdxs"), ("test", "testNdxs")):
        numbers = np.ravel(matfiles.variable(path, key)).astype(np.int64)
        outside = numbers[(numbers < 1) | (numbers > count)]
        if outside.size:
            raise UserError(
                f"{path}: {key} names sample {outside[0]}, but {of} has samples 1..{count}; "
                "the two files do not belong together"
            )
        lists[part] = [str(number) for number in np.sort(numbers)]
    return lists


def _checked_count(shapes: dict[str, tuple[int, ...]], file: Path) -> int:
    """Return the number of samples if all arrays have MATLAB's reversed axes and agree."""
    images = shapes.pop("images")
    if len(images) != 4 or images[1] != 3 or images[2] < images[3]:
        raise UserError(
            f"{file}: 'images' is {images}; samples, 3, width, height (1449, 3, 640, 480) is needed, "
            "the order in which HDF5 shows MATLAB's axes"
        )
    for key, shape in shapes.items():
        if shape != (images[0], *images[2:]):
            raise UserError(
                f"{file}: '{key}' is {shape}, but 'images' is {images}: samples, width, height must agree"
            )
    return images[0]
