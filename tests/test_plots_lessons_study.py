"""Figures of the chapters on the seed study's methods."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from rgbd_lib.lesson import Look
from rgbd_lib.methods import Output
from rgbd_lib.plots import lessons_maps, lessons_study, show
from rgbd_lib.statistics import Results

LIGHTS = ("light 1", "light 2")


def matrices(right: float, seeds: int = 2) -> np.ndarray:
    """Counts with this share of 100 pixels per class right, the rest taken for the other class."""
    one = np.array([[100 * right, 100 * (1 - right)], [100 * (1 - right), 100 * right]])
    return np.tile(one, (seeds, 3, 2, 1, 1)).round().astype(int)


@pytest.fixture
def results() -> Results:
    found = {"rgb": matrices(0.5), "early": matrices(0.8), "a variant": matrices(0.8)}
    return Results(found, profile="smoke", data="fake", synthetic=True)


@pytest.fixture
def look() -> Look:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (2, 6, 10, 3)).astype(np.uint8)
    depth = np.ones((2, 6, 10))
    depth[:, 0, 0] = np.nan
    label = rng.integers(0, 3, (6, 10)).astype(np.uint8)
    found = np.stack([label, np.zeros_like(label)])
    return Look(LIGHTS, rgb, depth, label, found, np.ones((2, 6, 10)), Output(torch.zeros(2, 3, 6, 10)))


@pytest.fixture
def record() -> SimpleNamespace:
    info = {
        "parameters": {"profile": "smoke", "seed": 0, "method": "early"},
        "data": {"name": "fake", "synthetic": True},
    }
    history = pd.DataFrame({"epoch": [0, 1], "val_miou": [0.1, 0.2]})
    return SimpleNamespace(info=info, history=history, scores=lambda: SimpleNamespace(scenes=("1", "2")))


def marks(axes) -> list[float]:
    """The x of every marker that is larger than a single run's dot."""
    return [
        float(line.get_xdata()[0])
        for line in axes.lines
        if line.get_markersize() == 8 and len(line.get_xdata()) == 1
    ]


def test_intervals_draw_scores_from_zero_and_name_their_source(results: Results):
    figure = lessons_study.intervals(results)
    axes = figure.drawing.axes[0]
    assert axes.get_xlim()[0] == 0
    iou = [50 / 150, 80 / 120, 80 / 120]
    np.testing.assert_allclose(marks(axes), [100 * v for v in reversed(iou)])
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a variant", "Early fusion", "RGB only"]
    assert "Synthetic data, profile smoke, 3 test scenes, 2 seeds" in figure.caption


def test_one_seed_is_admitted(results: Results):
    one = Results({"rgb": matrices(0.5, seeds=1)}, profile="smoke", data="fake", synthetic=False)
    assert "1 seed, so intervals know nothing" in lessons_study.intervals(one).caption
    assert "Data: fake" in lessons_study.intervals(one).caption


def test_differences_have_zero_in_the_middle(results: Results):
    axes = lessons_study.differences(results, [("early", "rgb"), ("a variant", "early")]).drawing.axes[0]
    low, high = axes.get_xlim()
    assert low == -high
    np.testing.assert_allclose(marks(axes), [0, 100 * (80 / 120 - 50 / 150)], atol=1e-9)


def test_variants_never_borrow_a_method_s_colour():
    found = lessons_study.look_of(["early", "x", "y"])
    assert found["early"] == ("#51A6FF", "s")
    assert len({tint for tint, _ in found.values()}) == 3


def test_conditions_keep_their_order(results: Results):
    changed = matrices(0.5)
    changed[:, :, 1] = matrices(0.8)[:, :, 1]
    one = Results({"rgb": changed}, profile="smoke", data="fake", synthetic=True)
    axes = lessons_study.by_condition(one, LIGHTS, "lighting").drawing.axes[0]
    (line,) = [drawn for drawn in axes.lines if len(drawn.get_xdata()) == 2]
    np.testing.assert_allclose(line.get_ydata(), [100 / 3, 200 / 3])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2"]
    assert axes.get_ylim()[0] == 0


def test_sweep_follows_the_places(results: Results):
    axes = lessons_study.sweep({"all": results}, ["early", "rgb"]).drawing.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [100 * 80 / 120, 100 * 50 / 150])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Early fusion", "RGB only"]


def test_gates_show_where_they_started():
    table = pd.DataFrame({"1/4": [0.2, 0.3]}, index=LIGHTS)
    axes = lessons_study.gates({"plain": table, "taught": table}, 0.27, "Here.").drawing.axes
    assert len(axes) == 2
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), [0.2, 0.3])
    assert axes[0].lines[1].get_ydata()[0] == 0.27


def test_shares_of_agreement_stack_to_one_hundred():
    row = {"both": 0.4, "RGB only": 0.2, "depth only": 0.1, "neither": 0.3, "vote": 0.55, "new": 0.01}
    axes = lessons_study.agreement(pd.DataFrame([row, row], index=LIGHTS), "Here.").drawing.axes[0]
    tops = [bar.get_y() + bar.get_height() for bar in axes.patches]
    assert max(tops) == pytest.approx(100)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [55, 55])


def test_bars_write_their_values():
    table = pd.DataFrame({"full": [9834496.0], "pooled": [614656.0]}, index=["1/4"])
    axes = lessons_study.bars(table, ylabel="pairs", caption="c", alt="a", log=True).drawing.axes[0]
    assert [bar.get_height() for bar in axes.patches] == [9834496, 614656]
    assert [t.get_text() for t in axes.texts] == ["9,834,496", "614,656"]
    assert axes.get_yscale() == "log"


