"""Cut and resize at decoding time.

Colours are averaged over the area that a pixel covers. Depth, validity and labels take the value at the
pixel's centre: an average of two depths is a surface that is not there, an average of two labels
is a third class.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from rgbd_lib.datasets.base import Frame

Crop = tuple[float, float, float, float]  # top, left, bottom, right of the frame that is kept, 0..1


def frame(source: Frame, size: tuple[int, int], crop: Crop) -> Frame:
    """Cut and resize one frame: colours by area, everything else by nearest pixel centre."""
    return Frame(
        colour(source.rgb, size, crop),
        *(nearest(a, size, crop) for a in (source.depth, source.valid, source.label)),
    )


def colour(rgb: np.ndarray, size: tuple[int, int], crop: Crop) -> np.ndarray:
    """Cut and resize a colour image; area averaging when it shrinks, bilinear when it grows."""
    rows, columns = _window(rgb.shape, crop)
    rgb = rgb[rows, columns]
    shrinks = rgb.shape[0] >= size[0] and rgb.shape[1] >= size[1]
    return cv2.resize(rgb, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def nearest(array: np.ndarray, size: tuple[int, int], crop: Crop) -> np.ndarray:
    """Pick the value under each new pixel's centre (OpenCV's nearest picks its corner: half a pixel off)."""
    rows, columns = _window(array.shape, crop)
    array = array[rows, columns]
    (height, width), (h, w) = array.shape[:2], size
    y = ((np.arange(h) + 0.5) * height / h).astype(np.intp)
    x = ((np.arange(w) + 0.5) * width / w).astype(np.intp)
    return array[y[:, None], x]


def _window(shape: Sequence[int], crop: Crop) -> tuple[slice, slice]:
    """Return the rows and columns that a crop keeps, at least one of each."""
    spans = []
    for length, start, end in ((shape[0], crop[0], crop[2]), (shape[1], crop[1], crop[3])):
        first = min(round(start * length), length - 1)
        spans.append(slice(first, max(round(end * length), first + 1)))
    return spans[0], spans[1]
