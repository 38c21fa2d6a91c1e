"""The explorer's page, opened from a disk in a real browser."""

import re

import browser_store
import numpy as np
import pytest
from browser_tools import alike, opened, pixels, until

from rgbd_lib.explorer import page as pages
from rgbd_lib.explorer import store as stores
from rgbd_lib.explorer import views
from rgbd_lib.explorer.source import Source


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stores.load(browser_store.make(tmp_path_factory.mktemp("made") / "store"))


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    return pages.write(made, tmp_path_factory.mktemp("page") / "out put")


def test_the_page_fetches_nothing_and_escapes_names(written):
    text = written.read_text()
    assert browser_store.HARM not in text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text


def test_a_page_is_the_same_bytes_again(made, written, tmp_path):
    assert pages.write(made.folder, tmp_path).read_bytes() == written.read_bytes()


def test_a_broken_picture_is_named(tmp_path):
    folder = browser_store.make(tmp_path / "store")
    (folder / "map-mid-01.png").write_bytes(b"no picture")
    with pytest.raises(stores.UserError, match=r"map-mid-01\.png is no picture of 64 x 192"):
        pages.write(folder, tmp_path / "page")


class Twin:
    """What Python says the page has to show."""

    def __init__(self, store):
        self.store, self.scene, self.light, self.methods = store, 0, 0, ["rgb", "depth"]
        self.view, self.opacity, self.kinds, self.point = "overlay", 0.7, frozenset(), None

    def pictures(self):
        choice = views.Choice(self.view, self.opacity, self.kinds, self.store.background)
        seen = [self.store.picture(m, self.scene, self.light) for m in self.methods]
        return [views.paint(p.photo, views.VIEWS[self.view](p, choice)) for p in seen]

    def named(self, y, x):
        place = (y + 0.5) / self.store.size[0], (x + 0.5) / self.store.size[1]
        seen = [self.store.picture(m, self.scene, self.light) for m in self.methods]
        found = [views.describe(p, *place, self.store.classes) for p in seen]
        answers = [f"{n}: {k} ({100 * s:.0f} % sure)" for n, (_, k, s) in zip("AB", found, strict=True)]
        return " · ".join([f"truth: {found[0][0]}", *answers])

    def check(self, page, what):
        shown = [page.locator(f"#picture-{n}") for n in "ab"]
        expected = self.pictures()
        until(lambda: all(alike(pixels(s), e) for s, e in zip(shown, expected, strict=True)), page, what)
        means = page.locator("#iou tr").last.locator("td").all_inner_texts()
        assert means == [f"{100 * self.store.miou(m, self.scene, self.light):.0f}" for m in self.methods], (
            what
        )


def test_every_control_changes_the_picture_as_python_says(made, written):
    twin = Twin(made)
    with opened() as (page, complaints):
        page.goto(written.as_uri())
        twin.check(page, "as opened")
        page.select_option("#scene", "1"), page.select_option("#method-b", "2")
        twin.scene, twin.methods[1] = 1, "mid"
        twin.check(page, "scene and method")
        page.locator("#lights canvas").nth(5).click()
        twin.light = 5
        twin.check(page, "a thumbnail is clicked")
        page.locator("#lights input").nth(5).press("ArrowRight")
        twin.light = 6
        twin.check(page, "an arrow on the thumbnails")
        page.locator("#opacity").press("Home"), page.locator("#opacity").press("ArrowRight")
        twin.opacity = 0.05
        twin.check(page, "the slider by keys")
        box = page.locator("#opacity").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        twin.opacity = float(page.locator("#opacity").input_value()) / 100
        assert 0.3 < twin.opacity < 0.7
        twin.check(page, "the slider by mouse")
        for twin.view in views.VIEWS:
            page.select_option("#view", twin.view)
            twin.check(page, f"view {twin.view}")
        page.select_option("#view", "prediction"), page.locator("#kinds summary").click()
        page.locator("#classes input").nth(1).uncheck()
        twin.view, twin.kinds = "prediction", frozenset({0, 2, 3})
        twin.check(page, "a class is hidden")
        assert page.title().startswith("Explorer")
        assert complaints == []


def test_keys_pointing_and_jumps_say_what_python_says(made, written):
    twin, source = Twin(made), Source(made)
    with opened(width=390, height=844) as (page, complaints):
        page.goto(written.as_uri())
        twin.check(page, "as opened")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        picture = page.locator("#picture-a")
        for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
            picture.press(key)
        twin.scene, twin.light = 2, 2
        twin.check(page, "arrow keys")
        picture.press("Shift+ArrowRight")
        assert page.inner_text("#pixel") == twin.named(12, 33)
        box = picture.bounding_box()
        for y, x in ((1, 1), (15, 40), (8, 20)):
            page.mouse.move(
                box["x"] + (x + 0.5) / 64 * box["width"], box["y"] + (y + 0.5) / 24 * box["height"]
            )
            assert page.inner_text("#pixel") == twin.named(y, x)
        page.click("#disagree")
        twin.scene, twin.light = source.most_disagreement(*twin.methods)
        twin.check(page, "most disagreement")
        page.locator("#worst").focus(), page.keyboard.press("Enter")
        twin.scene, twin.light = source.worst(twin.methods[0])
        twin.check(page, "worst for A")
        assert page.locator("#picture-a").get_attribute("aria-label") == (
            f"overlay of scene {twin.scene}<i>, light {twin.light + 1}, by RGB only"
        )
        assert not page.locator("select:not(label select), input:not(label input)").count()
        assert complaints == []


def test_the_views_differ(made):
    twin = Twin(made)
    shown = []
    for twin.view in views.VIEWS:
        shown.append(twin.pictures()[0])
    assert len({s.tobytes() for s in shown}) == len(views.VIEWS)
    assert np.array_equal(shown[-1], made.photos(0)[0])
