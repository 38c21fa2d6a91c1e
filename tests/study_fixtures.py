"""A made data set that a small network can learn in seconds, for tests of training and evaluation."""

from pathlib import Path

import numpy as np

from rgbd_lib.datasets.batches import statistics
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.material import Material
from tests.fake_dataset import FakeDataset

SIZE = (32, 48)
PARTS = {"train": slice(0, 6), "val": slice(6, 8), "test": slice(8, None)}
SETTINGS = {
    "epochs": 1,
    "size": SIZE,
    "batch": 3,
    "width": 0.125,
    "scenes": None,
    "crop": (0.0, 0.0, 1.0, 1.0),
}


def learnable(root: Path, scenes: int = 10) -> FakeDataset:
    """Write scenes of two rectangles: a green cube and a red ball, the ball nearer; light 1 bright, 3 dark."""
    names = tuple(str(i + 1) for i in range(scenes))
    if (root / f"{names[-1]}.npz").exists():  # several processes may share it: only the first writes
        return FakeDataset(root, names)
    root.mkdir(parents=True, exist_ok=True)
    data = FakeDataset(root, names)
    for number, scene in enumerate(data.scenes):
        rng = np.random.default_rng(number)
        label = np.zeros(SIZE, np.uint8)
        depth = np.full(SIZE, 1000, np.uint16)
        rgb = np.full((*SIZE, 3), 60.0)
        for k, (colour, near) in enumerate((((40, 200, 60), 800), ((210, 40, 30), 600)), start=1):
            y, x = rng.integers(0, SIZE[0] - 14), rng.integers(24 * (k - 1), 24 * k - 14)
            label[y : y + 14, x : x + 14] = k
            depth[y : y + 14, x : x + 14] = near
            rgb[y : y + 14, x : x + 14] = colour
        depth[rng.random(SIZE) < 0.05] = 0
        lights = [
            np.clip(rgb * f + rng.normal(0, 5, rgb.shape), 0, 255).astype(np.uint8) for f in (1.0, 0.5, 0.2)
        ]
        np.savez(root / f"{scene}.npz", rgb=np.stack(lights), depth=depth, label=label)
    return data


def material(root: Path, scenes: int = 10) -> Material:
    """Return the made data, ready for training: 6 training, 2 validation, 2 test scenes of 10."""
    data = learnable(root / "data", scenes)
    cache = open_cache(data, SIZE, folder=root / "cache", progress=False)
    order = np.arange(scenes)
    splits = {
        "train": order[: scenes - 4],
        "val": order[scenes - 4 : scenes - 2],
        "test": order[scenes - 2 :],
    }
    return Material(data, cache, splits, (0, 1, 2), statistics(cache, splits["train"]))
