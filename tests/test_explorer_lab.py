"""Chapter 17 in JupyterLab and in Notebook, moved by mouse and by keys as a person would."""

import html
import os
import re
import shutil
from pathlib import Path

import browser_store
import cv2
import numpy as np
import pytest
from browser_tools import alike, chromium, opened, pixels, server, until

from rgbd_lib.explorer import store as stores
from rgbd_lib.explorer.panel import Explorer

CHAPTER = Path(__file__).parents[1] / "notebooks" / "17_explorer.ipynb"
IDLE = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
PROGRAMS = {"jupyterlab": "lab/tree/17_explorer.ipynb", "notebook": "notebooks/17_explorer.ipynb"}
SHORT = {"jupyterlab": False, "notebook": True}  # the second program repeats only one step of each kind

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with stored predictions and no runs."""
    folder = tmp_path_factory.mktemp("results")
    browser_store.make(folder / "quick" / stores.FOLDER)
    return folder


class Shown:
    """The explorer on the page, and its twin in this process that says what has to be seen."""

    def __init__(self, page, twin):
        self.page, self.twin = page, twin
        self.frames = page.locator(".rgbd-picture")

    def control(self, name, kind):
        label = self.page.locator(".widget-label").get_by_text(name, exact=True).first
        return label.locator("xpath=..").locator(kind)

    def check(self, what):
        for n, picture in enumerate([self.twin.strip, *self.twin.pictures]):
            packed = np.frombuffer(picture.value, np.uint8)
            expected = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1]
            until(lambda n=n, e=expected: alike(pixels(self.frames.nth(n)), e), self.page, f"{what}, {n}")
        until(lambda: self.words() == words(self.twin), self.page, f"{what}: the words")

    def words(self):
        parts = [self.page.locator(".rgbd-pixel").inner_text(), self.page.locator(".rgbd-iou").inner_text()]
        return [re.sub(r"\s+", "", part) for part in parts]


def words(twin):
    plain = (re.sub(r"<[^>]*>", "", one.value) for one in (twin.pointed, twin.scores))
    return [re.sub(r"\s+", "", html.unescape(one)) for one in plain]


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_chapter_in_a_browser(program, results, tmp_path, monkeypatch):
    chromium()
    monkeypatch.setenv("RGBD_RESULTS", str(results))
    home = tmp_path / "notebooks"
    home.mkdir(), (tmp_path / "settings").mkdir()
    shutil.copy(CHAPTER, home)
    environment = {"RGBD_RESULTS": str(results), "PYTHONPATH": str(CHAPTER.parents[1])}
    with server(program, home, tmp_path / "settings", environment) as address, opened() as (page, complaints):
        page.goto(address.format(page=PROGRAMS[program]))
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        page.wait_for_function(IDLE)
        own = set(complaints)  # before a cell has run, what a page complains of is the program's
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".rgbd-picture img[src]").nth(2).wait_for()
        shown = Shown(page, Explorer(stores.load(stores.place("quick")), "rgb", "mid"))
        page.locator(".rgbd-picture").nth(1).scroll_into_view_if_needed()
        shown.check("as opened")
        moved(shown)
        if not SHORT[program]:
            all_controls(shown)
            page.wait_for_function(IDLE)
            assert page.locator(".jp-RenderedText[data-mime-type*=stderr]").all_inner_texts() == []
        if folder := os.environ.get("RGBD_SHOTS"):
            page.screenshot(path=f"{folder}/{program}.png")
        assert [c for c in complaints if c not in own] == []
        assert page.title() != "harmed"


def moved(shown):
    """Use the mouse and the keys once each."""
    strip, first = shown.frames.nth(0), shown.frames.nth(1)
    box = strip.bounding_box()
    shown.page.mouse.click(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] / 2)
    shown.twin.light.value = 5
    shown.check("a thumbnail is clicked")
    first.press("ArrowRight"), first.press("ArrowDown")
    shown.twin.jump((1, 6))
    shown.check("arrow keys")
    box = first.bounding_box()
    shown.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.6)
    until(lambda: "truth" in shown.words()[0], shown.page, "a pixel is named")
    named = shown.page.evaluate("document.querySelector('.rgbd-picture .rgbd-mark:not([hidden])').style.left")
    assert abs(float(named.rstrip("%")) - 30) < 2
    shown.twin._point(0.3, 0.6)
    shown.check("pointing")


def all_controls(shown):
    """Move everything that chooses what is seen."""
    twin = shown.twin
    shown.control("scene", "select").select_option("scene 2<i>")
    twin.scene.value = 2
    shown.check("scene")
    shown.control("lighting", "select").select_option("light 3")
    twin.light.value = 2
    shown.check("lighting")
    shown.control("B", "select").select_option("Depth only")
    twin.methods[1].value = "depth"
    shown.check("method B")
    handle = shown.control("opacity", ".noUi-handle")
    for _ in range(3):
        handle.press("ArrowLeft")
    twin.opacity.value = 0.55
    shown.check("opacity")
    for view in ("error", "depth", "confidence", "photograph", "prediction"):
        shown.control("view", "select").select_option(view)
        twin.view.value = view
        shown.check(view)
    shown.control("classes", "select").select_option("Lemon")
    twin.classes.value = (1,)
    shown.check("classes")
    shown.page.get_by_role("button", name="most disagreement").click()
    twin.disagree.click()
    shown.check("most disagreement")
    shown.page.get_by_role("button", name="worst for A").press("Enter")
    twin.worst.click()
    shown.check("worst for A")
    shown.frames.nth(2).press("Shift+ArrowDown")
    twin._key("ArrowDown", True)
    shown.check("a pixel by keys")
