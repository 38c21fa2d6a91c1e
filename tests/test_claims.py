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
    table = claims.habits(made({"rgb": 0.5, "mid": 0.6}))
    assert table["epoch by test"].tolist() == pytest.approx([20, 20])


def budgets(folder: Path) -> None:
    """Store three methods at 60 epochs and at 240: mid overtakes late, and the second class is found."""
    usual, long = {"rgb": 0.10, "mid": 0.20, "late": 0.25}, {"rgb": 0.12, "mid": 0.35, "late": 0.30}
    rows = [
        {"method": m, "epochs": 240, "plain_epochs": 60, "plain": usual[m], "miou": long[m], "seeds": 1}
        for m in usual
    ]
    rows.append({"method": "rgb", "epochs": 120, "plain_epochs": 60, "plain": 0.1, "miou": 0.0, "seeds": 1})
    pd.DataFrame(rows).to_csv(folder / "budget.csv", index=False)
    short = {"cup": (0.5, 9), "plum": (0.004, 9), "kiwi": (0.0, 0), "pear": (0.0, 9)}  # IoU, test scenes
    later = {"cup": (0.6, 9), "plum": (0.2, 9), "kiwi": (0.0, 0), "pear": (0.0, 9)}
    classes = [
        {"method": m, "class": c, "iou": iou * (m != "rgb"), "scenes": n, "variant": v}
        | {"trained_on": "mixed", "seed": 0}
        for m in usual
        for v, found in (("", short), ("epochs=240", later))
        for c, (iou, n) in found.items()
    ]
    pd.DataFrame(classes).to_csv(folder / "classes.csv", index=False)


def test_longer_training_is_told_by_gains_order_and_classes(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    (tmp_path / "laptop").mkdir()
    assert "is not known" in claims.longer_sentence("laptop")
    budgets(tmp_path / "laptop")
    table = claims.longer("laptop")
    assert table.longer.to_dict() == pytest.approx({"rgb": 12, "mid": 35, "late": 30})  # the longest counts
    assert claims.missed("laptop", ["mid"]) == 2  # kiwi is in no test scene
    assert claims.missed("laptop", ["rgb", "mid"], "epochs=240") == (3 + 1) / 2
    said = claims.longer_sentence("laptop")
    assert "240 epochs instead of 60 (1 seed, 3 methods)" in said
    assert "change by +2.0 to +15.0 points" in said
    assert "**1** of 3 pairs" in said
    assert "Mid fusion takes the first place from Late fusion" in said
    assert f"misses {(3 + 1 + 1) / 3:.1f} classes wholly instead of {(3 + 2 + 2) / 3:.1f}." in said


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


def test_the_longest_runs_speak_where_there_are_any(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    (tmp_path / "laptop").mkdir()
    main = made({"rgb": 0.5, "mid": 0.6})
    monkeypatch.setattr(claims.tables, "load", lambda profile: main)
    assert claims.longest("laptop") == (main, 60)
    budgets(tmp_path / "laptop")
    asked = {}
    monkeypatch.setattr(claims.stored, "load_runs", lambda profile, wanted: asked.update(wanted) or main)
    found, epochs = claims.longest("laptop")
    assert (found.profile, epochs) == ("laptop with 240 epochs", 240)
    assert set(asked) == {"rgb", "mid", "late"}
    assert {str(run.settings) for run in asked.values()} == {"{'epochs': 240}"}
