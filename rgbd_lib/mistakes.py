"""Deliberate mistakes of a segmentation, and what each score says to them."""

from collections.abc import Callable

import cv2
import numpy as np
import pandas as pd
import torch

from rgbd_lib import metrics
from rgbd_lib.datasets.base import IGNORE

SCORES = ("strict mIoU", "forgiving mIoU", "pixel accuracy", "boundary IoU")


def grown(label: np.ndarray, pixels: int, background: int = 0) -> np.ndarray:
    """Return the label with every object grown over the background (shrunk, if negative); objects keep their borders."""
    thing = (label != background).astype(np.uint8)
    size = 2 * abs(pixels) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    wanted = (cv2.dilate if pixels >= 0 else cv2.erode)(thing, kernel).astype(bool)
    return np.where(wanted, nearest_object(label, background), background).astype(label.dtype)


def nearest_object(label: np.ndarray, background: int = 0) -> np.ndarray:
    """Return the class of the nearest object at every pixel: an image painted full."""
    outside = (label == background).astype(np.uint8)
    if outside.all():
        return label.copy()
    _, index = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    table = np.full(index.max() + 1, background, label.dtype)
    table[index[outside == 0]] = label[outside == 0]
    return table[index]


def shifted(label: np.ndarray, pixels: int, background: int = 0) -> np.ndarray:
    """Return the label moved to the right; background comes in from the left."""
    moved = np.roll(label, pixels, axis=1)
    moved[:, :pixels] = background
    return moved


def forgotten(label: np.ndarray, background: int = 0) -> np.ndarray:
    """Return the label without its smallest class."""
    ids, counts = np.unique(label[(label != background) & (label != IGNORE)], return_counts=True)
    return label.copy() if not len(ids) else np.where(label == ids[counts.argmin()], background, label)


MISTAKES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "perfect": lambda label: label.copy(),
    "objects two pixels too large": lambda label: grown(label, 2),
    "moved by two pixels": lambda label: shifted(label, 2),
    "smallest class forgotten": forgotten,
    "all background": np.zeros_like,
    "painted full": nearest_object,
}


def scorecard(label: np.ndarray, prediction: np.ndarray, classes: int) -> dict[str, float]:
    """Return the scores (0..1) of one predicted image."""
    truth, found = (torch.from_numpy(x.astype(np.int64))[None] for x in (label, prediction))
    matrix = metrics.confusion(truth, found, classes).numpy()
    bands = metrics.boundary_counts(truth, found, classes)[0].numpy()
    values = (
        metrics.miou(matrix),
        metrics.forgiving_miou(matrix),
        metrics.pixel_accuracy(matrix),
        metrics.nanmean(metrics.boundary_iou(bands)[-1]),
    )
    return dict(zip(SCORES, map(float, values), strict=True))


def table(label: np.ndarray, classes: int) -> pd.DataFrame:
    """Return the scores (0..1) of every deliberate mistake on one label, a row each."""
    rows = {name: scorecard(label, spoil(label), classes) for name, spoil in MISTAKES.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("mistake")
