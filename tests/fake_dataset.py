"""A data set of a few files with known pixels, for tests of what comes after reading."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rgbd_lib.datasets.base import DepthKind, Frame
from rgbd_lib.datasets.images import ARRAY_HEADERS

LIGHTINGS = (1, 2, 3)
MILLIMETRES = DepthKind("mm", 0.001)


@dataclass
class FakeDataset:
    """Scenes "1".."n", each one .npz file; counts what is decoded."""

    root: Path
    scenes: tuple[str, ...]
    name: str = "fake"
    synthetic: bool = True
    classes: tuple[str, ...] = ("background", "cube", "ball")
    background: int | None = 0
    lightings: tuple[int, ...] = LIGHTINGS
    depth_kind: DepthKind = MILLIMETRES
    groups: dict[str, str] = field(default_factory=dict)
    scene_classes: dict[str, int] = field(default_factory=dict)
    decoded: list[str] = field(default_factory=list)

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        return self.scenes[::2] if name == "train" else self.scenes[1::2]

    def files(self) -> list[Path]:
        return sorted(self.root.glob("*.npz"))

    def read(self, scene: str, lighting: int) -> Frame:
        self.decoded.append(f"{scene}/{lighting}")
        with ARRAY_HEADERS, np.load(self.root / f"{scene}.npz") as data:
            return Frame(data["rgb"][lighting - 1], data["depth"], data["depth"] > 0, data["label"])

    def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
        return self.read(scene, lighting).rgb


def write_scene(root: Path, scene: str, seed: int, size: tuple[int, int] = (24, 32)) -> None:
    """Write one scene: depth in 300..65000 with holes of 0, labels 0, 1, 2 and 255."""
    rng = np.random.default_rng(seed)
    depth = rng.integers(300, 65000, size).astype(np.uint16)
    depth[rng.random(size) < 0.1] = 0
    label = rng.choice(np.array([0, 1, 2, 255], np.uint8), size)
    rgb = rng.integers(0, 256, (len(LIGHTINGS), *size, 3)).astype(np.uint8)
    np.savez(root / f"{scene}.npz", rgb=rgb, depth=depth, label=label)


def make(root: Path, scenes: int = 5) -> FakeDataset:
    """Write a small data set and return its reader."""
    root.mkdir(parents=True, exist_ok=True)
    names = tuple(str(i + 1) for i in range(scenes))
    for i, name in enumerate(names):
        write_scene(root, name, i)
    return FakeDataset(root, names)
