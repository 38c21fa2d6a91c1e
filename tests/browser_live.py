"""What a person does with the controls that ask trained models, by mouse and by keys; A is `rgb`, B is `se`."""

from collections.abc import Callable

import cv2
import numpy as np
from browser_lab import WORDS, Shown, words
from browser_tools import alike, pixels, until

from rgbd_lib.explorer.live import Lamp

LIGHT = 2  # position of the reference lighting, the one that the chapters dim
GATE = "confidence, layer1"  # what `se` reports of itself


def restore(shown: Shown) -> None:
    """Undo everything by keys: the stored answers come back."""
    twin, handle = shown.twin, shown.control("dimmer", ".noUi-handle")
    handle.press("Home"), pressed(handle, 4)
    for box, control in (("camera on", twin.camera), ("depth sensor on", twin.depth)):
        if not control.value:
            shown.page.get_by_role("checkbox", name=box, exact=True).press("Space")
    shown.control("inside of", "select").select_option("nothing")
    shown.control("view", "select").select_option("overlay")
    twin.stops.value, twin.camera.value, twin.depth.value = 0, True, True
    twin.inside.value, twin.view.value = "", "overlay"
    shown.check("as stored again")
    assert not any(seen.live for seen in twin.seen)


def change(
    shown: Shown, side: int, lamp: Lamp, move: Callable[[], object], tell: Callable[[], object]
) -> bool:
    """Point where an answer is going to change, make the change, see it in pixels and words; say if scores moved."""
    twin = shown.twin
    name, where = twin.chosen()[side], (twin.scene.value, twin.light.value)
    after = twin.source.see(name, *where, lamp).picture.prediction
    x, y = amid(after != twin.seen[side].picture.prediction)
    shown.point(x, y)
    shown.check("before the change")
    said, colour = words(twin), patch(shown.expected()[1 + side], x, y)
    move(), tell()
    shown.check(f"{lamp}")
    assert twin.seen[side].live
    now = patch(shown.expected()[1 + side], x, y)
    assert np.abs(now - colour).mean() > 10, "the picture stayed"
    assert np.abs(now - patch(pixels(shown.frames.nth(1 + side)), x, y)).mean() < 10, "not as computed"
    stayed = {what for what, old, new in zip(WORDS, said, words(twin), strict=True) if old == new}
    assert not stayed & {".rgbd-pixel", ".rgbd-caption"}
    return ".rgbd-iou" not in stayed  # a few pixels may not show in whole per cent


def amid(changed: np.ndarray) -> tuple[float, float]:
    """Return a place x, y, 0..1, that lies as far inside of what has changed as there is one."""
    assert changed.any(), "nothing changes"
    inside = cv2.blur(changed.astype(np.float32), (3, 3)) * changed
    row, column = np.unravel_index(inside.argmax(), changed.shape)
    return (column + 0.5) / changed.shape[1], (row + 0.5) / changed.shape[0]


def patch(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the 3 x 3 pixels around a place."""
    row, column = int(y * picture.shape[0]), int(x * picture.shape[1])
    return picture[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].astype(int)


def dimmed(shown: Shown) -> None:
    """Move the dimmer by keys, by a click on its track and by dragging."""
    handle = shown.control("dimmer", ".noUi-handle")
    assert change(shown, 0, Lamp(3.0), lambda: pressed(handle, 6), lambda: set_stops(shown, 3, 3))
    track = shown.control("dimmer", ".noUi-base").bounding_box()
    middle = track["y"] + track["height"] / 2
    shown.page.mouse.click(track["x"] + 0.9 * track["width"], middle)
    set_stops(shown, 6, 8)
    shown.check("a click on the dimmer's track")
    handle.hover()
    shown.page.mouse.down()
    for share in (0.6, 0.3, 0.05):
        shown.page.mouse.move(track["x"] + share * track["width"], middle)
    shown.page.mouse.up()
    set_stops(shown, -2, -1)
    shown.check("the dimmer dragged beyond the data's light")


def pressed(handle: object, times: int) -> None:
    for _ in range(times):
        handle.press("ArrowRight")


def set_stops(shown: Shown, least: float, most: float) -> None:
    """Give the twin the value that the page prints beside the slider, as soon as it is one that is expected."""
    readout = shown.control("dimmer", ".widget-readout")

    def value() -> float:
        return float(readout.inner_text().replace("−", "-"))

    until(lambda: least <= value() <= most, shown.page, f"a dimmer between {least} and {most}")
    shown.twin.stops.value = value()


def blind(shown: Shown) -> None:
    """Switch the depth sensor off by mouse: only the method that has one says something else."""
    twin, box = shown.twin, shown.page.get_by_role("checkbox", name="depth sensor on", exact=True)
    colour = twin.seen[0].picture.prediction
    change(shown, 1, Lamp(depth=False), box.click, lambda: setattr(twin.depth, "value", False))
    np.testing.assert_array_equal(twin.seen[0].picture.prediction, colour)
    shown.control("view", "select").select_option("depth")
    twin.view.value = "depth"
    shown.check("no measurement anywhere")


def in_the_dark(shown: Shown) -> None:
    """Switch the camera off by key; then no lighting makes a difference."""
    twin, box = shown.twin, shown.page.get_by_role("checkbox", name="camera on", exact=True)
    assert change(
        shown, 0, Lamp(camera=False), lambda: box.press("Space"), lambda: setattr(twin.camera, "value", False)
    )
    assert twin.seen[0].picture.photo.max() == 0
    said = [seen.picture.prediction for seen in twin.seen]
    shown.frames.nth(1).press("ArrowRight")
    twin.jump((0, LIGHT + 1))
    shown.check("another lighting, not seen")
    assert all(
        np.array_equal(old, seen.picture.prediction) for old, seen in zip(said, twin.seen, strict=True)
    )
    shown.frames.nth(1).press("ArrowLeft")
    twin.jump((0, LIGHT))


def looked_inside(shown: Shown) -> None:
    """Choose a map of the method's own, and dim the light under it."""
    twin = shown.twin
    overlay = shown.expected()
    shown.control("inside of", "select").select_option(GATE)
    twin.inside.value = GATE
    shown.check("inside of the gate")
    gate = shown.expected()
    assert not alike(overlay[2], gate[2])
    assert alike(overlay[1], gate[1])  # colour alone reports no gate: its view stays
    ends = twin.key.value
    shown.control("dimmer", ".noUi-handle").press("End")
    twin.stops.value = 8
    shown.check("the gate in the dark")
    assert (
        twin.key.value != ends
    )  # the map's lowest and highest value, which the page has been found to print


STEPS = (dimmed, blind, in_the_dark, looked_inside)
