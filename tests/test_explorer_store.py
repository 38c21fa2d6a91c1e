"""Stored predictions: what was predicted comes back, the same bytes come again, and an index is not believed."""

import json
import os

import browser_store
import numpy as np
import pytest

from rgbd_lib import explorer
from rgbd_lib.errors import UserError
from rgbd_lib.explorer import store, views, writing
from rgbd_lib.explorer.live import Lamp
from rgbd_lib.explorer.source import Source
from rgbd_lib.lesson import look
from rgbd_lib.runs import Run, get
from tests.study_fixtures import SETTINGS


@pytest.fixture
def made(tmp_path):
    return browser_store.make(tmp_path / "store")


@pytest.fixture
def trained(run_home, monkeypatch):
    """A tiny run whose profile's settings are its own, so that it counts as a plain one."""
    monkeypatch.setattr(writing, "plain", lambda record: True)
    return get(Run("mid", "smoke", settings=SETTINGS), quiet=True)


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_a_run_predicted_comes_back(trained, tmp_path):
    found = store.load(store.write("smoke", tmp_path / "made", found=[trained]))
    seen, scores = look(trained, scene=1), trained.scores()
    picture = found.picture("mid", 1, 2)
    assert np.array_equal(picture.prediction, seen.prediction[2])
    assert np.array_equal(picture.truth, seen.label)
    assert np.abs(picture.confidence - seen.confidence[2]).max() < 0.5 / writing.STEPS + 0.003
    depth = seen.depth[2]
    assert np.array_equal(np.isnan(picture.depth), np.isnan(depth))
    assert np.nanmax(np.abs(picture.depth - depth)) < np.nanmax(depth) / 254
    assert found.scenes[1].name == scores.scenes[1]
    expected = writing.metrics.iou(scores.matrices[1, 2])
    assert found.iou("mid", 1, 2) == {k: round(float(v), 4) for k, v in enumerate(expected) if v == v}
    assert (found.profile, found.methods["mid"].run) == ("smoke", trained.folder.name)


def test_the_same_runs_give_the_same_bytes(trained, tmp_path):
    first = files(store.write("smoke", tmp_path / "first", found=[trained]))
    second = store.write("smoke", tmp_path / "second", found=[trained])
    (second / "left over.txt").write_text("from an older version")
    assert files(store.write("smoke", second, found=[trained])) == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["first", "second"]


def test_a_live_model_says_what_is_stored_until_something_is_changed(trained, tmp_path, monkeypatch):
    source = Source(store.load(store.write("smoke", tmp_path / "made", found=[trained])))
    monkeypatch.setattr(source.live, "has", lambda method: True)
    sample, photo = source.live.sample(1, 0, Lamp())
    assert photo is None
    answer = source.live.look("mid", sample).prediction[0]
    assert np.array_equal(answer, source.store.maps("mid", 1)[0])
    off = source.see("mid", 1, 0, Lamp(camera=False))
    assert off.live
    assert off.picture.photo.max() == 0
    assert np.array_equal(
        off.picture.prediction, source.see("mid", 1, 1, Lamp(camera=False)).picture.prediction
    )
    blind = source.see("mid", 1, 0, Lamp(depth=False)).picture
    assert np.isnan(blind.depth).all()
    assert (blind.confidence != source.store.confidence("mid", 1)[0]).any()


def test_without_runs_the_error_says_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    with pytest.raises(UserError, match=r"no finished run of profile 'quick'.*rgbd study --profile quick"):
        store.write("quick", tmp_path / "made")
    with pytest.raises(UserError, match=r"no stored predictions in .*quick/explorer.*rgbd explorer"):
        explorer.show()


BAD_NAMES = ["../../etc/passwd", "/etc/passwd", "a/b", "mid\n", "..", "", "Mid", "m" * 40, "mid.png", None, 3]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["name", "run"])
def test_names_of_an_index_do_not_become_paths(made, key, name):
    methods = json.loads((made / store.INDEX).read_text())["methods"]
    methods[0][key] = name
    browser_store.changed(made, methods=methods)
    with pytest.raises(UserError, match=r"index\.json cannot be read"):
        store.load(made)


