"""Colours of classes: a class keeps its colour in every figure, overlay and page.

Each class takes the colour farthest, to the eye (CIE76), from all that are taken: black for the background, the
colour of what is unknown, and the classes before it. 32 classes stay far apart; with more the steps get smaller.
"""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

IGNORED = (255, 0, 255)  # pixels without a label or a measurement are visible on purpose
BACKGROUND = (0, 0, 0)
STEPS = np.arange(0, 256, 17)  # of each channel, to choose from
LIGHTNESS = (42, 93)  # neither lost in black nor in paper
CHROMA = 90  # at most: pure screen colours flicker beside each other

TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])  # D65


def lab(colours: ArrayLike) -> NDArray[np.float64]:
    """Return sRGB colours ...,3 in 0..255 as CIELAB, in which distances are about as large as they look."""
    s = np.asarray(colours, dtype=np.float64) / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
    t = linear @ TO_XYZ.T / WHITE
    x, y, z = np.moveaxis(np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@cache
def class_colours() -> NDArray[np.uint8]:
    """Return 256,3: black for class 0, the ignore value's colour at 255, between them classes far apart."""
    choice, places = candidates()
    table = np.zeros((256, 3), np.uint8)
    table[0], table[255] = BACKGROUND, IGNORED
    nearest = np.linalg.norm(places[:, None] - lab([BACKGROUND, IGNORED]), axis=-1).min(1)
    for k in range(1, 255):
        best = int(nearest.round(6).argmax())  # rounded: the same choice on every machine
        table[k] = choice[best]
        nearest = np.minimum(nearest, np.linalg.norm(places - places[best], axis=-1))
    return table


def candidates() -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return colours that a class may have, and where they lie in CIELAB."""
    colours = np.stack(np.meshgrid(STEPS, STEPS, STEPS, indexing="ij"), axis=-1).reshape(-1, 3)
    places = lab(colours)
    light, chroma = places[:, 0], np.hypot(places[:, 1], places[:, 2])
    allowed = (light >= LIGHTNESS[0]) & (light <= LIGHTNESS[1]) & (chroma <= CHROMA)
    return colours[allowed], places[allowed]
