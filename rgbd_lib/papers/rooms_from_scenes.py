"""The synthetic scenes written as NYUv2's official file, so that recipes for rooms run without the real data."""

from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io

from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.datasets.indoor import SCENES10
from rgbd_lib.datasets.nyuv2 import FILE, SPLITS
from rgbd_lib.errors import UserError

CLASSES = 40


def write(source: Dataset, folder: Path, scenes: int = 24, size: tuple[int, int] = (120, 160)) -> Path:
    """Write ``scenes`` frames in NYUv2's layout and return the folder: every third is for test.

    Each scene is taken under one lighting, in turn, and the lighting's number stands for the kind of room: these data
    have no rooms. The first 32 of the 40 classes are the source's; none of the numbers says anything about NYUv2.
    """
    if len(source.classes) > CLASSES or source.depth_kind.to_metres is None:
        raise UserError(
            f"{source.root} cannot be written as NYUv2: at most {CLASSES} classes and depth in a unit of length are "
            f"needed; it has {len(source.classes)} classes and depth in '{source.depth_kind.unit}'"
        )
    chosen = [source.scenes[i] for i in np.linspace(0, len(source.scenes) - 1, scenes).round().astype(int)]
    frames = [frame(source, scene, i, size) for i, scene in enumerate(chosen)]
    rooms = [SCENES10[i % len(source.lightings)] for i in range(scenes)]
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / FILE, "w") as file:
        for key, part in zip(("images", "depths", "labels"), zip(*frames, strict=True), strict=True):
            file[key] = np.stack(part)
        file["rawDepths"] = file["depths"][:]
        cells(file, "scenes", [f"{room.replace(' ', '_')}_{i:04d}" for i, room in enumerate(rooms)])
        cells(file, "sceneTypes", [room.replace(" ", "_") for room in rooms])
    numbers = np.arange(1, scenes + 1)
    lists = {"trainNdxs": numbers[numbers % 3 != 0], "testNdxs": numbers[numbers % 3 == 0]}
    scipy.io.savemat(folder / SPLITS, {k: v[:, None].astype(float) for k, v in lists.items()})
    return folder


def frame(source: Dataset, scene: str, number: int, size: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Return image 3,W,H, depth W,H in metres and label W,H from 1 (0: none): axes as MATLAB has them in HDF5."""
    made = source.read(scene, source.lightings[number % len(source.lightings)])
    label = np.where(made.label == IGNORE, 0, made.label.astype(np.int32) + 1).astype(np.uint16)
    rgb = cv2.resize(made.rgb, size[::-1], interpolation=cv2.INTER_AREA)
    depth, label = (cv2.resize(x, size[::-1], interpolation=cv2.INTER_NEAREST) for x in (made.depth, label))
    metres = depth.astype(np.float32) * np.float32(source.depth_kind.to_metres)
    return rgb.transpose(2, 1, 0), metres.T, label.T


def cells(file: h5py.File, key: str, texts: list[str]) -> None:
    """Write texts as MATLAB v7.3 stores a cell array: references to arrays of code points."""
    references = np.empty((1, len(texts)), dtype=h5py.ref_dtype)
    for i, text in enumerate(texts):
        codes = np.array([[ord(letter)] for letter in text], np.uint16)
        references[0, i] = file.create_dataset(f"#refs#/{key}{i}", data=codes).ref
    file.create_dataset(key, data=references)
