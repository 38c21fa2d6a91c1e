"""NYUv2 or SUN RGB-D as the one HDF5 file that PyTorch versions of FuseNet train on, and how to write one.

For train and test: ``rgb_*`` N,3,240,320 of 0..255, ``depth_*`` N,1,240,320 stretched to 0..255 image by image (so
without metric scale), ``label_*`` N,240,320 with 0 unlabelled, and optionally ``class_*`` N with the scene class 1..10.
The file's name must contain "nyu" or "sun". Its colours appear to be in the order blue, green, red: the programs
that show it reverse them. ``write`` makes the same layout from any data set that is open.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from rgbd_lib.datasets import indoor, matfiles
from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.datasets.rooms import RoomDataset
from rgbd_lib.errors import UserError, unknown

ORDERS = ("bgr", "rgb")
SIZE = (240, 320)
_ENDINGS = (".h5", ".hdf5", ".hdf", ".npy")
_DATA = {"nyu": "nyuv2", "sun": "sunrgbd"}


def detect(path: Path) -> str | None:
    """Say why this is FuseNet's file (or a folder with one such file and nothing else), or return None."""
    file = _file(path)
    return None if file is None else f"FuseNet's single file: {file.name}"


def open(
    path: Path, classes: int | str | None = None, data: str | None = None, order: str = "bgr"
) -> "FuseNetFile":
    """Open the file with all classes or 13; ``data`` "nyuv2" or "sunrgbd" where the file's name does not say."""
    file = _file(path)
    if file is None:
        raise UserError(f"{path} is no HDF5 file in FuseNet's layout, nor a folder with one")
    if file.suffix.lower() == ".npy":
        raise UserError(
            f"{file} is an array file of Python objects, which can run any code when it is opened: it is not read. "
            "Store its arrays in HDF5 (rgb_train, depth_train, label_train and the same for test)"
        )
    if order not in ORDERS:
        raise unknown("order of colours", order, ORDERS)
    if data is None:
        data = next((name for part, name in _DATA.items() if part in file.name.lower()), None)
        if data is None:
            raise UserError(
                f"{file}: its name contains neither 'nyu' nor 'sun'; say data='nyuv2' or data='sunrgbd'"
            )
    if data not in indoor.STORED:
        raise unknown("data", data, indoor.STORED)
    return FuseNetFile(file, data, indoor.class_names(data, classes), order)


class FuseNetFile(RoomDataset):
    """One HDF5 file, read frame by frame. Scene ids are "train-1", "test-1", ... in the order of the file."""

    def __init__(self, file: Path, data: str, classes: tuple[str, ...], order: str) -> None:
        self.file, self.data, self.order = file, data, order
        with matfiles.hdf5(file) as opened:
            counts = {part: _checked_count(opened, part, file) for part in ("train", "test")}
            self.size = opened["label_train"].shape[1:]
            kinds = {
                part: np.ravel(opened[f"class_{part}"][()]) for part in counts if f"class_{part}" in opened
            }
        lists = {part: [f"{part}-{i + 1}" for i in range(count)] for part, count in counts.items()}
        super().__init__(
            name="-".join(
                [
                    data,
                    *(["13"] if len(classes) == 13 else []),
                    "fusenet",
                    *([order] if order == "rgb" else []),
                ]
            ),
            root=file.parent,
            decision=(
                f"{detect(file)}: {data}, {counts['train']} train and {counts['test']} test frames of "
                f"{self.size[0]}x{self.size[1]}, colours taken as {order}, depth as levels 0..255"
            ),
            rule=indoor.LabelRule(void=0, stored=indoor.STORED[data], classes=len(classes)),
            classes=classes,
            depth_kind=indoor.LEVELS,
            lists=lists,
        )
        if set(kinds) == set(counts):
            self._take_scene_classes(lists, kinds)

    def rgb(self, scene: str) -> np.ndarray:
        """Return H,W,3 uint8, R G B."""
        colours = self._sample("rgb", scene).transpose(1, 2, 0)
        return self._bytes(colours[..., ::-1] if self.order == "bgr" else colours, scene, "rgb")

    def depth(self, scene: str) -> np.ndarray:
        """Return H,W uint16 levels of 0..255."""
        return self._bytes(self._sample("depth", scene)[0], scene, "depth").astype(np.uint16)

    def stored_label(self, scene: str) -> np.ndarray:
        """Return H,W labels with 0 for unlabelled."""
        label = self._sample("label", scene)
        return label if label.dtype.kind in "iu" else np.rint(label).astype(np.int64)

    def where(self, scene: str, part: str) -> str:
        """Name the file, the array and the position in it, from 0."""
        half, number = scene.split("-")
        return f"{self.file}, {part}_{half}[{int(number) - 1}]"

    def intrinsics(self, scene: str) -> np.ndarray | None:
        """Return NYUv2's colour camera at the file's size; SUN RGB-D has many cameras."""
        return indoor.nyu_camera(self.size) if self.data == "nyuv2" else None

    def files(self) -> list[Path]:
        """Return the one file."""
        return [self.file]

    def _sample(self, part: str, scene: str) -> np.ndarray:
        half, number = scene.split("-")
        with matfiles.hdf5(self.file) as opened:
            return opened[f"{part}_{half}"][int(number) - 1]

    def _bytes(self, values: np.ndarray, scene: str, part: str) -> np.ndarray:
        """Return values of 0..255 as uint8; anything else was scaled by whoever wrote the file."""
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
            raise UserError(
                f"{self.where(scene, part)}: values {values.min():g}..{values.max():g}, 0..255 expected"
            )
        if values.dtype.kind == "f" and 0 < values.max() <= 1:
            raise UserError(
                f"{self.where(scene, part)}: values of 0..1, 0..255 expected; multiply the array by 255"
            )
        return np.ascontiguousarray(np.rint(values).astype(np.uint8))

    def _take_scene_classes(self, lists: dict[str, list[str]], kinds: dict[str, np.ndarray]) -> None:
        names = indoor.SCENES10
        for part, ids in lists.items():
            values = kinds[part]
            if len(values) != len(ids) or values.min() < 1 or values.max() > len(names):
                raise UserError(
                    f"{self.file}: class_{part} holds {len(values)} values of {values.min()}..{values.max()}; "
                    f"{len(ids)} of 1..{len(names)} are needed"
                )
            self.scene_classes |= {scene: int(value) - 1 for scene, value in zip(ids, values, strict=True)}
        self.scene_names = names


