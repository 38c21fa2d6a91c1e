"""Looking at data before any training: what the lights do to colour, which classes there are, what depth misses."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.datasets.mm5 import MM5
from rgbd_lib.errors import UserError
from rgbd_lib.material import Material

DARK, FULL = 12, 254  # levels of 255: below the first noise rules, at the second the sensor is full
SMALL = 150  # pixels; fragments of hidden objects say little about their class


@dataclass(frozen=True)
class Lights:
    """Colour under each lighting, over all pixels of some scenes."""

    lightings: tuple[int, ...]
    histograms: np.ndarray  # L,3,256 counts
    dark: np.ndarray  # L, share of object pixels with all channels below DARK
    clipped: np.ndarray  # L, share of object pixels with two or more channels at FULL
    scenes: int

    def table(self) -> pd.DataFrame:
        """Return one row per lighting and channel: mean and deviation of all pixels, 0..1."""
        mean, deviation = moments(self.histograms)
        rows = [
            (n, c, mean[i, k], deviation[i, k])
            for i, n in enumerate(self.lightings)
            for k, c in enumerate("RGB")
        ]
        return pd.DataFrame(rows, columns=["lighting", "channel", "mean", "deviation"])


def moments(histograms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation, 0..1, of counts (..., 256) of 8-bit levels."""
    level = np.arange(256) / 255
    share = histograms / histograms.sum(-1, keepdims=True)
    mean = share @ level
    return mean, np.sqrt(np.maximum(share @ level**2 - mean**2, 0))


def lights(data: Dataset, scenes: Sequence[str]) -> Lights:
    """Count the levels of every channel under every lighting."""
    counts = np.zeros((len(data.lightings), 3, 256), np.int64)
    lost = np.zeros((2, len(data.lightings)), np.int64)
    objects = 0
    for scene in scenes:
        first = data.read(scene, data.lightings[0])
        thing = (first.label != data.background) & (first.label != IGNORE)
        objects += int(thing.sum())
        for i, number in enumerate(data.lightings):
            rgb = first.rgb if i == 0 else data.read_rgb(scene, number)
            counts[i] += [np.bincount(rgb[..., k].ravel(), minlength=256) for k in range(3)]
            seen = rgb[thing]
            lost[0, i] += (seen < DARK).all(-1).sum()
            lost[1, i] += ((seen >= FULL).sum(-1) >= 2).sum()
    dark, clipped = lost / max(objects, 1)
    return Lights(data.lightings, counts, dark, clipped, len(scenes))


def classes(material: Material) -> pd.DataFrame:
    """Return one row per class: scenes and pixels it has in a profile's data, and how often depth is missing."""
    label, valid = material.cache.label, material.cache.valid
    count = len(material.dataset.classes)
    pixels = np.bincount(label.ravel(), minlength=256)[:count]
    holes = np.bincount(label[~valid], minlength=256)[:count]
    scenes = sum(np.bincount(one.ravel(), minlength=256)[:count] > 0 for one in label)
    with np.errstate(invalid="ignore"):
        missing = np.where(pixels > 0, holes / np.maximum(pixels, 1), np.nan)
    return pd.DataFrame(
        {
            "class_id": range(count),
            "class": material.dataset.classes,
            "scenes": scenes,
            "share": pixels / label.size,
            "missing": missing,
        }
    )