def test_learning_draws_every_epoch(record: SimpleNamespace):
    figure = lessons_study.learning({"early": record})
    np.testing.assert_allclose(figure.drawing.axes[0].lines[0].get_xydata(), [[1, 10], [2, 20]])
    assert "Synthetic data, profile smoke" in figure.caption


def test_numbers_are_written_into_their_cells():
    figure = lessons_maps.numbers({"a": [[1, -0.5], [0, 2.25]], "b": [3]}, "c", "alt")
    texts = [[t.get_text() for t in axes.texts] for axes in figure.drawing.axes]
    assert texts == [["1", "−0.5", "0", "2.25"], ["3"]]


def test_rescaled_maps_span_zero_to_one():
    np.testing.assert_allclose(lessons_maps.rescaled([[2, 4], [3, 2]]), [[0, 1], [0.5, 0]])
    np.testing.assert_allclose(lessons_maps.rescaled([[5, 5]]), 0)


def test_nothing_measured_stays_missing():
    nothing = np.full((2, 3), np.nan)
    assert np.isnan(lessons_maps.rescaled(nothing)).all()
    assert len(np.unique(lessons_maps.painted(nothing).reshape(-1, 3), axis=0)) == 1


def test_centres_lie_in_the_largest_objects():
    label = np.zeros((8, 8), np.uint8)
    label[0:4, 4:8], label[6:8, 0:2], label[7, 7] = 5, 9, 255
    assert lessons_maps.centres(label, (4, 4), 3) == [(1, 3), (3, 0)]


def test_two_objects_of_a_class_have_two_centres_and_a_ring_none_in_its_hole():
    label = np.zeros((8, 16), np.uint8)
    label[0:4, 0:4] = label[4:8, 12:16] = 5
    assert lessons_maps.centres(label, (8, 16), 2) == [(2, 2), (6, 14)]
    ring = np.full((9, 9), 7, np.uint8)
    ring[2:7, 2:7] = 0
    y, x = lessons_maps.centres(ring, (9, 9), 1)[0]
    assert ring[y, x] == 7


def test_who_is_right_has_four_verdicts(look: Look):
    right, wrong = look.label, (look.label + 1) % 3
    verdicts = []
    for rgb, depth in ((right, right), (right, wrong), (wrong, right), (wrong, wrong)):
        figure = lessons_maps.who_is_right(look, {"rgb": [rgb, rgb], "depth": [depth, depth]}, "Here.")
        verdicts.append(np.unique(figure.drawing.axes[2].images[0].get_array().reshape(-1, 3), axis=0))
    np.testing.assert_array_equal(np.concatenate(verdicts), lessons_maps.RIGHT)


def test_attention_is_drawn_over_the_whole_image(look: Look):
    attention = np.zeros((2, 3, 5, 3, 5))
    attention[:, 1, 2, 0, 4] = 1
    figure = lessons_maps.looked_at(look, attention, [(1, 2)], "Here.")
    assert (
        "of the depth map ask"
        in lessons_maps.looked_at(
            look, attention, [(1, 2)], "", asker="depth map", asked="photograph"
        ).caption
    )
    drawn = figure.drawing.axes[1].images[0]
    assert tuple(drawn.get_extent()) == (-0.5, 9.5, 5.5, -0.5)
    assert drawn.get_array().argmax() == 4
    frame = figure.drawing.axes[0].patches[0]
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (3.5, 1.5, 2, 2)


def test_pictures_of_a_scene_hold_its_pixels(look: Look, record: SimpleNamespace):
    shown = lessons_maps.under_lights(look, record).drawing.axes
    np.testing.assert_array_equal(shown[0].images[0].get_array(), look.rgb[0])
    channels = lessons_maps.four_channels(look, "Here.").drawing.axes
    np.testing.assert_array_equal(channels[2].images[0].get_array(), look.rgb[0, ..., 1])
    pair = lessons_maps.compared({"one": look, "two": look}, "Here.").drawing.axes
    np.testing.assert_array_equal(
        pair[1].images[0].get_array(), pair[3].images[0].get_array()
    )  # right under light 1
    grids = lessons_maps.token_grids(look, {"1/4": (3, 5)}, "Here.")
    assert "3 × 5 = 15" in grids.drawing.axes[0].get_title()


def test_kernels_come_strongest_first(record: SimpleNamespace):
    weight = np.zeros((3, 4, 7, 7))
    weight[1], weight[2, 3] = 2, 1
    figure = lessons_maps.kernels(weight, record, count=2)
    assert [a.get_title() for a in figure.drawing.axes[:2]] == ["1", "2"]


def test_photographs_are_shown_as_jpeg_and_lines_as_png(results: Results, monkeypatch: pytest.MonkeyPatch):
    shown = []
    monkeypatch.setattr(show, "display", lambda *data, **more: shown.append((data[0], more)))
    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3)).astype(np.uint8)
    photo = lessons_maps.maps({"x": noise, "y": np.eye(3)}, caption="c", alt="seen", columns=1)
    for figure in (photo, lessons_study.intervals(results)):
        show.show(figure)
    assert [next(iter(data)) for data, _ in shown[::2]] == ["image/jpeg", "image/png"]
    assert shown[0][1]["metadata"]["image/jpeg"]["alt"] == "seen"
    assert shown[1][0].data == "*c*"