def write(
    dataset: Dataset,
    path: Path,
    size: tuple[int, int] = SIZE,
    split: str = "official",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a data set in this layout: train (with val) and test, first lighting, depth stretched image by image.

    Labels become 0 for IGNORE and class id + 1 otherwise, colours blue, green, red. Scene classes go in where every
    scene has one. The file appears whole or not at all.
    """
    import h5py

    parts = {
        "train": (*dataset.split("train", split), *dataset.split("val", split)),
        "test": dataset.split("test", split),
    }
    scratch, total = path.with_name(f"{path.name}.partial"), sum(map(len, parts.values()))
    done = 0
    try:
        with h5py.File(scratch, "w") as file:
            for part, scenes in parts.items():
                rgb = file.create_dataset(f"rgb_{part}", (len(scenes), 3, *size), np.uint8)
                depth = file.create_dataset(f"depth_{part}", (len(scenes), 1, *size), np.uint8)
                label = file.create_dataset(f"label_{part}", (len(scenes), *size), np.uint8)
                if all(scene in dataset.scene_classes for scene in scenes):
                    kinds = [dataset.scene_classes[scene] + 1 for scene in scenes]
                    file.create_dataset(f"class_{part}", data=np.array(kinds, np.int64))
                for i, scene in enumerate(scenes):
                    frame = dataset.read(scene, dataset.lightings[0])
                    colour = cv2.resize(frame.rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
                    rgb[i] = colour[..., ::-1].transpose(2, 0, 1)
                    depth[i, 0] = _nearest(_stretched(frame.depth), size)
                    label[i] = _nearest(np.where(frame.label == IGNORE, 0, frame.label + 1), size)
                    done += 1
                    if progress:
                        progress(done, total)
        scratch.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)
    return path


def _stretched(depth: np.ndarray) -> np.ndarray:
    """Return measured depth as 1..255 over its own range, 255 where it has none, and missing as 0."""
    measured = depth > 0
    if not measured.any():
        return np.zeros(depth.shape, np.uint8)
    low, high = int(depth[measured].min()), int(depth.max())
    levels = 255 if high == low else 1 + np.rint((depth.astype(np.float64) - low) * (254 / (high - low)))
    return np.where(measured, levels, 0).astype(np.uint8)


def _nearest(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(plane.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def _file(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix.lower() in _ENDINGS else None
    found = [entry for entry in path.iterdir() if not entry.name.startswith(".")] if path.is_dir() else []
    files = [entry for entry in found if entry.suffix.lower() in _ENDINGS[:-1] and entry.is_file()]
    return files[0] if len(files) == 1 and not any(entry.is_dir() for entry in found) else None


def _checked_count(opened: object, part: str, file: Path) -> int:
    """Return the number of frames of a half, if its three arrays fit together."""
    rgb, depth, label = (
        matfiles.dataset(opened, f"{kind}_{part}", file).shape for kind in ("rgb", "depth", "label")
    )
    if len(label) != 3 or rgb != (label[0], 3, *label[1:]):
        raise UserError(f"{file}: rgb_{part} is {rgb} and label_{part} {label}; N,3,H,W and N,H,W are needed")
    if depth != (label[0], 1, *label[1:]):
        raise UserError(f"{file}: depth_{part} is {depth}; ({label[0]}, 1, {label[1]}, {label[2]}) is needed")
    return label[0]
