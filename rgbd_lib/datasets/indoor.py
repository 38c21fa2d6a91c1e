"""What NYUv2 and SUN RGB-D share: classes, the meaning of stored labels and depths, the white border."""

from dataclasses import dataclass

import numpy as np

from rgbd_lib.datasets.base import IGNORE, DepthKind
from rgbd_lib.errors import UserError

NYU40 = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf",
    "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat",
    "clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box",
    "whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure",
    "otherfurniture", "otherprop",
)  # fmt: skip
SUN37 = NYU40[:37]
INDOOR13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv",
    "wall", "window",
)  # fmt: skip
_TO_13 = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7,
    7, 7, 7, 7, 6, 7,
)  # fmt: skip  # for the 40 classes, both counted from 1
_SETS = {"nyuv2": NYU40, "sunrgbd": SUN37}
STORED = {data: len(names) for data, names in _SETS.items()}  # classes in the usual label files

# The 27 scene types of NYUv2 as FuseNet groups them: the nine largest, and the rest.
SCENES10 = (
    "bedroom", "kitchen", "living room", "bathroom", "dining room", "office", "home office", "classroom",
    "bookstore", "others",
)  # fmt: skip

NYU_CAMERA = np.array(
    [[518.8579, 0, 325.5824], [0, 519.4696, 253.7362], [0, 0, 1]]
)  # colour, 640x480, pixels from 1
NYU_SIZE = (480, 640)
MILLIMETRES = DepthKind("mm", 0.001)
LEVELS = DepthKind("level", None)

_BAD = 254  # in a label table: a value that the data set does not have
_PLAUSIBLE = (0.5, 6.0)  # metres, for the median of an indoor frame
_BORDER = 0.05  # a white margin wider than this share of the side is part of the picture


def class_names(data: str, classes: int | str | None = None) -> tuple[str, ...]:
    """Return the names of the classes that a data set ("nyuv2" or "sunrgbd") is read with; None is all of them."""
    full = _SETS[data]
    sets = {str(len(full)): full, "13": INDOOR13}
    name = str(len(full) if classes is None else classes)
    if name not in sets:
        raise UserError(f"{data} has {len(full)} or 13 classes; classes={classes} is neither")
    return sets[name]


def scene_class(scene_type: str) -> int:
    """Return the position in ``SCENES10`` of one of NYUv2's scene types ("living_room", "foyer", ...)."""
    name = scene_type.strip().lower().replace("_", " ")
    return SCENES10.index(name) if name in SCENES10 else SCENES10.index("others")


@dataclass(frozen=True)
class LabelRule:
    """How stored label values become class ids: which value is void, how many are stored, how many are wanted."""

    void: int  # 0: stored 1..stored are classes; 255: stored 0..stored-1 are
    stored: int
    classes: int

    def apply(self, label: np.ndarray, where: str) -> np.ndarray:
        """Return uint8 ids with IGNORE where unlabelled; a value that is no class is an error at ``where``."""
        table = np.full(256, _BAD, np.uint8)
        first = 1 if self.void == 0 else 0
        ids = np.arange(self.stored)
        if self.classes == 13 and self.stored != 13:
            ids = np.array(_TO_13[: self.stored]) - 1
        table[first : first + self.stored] = ids
        table[self.void] = table[255] = IGNORE
        top = int(label.max(initial=0))
        bottom = int(label.min(initial=0))
        worst = top if top > 255 or bottom >= 0 else bottom
        if bottom >= 0 and top <= 255:
            read = table[label]
            wrong = label[read == _BAD]
            if not wrong.size:
                return read
            worst = int(wrong.max())
        raise UserError(
            f"{where}: label {worst} is not among {first}..{first + self.stored - 1} (void: {self.void}, 255). "
            f"If the files are right, say what their void value is with void=0 or void=255"
        )


def guess_void(labels: list[np.ndarray], stored: int, default: int) -> int:
    """Tell "0..K-1, void 255" from "0 void, 1..K" by the values that occur; what they leave open is ``default``."""
    values = np.unique(np.concatenate([np.unique(label) for label in labels])) if labels else np.array([])
    if stored in values:
        return 0
    if 255 in values and 0 in values and default == 0:
        return 255
    return default


def to_millimetres(metres: np.ndarray) -> np.ndarray:
    """Return depth in metres as uint16 millimetres; what is no measurement (0, below, NaN, infinite) is 0."""
    with np.errstate(invalid="ignore"):
        counts = np.rint(np.where(np.isfinite(metres) & (metres > 0), metres, 0) * 1000)
    return counts.clip(0, 65535).astype(np.uint16)


def unpack(packed: np.ndarray) -> np.ndarray:
    """Return SUN RGB-D's packed 16-bit depth as millimetres: the bits are rotated by three."""
    return (packed >> np.uint16(3)) | (packed << np.uint16(13))


def looks_packed(counts: np.ndarray) -> bool:
    """Tell packed depth by its low three bits, which are 0 for everything nearer than 8.19 m."""
    measured = counts[counts > 0]
    return bool(measured.size) and float(np.mean((measured & 7) == 0)) > 0.9


def implausible(metres: np.ndarray) -> float | None:
    """Return the median of the measured depths if no room looks like that, else None."""
    measured = metres[metres > 0]
    median = float(np.median(measured)) if measured.size else _PLAUSIBLE[0]
    return None if _PLAUSIBLE[0] <= median <= _PLAUSIBLE[1] else median


def crop_to(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut the middle of H,W out of a larger array; an odd remainder goes at the bottom and on the right."""
    top, left = (array.shape[0] - size[0]) // 2, (array.shape[1] - size[1]) // 2
    return array[top : top + size[0], left : left + size[1]]


def white_border(rgb: np.ndarray) -> np.ndarray:
    """Return H,W bool: the white frame that undistortion left around the colour image."""
    white = (rgb == 255).all(axis=-1)
    border = np.zeros(white.shape, bool)
    for lines, out in ((white.all(axis=1), border), (white.all(axis=0), border.T)):
        limit = int(len(lines) * _BORDER) + 1
        for order in (slice(None), slice(None, None, -1)):
            run = int(np.argmin(lines[order])) if not lines.all() else len(lines)
            if run <= limit:
                out[order][:run] = True
    return border


def nyu_camera(size: tuple[int, int]) -> np.ndarray:
    """Return NYUv2's colour camera for frames that were resized to H,W as a whole."""
    camera = NYU_CAMERA.copy()
    for axis, (new, old) in enumerate(zip(size[::-1], NYU_SIZE[::-1], strict=True)):
        camera[axis, axis] *= new / old
        camera[axis, 2] = (camera[axis, 2] - 0.5) * new / old + 0.5  # pixel centres are whole numbers from 1
    return camera
