"""Colours of classes: a class keeps its colour in every figure, overlay and page."""

import colorsys
from functools import cache

import numpy as np

IGNORED = (255, 0, 255)  # pixels without a label are visible on purpose


@cache
def class_colours() -> np.ndarray:
    """Return 256,3 uint8: black for class 0, then hues a golden angle apart at three lightnesses."""
    table = np.zeros((256, 3))
    for k in range(1, 255):
        hue = k * 137.508 / 360
        light, strength = ((0.62, 0.85), (0.45, 0.75), (0.78, 0.65))[k % 3]
        table[k] = colorsys.hls_to_rgb(hue % 1, light, strength)
    table[255] = np.array(IGNORED) / 255
    return (table * 255).round().astype(np.uint8)
