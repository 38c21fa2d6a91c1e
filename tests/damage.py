"""Ways to break a data set on disk: each is a function of its folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from make_data import TOML, write, write_list

Damage = Callable[[Path], object]


def cut(path: str, length: int = -40) -> Damage:
    return lambda root: (root / path).write_bytes((root / path).read_bytes()[:length])


def put(path: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda root: (root / path).write_bytes(data)


def swap(path: str, old: str, new: str) -> Damage:
    def damage(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return damage


def image(path: str, array: np.ndarray) -> Damage:
    return lambda root: write(root / path, array)


def gone(*paths: str) -> Damage:
    def damage(root: Path) -> None:
        for path in paths:
            shutil.rmtree(root / path) if (root / path).is_dir() else (root / path).unlink()

    return damage


def ids(*cells: object) -> Damage:
    return lambda root: write_list(root / "train_dataset.csv", cells)


def toml(extra: str, old: str = "", new: str = "") -> Damage:
    assert old in TOML
    return put("dataset.toml", TOML.replace(old, new) + extra if old else TOML + extra)


def flip(path: str) -> Damage:
    def damage(root: Path) -> None:
        data = bytearray((root / path).read_bytes())
        data[len(data) // 2] ^= 0xFF
        (root / path).write_bytes(data)

    return damage


def directory(path: str) -> Damage:
    return lambda root: ((root / path).unlink(), (root / path).mkdir())


def dangling(path: str) -> Damage:
    return lambda root: ((root / path).unlink(), (root / path).symlink_to("nowhere.png"))


def jpeg(path: str) -> Damage:
    return lambda root: put(path, cv2.imencode(".jpg", np.zeros((48, 64), np.uint8))[1].tobytes())(root)


def mapping(text: str) -> Damage:
    return put("label_mapping.csv", text)


def each(folder: str, change: Damage) -> Damage:
    """Break every file of a folder."""
    return lambda root: [change(path) for path in sorted((root / folder).iterdir())]
