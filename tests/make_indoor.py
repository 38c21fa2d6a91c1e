"""Indoor frames with known pixels, written in the layouts in which NYUv2 and SUN RGB-D are passed around."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
import scipy.io
from PIL import Image

SIZE = (24, 32)


def frame(number: int, size: tuple[int, int] = SIZE, classes: int = 40) -> tuple[np.ndarray, ...]:
    """Return rgb uint8, depth in whole millimetres with holes, label 0 (void) to ``classes`` of a made frame."""
    rng = np.random.default_rng([number, 3])
    rgb = rng.integers(0, 250, (*size, 3)).astype(np.uint8)
    depth = rng.integers(900, 5000, size).astype(np.uint16)
    depth[:2, 3:9] = 0
    label = rng.integers(0, classes + 1, size).astype(np.uint16)
    label[0, :2] = 0, classes  # both ends of the range occur in every frame
    return rgb, depth, label


def pack(millimetres: np.ndarray) -> np.ndarray:
    """Store millimetres as SUN RGB-D does: bits rotated left by three, written out bit by bit."""
    bits = (millimetres[..., None].astype(np.int64) >> np.arange(16)) & 1
    return (np.roll(bits, 3, axis=-1) << np.arange(16)).sum(-1).astype(np.uint16)


def png(path: Path, image: np.ndarray) -> Path:
    """Write an image without loss; colour is given as R, G, B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1] if image.ndim == 3 and image.shape[2] == 3 else image)
    return path


