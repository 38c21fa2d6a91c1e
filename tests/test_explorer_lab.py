"""Chapter 17 with stored predictions in JupyterLab and in Notebook, moved by mouse and by keys as a person would."""

import shutil

import browser_store
import pytest
from browser_lab import CHAPTER, PROGRAMS, Shown, running
from browser_tools import chromium

from rgbd_lib.explorer import store as stores
from rgbd_lib.explorer.panel import Explorer

SHORT = {"jupyterlab": False, "notebook": True}  # the second program repeats only one step of each kind

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with stored predictions and no runs."""
    folder = tmp_path_factory.mktemp("results")
    browser_store.make(folder / "quick" / stores.FOLDER)
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_chapter_in_a_browser(program, results, tmp_path, monkeypatch):
    chromium()
    monkeypatch.setenv("RGBD_RESULTS", str(results))
    home = tmp_path / "notebooks"
    home.mkdir()
    shutil.copy(CHAPTER, home)
    with running(program, home / CHAPTER.name, tmp_path / "set", {"RGBD_RESULTS": str(results)}) as page:
        shown = Shown(page, Explorer(stores.load(stores.place("quick")), "rgb", "mid"))
        shown.check("as opened")
        assert (
            page.get_by_text("not on this machine").count() == 1
        )  # and nothing that needs weights can be moved
        assert page.get_by_role("checkbox", name="camera on").is_disabled()
        moved(shown)
        if not SHORT[program]:
            all_controls(shown)
        shown.keep(program)
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
    handle = shown.control("opacity", ".noUi-handle")
    for _ in range(3):
        handle.press("ArrowLeft")
    shown.twin.opacity.value = 0.55
    shown.check("a slider by keys, which the notebook must not take")
    shown.point(0.3, 0.6)
    shown.check("pointing")
    assert "truth" in shown.words()[0]


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
