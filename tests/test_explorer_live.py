"""The explorer asks trained models: dimmed lamps, sensors that are off, and what a method looks at.

The answers are those of the study's own code; in a browser, the page shows what this process computes.
"""

import json
import shutil

import browser_live
import nbformat
import numpy as np
import pytest
from browser_lab import CHAPTER, PROGRAMS, Shown, running
from browser_tools import chromium

from rgbd_lib import corruptions, dimmer, lesson, paths
from rgbd_lib.conditions import Condition
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.explorer import report, writing
from rgbd_lib.explorer import store as stores
from rgbd_lib.explorer.live import Lamp
from rgbd_lib.explorer.panel import Explorer
from rgbd_lib.explorer.source import Source
from rgbd_lib.runs import Run, get

# Enough for answers that depend on the picture, in seconds; what is learned does not matter here.
SETTINGS = {"prior": False, "loss": "ohem", "lr": 8e-3, "epochs": 6, "augment": False, "size": (32, 64)}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A project with small synthetic data, two trained methods and their stored predictions."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        for name, place in {"HOME": "", "RESULTS": "results", "CACHE": "cache"}.items():
            patch.setenv(f"RGBD_{name}", str(folder / place))
        data = folder / "data" / "mm5_synth"
        write(data, scenes=24, size=(120, 160), jobs=1, progress=False)
        found = [get(Run(m, "smoke", data=str(data), settings=SETTINGS), quiet=True) for m in ("rgb", "se")]
        patch.setattr(writing, "plain", lambda record: True)
        stores.write("smoke", found=found, scenes=3)
        yield folder


@pytest.fixture
def source(home):
    return Source(stores.load(stores.place("smoke")))


@pytest.fixture
def panel(home):
    return Explorer(stores.load(stores.place("smoke")), "rgb", "se")


def same(seen, look):
    """Check that the explorer's answer is that of a lesson's look; return whether a model gave it."""
    picture = seen.picture
    np.testing.assert_array_equal(picture.prediction, look.prediction[0])
    np.testing.assert_allclose(picture.confidence, look.confidence[0], atol=1e-5)
    np.testing.assert_array_equal(picture.truth, look.label)
    return seen.live


@pytest.mark.parametrize("method", ["rgb", "se"])
@pytest.mark.parametrize("stops", [-1.5, 3.0])
def test_a_dimmed_answer_is_that_of_the_study_of_dimming(source, method, stops):
    darker = [Condition("dimmed", browser_live.LIGHT, stop=stops)]
    seen = source.see(method, 0, browser_live.LIGHT, Lamp(stops))
    assert same(seen, lesson.look(source.live.record(method), 0, darker))
    stored = source.store.photos(0)[browser_live.LIGHT].mean()
    assert seen.picture.photo.mean() > 1.1 * stored if stops < 0 else seen.picture.photo.mean() < 0.5 * stored


@pytest.mark.parametrize("method", ["rgb", "se"])
@pytest.mark.parametrize(
    ("lamp", "name"), [(Lamp(camera=False), "rgb_off"), (Lamp(depth=False), "depth_off")]
)
def test_an_answer_without_a_sensor_is_that_of_the_robustness_study(source, method, lamp, name):
    failing = [Condition(name, 5, corruptions.Setting(name, 1))]
    seen = source.see(method, 0, 5, lamp)
    assert same(seen, lesson.look(source.live.record(method), 0, failing))
    stored = source.see(method, 0, 5)
    changed = (seen.picture.prediction != stored.picture.prediction).mean()
    assert (changed == 0) == (method == "rgb" and lamp.camera)  # colour alone cannot miss the depth sensor


def test_the_map_of_a_gate_is_what_the_method_reports(source):
    sample, _ = source.live.sample(1, browser_live.LIGHT, Lamp(2.0))
    explain = source.live.look("se", sample, explain=True).output.explain
    seen = source.see("se", 1, browser_live.LIGHT, Lamp(2.0), browser_live.GATE)
    np.testing.assert_array_equal(seen.inside, explain["layer1/confidence"][0, 0].float().numpy())
    assert browser_live.GATE in source.maps_of(["rgb", "se"])
    assert source.maps_of(["rgb"]) == []
    assert source.see("rgb", 1, browser_live.LIGHT, Lamp(2.0), browser_live.GATE).inside is None


def test_opacity_and_views_ask_no_model_again(panel, monkeypatch):
    panel.stops.value = 3
    monkeypatch.setattr(panel.source.live, "look", lambda *a, **k: pytest.fail("asked again"))
    before = panel.pictures[0].value
    panel.opacity.value, panel.view.value = 0.3, "error"
    assert panel.pictures[0].value != before
    assert all(seen.live for seen in panel.seen)


def test_a_strip_that_stays_is_not_sent_again(panel):
    number = panel.strip.number
    panel.opacity.value, panel.stops.value = 0.3, 2
    assert panel.strip.number == number
    panel.light.value = 4
    assert panel.strip.number == number + 1


def test_without_one_of_the_weights_both_answers_are_the_stored_ones(home, monkeypatch, tmp_path):
    shutil.copytree(home / "results", tmp_path / "results")
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "results"))
    panel = Explorer(stores.load(stores.place("smoke")), "rgb", "rgb")
    panel.stops.value, panel.camera.value = 3, False
    assert all(seen.live for seen in panel.seen)
    (panel.source.live.folder("se") / "best.safetensors").unlink()
    panel.methods[1].value = "se"
    assert not any(seen.live for seen in panel.seen)
    assert all(one.disabled for one in (panel.stops, panel.camera, panel.depth, panel.inside))
    assert panel.status.value == report.ABSENT


def test_a_model_of_other_data_is_not_asked(home, monkeypatch, tmp_path):
    shutil.copytree(home / "results", tmp_path / "results")
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "results"))
    source = Source(stores.load(stores.place("smoke")))
    path = source.live.folder("se") / "run.json"
    info = json.loads(path.read_text())
    info["data"]["identity"] = "of other pictures"
    path.write_text(json.dumps(info))
    assert source.live.has("rgb")
    assert not source.live.has("se")
    assert not source.see("se", 0, 0, Lamp(3.0)).live


def test_scenes_of_another_renderer_keep_their_sensors_but_not_the_dimmer(home, monkeypatch):
    monkeypatch.setattr(dimmer, "VERSION", "another")
    panel = Explorer(stores.load(stores.place("smoke")), "rgb", "se")
    assert panel.stops.disabled
    assert panel.status.value == report.UNLIT
    panel.depth.value = False
    assert panel.seen[1].live


# -- in a browser --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_dimmer_sensors_and_gates_in_a_browser(program, home, panel, tmp_path):
    chromium()
    notebook = tmp_path / "notebooks" / CHAPTER.name
    notebook.parent.mkdir()
    chapter = nbformat.read(CHAPTER, 4)
    cell = next(cell for cell in chapter.cells if "parameters" in cell.metadata.get("tags", ()))
    cell.source = "profile, methods, a, b = 'smoke', ['rgb', 'se'], 'rgb', 'se'"
    nbformat.write(chapter, notebook)
    with running(program, notebook, tmp_path / "settings", paths.environment()) as page:
        shown = Shown(page, panel)
        shown.check("as opened")
        shown.control("lighting", "select").select_option(panel.store.lightings[browser_live.LIGHT])
        panel.light.value = browser_live.LIGHT
        shown.check("the reference lighting")
        assert not any(seen.live for seen in panel.seen)
        for step in browser_live.STEPS:
            step(shown)
            shown.keep(f"{program}-{step.__name__}")
            browser_live.restore(shown)
