"""Stored predictions of made scenes, with names that would do harm if they were not escaped."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

from rgbd_lib import metrics
from rgbd_lib.explorer import store, writing

HARM = "<img src=x onerror=\"document.title='harmed'\"></script><b>"
CLASSES = ["Background", "Lemon", HARM, "Cup & 'saucer'"]
SIZE, PHOTO, LIGHTS, SCENES = (24, 64), (96, 256), 8, 3
METHODS = {"rgb": "RGB only", "depth": "Depth only", "mid": "Mid fusion"}


def make(folder: Path) -> Path:
    """Write a store of three scenes, eight lightings and three methods; the same bytes each time."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    truths = [boxes(rng) for _ in range(SCENES)]
    scenes = [make_scene(folder, n, truth, rng) for n, truth in enumerate(truths)]
    rows = [make_method(folder, name, title, truths, rng) for name, title in METHODS.items()]
    (folder / store.INDEX).write_text(writing.compact(index() | {"scenes": scenes, "methods": rows}))
    return folder


def index() -> dict:
    return {
        "format": store.FORMAT,
        "profile": "quick",
        "data": "made",
        "synthetic": True,
        "seed": 0,
        "classes": CLASSES,
        "background": 0,
        "lightings": [f"light {n + 1}" for n in range(LIGHTS)],
        "unit": "m",
        "size": SIZE,
        "photo": PHOTO,
    }


def boxes(rng: np.random.Generator) -> np.ndarray:
    """Return a label of three boxes and an ignored corner."""
    label = np.zeros(SIZE, np.uint8)
    for k in range(1, len(CLASSES)):
        y, x = rng.integers(0, SIZE[0] - 10), rng.integers(0, SIZE[1] - 16)
        label[y : y + 10, x : x + 16] = k
    label[:3, :3] = 255
    return label


def make_scene(folder: Path, number: int, truth: np.ndarray, rng: np.random.Generator) -> dict:
    """Write photographs of smooth colours: JPEG decoders differ at sharp edges."""
    ramp = np.linspace(0, 1, PHOTO[1])[None, :, None] * np.ones((*PHOTO, 3))
    photos = [
        (255 * (n + 1) / LIGHTS * ramp * rng.uniform(0.4, 1, 3)).astype(np.uint8) for n in range(LIGHTS)
    ]
    quality = (cv2.IMWRITE_JPEG_QUALITY, writing.QUALITY)
    writing.save(folder / f"scene-{number:02d}-photo.jpg", np.concatenate(photos), *quality)
    writing.save(folder / f"scene-{number:02d}-truth.png", truth)
    depth = (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 255).astype(np.uint8)
    writing.save(folder / f"scene-{number:02d}-depth.png", depth)
    return {"name": f"{number}<i>", "near": 0.5, "far": 1.5}


def make_method(folder: Path, name: str, title: str, truths: list, rng: np.random.Generator) -> dict:
    """Write answers that differ from the truth in more pixels from lighting to lighting."""
    scores = []
    for number, truth in enumerate(truths):
        found = np.where(truth == 255, 0, truth)[None].repeat(LIGHTS, 0)
        for light in range(LIGHTS):
            wrong = rng.random(SIZE) < rng.uniform(0.02, 0.5)
            found[light][wrong] = rng.integers(0, len(CLASSES), int(wrong.sum()))
        writing.save(folder / f"map-{name}-{number:02d}.png", np.concatenate(found))
        sure = rng.integers(0, 21, (LIGHTS * SIZE[0], SIZE[1])) * 255 / 20
        writing.save(folder / f"sure-{name}-{number:02d}.png", sure.round().astype(np.uint8))
        scores.append([by_class(truth, one) for one in found])
    return {"name": name, "title": title, "run": f"{name}-0123456789ab", "iou": scores}


def by_class(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    pair = (torch.from_numpy(a[None].astype(np.int64)) for a in (truth, found))
    values = metrics.iou(metrics.confusions(*pair, len(CLASSES)).numpy())[0]
    return {str(k): round(float(v), 4) for k, v in enumerate(values) if v == v}


def changed(folder: Path, **entries: object) -> None:
    """Overwrite entries of an index."""
    path = folder / store.INDEX
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
