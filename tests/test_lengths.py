"""What a longer training changes: which profiles are compared, over which seeds, and what is said of it."""

from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rgbd_lib import lengths, stored, tables
from rgbd_lib.errors import UserError
from rgbd_lib.plots import training

SHORT, LONG = 60, 240
CLASSES = ("Background", "cup", "plum")
RIGHT = {  # of 100 pixels of each class, by method and seed
    "laptop": {
        ("rgb", 0): 40,
        ("rgb", 1): 40,
        ("rgb", 2): 10,
        ("mid", 0): 60,
        ("late", 0): 70,
        ("se", 0): 50,
    },
    "overnight": {("rgb", 0): 50, ("rgb", 1): 70, ("mid", 0): 95, ("late", 0): 80, ("early", 0): 90},
}


def record(profile: str, method: str, seed: int, right: int, data: str = "01234567") -> SimpleNamespace:
    """A run of three scenes and two lightings."""
    parameters = {"profile": profile, "method": method, "seed": seed, "lighting": "mixed", "init": "random"}
    about = {"name": "made", "identity": data, "synthetic": True, "background": 0, "classes": CLASSES}
    wrong = np.full((3, 3), (100 - right) / 2) + np.diag([1.5 * right - 50] * 3)
    scores = SimpleNamespace(
        scenes=("a", "b", "c"), conditions=("1", "2"), matrices=np.broadcast_to(wrong, (3, 2, 3, 3))
    )
    return SimpleNamespace(
        info={"parameters": parameters | {"split": "grouped", "options": {}, "settings": {}}, "data": about},
        scores=lambda *_: scores,
    )


def iou(right: int) -> float:
    return right / (200 - right)


def store(folder: Path, profile: str, data: str = "01234567") -> None:
    """Write a profile's matrices, and the tables that the sentence and the figure read."""
    (folder / profile).mkdir()
    stored.save(
        [record(profile, *who, right, data) for who, right in RIGHT[profile].items()], folder / profile
    )
    found = {"cup": (0.5, 9), "plum": (0.004 if profile == "laptop" else 0.2, 9), "kiwi": (0.0, 0)}
    usual = {"variant": None, "trained_on": "mixed"}
    pd.DataFrame({"method": sorted({m for m, _ in RIGHT[profile]})}).to_csv(
        folder / profile / "methods.csv", index=False
    )
    classes = [
        usual | {"method": m, "seed": s, "class": c, "iou": value * (m != "rgb"), "scenes": n}
        for m, s in RIGHT[profile]
        for c, (value, n) in found.items()
    ]
    pd.DataFrame(classes).to_csv(folder / profile / "classes.csv", index=False)
    history = [
        usual | {"method": m, "seed": s, "epoch": e, "val_miou": (1 + s) * e / 1000}
        for m, s in RIGHT[profile]
        for e in range(SHORT if profile == "laptop" else LONG)
    ]
    pd.DataFrame(history).to_csv(folder / profile / "history.csv", index=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    return tmp_path


def test_only_a_stored_profile_that_differs_in_epochs_alone_is_shorter(here: Path) -> None:
    assert lengths.shorter("overnight") is None
    store(here, "laptop")
    assert lengths.shorter("overnight") == "laptop"
    assert lengths.shorter("laptop") is None
    assert lengths.shorter("full") is None  # other images


def test_each_method_is_compared_over_the_seeds_that_both_lengths_have(here: Path) -> None:
    store(here, "laptop")
    assert lengths.table("overnight").empty
    store(here, "overnight")
    table = lengths.table("overnight")
    assert list(table.index) == ["rgb", "mid", "late"]  # se and early were trained at one length only
    assert table.seeds.to_dict() == {"rgb": (0, 1), "mid": (0,), "late": (0,)}
    assert table.long.rgb == pytest.approx((iou(50) + iou(70)) / 2)
    assert table.short.rgb == pytest.approx(iou(40))  # without seed 2
    assert (table.short_epochs.unique(), table.long_epochs.unique()) == ([SHORT], [LONG])
    assert lengths.table("laptop").empty


def test_other_data_are_not_another_length(here: Path) -> None:
    store(here, "laptop")
    store(here, "overnight", data="76543210")
    assert lengths.table("overnight").empty


def test_it_is_told_by_gains_order_and_classes(here: Path) -> None:
    store(here, "laptop")
    assert "is not known" in lengths.sentence("laptop")
    store(here, "overnight")
    said = lengths.sentence("overnight")
    gains = sorted(100 * x for x in (lengths.table("overnight").long - lengths.table("overnight").short))
    assert "240 epochs instead of 60 (profile overnight, 1 to 2 seeds, 3 methods)" in said
    assert f"change by +{gains[0]:.1f} to +{gains[-1]:.1f} points" in said
    assert "**1** of 3 pairs" in said
    assert "Mid fusion takes the first place from Late fusion" in said
    assert f"misses {(2 + 0 + 0) / 3:.1f} classes wholly instead of {(2 + 1 + 1) / 3:.1f}." in said  # no kiwi
    assert lengths.sentence("full") == said  # stored at one length, if at all: the next smaller that has two


def test_the_largest_profile_with_two_lengths_is_compared(here: Path) -> None:
    assert lengths.compared("full") == "full"  # nothing is
    store(here, "laptop")
    store(here, "overnight")
    assert [lengths.compared(p) for p in ("full", "overnight", "laptop")] == [
        "overnight",
        "overnight",
        "laptop",
    ]


def test_the_figure_draws_both_lengths_and_the_longer_course(here: Path) -> None:
    store(here, "laptop")
    with pytest.raises(UserError, match="no stored profile trains like laptop"):
        training.budget("laptop")
    store(here, "overnight")
    figure = training.budget("overnight")
    left, right = figure.drawing.axes
    drawn = {line.get_label(): line for line in left.lines if not line.get_label().startswith("_")}
    assert set(drawn) == {"RGB only", "Mid fusion", "Late fusion"}
    assert drawn["Mid fusion"].get_ydata() == pytest.approx([100 * iou(60), 100 * iou(95)])
    assert [len(line.get_xdata()) for line in right.lines] == [LONG] * 3
    assert right.lines[0].get_ydata().max() > 1.4 * right.lines[1].get_ydata().max()  # the mean of two seeds
    assert "Synthetic data, profile overnight, 2 seeds" in figure.caption
    plt.close(figure.drawing)


def test_methods_without_all_seeds_wait_outside_the_comparison(here: Path) -> None:
    store(here, "laptop")
    assert list(stored.load("laptop").matrices) == ["rgb"]  # the others lack seeds 1 and 2
    assert set(stored.load("laptop", partial=True).matrices) == {"rgb", "mid", "late", "se"}
    store(here, "overnight")
    assert set(stored.load("overnight").matrices) == {"rgb", "mid", "late", "early"}  # none has all
    pd.DataFrame({"method": ["rgb"]}).to_csv(here / "laptop" / "methods.csv", index=False)
    assert set(tables.main("laptop", "classes").method) == {"rgb"}
