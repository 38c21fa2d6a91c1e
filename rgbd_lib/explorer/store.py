"""Stored predictions: a small folder of pictures and one index, read without executing anything.

What lies where, for scene number NN and a method's name:

    index.json           classes, lightings, scenes, methods, IoU of every image
    scene-NN-photo.jpg   the photographs, one lighting below the other
    scene-NN-truth.png   class ids, 255 = ignored
    scene-NN-depth.png   0 = missing, else 1 (near) .. 255 (far) between the two ends in the index
    map-METHOD-NN.png    predicted class ids, one lighting below the other
    sure-METHOD-NN.png   confidence of these, 0 .. 255

File names are put together from numbers and from method names that match ``NAME``; no text of the index, which may
come from anywhere, becomes a path in another way.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from rgbd_lib import paths
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import PROFILES, profile

FORMAT = 1
FOLDER = "explorer"
INDEX = "index.json"
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
RUN = re.compile(r"[a-z][a-z0-9_]{0,31}-[0-9a-f]{12}")
LARGEST = 4096  # pixels along a side; a larger number in an index is a mistake, or meant to fill the memory
MANY = 999  # scenes or lightings or methods


@dataclass(frozen=True)
class Scene:
    """One scene of a store: its name in the data set, and the ends of its depth."""

    name: str
    near: float
    far: float


@dataclass(frozen=True)
class Method:
    """One method of a store."""

    name: str
    title: str
    run: str  # the run's folder
    iou: tuple[tuple[Mapping[int, float], ...], ...]  # [scene][lighting][class of the truth] -> 0..1


@dataclass(frozen=True)
class Picture:
    """One scene under one lighting as a method sees it and answers; arrays of two sizes."""

    photo: np.ndarray  # H,W,3 uint8
    truth: np.ndarray  # h,w uint8
    depth: np.ndarray  # h,w float, NaN = missing
    prediction: np.ndarray  # h,w uint8
    confidence: np.ndarray  # h,w float, 0..1


@dataclass(frozen=True)
class Store:
    """The predictions in a folder. Scenes and lightings are counted from 0."""

    folder: Path
    profile: str
    data: str
    synthetic: bool
    seed: int
    classes: tuple[str, ...]
    background: int | None
    lightings: tuple[str, ...]
    unit: str
    size: tuple[int, int]  # h, w of maps
    photo_size: tuple[int, int]
    scenes: tuple[Scene, ...]
    methods: Mapping[str, Method]

    def photos(self, scene: int) -> np.ndarray:
        """Return L,H,W,3: a scene under all lightings."""
        return self._sheet(f"scene-{scene:02d}-photo.jpg", self.photo_size, len(self.lightings), colour=True)

    def truth(self, scene: int) -> np.ndarray:
        """Return h,w class ids."""
        return self._classes(f"scene-{scene:02d}-truth.png", 1)[0]

    def depth(self, scene: int) -> np.ndarray:
        """Return h,w in ``unit``, NaN where nothing was measured."""
        counts = self._sheet(f"scene-{scene:02d}-depth.png", self.size, 1)[0]
        ends = self.scenes[scene]
        return np.where(counts > 0, ends.near + (counts - 1.0) / 254 * (ends.far - ends.near), np.nan)

    def maps(self, method: str, scene: int) -> np.ndarray:
        """Return L,h,w: a method's classes under all lightings."""
        return self._classes(f"map-{self.known(method)}-{scene:02d}.png", len(self.lightings))

    def confidence(self, method: str, scene: int) -> np.ndarray:
        """Return L,h,w in 0..1."""
        return self._levels(method, scene) / np.float32(255)

    def picture(self, method: str, scene: int, light: int) -> Picture:
        """Return everything that is stored of a method's answer to one image."""
        return Picture(
            self.photos(scene)[light],
            self.truth(scene),
            self.depth(scene),
            self.maps(method, scene)[light],
            self._levels(method, scene)[light] / np.float32(255),
        )

    def iou(self, method: str, scene: int, light: int) -> Mapping[int, float]:
        """Return the IoU of each class that the image's truth holds."""
        return self.methods[self.known(method)].iou[scene][light]

    def miou(self, method: str, scene: int, light: int) -> float:
        """Return the mean of ``iou``; NaN for an image without a labelled pixel."""
        found = list(self.iou(method, scene, light).values())
        return sum(found) / len(found) if found else float("nan")

    def known(self, method: str) -> str:
        """Return the name of a method if the store has it."""
        if method not in self.methods:
            raise UserError(
                f"no stored predictions of '{method}'; there are some of {', '.join(self.methods)}"
            )
        return method

    def _levels(self, method: str, scene: int) -> np.ndarray:
        return self._sheet(f"sure-{self.known(method)}-{scene:02d}.png", self.size, len(self.lightings))

    def _classes(self, name: str, count: int) -> np.ndarray:
        found = self._sheet(name, self.size, count)
        if ((found >= len(self.classes)) & (found != IGNORE)).any():
            raise broken(self.folder / name, f"holds a class above {len(self.classes) - 1}")
        return found

    def _sheet(self, name: str, size: tuple[int, int], count: int, colour: bool = False) -> np.ndarray:
        return sheet(self.folder / name, size, count, colour)

    def __hash__(self) -> int:
        return hash(self.folder)


