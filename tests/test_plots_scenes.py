"""Pictures and surveys of data show what is in the data."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from rgbd_lib import survey, widgets
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.mm5 import MM5
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.datasets.synthetic import CEILINGS, PUBLISHED
from rgbd_lib.errors import UserError
from rgbd_lib.palette import class_colours
from rgbd_lib.plots import data as charts
from rgbd_lib.plots import scenes


@pytest.fixture(scope="module")
def mm5(tiny_mm5: Path) -> MM5:
    """Eight small scenes under all lightings."""
    return open_dataset(tiny_mm5)


def test_moments_of_histograms_are_those_of_the_pixels() -> None:
    levels = np.random.default_rng(0).integers(0, 256, 5000)
    mean, deviation = survey.moments(np.bincount(levels, minlength=256))
    assert mean == pytest.approx((levels / 255).mean())
    assert deviation == pytest.approx((levels / 255).std())


def test_lights_counts_every_pixel_of_every_lighting_once(mm5: MM5) -> None:
    found = survey.lights(mm5, mm5.scenes[:3])
    pixels = 3 * mm5.read(mm5.scenes[0], 1).label.size
    assert (found.histograms.sum(-1) == pixels).all()
    pictures = np.stack([mm5.read_rgb(s, 5) for s in mm5.scenes[:3]]) / 255
    row = found.table().query("lighting == 5 and channel == 'G'").iloc[0]
    assert row["mean"] == pytest.approx(pictures[..., 1].mean())
    assert row["deviation"] == pytest.approx(pictures[..., 1].std())


def test_darkness_and_glare_are_counted_on_objects_alone() -> None:
    class Painted:
        lightings, background = (1, 2), 0
        label = np.array([[0, 0, 3, 3], [0, 0, 3, IGNORE]], np.uint8)

        def read(self, scene: str, lighting: int) -> object:
            return type("Frame", (), {"rgb": self.read_rgb(scene, lighting), "label": self.label})

        def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
            rgb = np.zeros((2, 4, 3), np.uint8)
            rgb[0, 2] = (255, 255, 10) if lighting == 2 else (11, 11, 11)
            rgb[0, 3] = (255, 10, 10) if lighting == 2 else (12, 0, 0)
            rgb[1, 2] = 100
            return rgb

    found = survey.lights(Painted(), ["1"])
    np.testing.assert_allclose(
        found.dark, [1 / 3, 0]
    )  # 11 is dark, 12 is not; the black background does not count
    np.testing.assert_allclose(found.clipped, [0, 1 / 3])  # one full channel is not enough


def test_objects_are_told_apart_although_they_touch() -> None:
    millimetres = np.full((60, 120), 600, np.uint16)
    millimetres[:, 60:] = 700  # the other one stands behind
    label = np.zeros((60, 120), bool)
    label[10:50, 30:90] = True
    together, apart = survey.pieces(label), survey.pieces(label & survey.continuous(millimetres))
    assert len(together) == 1
    assert len(apart) == 2
    box, inside = together[0]
    assert box == (slice(10, 50), slice(30, 90))
    assert inside.sum() == (40 - 4) * (60 - 4)  # two pixels of rim gone on every side


def test_spots_are_found_in_the_dark_and_not_in_glare() -> None:
    skin = np.full((40, 40, 3), 90, np.uint8)
    skin[18:22, 18:22] = 45
    assert survey.darker(skin).sum() == 16
    assert survey.darker((skin // 3).astype(np.uint8)).sum() == 16
    assert survey.darker(np.minimum(skin.astype(int) * 6, 255).astype(np.uint8)).sum() == 0


def test_separation_is_half_by_chance_and_one_when_sure() -> None:
    groups = np.array([0, 0, 1, 1])
    assert survey.separation(np.array([1, 2, 3, 4]), groups) == 1
    assert survey.separation(np.array([4, 3, 2, 1]), groups) == 1
    assert survey.separation(np.array([5, 5, 5, 5]), groups) == 0.5
    assert survey.separation(np.array([1, 4, 2, 3]), groups) == 0.5
    with pytest.raises(UserError, match="two groups"):
        survey.separation(np.arange(3), np.arange(3))


def test_told_apart_names_pairs_in_the_order_of_ids() -> None:
    table = pd.DataFrame(
        {"lighting": 1, "class_id": [7, 7, 6], "class": ["Bad", "Bad", "Good"], "spots": [0.4, 0.5, 0.0]}
    )
    found = survey.told_apart(table, [(6, 7), (1, 2)], "spots")
    assert found.to_dict("records") == [{"lighting": 1, "pair": "Good / Bad", "sure": 1.0, "objects": 3}]


def test_errors_have_three_kinds() -> None:
    label = np.array([[0, 0, 1, 1, 2, IGNORE]], np.uint8)
    found = np.array([[0, 3, 0, 2, 2, 1]], np.uint8)
    assert scenes.errors(label, found).tolist() == [[0, 2, 1, 3, 0, 4]]


def test_a_window_keeps_its_size_at_the_images_border() -> None:
    rows, columns = scenes.around((slice(0, 20), slice(110, 120)), (60, 120), margin=5)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (30, 30)
    assert rows.start == 0
    assert columns.stop == 120


def test_depth_shows_missing_pixels_in_a_colour_of_their_own(mm5: MM5) -> None:
    drawing = scenes.depth(mm5, mm5.scenes[0]).drawing
    image = next(a for a in drawing.axes[1].images)
    valid = mm5.read(mm5.scenes[0], 3).valid
    shown = image.cmap(image.norm(image.get_array()))[..., :3]
    missing = np.isclose(shown, scenes.UNKNOWN).all(-1)
    np.testing.assert_array_equal(missing, ~valid)
    assert "(m)" in drawing.axes[2].get_ylabel()


def test_the_legend_of_a_label_names_the_classes_that_are_there(mm5: MM5) -> None:
    figure = scenes.labelled(mm5, mm5.scenes[0])
    present = set(np.unique(mm5.read(mm5.scenes[0], 1).label).tolist()) - {0}
    legend = figure.drawing.legends[0]
    names = {t.get_text() for t in legend.get_texts()}
    assert names == {mm5.classes[k] for k in present - {IGNORE}} | (
        {"ignored"} if IGNORE in present else set()
    )


def test_the_sheet_of_lightings_shows_all_and_names_the_extremes(mm5: MM5) -> None:
    figure = scenes.lightings(mm5, mm5.scenes[0])
    means = [mm5.read_rgb(mm5.scenes[0], n).mean() for n in mm5.lightings]
    assert sum(bool(a.images) for a in figure.drawing.axes) == len(mm5.lightings)
    assert f"light {mm5.lightings[int(np.argmin(means))]} is nearly black" in figure.alt
    assert "Synthetic" in figure.caption


def test_histograms_mark_measured_and_published_means(mm5: MM5) -> None:
    found = survey.lights(mm5, mm5.scenes[:2])
    drawing = charts.histograms(found, PUBLISHED, mm5).drawing
    marks = [line for line in drawing.axes[2].lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert [m.get_xdata()[0] for m in marks] == PUBLISHED[2, 0].tolist()  # light 3, in the order R, G, B


def test_ceilings_are_drawn_where_construction_puts_them() -> None:
    axes = charts.ceilings().drawing.axes[0]
    names = [t.get_text() for t in axes.get_yticklabels()]
    rgb, depth, both = (line.get_xdata() for line in axes.lines)
    for i, name in enumerate(names):
        assert (rgb[i], depth[i], both[i]) == tuple(100 * CEILINGS[name][m] for m in ("rgb", "depth", "both"))


def test_every_scene_has_one_bar_per_kind_of_split(mm5: MM5) -> None:
    figure = charts.splits(mm5, ("grouped",))
    bars = sorted(p.get_x() + 0.5 for p in figure.drawing.axes[0].patches)
    assert bars == list(range(len(mm5.scenes)))


def test_the_browser_shows_photograph_and_label_at_any_opacity(mm5: MM5) -> None:
    browser = widgets.Browser(mm5, mm5.scenes[:2], width=64)
    frame = mm5.read(mm5.scenes[1], 4)
    np.testing.assert_array_equal(browser.picture(1, 3, 0.0), frame.rgb)
    full, thing = browser.picture(1, 3, 1.0), frame.label != 0
    np.testing.assert_array_equal(full[thing], class_colours()[frame.label][thing])
    np.testing.assert_array_equal(full[~thing], frame.rgb[~thing])


def test_a_slider_changes_the_bytes_of_the_picture(mm5: MM5) -> None:
    browser = widgets.Browser(mm5, mm5.scenes[:2], width=64)
    sliders, image = browser.widget().children
    scene, light, opacity = sliders.children
    scene.value, light.value, opacity.value = 1, 4, 0.25
    wanted = browser.picture(1, 4, 0.25)
    shown = cv2.imdecode(np.frombuffer(image.value, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(shown.astype(int) - wanted).mean() < 8  # JPEG
    assert image.value == widgets.encoded(wanted)


def test_without_a_kernel_there_is_a_still_picture(mm5: MM5) -> None:
    data, metadata = widgets.Browser(mm5, mm5.scenes[:2], width=64)._repr_mimebundle_()
    assert data["image/jpeg"].startswith(b"\xff\xd8")
    assert metadata["image/jpeg"]["alt"]
