"""MM5's eight-bit depth pictures, derived from its 16-bit depth as the data set's description says.

D is plain depth with missing pixels black. D_FocusN fills the holes, spends its grey levels where the image has depth
peaks, and blends in the direction of the surface normal: per image, monotone in depth, not metric. Constants that the
description leaves open (smoothing, order of operations) are ours, so values agree in kind, not to the level.
"""

import cv2
import numpy as np

PEAKS, BUCKETS, WINDOW = 5, 100, (400, 900)
BLEND = 0.7


def plain(depth: np.ndarray) -> np.ndarray:
    """Return D: depth stretched to 1..255 over its valid range, 0 = missing."""
    valid = depth > 0
    if not valid.any():
        return np.zeros(depth.shape, np.uint8)
    low, high = int(depth[valid].min()), int(depth[valid].max())
    scaled = 1 + (depth.astype(np.float32) - low) * (254 / max(high - low, 1))
    return np.where(valid, np.round(scaled), 0).astype(np.uint8)


def focus_n(depth: np.ndarray) -> np.ndarray:
    """Return D_FocusN: 0.7 parts of focused depth and 0.3 parts of normal direction."""
    filled = _filled(depth)
    direction = _direction(filled)
    return np.clip(np.round(BLEND * _focus(depth, filled) + (1 - BLEND) * direction), 0, 255).astype(np.uint8)


def _filled(depth: np.ndarray) -> np.ndarray:
    """Fill missing pixels from their surroundings, at a quarter of the size where holes are wide."""
    holes = (depth == 0).astype(np.uint8)
    if holes.all():
        return np.full(depth.shape, 1, np.uint16)
    if not holes.any():
        return depth
    small = max(depth.shape[1] // 4, 1), max(depth.shape[0] // 4, 1)
    weight = cv2.resize(1 - holes.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(depth.astype(np.float32), small, interpolation=cv2.INTER_AREA) / np.maximum(
        weight, 1e-6
    )
    rough = cv2.inpaint(np.round(mean).astype(np.uint16), (weight < 0.01).astype(np.uint8), 5, cv2.INPAINT_NS)
    guess = cv2.resize(rough, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(holes > 0, guess, depth)


def _focus(depth: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """Renumber depths so that peaks of the histogram keep 1 mm steps, gaps 2 mm, everything outside 6 mm."""
    values = depth[depth > 0].astype(np.float32)
    low, high = int(filled.min()), int(filled.max())
    if high <= low or values.size == 0:
        return np.zeros(depth.shape, np.float32)
    count, edges = np.histogram(values, BUCKETS)
    smooth = cv2.GaussianBlur(count.astype(np.float32).reshape(1, -1), (0, 0), 1.5).ravel()
    top = [i for i in range(1, BUCKETS - 1) if smooth[i] >= smooth[i - 1] and smooth[i] > smooth[i + 1]]
    top = sorted(top, key=lambda i: -smooth[i])[:PEAKS]
    step = np.full(high - low + 1, 1 / 6, np.float32)
    millimetre = np.arange(low, high + 1)
    step[(millimetre >= WINDOW[0]) & (millimetre < WINDOW[1])] = 1 / 2
    for i in top:
        half = smooth[i] / 2
        left, right = i, i
        while left > 0 and smooth[left] > half:
            left -= 1
        while right < BUCKETS - 1 and smooth[right] > half:
            right += 1
        wide = float(np.clip(5 * (edges[right] - edges[left]), 50, 150))
        middle = (edges[i] + edges[i + 1]) / 2
        inside = (
            (np.abs(millimetre - middle) <= wide / 2) & (millimetre >= WINDOW[0]) & (millimetre < WINDOW[1])
        )
        step[inside] = 1
    level = np.floor(np.concatenate([[0], np.cumsum(step)[:-1]]))
    return (level * (255 / max(level[-1], 1)))[filled.astype(np.int32) - low].astype(np.float32)


def _direction(filled: np.ndarray) -> np.ndarray:
    z = filled.astype(np.float32)
    dx, dy = cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=7), cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=7)
    angle = (np.arctan2(-dy, -dx) + np.pi) / (2 * np.pi)
    return cv2.blur(angle, (7, 7)) * np.float32(255 * 0.8)
