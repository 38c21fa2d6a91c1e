"""A chapter in JupyterLab or Notebook, and the explorer in it beside its twin in this process."""

import html
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from browser_tools import alike, opened, pixels, server, until

from rgbd_lib.explorer.panel import Explorer

PROJECT = Path(__file__).parents[1]
CHAPTER = PROJECT / "notebooks" / "17_explorer.ipynb"
IDLE = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
PROGRAMS = {"jupyterlab": "lab/tree", "notebook": "notebooks"}
WORDS = (".rgbd-pixel", ".rgbd-iou", ".rgbd-key", ".rgbd-caption")


@contextmanager
def running(program: str, notebook: Path, settings: Path, environment: dict[str, str]) -> Iterator[object]:
    """Yield the page of a notebook that runs all its cells; afterwards nobody may have complained."""
    settings.mkdir()
    places = environment | {"PYTHONPATH": str(PROJECT)}
    size = {"width": 1300, "height": 1600}  # all of the explorer: pointing must not depend on scrolling
    with server(program, notebook.parent, settings, places) as address, opened(**size) as (page, complaints):
        page.goto(address.format(page=f"{PROGRAMS[program]}/{notebook.name}"))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.wait_for_function(IDLE)
        own = set(complaints)  # before a cell has run, what a page complains of is the program's
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".rgbd-picture img[src]").nth(2).wait_for()
        page.locator(".rgbd-picture").nth(1).scroll_into_view_if_needed()
        yield page
        page.wait_for_function(IDLE)
        assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").all_inner_texts() == []
        assert [c for c in complaints if c not in own] == []


class Shown:
    """The explorer on the page, and its twin in this process that says what has to be seen."""

    def __init__(self, page: object, twin: Explorer) -> None:
        self.page, self.twin = page, twin
        self.frames = page.locator(".rgbd-picture")

    def control(self, name: str, kind: str) -> object:
        label = self.page.locator(".widget-label").get_by_text(name, exact=True).first
        return label.locator("xpath=..").locator(kind)

    def point(self, x: float, y: float) -> None:
        """Hover a place of the first picture, 0..1, and leave it: the place stays named."""
        mark = "document.querySelector('.rgbd-picture .rgbd-mark:not([hidden])')?.style.left"

        def there() -> bool:  # again and again: what is drawn above may still move the picture
            self.frames.nth(1).scroll_into_view_if_needed()
            box = self.frames.nth(1).bounding_box()
            self.page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
            return near(self.page.evaluate(mark), 100 * x)

        until(there, self.page, f"the mark is at {x:.0%}")
        self.page.mouse.move(0, 0)
        self.twin._point(x, y)

    def check(self, what: str) -> None:
        for n, expected in enumerate(self.expected()):
            until(lambda n=n, e=expected: alike(pixels(self.frames.nth(n)), e), self.page, f"{what}, {n}")
        until(lambda: self.words() == words(self.twin), self.page, f"{what}: the words")

    def expected(self) -> list[np.ndarray]:
        """Return the twin's thumbnails and its two pictures, H,W,3."""
        packed = [np.frombuffer(p.value, np.uint8) for p in (self.twin.strip, *self.twin.pictures)]
        return [cv2.imdecode(one, cv2.IMREAD_COLOR)[..., ::-1] for one in packed]

    def words(self) -> list[str]:
        return [bare("".join(self.page.locator(one).all_inner_texts())) for one in WORDS]

    def keep(self, name: str) -> None:
        """Write a screenshot where one is wanted."""
        if folder := os.environ.get("RGBD_SHOTS"):
            self.page.screenshot(path=f"{folder}/{name}.png")


def words(twin: Explorer) -> list[str]:
    captions = "".join(one.value for one in twin.captions)
    parts = (twin.pointed.value, twin.scores.value, twin.key.value, captions)
    return [bare(html.unescape(re.sub(r"<[^>]*>", "", part))) for part in parts]


def bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def near(style: str | None, percent: float) -> bool:
    return bool(style) and abs(float(style.rstrip("%")) - percent) < 0.5
