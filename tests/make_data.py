"""Tiny data sets on disk, in the layouts that readers know. Shapes are drawn, not rendered."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from rgbd_lib.datasets.mm5_tables import CLASSES

SIZE = (48, 64)
LIGHTS = {1: 0.1, 2: 0.4, 3: 1.0, 4: 0.35, 5: 3.0, 6: 0.2, 7: 0.4, 8: 0.12}  # lighting -> brightness
COLOURS = np.random.default_rng(32).integers(60, 250, (len(CLASSES), 3))
COLOURS[0] = 30, 90, 40


def write(path: Path, image: np.ndarray) -> Path:
    """Write an image; colour is given as R, G, B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1] if image.ndim == 3 else image)
    return path


def scene(number: int, classes: Sequence[int], size: tuple[int, int] = SIZE) -> tuple[np.ndarray, ...]:
    """Draw one ball per class. Return albedo (H,W,3), depth in millimetres with holes, label, instance."""
    height, width = size
    rng = np.random.default_rng([number, 7])
    rows, columns = np.mgrid[:height, :width]
    label, instance = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    depth = 1400 - 500 * rows / height
    for k, c in enumerate(classes):
        y = rng.uniform(0.3, 0.8) * height
        x = (k + rng.uniform(0.3, 0.7)) * width / len(classes)
        radius = min(0.22 * height, 0.45 * width / len(classes))
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        label[inside], instance[inside] = c, 1
        depth[inside] = 520 + 10 * k
    depth = depth.astype(np.uint16)
    depth[rng.random(size) < 0.05] = 0
    return COLOURS[label].astype(float), depth, label, instance


def make_mm5(
    root: Path,
    scenes: int = 8,
    size: tuple[int, int] = SIZE,
    lightings: Sequence[int] = tuple(LIGHTS),
    synthetic: bool = True,
) -> Path:
    """Write MM5's layout: ids from 1, runs of two scenes with the same classes, every fourth scene for test."""
    runs: dict[str, list[int]] = {}
    for number in range(1, scenes + 1):
        run = (number - 1) // 2
        runs.setdefault(str(run), []).append(number)
        albedo, depth, label, instance = scene(number, _classes_of(run), size)
        noise = np.random.default_rng([number, 8])
        for light in lightings:
            rgb = albedo * LIGHTS[light] + noise.normal(0, 2, albedo.shape)
            write(root / f"RGB{light}" / f"{number}.png", rgb.clip(0, 255).astype(np.uint8))
        level = np.where(depth > 0, 20 + depth / 7, 0).astype(np.uint8)
        write(root / "D16" / f"{number}.png", depth)
        write(root / "D" / f"{number}.png", level)
        write(root / "D_FocusN" / f"{number}.png", np.where(level > 0, level, 128).astype(np.uint8))
        write(root / "ANNO_CLASS" / f"{number}.png", label)
        write(root / "ANNO_INST" / f"{number}.png", instance)
    test = [n for n in range(1, scenes + 1) if n % 4 == 0]
    write_list(root / "train_dataset.csv", [n for n in range(1, scenes + 1) if n not in test])
    write_list(root / "eval_dataset.csv", test)
    rows = "\n".join(f"{i},{name}" for i, name in enumerate(CLASSES) if i)
    (root / "label_mapping.csv").write_text(f"ID,Label Name\n{rows}\n")
    (root / "classes.txt").write_text("\n".join(CLASSES[1:]) + "\n")
    if synthetic:
        (root / "synthetic.json").write_text(json.dumps({"synthetic": True, "complete": True, "runs": runs}))
    return root


def write_list(path: Path, ids: Sequence[object]) -> None:
    rows = [f'{i},{i},Fruit,"Lemon,Apple", none ,Fruit_Lemon' for i in ids]
    path.write_text(
        "\n".join(["ID,Sequence,Category,Subcategory,Challenges,Category_Subcategory", *rows]) + "\n"
    )


def _classes_of(run: int) -> tuple[int, ...]:
    """Return three classes; a few runs later all of them have been seen."""
    return tuple(1 + (run * 3 + k) % 31 for k in range(3))


def make_folder(
    root: Path,
    scenes: int = 6,
    size: tuple[int, int] = SIZE,
    toml: str | None = None,
    lightings: Sequence[int] = (),
    offset: int = 0,
) -> Path:
    """Write rgb/ (or rgb1/, rgb2/ ..), depth/ and label/ with names frame_0 .., and a dataset.toml."""
    for number in range(scenes):
        albedo, depth, label, _ = scene(number, (1, 2), size)
        for light in lightings or (3,):
            folder = f"rgb{light}" if lightings else "rgb"
            rgb = (albedo * LIGHTS[light]).clip(0, 255).astype(np.uint8)
            write(root / folder / f"frame_{number}.png", rgb)
        write(root / "depth" / f"frame_{number}.png", depth)
        write(root / "label" / f"frame_{number}.png", label + np.uint8(offset))
    (root / "dataset.toml").write_text(TOML if toml is None else toml)
    return root


TOML = """
name = "kitchen"
classes = ["nothing", "cup", "plate"]
background = "nothing"

[depth]
metres_per_count = 0.001
"""
