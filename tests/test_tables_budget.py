"""The table of longer trainings: which runs are in it, and against which others they stand."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rgbd_lib import tables_budget
from rgbd_lib.plots import training


def record(method: str, right: int, seed: int = 0, epochs: int = 60, **parameters: object) -> SimpleNamespace:
    """A record of three scenes and two lightings with so many of 100 pixels of each class right."""
    usual = {"profile": "laptop", "method": method, "seed": seed, "lighting": "mixed", "init": "random"}
    usual |= {"split": "grouped", "options": {}, "settings": {} if epochs == 60 else {"epochs": epochs}}
    matrices = np.broadcast_to([[right, 100 - right], [100 - right, right]], (3, 2, 2, 2))
    data = {"name": "made", "identity": "0123456789", "synthetic": True, "background": 0}
    info = {"parameters": usual | parameters, "data": data, "recipe": {"epochs": epochs}}
    return SimpleNamespace(info=info, scores=lambda *_: SimpleNamespace(matrices=matrices))


def iou(right: int) -> float:
    return right / (200 - right)


@pytest.fixture
def made() -> list[SimpleNamespace]:
    return [
        record("rgb", 50),
        record("rgb", 60, seed=1),
        record("rgb", 70, epochs=240),
        record("mid", 80),
        record("mid", 90, epochs=120),
        record("mid", 95, epochs=240),
        record("mid", 10, epochs=240, lighting="3"),
        record("mid", 10, epochs=240, settings={"epochs": 240, "lr": 0.1}),
        record("late", 99, epochs=240),  # nothing to stand against
        record("se", 50),
    ]


def test_each_length_stands_against_the_plain_runs_of_its_seeds(made):
    table = tables_budget.tables(made)["budget"].set_index(["method", "epochs"])
    assert list(table.index) == [("rgb", 240), ("mid", 120), ("mid", 240)]
    assert set(table.plain_epochs) == {60}
    one = table.loc["rgb", 240]
    assert (one.seeds, one.scenes) == (1, 3)
    assert (one.plain, one.miou) == pytest.approx((iou(50), iou(70)))  # seed 1 was not trained longer
    assert one.difference == pytest.approx(iou(70) - iou(50))
    assert one.difference_low == pytest.approx(one.difference_high)  # equal scenes
    assert table.loc[("mid", 240), "miou"] == pytest.approx(iou(95))


def test_without_longer_runs_there_is_no_table(made):
    assert tables_budget.tables([r for r in made if not r.info["parameters"]["settings"]]) == {}


def test_the_figure_draws_both_lengths_and_the_longest_course(made, tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    (tmp_path / "laptop").mkdir()
    tables_budget.tables(made)["budget"].to_csv(tmp_path / "laptop" / "budget.csv", index=False)
    rows = [
        {"method": m, "epoch": e, "val_miou": e / 1000, "variant": v}
        for m in ("rgb", "mid")
        for v, length in ((None, 60), ("epochs=120", 120), ("epochs=240", 240))
        for e in range(length)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "laptop" / "history.csv", index=False)
    figure = training.budget("laptop")
    left, right = figure.drawing.axes
    drawn = {line.get_label(): line for line in left.lines if not line.get_label().startswith("_")}
    assert drawn["RGB only"].get_ydata() == pytest.approx([100 * iou(50), 100 * iou(70)])
    assert drawn["Mid fusion"].get_ydata() == pytest.approx([100 * iou(k) for k in (80, 90, 95)])
    assert [len(line.get_xdata()) for line in right.lines] == [240, 240]
    assert "1 seed" in figure.caption
    assert "Synthetic data" in figure.caption
    plt.close(figure.drawing)
