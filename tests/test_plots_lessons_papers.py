"""Figures of the chapters on FuseNet, channel exchanging, GeminiFusion and PrimKD."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.patches import ConnectionPatch

from rgbd_lib.lesson import Look
from rgbd_lib.methods import Output
from rgbd_lib.plots import lessons_papers as papers

LIGHTS = ("light 3", "light 1")


@pytest.fixture
def look() -> Look:
    """Five channels: RGB gives up the first, nobody the second, depth the next two, both the last."""
    maps = torch.randn(2, 2, 3, 3, 5)
    replaced = torch.tensor([[1, 0, 0, 0, 1], [0, 0, 1, 1, 1]], dtype=torch.bool)
    output = Output(torch.zeros(2, 3, 6, 10), explain={"layer1.0/maps": maps, "layer1.0/replaced": replaced})
    pictures = np.zeros((2, 6, 10, 3), np.uint8), np.ones((2, 6, 10))
    flat = np.zeros((2, 6, 10), np.uint8)
    return Look(LIGHTS, *pictures, flat[0], flat, np.ones((2, 6, 10)), output)


def texts(figure) -> str:
    return " ".join(t.get_text() for axes in figure.drawing.axes for t in axes.texts)


def test_attraction_draws_the_normal_distribution_and_what_was_measured():
    measured = pd.DataFrame({"ratio": [0.5, 2.0], "held": [0.3, 0.9]})
    axes = papers.attraction({1.0: 0.68}, measured, "x").drawing.axes[0]
    curve, circles, crosses = axes.lines
    assert np.interp(1.0, curve.get_xdata(), curve.get_ydata()) == pytest.approx(0.683, abs=2e-3)  # one sigma
    assert list(circles.get_xydata()[0]) == [1.0, 0.68]
    assert crosses.get_ydata().tolist() == [0.3, 0.9]
    assert len(papers.attraction({1.0: 0.68}, None, "x").drawing.axes[0].lines) == 2


def test_scales_that_are_zero_are_drawn_at_the_floor_and_halves_are_shaded():
    scales = np.array([[0.0, 0.1, 0.5, 0.2], [0.3, 0.1, 0.0, -0.4]])
    axes = papers.channel_scales({"on": scales}, 0.02, "x").drawing.axes[0]
    rgb, depth, threshold = axes.lines
    assert rgb.get_ydata().tolist() == [papers.FLOOR, 0.1, 0.5, 0.2]
    assert depth.get_ydata().tolist() == [0.3, 0.1, papers.FLOOR, 0.4]
    assert set(threshold.get_ydata()) == {0.02}
    left, right = (patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches)
    assert (left.x0, left.x1, right.x0, right.x1) == pytest.approx((-0.5, 1.5, 1.5, 3.5))


def test_only_the_first_channels_are_drawn():
    scales = np.full((2, 300), 0.5)
    axes = papers.channel_scales({"on": scales}, 0.02, "x", count=128).drawing.axes[0]
    assert [len(line.get_ydata()) for line in axes.lines[:2]] == [128, 128]


def test_ways_of_scales_have_one_line_per_channel():
    rows = [{"step": s, "rgb": np.array([0.05, 0.0, 0.1])} for s in (4, 8)]
    axes = papers.scale_ways({"a": rows, "b": rows}, 0.02, "x").drawing.axes[0]
    assert len(axes.lines) == 4  # three channels and the threshold
    assert axes.lines[1].get_ydata().tolist() == [papers.FLOOR] * 2


def test_groups_of_channels_are_counted_and_arrows_lead_to_what_is_replaced(look: Look):
    assert papers.group_sizes(look.output.explain["layer1.0/replaced"].numpy()) == (1, 2, 1)
    drawing = papers.channel_groups(look, "layer1.0", "x").drawing
    arrows = [a for a in drawing.artists if isinstance(a, ConnectionPatch)]
    assert len(arrows) == 4  # under each light: depth's map for RGB, RGB's map for depth
    rows = [a.axesB.get_subplotspec().rowspan.start for a in arrows]
    assert rows == [0, 1, 2, 3]
    assert "RGB gives up\n(1 channels)" in [axes.get_title() for axes in drawing.axes]


def test_an_empty_group_says_so(look: Look):
    look.output.explain["layer1.0/replaced"][:] = False
    figure = papers.channel_groups(look, "layer1.0", "x")
    assert texts(figure).count("no channel") == 8
    assert not [a for a in figure.drawing.artists if isinstance(a, ConnectionPatch)]


def test_descents_keep_the_starts_in_view():
    way = torch.tensor([[0.2, -0.4], [5.0, 0.0]])
    axes = papers.descents({"a": way}).drawing.axes[0]
    assert axes.get_ylim() == pytest.approx((-0.6, 0.6))
    assert len(axes.lines) == 3


def test_branches_and_ensemble_have_a_marker_per_row():
    table = pd.DataFrame({"RGB": [1.0, 2], "depth": [3.0, 4], "both": [5.0, 6]}, index=["first", "second"])
    drawing = papers.branch_scores({"a": table, "b": table}, "x").drawing
    assert [line.get_xdata().tolist() for line in drawing.axes[0].lines] == [[1, 2], [3, 4], [5, 6]]
    assert drawing.axes[0].lines[2].get_ydata().tolist() == [1, 0]  # the first row on top
    assert drawing.axes[1].get_xlim()[0] == 0


def test_growth_names_the_slope():
    work = pd.DataFrame({"linear": [10, 20, 40, 80], "square": [1, 4, 16, 64]}, index=[1, 2, 4, 8])
    legend = papers.growth(work, "x").drawing.axes[0].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["linear: slope 1.00", "square: slope 2.00"]


def test_heat_writes_its_numbers():
    table = pd.DataFrame([[0.25, 0.75]], index=["a"], columns=["b", "c"])
    figure = papers.heat(table, xlabel="x", ylabel="y", unit="u", caption="c", alt="a")
    assert texts(figure) == "0.25 0.75"


def test_published_numbers_begin_where_asked():
    figure = papers.published({"a": [35, 36], "b": [34, 33]}, ["1", "2"], "c", "a", bottom=30)
    axes = figure.drawing.axes[0]
    assert axes.get_ylim()[0] == 30
    assert [line.get_ydata()[0] for line in axes.lines] == [35, 34]