def objects(
    data: Dataset, scenes: Sequence[str], ids: Sequence[int], lightings: Sequence[int]
) -> pd.DataFrame:
    """Return one row per lighting and visible object of some classes: colour (0..1), spots, relief, place.

    Spots: the share of its pixels that are a quarter darker than their surroundings. Relief: the range from the
    10th to the 90th percentile of its depth in millimetres. Both without the outline, where depth is ragged.
    """
    metres = data.depth_kind.to_metres
    if metres is None:
        raise UserError(f"{data.name}: depth is an encoding without a length; open it with depth='D16'")
    rows = []
    for scene in scenes:
        frame = data.read(scene, lightings[0])
        millimetres = frame.depth * np.float32(1000 * metres)
        whole = continuous(millimetres)
        pictures = {n: frame.rgb if n == lightings[0] else data.read_rgb(scene, n) for n in lightings}
        for class_id in sorted(set(ids) & set(np.unique(frame.label).tolist())):
            about = {"scene": scene, "class_id": class_id, "class": data.classes[class_id]}
            for box, inside in pieces((frame.label == class_id) & whole):
                low, high = np.percentile(millimetres[box][inside], (10, 90))
                for number, rgb in pictures.items():
                    colour = dict(zip(("red", "green", "blue"), rgb[box][inside].mean(0) / 255, strict=True))
                    spots = float(darker(rgb[box])[inside].mean())
                    rows.append(
                        about
                        | colour
                        | {"lighting": number, "spots": spots, "relief": high - low, "box": box}
                    )
    return pd.DataFrame(rows)


def darker(rgb: np.ndarray, window: int = 15, share: float = 0.75) -> np.ndarray:
    """Return where a pixel has less than a share of the light of its surroundings (their median)."""
    light = rgb.mean(2).astype(np.uint8)
    return (light + 2.0) < share * (cv2.medianBlur(light, window) + 2.0)  # + 2: in the dark, noise is no spot


def continuous(millimetres: np.ndarray, jump: float = 25.0) -> np.ndarray:
    """Return where depth was measured and does not jump to the next pixel: one surface, not two objects."""
    kernel = np.ones((3, 3), np.uint8)
    return (millimetres > 0) & (cv2.dilate(millimetres, kernel) - cv2.erode(millimetres, kernel) < jump)


def pieces(mask: np.ndarray, margin: int = 2) -> list[tuple[tuple[slice, slice], np.ndarray]]:
    """Return every connected part of a mask, largest first: its box, and within it the part without its rim."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    found = []
    for k in sorted(range(1, count), key=lambda k: -stats[k, cv2.CC_STAT_AREA]):
        x, y, width, height, area = stats[k]
        if area < SMALL:
            break
        box = (slice(y, y + height), slice(x, x + width))
        padded = np.pad((parts[box] == k).astype(np.uint8), margin)
        inside = cv2.erode(padded, kernel)[margin:-margin, margin:-margin].astype(bool)
        if inside.sum() >= SMALL // 2:
            found.append((box, inside))
    return found


def separation(values: np.ndarray, groups: np.ndarray) -> float:
    """Return how often a value of the higher group exceeds one of the lower group: 0.5 is chance, 1 is certain."""
    kinds = np.unique(groups)
    if len(kinds) != 2:
        raise UserError(f"separation is asked of two groups, these are {len(kinds)}")
    a, b = (np.asarray(values)[groups == kind] for kind in kinds)
    wins = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    return float(max(wins, 1 - wins))


def told_apart(found: pd.DataFrame, pairs: Sequence[tuple[int, int]], cue: str) -> pd.DataFrame:
    """Return, per lighting, how surely a cue of ``objects`` tells each pair of classes apart (0.5 is chance)."""
    rows = []
    for number, part in found.groupby("lighting"):
        for pair in pairs:
            both = part[part.class_id.isin(pair)]
            if both.class_id.nunique() == 2:
                names = " / ".join(dict(sorted(zip(both.class_id, both["class"], strict=True))).values())
                sure = separation(both[cue].to_numpy(), both.class_id.to_numpy())
                rows.append({"lighting": number, "pair": names, "sure": sure, "objects": len(both)})
    return pd.DataFrame(rows, columns=["lighting", "pair", "sure", "objects"])


def holding(data: MM5, ids: Sequence[int], count: int) -> tuple[str, ...]:
    """Return ``count`` scenes, evenly spaced, that show one of some classes at least."""
    return spread([scene for scene in data.scenes if set(ids) & data.content[scene]], count)


def spread(scenes: Sequence[str], count: int) -> tuple[str, ...]:
    """Return ``count`` scenes, evenly spaced over the order of capture."""
    chosen = np.linspace(0, len(scenes) - 1, min(count, len(scenes))).round().astype(int)
    return tuple(scenes[i] for i in chosen)
