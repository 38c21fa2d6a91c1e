"""The 32 classes, which modality can tell which of them apart, and the score that follows for a single one.

Every class of a group is drawn equally often, and everything else about it (size, place, pose, reflectance in
the infrared) is drawn without looking at the class. A modality without the cue that separates n classes can only
guess. If it answers each with probability 1/n, a class of mass 1 has 1/n of it right, 1 - 1/n missed and as much
taken wrongly from the others: IoU = 1 / (2n - 1), that is 1/3 for a pair. No other guess does better on average.
"""

from collections import Counter
from typing import Literal

import numpy as np

CLASSES: tuple[str, ...] = (
    "Background",
    *("Lemon", "Lemon Bad", "Lemon Fake", "Mirror", "Bowl", "Mandarin", "Mandarin Bad", "Mandarin Fake"),
    *("Kettle", "Lemon Half", "Mandarin Half", "Mandarin Peel", "Cup Hot", "Onion Red", "Onion"),
    *("Grapes Green", "Grapes Green Bad", "Grapes Green Fake"),
    *("Grapes Blue Fake", "Grapes Blue", "Grapes Blue Bad"),
    *("Apple", "Apple Fake", "Apple Green", "Apple Green Bad", "Apple Green Fake"),
    *("Cup Cold", "Pear", "Pear Bad", "Carrot", "Carrot Fake"),
)

KINDS: dict[str, tuple[int, ...]] = {
    "lemon": (1, 2, 3),
    "mirror": (4,),
    "bowl": (5,),
    "mandarin": (6, 7, 8),
    "kettle": (9,),
    "lemon half": (10,),
    "mandarin half": (11,),
    "mandarin peel": (12,),
    "cup": (13, 27),
    "onion": (14, 15),
    "grapes": (16, 17, 18, 19, 20, 21),
    "apple": (22, 23, 24, 25, 26),
    "pear": (28, 29),
    "carrot": (30, 31),
}
"""Kind of object -> its classes: one distribution of shapes, sizes and poses per kind."""

KIND_OF: dict[int, str] = {c: kind for kind, ids in KINDS.items() for c in ids}

FAKE: frozenset[int] = frozenset(i for i, name in enumerate(CLASSES) if name.endswith("Fake"))
BAD: frozenset[int] = frozenset(i for i, name in enumerate(CLASSES) if name.endswith("Bad"))

Modality = Literal["rgb", "depth", "both"]


def cues(class_id: int) -> tuple[str, str]:
    """Return what colour shows of a class and what depth shows of it, as two comparable names."""
    kind, name = KIND_OF[class_id], CLASSES[class_id]
    variety = next((v for v in ("Green", "Blue", "Red") if v in name), "")
    colour = f"{kind} {variety} {'spotted' if class_id in BAD else 'clean'}"
    return colour, f"{kind} {'flat' if class_id in FAKE else 'solid'}"


GROUPS: dict[str, tuple[int, ...]] = {
    "apple square": (22, 23, 24, 26),
    "grape square": (20, 19, 16, 18),
    "lemon": (1, 2, 3),
    "mandarin": (6, 7, 8),
    "apple green": (24, 25, 26),
    "grapes green": (16, 17, 18),
    "grapes blue": (20, 21, 19),
    "pear": (28, 29),
    "onion": (15, 14),
    "carrot": (30, 31),
    "cups": (13, 27),
}
"""Classes that differ in one or two cues only. The squares need both modalities, the cups cannot be told."""


def ceiling(classes: tuple[int, ...], modality: Modality) -> float:
    """Return the best mean IoU (0..1) over these equally frequent classes that a modality allows."""
    both = [cues(c) for c in classes]
    seen = [{"rgb": colour, "depth": shape, "both": (colour, shape)}[modality] for colour, shape in both]
    alike = Counter(seen)
    return sum(1 / (2 * alike[cue] - 1) for cue in seen) / len(classes)


CEILINGS: dict[str, dict[Modality, float]] = {
    name: {m: ceiling(ids, m) for m in ("rgb", "depth", "both")} for name, ids in GROUPS.items()
}
"""Group -> {"rgb", "depth", "both"} -> best mean IoU by construction, on object interiors."""


def _colours() -> np.ndarray:
    table = {
        "lemon": ("#FFE119", "#A69500", "#FFF3A0"),
        "mirror": ("#9AD9FF",),
        "bowl": ("#B0C4DE",),
        "mandarin": ("#FF8C00", "#A34F00", "#FFC680"),
        "kettle": ("#808A96",),
        "lemon half": ("#D4FF00",),
        "mandarin half": ("#FF5A36",),
        "mandarin peel": ("#C96A4A",),
        "cup": ("#FF4FA3", "#4F7BFF"),
        "onion": ("#8E1B5E", "#C08A3E"),
        "grapes": ("#7FD000", "#4A7300", "#C6F279", "#B39DFF", "#4B2FCB", "#2B1A66"),
        "apple": ("#E6001F", "#FF9AA5", "#2ECC40", "#1B6B28", "#A8F0B0"),
        "pear": ("#B8C400", "#6E7000"),
        "carrot": ("#FF6F00", "#FFB98A"),
    }
    out = np.zeros((len(CLASSES), 3), np.uint8)
    for kind, ids in KINDS.items():
        for class_id, code in zip(ids, table[kind], strict=True):
            out[class_id] = [int(code[i : i + 2], 16) for i in (1, 3, 5)]
    return out


COLOURS: np.ndarray = _colours()
"""32 x 3 uint8, R G B: one colour per class; a kind shares its hue, Background is black."""