def jpg(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
    return path


def palette(path: Path, label: np.ndarray) -> Path:
    """Write a label as a paletted PNG whose colours say nothing about the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(label.astype(np.uint8)).convert("P")
    image.putpalette([(7 * i + 13) % 256 for i in range(768)])
    image.save(path)
    return path


def text(path: Path, lines: Sequence[str]) -> Path:
    """Write a list without a line end behind the last line, as the published ones are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def cell(file: h5py.File, key: str, texts: Sequence[str]) -> None:
    """Write texts as MATLAB v7.3 stores a cell array: references to arrays of code points."""
    references = np.empty((1, len(texts)), dtype=h5py.ref_dtype)
    for i, value in enumerate(texts):
        codes = np.array([[ord(c)] for c in value], np.uint16)
        references[0, i] = file.create_dataset(f"#refs#/{key}{i}", data=codes).ref
    file.create_dataset(key, data=references)


MAP894 = np.arange(894) % 40 + 1
ROOMS = ("kitchen_0001", "kitchen_0001", "office_0002", "cafe_0003", "cafe_0003", "bedroom_0004")


def nyu_mat(folder: Path, samples: int = 6, size: tuple[int, int] = SIZE) -> Path:
    """Write the official file with few samples, labels of 894 classes, and its split and mapping files."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = [frame(i + 1, size) for i in range(samples)]
    fine = [
        np.where(label > 0, label.astype(int) + 40 * (i % 22), 0) for i, (_, _, label) in enumerate(frames)
    ]
    with h5py.File(folder / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.stack([rgb.transpose(2, 1, 0) for rgb, _, _ in frames])
        depths = np.stack([depth.T / 1000 for _, depth, _ in frames])
        file["rawDepths"] = depths.astype(np.float32)
        file["depths"] = np.where(depths > 0, depths, 2.5).astype(np.float32)
        file["labels"] = np.stack([label.T for label in fine]).astype(np.uint16)
        cell(file, "scenes", ROOMS[:samples])
        cell(file, "sceneTypes", [room[:-5] for room in ROOMS[:samples]])
        cell(file, "names", [f"thing {i}" for i in range(894)])
    numbers = np.arange(1, samples + 1)
    nyu_splits(folder, numbers[numbers % 3 != 0], numbers[numbers % 3 == 0])
    scipy.io.savemat(folder / "classMapping40.mat", {"mapClass": MAP894[None].astype(float)})
    return folder


def nyu_splits(folder: Path, train: Sequence[int], test: Sequence[int]) -> None:
    columns = {"trainNdxs": np.array(train, float)[:, None], "testNdxs": np.array(test, float)[:, None]}
    scipy.io.savemat(folder / "splits.mat", columns)


SUN_FRAMES = {  # test frames first, as the labels are numbered; folders of different depth
    "test": ("kv1/NYUdata/NYU0001", "xtion/sun3ddata/hotel/hotel_1/0000010", "kv2/kinect2data/000007_room"),
    "train": ("realsense/sa/0003", "xtion/sun3ddata/lab/lab_2/0000002", "xtion/sun3ddata/lab/lab_2/0000009",
              "kv2/kinect2data/000009_room"),
}  # fmt: skip


def sun_tree(root: Path) -> Path:
    """Write SUN RGB-D's tree, lists with the authors' path in front, and labels by reference."""
    names = [*SUN_FRAMES["test"], *SUN_FRAMES["train"]]
    for i, name in enumerate(names):
        sun_frame(root / "SUNRGBD" / name, i + 1)
    (root / "SUNRGBDtoolbox" / "traintestSUNRGBD").mkdir(parents=True)
    (root / "SUNRGBDtoolbox" / "Metadata").mkdir()
    sun_lists(root, **SUN_FRAMES)
    sun_labels(root, [frame(i + 1, classes=37)[2] for i in range(len(names))])
    return root


def sun_frame(folder: Path, number: int) -> None:
    rgb, depth, _ = frame(number, classes=37)
    png(folder / "image" / "0001.png", rgb).rename(
        folder / "image" / "0001.jpg"
    )  # readers look at the content
    png(folder / "depth" / "0001.png", pack(depth))
    png(folder / "depth_bfx" / "0001.png", pack(np.where(depth > 0, depth, 2500).astype(np.uint16)))
    (folder / "intrinsics.txt").write_text(f"{500 + number} 0 310 \n0 {501 + number} 230\n0 0 1\n")
    (folder / "scene.txt").write_text("office" if number % 2 else "bedroom")


def sun_lists(root: Path, train: Sequence[str], test: Sequence[str]) -> None:
    prefix = "/home/authors/data/SUNRGBD/"
    columns = {"alltrain": train, "alltest": test}
    lists = {
        key: np.array([[prefix + f.replace("/", "//", 1) for f in v]], object) for key, v in columns.items()
    }
    scipy.io.savemat(root / "SUNRGBDtoolbox" / "traintestSUNRGBD" / "allsplit.mat", lists)


def sun_labels(root: Path, labels: Sequence[np.ndarray]) -> None:
    with h5py.File(root / "SUNRGBDtoolbox" / "Metadata" / "SUNRGBD2Dseg.mat", "w") as file:
        references = np.empty((len(labels), 1), dtype=h5py.ref_dtype)
        for i, label in enumerate(labels):
            references[i, 0] = file.create_dataset(f"#refs#/{i}", data=label.T.astype(np.uint8)).ref
        file.create_dataset("SUNRGBD2Dseg/seglabel", data=references)


def fusenet_file(path: Path, train: int = 4, test: int = 2, scenes: bool = True) -> Path:
    """Write FuseNet's file: blue first, one depth channel, labels from 0 = unlabelled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for part, first, count in (("train", 1, train), ("test", 101, test)):
            frames = [frame(first + i) for i in range(count)]
            file[f"rgb_{part}"] = np.stack(
                [rgb[..., ::-1].transpose(2, 0, 1) for rgb, _, _ in frames]
            ).astype("f4")
            file[f"depth_{part}"] = np.stack([levels(depth)[None] for _, depth, _ in frames]).astype("f4")
            file[f"label_{part}"] = np.stack([label for _, _, label in frames]).astype(np.int64)
            if scenes:
                file[f"class_{part}"] = np.arange(count) % 10 + 1
    return path


def levels(depth: np.ndarray) -> np.ndarray:
    """Stretch depth to 0..255 as 8-bit products do."""
    return np.rint(depth / depth.max() * 255).astype(np.uint8)
