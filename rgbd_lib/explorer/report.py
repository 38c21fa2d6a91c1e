"""The explorer's words: every name from data is escaped before it becomes part of a page."""

from collections.abc import Callable, Sequence
from html import escape

import cv2
import numpy as np

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.explorer import views
from rgbd_lib.explorer.source import Seen
from rgbd_lib.explorer.store import Store
from rgbd_lib.palette import IGNORED, class_colours

Entries = list[tuple[str, Sequence[int]]]  # what a colour means, and the colour
ABSENT = (
    "<small>Dimmer and sensors need the trained weights of A and B and the data they learned from, which are not on "
    "this machine.</small>"
)
UNLIT = "<small>The dimmer needs scenes that this renderer made; these cannot be lit anew.</small>"
EMPTY = "Point at a picture, or press Shift with an arrow key, to name a pixel."


def caption(store: Store, seen: Seen) -> str:
    """Return a picture's score and where the picture comes from."""
    kind = "synthetic data" if store.synthetic else store.data
    how = "asked just now" if seen.live else "stored"
    where = escape(f"{kind}, profile {store.profile}")
    return f"<small class='rgbd-caption'>image mIoU <b>{percent(seen.miou)} %</b> · {how} · {where}</small>"


def table(store: Store, both: Sequence[Seen]) -> str:
    """Return the IoU of every class that is in the truth or in an answer, a column per method."""
    classes = sorted(set().union(*(seen.iou for seen in both)))
    head = "".join(f"<th scope='col'>{escape(store.methods[s.method].title)}</th>" for s in both)
    rows = [
        f"<tr><th scope='row'>{swatch(k)} {escape(store.classes[k])}</th>"
        + "".join(f"<td>{percent(seen.iou.get(k, float('nan')))}</td>" for seen in both)
        + "</tr>"
        for k in classes
    ]
    mean = "".join(f"<td><b>{percent(seen.miou)}</b></td>" for seen in both)
    return (
        "<table class='rgbd-iou'><caption>IoU (%) of the classes in this image</caption>"
        f"<tr><th scope='col'>class</th>{head}</tr>{''.join(rows)}<tr><th scope='row'>mean</th>{mean}</tr></table>"
    )


def key(store: Store, view: str, both: Sequence[Seen]) -> str:
    """Return what the colours of the pictures mean."""
    entries = [] if all(seen.inside is not None for seen in both) else KEYS.get(view, objects)(store, both)
    for letter, seen in zip("AB", both, strict=True):
        if seen.inside is not None:
            low, high = float(seen.inside.min()), float(seen.inside.max())
            entries += [(f"{letter}: lowest {low:.3g}", views.DARK), (f"highest {high:.3g}", views.BRIGHT)]
    items = (f"<span>{square(colour)} {escape(text)}</span>" for text, colour in entries)
    return f"<div class='rgbd-key'>{''.join(items)}</div>"


def objects(store: Store, both: Sequence[Seen]) -> Entries:
    """Return the objects that the truth or an answer holds."""
    maps = (a for seen in both for a in (seen.picture.truth, seen.picture.prediction))
    found = np.flatnonzero(sum(cv2.calcHist([one], [0], None, [256], [0, 256]) for one in maps))
    hidden = (store.background, IGNORE)
    return [(store.classes[k], class_colours()[k]) for k in found.tolist() if k not in hidden]


def errors(store: Store, both: Sequence[Seen]) -> Entries:
    """Return the kinds of mistakes."""
    return list(views.ERRORS)


def confidence(store: Store, both: Sequence[Seen]) -> Entries:
    """Return the ends of the scale of confidence."""
    return [("unsure", views.DARK), ("sure", views.BRIGHT)]


def depth(store: Store, both: Sequence[Seen]) -> Entries:
    """Return the ends of the scale of depth, which A and B share."""
    near, far = views.ends(both[0].picture.depth)
    known = [(f"near, {near:.3g} {store.unit}", views.NEAR), (f"far, {far:.3g} {store.unit}", views.FAR)]
    return [*known, ("no measurement", IGNORED)]


KEYS: dict[str, Callable[[Store, Sequence[Seen]], Entries]] = {
    "error": errors,
    "confidence": confidence,
    "depth": depth,
    "photograph": lambda store, both: [],
}


def named(store: Store, both: Sequence[Seen], point: Sequence[float]) -> str:
    """Return truth, answers and confidence at a place."""
    if len(point) != 2:
        return f"<span class='rgbd-pixel'>{EMPTY}</span>"
    parts = [views.describe(seen.picture, point[1], point[0], store.classes) for seen in both]
    answers = [
        f"{letter}: <b>{escape(found)}</b> ({percent(sure)} % sure)"
        for letter, (_, found, sure) in zip("AB", parts, strict=True)
    ]
    return f"<span class='rgbd-pixel'>truth: <b>{escape(parts[0][0])}</b> · {' · '.join(answers)}</span>"


def percent(share: float) -> str:
    """Return a share in whole per cent, a dash where there is none."""
    return "–" if share != share else f"{100 * share:.0f}"


def swatch(class_id: int) -> str:
    """Return a square in a class's colour."""
    return square(class_colours()[class_id])


def square(rgb: Sequence[int]) -> str:
    """Return a small square in a colour."""
    colour = f"rgb({','.join(str(int(part)) for part in rgb)})"
    return f"<span style='display:inline-block;width:.8em;height:.8em;background:{colour};border:1px solid #888'></span>"


def strip(store: Store, light: int) -> str:
    """Return what the thumbnails show."""
    return f"{len(store.lightings)} lightings, {store.lightings[light]} is shown; arrow keys choose another"
