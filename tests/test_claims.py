"""What others expected and how they measured, put to made results with known answers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rgbd_lib import claims, statistics
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


def test_habits_change_scores_and_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    results = reordered()
    table = claims.habits(results)
    assert list(table.index) == ["rgb", "mid", "late"]
    assert "epoch by test" not in table  # nothing stored
    strict, forgiving = (
        statistics.scores(results.matrices["mid"], results.metric(m)) for m in ("miou", "forgiving_miou")
    )
    assert table.loc["mid", "this protocol"] == pytest.approx(100 * strict.mean())
    assert table.loc["mid", "one seed"] == pytest.approx(100 * strict[0])
    assert table.loc["mid", "forgiving metric"] == pytest.approx(100 * forgiving.mean())
    assert claims.places(table)["one seed"].tolist() == [3, 2, 1]
    assert claims.places(table)["this protocol"].tolist() == [3, 1, 1]  # a tie


def test_an_epoch_chosen_by_test_is_never_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    (tmp_path / "quick").mkdir()
    shown = (
        ("rgb", 0.1, 0.3, None),
        ("rgb", 0.1, 0.0, None),
        ("mid", 0.2, 0.1, None),
        ("mid", 0.9, 0.9, "lr=1"),
    )
    rows = [
        {"method": m, "miou_mean": a, "miou_mean_last": b, "variant": v, "trained_on": "mixed"}
        for m, a, b, v in shown
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "quick" / "runs.csv", index=False)
    pd.DataFrame({"method": ["rgb", "mid"]}).to_csv(tmp_path / "quick" / "methods.csv", index=False)
    table = claims.habits(made({"rgb": 0.5, "mid": 0.6}))
    assert table["epoch by test"].tolist() == pytest.approx([20, 20])


def group(right: float, ids: tuple[int, ...], classes: int = 32) -> np.ndarray:
    """One scene under one light: of each class of a group this share is right, the rest is called the next one."""
    matrix = np.zeros((classes, classes), np.int32)
    for i, k in enumerate(ids):
        matrix[k, k] = round(1000 * right)
        matrix[k, ids[(i + 1) % len(ids)]] = 1000 - round(1000 * right)
    matrix[0, 0] = 10_000
    return matrix


def test_one_sensor_guesses_best_by_how_often_classes_occur() -> None:
    ids = claims.PAIRED["apple square"]
    equal = np.zeros(32)
    equal[list(ids)] = 5.0
    assert claims.best_alone(equal, ids) == pytest.approx(1 / 3, abs=1e-3)
    equal[ids[0]] = 95.0  # its partners are rare: calling both alike nearly always its name pays
    assert 0.36 < claims.best_alone(equal, ids) < 0.45


def test_beyond_one_sensor_is_who_tells_apart_what_one_sensor_cannot() -> None:
    assert set(claims.PAIRED) == {"apple square", "grape square"}
    shares = {"rgb": (0.45, 0.45), "mid": (0.9, 0.9), "late": (0.9, 0.4)}
    matrices = {
        m: np.broadcast_to(
            sum(group(share, ids) for share, ids in zip(pair, claims.PAIRED.values(), strict=True)),
            (1, 5, 2, 32, 32),
        )
        for m, pair in shares.items()
    }
    results = statistics.Results(matrices, profile="laptop", data="made", synthetic=True, background=0)
    table = claims.beyond(results).set_index(["group", "method"])
    one, two = (table.loc[(g, "late"), "mean"] for g in claims.PAIRED)
    assert table.loc[(claims.BOTH, "late"), "mean"] == pytest.approx((one + two) / 2)
    table = table[table.index.get_level_values("group") != claims.BOTH]
    assert set(table.ceiling.round(1)) == {33.3}
    assert table.loc[("apple square", "mid"), "mean"] == pytest.approx(100 * 0.9 / 1.1)
    assert table.sure.to_dict() == {
        ("apple square", "rgb"): False,
        ("apple square", "mid"): True,
        ("apple square", "late"): True,
        ("grape square", "rgb"): False,
        ("grape square", "mid"): True,
        ("grape square", "late"): False,
    }