@pytest.mark.parametrize("name", ["../../etc/passwd", "quick/../..", "/tmp"])
def test_a_profile_name_does_not_become_a_path(name):
    with pytest.raises(UserError, match="unknown profile"):
        explorer.show(name)


BAD_ENTRIES = [
    {"size": [10**9, 10**9]},
    {"size": [24]},
    {"photo": [0, 5]},
    {"classes": "text"},
    {"classes": ["x"] * 300},
    {"lightings": ["one"]},
    {"scenes": []},
    {"methods": []},
    {"format": 99},
    {"seed": "none"},
]


@pytest.mark.parametrize("entries", BAD_ENTRIES, ids=str)
def test_an_index_that_makes_no_sense_is_refused(made, entries):
    browser_store.changed(made, **entries)
    with pytest.raises(UserError, match=r"index\.json cannot be read"):
        store.load(made)


def test_a_picture_of_another_size_or_with_unknown_classes_is_refused(made):
    found = store.load(made)
    writing.save(made / "scene-00-truth.png", np.full(browser_store.SIZE, 77, np.uint8))
    with pytest.raises(UserError, match=r"scene-00-truth\.png holds a class above 3"):
        found.truth(0)
    writing.save(made / "scene-01-truth.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(UserError, match=r"scene-01-truth\.png is no picture of 64 x 24"):
        found.truth(1)
    os.remove(made / "scene-02-truth.png")
    with pytest.raises(UserError, match="make the stored predictions again"):
        found.truth(2)
    with pytest.raises(UserError, match="no stored predictions of 'late'; there are some of rgb, depth, mid"):
        found.maps("late", 0)


def test_the_notebook_escapes_names_of_data(made):
    panel = explorer.show(store.load(made), "rgb", "mid")
    panel._point(0.5, 0.5)
    for text in (
        panel.scores.value,
        panel.pointed.value,
        panel.key.value,
        *(c.value for c in panel.captions),
    ):
        assert "<img" not in text
    assert "&lt;img" in panel.key.value
    assert "&lt;img" in panel.scores.value


def test_a_line_says_what_the_colours_mean(made):
    panel = explorer.show(store.load(made), "rgb", "mid")
    expected = {
        "overlay": ["Lemon", "Cup &amp; &#x27;saucer&#x27;"],
        "error": [name for name, _ in views.ERRORS],
        "confidence": ["unsure", "sure"],
        "depth": ["near, 0.5 m", "far, 1.5 m", "no measurement"],
    }
    for panel.view.value, entries in expected.items():
        assert all(f" {entry}</span>" in panel.key.value for entry in entries)
    assert "Background" not in panel.key.value
    panel.view.value = "photograph"
    assert "<span" not in panel.key.value


def test_keys_wrap_around_and_jumps_follow_the_stored_answers(made):
    found = store.load(made)
    panel = explorer.show(found, "rgb", "mid")
    panel._key("ArrowLeft", False)
    assert (panel.scene.value, panel.light.value) == (0, 7)
    panel.disagree.click()
    share = [views.disagreement(found.maps("rgb", s), found.maps("mid", s)) for s in range(3)]
    assert share[panel.scene.value][panel.light.value] == np.max(share)
    panel.worst.click()
    scores = [[found.miou("rgb", s, n) for n in range(8)] for s in range(3)]
    assert scores[panel.scene.value][panel.light.value] == np.min(scores)


def test_kinds_of_mistakes_have_their_own_colours():
    truth, found = np.array([[0, 1, 1, 1, 255]], np.uint8), np.array([[1, 0, 2, 1, 2]], np.uint8)
    zero = np.zeros(truth.shape)
    picture = store.Picture(np.zeros((1, 5, 3), np.uint8), truth, zero, found, zero)
    layer = views.error(picture, views.Choice("error", 1.0, frozenset(), 0))
    assert layer.cover.tolist() == [[1, 1, 1, 0, 0]]
    assert [tuple(c) for c in layer.colours[0, :3].tolist()] == [views.PAINTED, views.MISSED, views.WRONG]
    painted = views.paint(picture.photo, layer)
    assert painted[0, :, :].tolist()[:3] == [list(views.PAINTED), list(views.MISSED), list(views.WRONG)]
