"""Figures of other light, less light, worse sensors and one sensor: what is drawn is what was measured."""

import numpy as np
import pandas as pd
import pytest

from rgbd_lib import missing
from rgbd_lib.errors import UserError
from rgbd_lib.plots import robustness
from rgbd_lib.robustness import Layout
from rgbd_lib.statistics import Results

CLEAN = 1 / 3  # mIoU of half of the pixels right


def counts(*right: float, seeds: int = 2) -> np.ndarray:
    """Three scenes of two classes with this share of pixels right under each condition."""
    each = [np.array([[100 * r, 100 * (1 - r)], [100 * (1 - r), 100 * r]]) for r in right]
    return np.tile(np.stack(each), (seeds, 3, 1, 1, 1)).round().astype(int)


def iou(right: float) -> float:
    """Return the mIoU (%) of that share of right pixels."""
    return 100 * right / (2 - right)


def results(**rows: np.ndarray) -> Results:
    return Results(rows, profile="smoke", data="fake", synthetic=True)


def test_transfer_frames_the_light_trained_on():
    found = results(**{"light 1": counts(0.9, 0.2), "light 3": counts(0.4, 0.8), "mixed": counts(0.7, 0.7)})
    figure = robustness.transfer(found, (1, 3), "mid")
    axes = figure.drawing.axes[0]
    np.testing.assert_allclose(
        axes.images[0].get_array(), [[iou(0.9), iou(0.2)], [iou(0.4), iou(0.8)], [iou(0.7)] * 2]
    )
    frames = [(p.get_x() + 0.46, p.get_y() + 0.44) for p in axes.patches]
    np.testing.assert_allclose(frames, [(0, 0), (1, 1)], atol=1e-9)
    assert [t.get_text() for t in axes.texts][:2] == [f"{iou(0.9):.1f}", f"{iou(0.2):.1f}"]
    assert "Mid fusion" in figure.caption
    assert "Synthetic data, profile smoke, 3 test scenes, 2 seeds" in figure.caption


def test_left_out_compares_under_the_light_left_out():
    mixed = results(rgb=counts(0.9, 0.8), mid=counts(0.7, 0.6))
    without = {5: results(rgb=counts(0.5, 0.2), mid=counts(0.5, 0.4))}
    axes = robustness.left_out(mixed, without, (3, 5)).drawing.axes[0]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([iou(0.2), iou(0.4)])
    seen = [c.get_segments()[0][0, 1] for c in axes.collections if c.get_linewidth()[0] == 2]
    assert seen == pytest.approx([iou(0.8), iou(0.6)])
    assert axes.get_ylim()[0] == 0


def test_exposure_runs_from_bright_to_dark():
    figure = robustness.exposure(results(rgb=counts(0.9, 0.8, 0.1)), (-1.0, 0.0, 4.0))
    (axes,) = figure.drawing.axes
    line = axes.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [1, 0, -4])  # exposure is minus the stops of dimming
    np.testing.assert_allclose(line.get_ydata(), [iou(0.9), iou(0.8), iou(0.1)])
    left, right = axes.get_xlim()
    assert left > right


def test_severities_start_at_clean_and_spare_the_baseline_without_the_sensor():
    layout = Layout(("clean", "holes 1", "holes 3", "contrast 5"))
    found = results(
        rgb=counts(0.5, 0.5, 0.5, 0.1), depth=counts(0.4, 0.2, 0.1, 0.4), mid=counts(0.9, 0.8, 0.3, 0.6)
    )
    holes, contrast = robustness.severities(found, layout, ["holes", "contrast"], columns=2).drawing.axes
    drawn = {line.get_label(): line for line in holes.lines}
    assert set(drawn) == {"Mid fusion", "RGB only"}
    np.testing.assert_allclose(
        drawn["Mid fusion"].get_xydata(), [[0, iou(0.9)], [1, iou(0.8)], [3, iou(0.3)]]
    )
    np.testing.assert_allclose(drawn["RGB only"].get_ydata(), iou(0.5))
    assert {line.get_label() for line in contrast.lines} == {"Mid fusion", "Depth only"}


def test_sensors_are_averaged_over_lightings():
    full = results(mid=counts(0.9, 0.7), rgb=counts(0.5, 0.1))
    gone = results(mid=counts(0.6, 0.4, 0.2, 0.2), rgb=counts(0.5, 0.1, 0.0, 0.0))
    table = missing.sensors(full, gone)
    assert 100 * table.loc["mid", "both"] == pytest.approx((iou(0.9) + iou(0.7)) / 2)
    assert 100 * table.loc["mid", "depth off"] == pytest.approx((iou(0.6) + iou(0.4)) / 2)
    assert 100 * table.loc["mid", "camera off"] == pytest.approx(iou(0.2))
    assert table.loc["rgb", "both"] == table.loc["rgb", "depth off"]  # it has no depth to lose
    with pytest.raises(UserError, match="'mid' was tested under 2 conditions"):
        missing.sensors(full, full)


def test_expected_starts_at_both_and_ends_near_the_mean_of_the_rest():
    table = pd.DataFrame({"both": [0.8], "depth off": [0.5], "camera off": [0.1]}, index=["mid"])
    found = missing.expected(table, np.array([0.0, 0.5, 0.999999]))["mid"]
    assert found.iloc[0] == 0.8
    assert found.iloc[1] == pytest.approx((0.25 * 0.8 + 0.25 * 0.6) / 0.75)
    assert found.iloc[2] == pytest.approx(0.3, abs=1e-5)
    axes = robustness.expected(missing.expected(table, np.array([0.0, 0.5])), "Here.").drawing.axes[0]
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 80], [50, 100 * found.iloc[1]]])


def test_bars_of_one_sensor_stand_beside_the_baselines():
    table = pd.DataFrame(
        [[0.5, 0.5, 0.0], [0.4, 0.1, 0.4], [0.8, 0.3, 0.2]],
        index=["rgb", "depth", "mid"],
        columns=list(missing.COLUMNS),
    )
    axes = robustness.one_sensor(table, "Here.").drawing.axes[0]
    heights = [bar.get_height() for bar in axes.patches if bar.get_height()]
    assert heights == pytest.approx([80, 30, 20])
    assert sorted(line.get_ydata()[0] for line in axes.lines) == pytest.approx([40, 50])
