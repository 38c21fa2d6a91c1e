"""What can be laid over a photograph: each view is a picture of colours and how much of it covers each pixel."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.explorer.store import Picture
from rgbd_lib.palette import IGNORED, class_colours

# Ends of the scale of confidence and of gates, and of depth.
DARK, BRIGHT = np.array([13, 8, 61]), np.array([250, 240, 120])
NEAR, FAR = np.array([253, 231, 55]), np.array([0, 32, 77])
MISSED, PAINTED, WRONG = (3, 87, 245), (251, 122, 39), (171, 25, 2)  # the figures' colours of errors
ERRORS = (("object missed", MISSED), ("background painted", PAINTED), ("wrong class", WRONG))


@dataclass(frozen=True)
class Layer:
    """Colours h,w,3 uint8 and cover h,w in 0..1."""

    colours: np.ndarray
    cover: np.ndarray


@dataclass(frozen=True)
class Choice:
    """How a picture is shown."""

    view: str
    opacity: float
    classes: frozenset[int]  # empty: all
    background: int | None


def photograph(picture: Picture, choice: Choice) -> Layer:
    """Show the photograph alone."""
    return Layer(in_colours(picture.truth), np.zeros(picture.truth.shape, np.float32))


def depth(picture: Picture, choice: Choice) -> Layer:
    """Show depth from near (bright) to far (dark), missing pixels in the colour of what is unknown."""
    near, far = ends(picture.depth)
    colours = scale((picture.depth - near) / max(far - near, 1e-9), NEAR, FAR)
    colours[np.isnan(picture.depth)] = IGNORED
    return whole(colours)


def truth(picture: Picture, choice: Choice) -> Layer:
    """Show the label."""
    return Layer(in_colours(picture.truth), shown(choice)[picture.truth])


def prediction(picture: Picture, choice: Choice) -> Layer:
    """Show the predicted classes."""
    return Layer(in_colours(picture.prediction), shown(choice)[picture.prediction])


def overlay(picture: Picture, choice: Choice) -> Layer:
    """Lay the predicted objects over the photograph."""
    cover = shown(choice) * np.float32(choice.opacity)
    if choice.background is not None:
        cover[choice.background] = 0
    return Layer(in_colours(picture.prediction), cover[picture.prediction])


def labelled(picture: Picture, choice: Choice) -> Layer:
    """Lay the true objects over the photograph: what ``overlay`` should look like."""
    return overlay(replace(picture, prediction=picture.truth), choice)


def error(picture: Picture, choice: Choice) -> Layer:
    """Lay three kinds of wrong pixels over the photograph."""
    true, found = picture.truth, picture.prediction
    wrong = (true != found) & (true != IGNORE)
    kind = np.where(true == choice.background, 1, np.where(found == choice.background, 0, 2))
    colours = np.array([colour for _, colour in ERRORS], np.uint8).take(kind, axis=0)
    cover = shown(choice) * np.float32(choice.opacity)
    return Layer(colours, wrong * np.maximum(cover[true], cover[found]))


def confidence(picture: Picture, choice: Choice) -> Layer:
    """Show the score of the predicted class, 0 dark to 1 bright."""
    return Layer(scale(picture.confidence, DARK, BRIGHT), shown(choice)[picture.prediction])


VIEWS: dict[str, Callable[[Picture, Choice], Layer]] = {
    "overlay": overlay,
    "error": error,
    "prediction": prediction,
    "truth": truth,
    "confidence": confidence,
    "depth": depth,
    "photograph": photograph,
}


def inside(values: np.ndarray) -> Layer:
    """Show a map of a method's own, lowest dark to highest bright."""
    low, high = float(values.min()), float(values.max())
    return whole(scale((values - low) / (high - low or 1), DARK, BRIGHT))


def shown(choice: Choice) -> np.ndarray:
    """Return 1 for each class id 0..255 that is among the chosen ones, else 0."""
    if not choice.classes:
        return np.ones(256, np.float32)
    return np.isin(np.arange(256), list(choice.classes)).astype(np.float32)


def in_colours(classes: np.ndarray) -> np.ndarray:
    """Return class ids in their colours."""
    return class_colours().take(classes, axis=0)


def ends(depth: np.ndarray) -> tuple[float, float]:
    """Return the nearest and the farthest distance; 0 and 1 where nothing was measured."""
    return (0.0, 1.0) if np.isnan(depth).all() else (float(np.nanmin(depth)), float(np.nanmax(depth)))


def whole(colours: np.ndarray) -> Layer:
    """Return a layer that covers everything."""
    return Layer(colours, np.ones(colours.shape[:2], np.float32))


def scale(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return colours between two ends, in 256 steps, for values 0..1; NaN counts as 0."""
    steps = np.round(low + np.linspace(0, 1, 256)[:, None] * (high - low)).astype(np.uint8)
    # Plus a half and cut off is rounding; fmax prefers any number to a NaN.
    level = np.fmin(np.fmax(values, 0), 1) * np.float32(255) + np.float32(0.5)
    return steps.take(level.astype(np.uint8), axis=0)


def paint(photo: np.ndarray, layer: Layer) -> np.ndarray:
    """Lay a layer of any size over a photograph H,W,3."""
    size = photo.shape[1::-1]
    colours = cv2.resize(layer.colours, size, interpolation=cv2.INTER_NEAREST)
    cover = cv2.resize(layer.cover.astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    return cv2.blendLinear(photo, colours, 1 - cover, cover)


def disagreement(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the share of pixels that two answers ...,h,w call differently."""
    return (first != second).mean((-2, -1))


def describe(picture: Picture, y: float, x: float, classes: Sequence[str]) -> tuple[str, str, float]:
    """Return truth, predicted class and confidence at a place, 0..1 from the upper left corner."""
    height, width = picture.truth.shape
    at = min(int(y * height), height - 1), min(int(x * width), width - 1)
    true = int(picture.truth[at])
    name = "ignored" if true == IGNORE else classes[true]
    return name, classes[int(picture.prediction[at])], float(picture.confidence[at])