@lru_cache(maxsize=256)
def sheet(path: Path, size: tuple[int, int], count: int, colour: bool) -> np.ndarray:
    """Return ``count`` pictures that lie below each other in one file."""
    try:
        packed = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise broken(path, str(error)) from error
    # The size is looked at before decoding: a few bytes can claim a picture of gigabytes.
    if packed.size > 64 * (1 << 20):
        raise broken(path, f"has {packed.size >> 20} MB")
    image = (
        cv2.imdecode(packed, cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE) if packed.size else None
    )
    if image is None or image.shape[:2] != (size[0] * count, size[1]):
        raise broken(path, f"is no picture of {size[1]} x {size[0] * count} pixels")
    image = image[..., ::-1] if colour else image
    return np.ascontiguousarray(image.reshape(count, size[0], size[1], *image.shape[2:]))


def place(profile_name: str) -> Path:
    """Return the folder of a profile's stored predictions, there or not."""
    return paths.results() / profile(profile_name).name / FOLDER


def latest(least: str = "smoke") -> Path | None:
    """Return the stored predictions of the largest profile, down to ``least``; None where there are none."""
    names = list(PROFILES)
    for name in reversed(names[names.index(profile(least).name) :]):
        if (place(name) / INDEX).exists():
            return place(name)
    return None


def load(folder: Path) -> Store:
    """Read the index of stored predictions, and refuse one that is not what ``write`` makes."""
    path = Path(folder) / INDEX
    if not path.exists():
        raise UserError(f"no stored predictions in {folder}: it has no {INDEX}; `rgbd explorer` makes them")
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["format"] != FORMAT:
            raise ValueError(f"format {known['format']}, expected {FORMAT}")
        return understood(Path(folder), known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(path, f"cannot be read ({type(error).__name__}: {error})") from error


def understood(folder: Path, known: dict) -> Store:
    """Return the store that an index describes; ValueError names what is wrong."""
    store = Store(
        folder=folder,
        profile=str(known["profile"]),
        data=str(known["data"]),
        synthetic=known["synthetic"] is True,
        seed=int(known["seed"]),
        classes=texts(known["classes"], IGNORE),
        background=None if known["background"] is None else int(known["background"]),
        lightings=texts(known["lightings"], MANY),
        unit=str(known["unit"]),
        size=extent(known["size"]),
        photo_size=extent(known["photo"]),
        scenes=tuple(Scene(str(s["name"]), float(s["near"]), float(s["far"])) for s in known["scenes"]),
        methods={m["name"]: method(m) for m in known["methods"]},
    )
    if not store.methods or not store.scenes or max(len(store.methods), len(store.scenes)) > MANY:
        raise ValueError(f"{len(store.methods)} methods and {len(store.scenes)} scenes")
    for one in store.methods.values():
        if len(one.iou) != len(store.scenes) or any(len(row) != len(store.lightings) for row in one.iou):
            raise ValueError(f"'{one.name}' has scores of other scenes or lightings than the store")
    return store


def method(known: dict) -> Method:
    """Return a method of an index, its name and run checked: they become parts of paths."""
    for text, pattern in ((known["name"], NAME), (known["run"], RUN)):
        if not (isinstance(text, str) and pattern.fullmatch(text)):
            raise ValueError(f"{text!r} is no name of a method or run")
    scores = tuple(
        tuple({int(k): float(v) for k, v in image.items()} for image in row) for row in known["iou"]
    )
    return Method(known["name"], str(known["title"]), known["run"], scores)


def texts(values: Sequence[object], most: int) -> tuple[str, ...]:
    """Return names as text; their number is limited."""
    if not isinstance(values, list) or not 0 < len(values) <= most:
        raise ValueError(f"{values!r:.60} is no list of 1 to {most} names")
    return tuple(map(str, values))


def extent(values: Sequence[int]) -> tuple[int, int]:
    """Return a height and a width."""
    height, width = (int(v) for v in values)
    if not (0 < height <= LARGEST and 0 < width <= LARGEST):
        raise ValueError(f"a size of {height} x {width}")
    return height, width


def broken(path: Path, what: str) -> UserError:
    """Return the error for a file that is not as it was written."""
    return UserError(f"{path} {what}; make the stored predictions again with `rgbd explorer`")


def write(profile_name: str, folder: Path | None = None, **choice: object) -> Path:
    """Write the predictions of a profile's finished runs; return their folder. See ``writing.write``."""
    from rgbd_lib.explorer import writing  # reading a store needs no torch

    return writing.write(profile_name, folder, **choice)
