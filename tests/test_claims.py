"""What others expected and how they measured, put to made results with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rgbd_lib import claims
from tests.test_headline import made

BETTER = {"mid": 0.8, "late": 0.8, "transformer": 0.8}


def test_what_was_expected_holds_where_it_is_so() -> None:
    table = claims.hypothesis(made({"rgb": 0.6, "depth": 0.5, "early": 0.6, **BETTER}, spread=0.01))
    assert len(table) == 9
    assert set(table.verdict) == {"holds"}


def test_the_other_way_round_and_what_cannot_be_decided() -> None:
    results = made({"rgb": 0.6, "depth": 0.9, "early": 0.6, "mid": 0.8, "late": 0.6}, spread=0.01)
    verdicts = claims.hypothesis(results).set_index(["expected to be better", "than"]).verdict
    assert verdicts["Mid fusion", "Early fusion"] == "holds"
    assert verdicts["Mid fusion", "Depth only"] == verdicts["Late fusion", "Depth only"] == "reversed"
    assert "Transformer fusion" not in verdicts  # not measured, not judged
    level = claims.hypothesis(made({"rgb": 0.6, "depth": 0.6, "early": 0.6, "mid": 0.6}, spread=0.3))
    assert set(level.verdict) == {"open"}
    assert "**3** cannot be decided" in claims.hypothesis_sentence(
        made({"rgb": 0.6, "depth": 0.6, "early": 0.6, "mid": 0.6}, spread=0.3)
    )


def reordered():
    """Three methods; the second seed turns the order of the first two round."""
    results = made({"rgb": 0.5, "mid": 0.6, "late": 0.7})
    m = results.matrices
    m["mid"], m["late"] = (
        np.stack([m["mid"][0], m["late"][1]]),
        np.stack([m["late"][0], m["mid"][1]]),
    )
    return results


def test_another_seed_another_winner() -> None:
    results = reordered()
    assert claims.winners(results) == {0: "Late fusion", 1: "Mid fusion"}
    assert claims.flips(results) == (1, 3)
    said = claims.luck_sentence(results)
    assert "Late fusion with seed 0; Mid fusion with seed 1" in said
    assert "**1** of 3 pairs" in said


def test_one_seed_says_nothing_of_luck() -> None:
    assert "one seed only" in claims.luck_sentence(made({"rgb": 0.5, "mid": 0.6}, seeds=1))


def test_only_seeds_that_all_have_are_compared() -> None:
    results = reordered()
    results.seeds.update({"rgb": (0, 1), "mid": (0, 1), "late": (1, 2)})
    assert list(claims.scores(results).index) == [1]


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    (tmp_path / "smoke").mkdir()
    common = {"trained_on": "mixed", "variant": None}
    lights = [
        {"method": m, "seed": s, "miou": base + 0.02 * s + 0.01 * light, "forgiving_miou": kind, **common}
        for m, base, kind in (("rgb", 0.1, 0.6), ("mid", 0.2, 0.5))
        for s in (0, 1)
        for light in (0, 1)
    ]
    lights.append(lights[0] | {"variant": "lr=1", "miou": 0.9})
    lights.append(lights[0] | {"method": "rgb_twice", "miou": 0.9})
    runs = [
        {"method": m, "seed": s, "miou_mean": a, "miou_mean_last": b, **common}
        for m, s, a, b in (
            ("rgb", 0, 0.1, 0.3),
            ("rgb", 1, 0.1, 0.1),
            ("mid", 0, 0.2, 0.1),
            ("mid", 1, 0.2, 0.1),
        )
    ]
    pd.DataFrame(lights).to_csv(tmp_path / "smoke" / "lightings.csv", index=False)
    pd.DataFrame(runs).to_csv(tmp_path / "smoke" / "runs.csv", index=False)


@pytest.mark.usefixtures("stored")
def test_habits_change_scores_and_places() -> None:
    table = claims.habits("smoke")
    assert list(table.index) == ["rgb", "mid"]  # no controls, no variants
    assert table.loc["rgb"].tolist() == pytest.approx([11.5, 10.5, 60, 20])
    assert table.loc["mid"].tolist() == pytest.approx([21.5, 20.5, 50, 20])
    assert claims.places(table).loc["rgb"].tolist() == [2, 2, 1, 1]
