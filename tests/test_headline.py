"""The first page says what results allow, and no more."""

import numpy as np
import pytest

from rgbd_lib import headline, methods, paths, tables
from rgbd_lib.statistics import Interval, Results


def made(quality: dict[str, float], seeds: int = 2, scenes: int = 12, spread: float = 0.0) -> Results:
    """Return results of methods whose share of right pixels is given, with scenes that differ by ``spread``."""
    rng, found = np.random.default_rng(0), {}
    for name, share in quality.items():
        right = np.clip(share + spread * rng.standard_normal((seeds, scenes, 8)), 0.01, 0.99) * 1000
        matrix = np.zeros((seeds, scenes, 8, 3, 3))
        for k in range(3):
            matrix[..., k, k], matrix[..., k, (k + 1) % 3] = right, 1000 - right
        found[name] = matrix.round()
    return Results(found, profile="quick", data="made", synthetic=True)


def test_a_verdict_needs_an_interval_without_zero() -> None:
    assert headline.verdict(Interval(0.1, 0.02, 0.2, 3, 9)) == "ahead"
    assert headline.verdict(Interval(-0.1, -0.2, -0.02, 3, 9)) == "behind"
    assert headline.verdict(Interval(0.1, -0.01, 0.2, 3, 9)) == "cannot be told apart"


def test_points_are_signed_and_in_percent() -> None:
    assert headline.points(Interval(-0.012, -0.03, 0.0, 1, 1)) == "−1.2 (−3.0 to +0.0)"


def test_the_summary_sorts_methods_by_what_the_data_say() -> None:
    text = headline.summary(
        made({"rgb": 0.6, "depth": 0.5, "mid": 0.8, "early": 0.4, "late": 0.8}, spread=0.01)
    )
    first = text.splitlines()[0]
    assert "**2** ahead of RGB alone (Mid fusion; Late fusion)" in first
    assert "**1** behind RGB alone (Early fusion)" in first
    assert "not to be told apart" not in first


def test_equal_methods_cannot_be_told_apart() -> None:
    results = made({"rgb": 0.6, "depth": 0.5, "mid": 0.6}, spread=0.2)
    assert headline.verdict(headline.compare(results, "mid", "rgb")) == "cannot be told apart"
    assert "**1** not to be told apart from RGB alone (Mid fusion)" in headline.summary(results)


def test_the_floor_is_the_score_of_background_everywhere() -> None:
    results = made({"rgb": 0.6, "depth": 0.5, "mid": 0.7})  # three classes, equally frequent
    assert headline.floor(results) == pytest.approx((1 / 3 + 0 + 0) / 3)
    assert "background scores 11.1 %" in headline.summary(results)


def test_answers_hold_only_comparisons_that_were_made() -> None:
    text = headline.answers(made({"rgb": 0.6, "depth": 0.5, "early": 0.7, "mid": 0.7}))
    assert "Early fusion − RGB only" in text
    assert "Late fusion" not in text
    assert "[03](03_early.ipynb)" in text
    assert "Synthetic data, profile quick, 2 seeds, 12 test scenes" in text
    assert "stored yet" in headline.answers(made({"rgb": 0.5, "depth": 0.5}))


def test_the_leader_is_the_method_with_the_highest_mean() -> None:
    results = made({"rgb": 0.6, "depth": 0.5, "mid": 0.7, "late": 0.9}, spread=0.01)
    assert headline.best(results) == "late"
    assert "highest mean is that of Late fusion" in headline.leader(results)
    assert "first in 100 % of the worlds" in headline.leader(results)
    assert "one seed" in headline.leader(made({"rgb": 0.6, "depth": 0.5, "mid": 0.7}, seeds=1))


def test_every_question_compares_registered_methods_of_a_chapter() -> None:
    for question in headline.QUESTIONS:
        assert methods.get(question.a).name != methods.get(question.b).name
        assert question.chapter[:2].isdigit()


def test_the_largest_profile_with_results_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    store = {
        "smoke": made({"rgb": 0.5, "depth": 0.5, "mid": 0.5}),
        "laptop": made({"rgb": 0.6, "depth": 0.5, "mid": 0.7}),
    }
    store["full"] = made({"rgb": 0.6})  # an unfinished study says nothing yet
    for profile in store:
        (tmp_path / profile).mkdir()
        (tmp_path / profile / "matrices.npz").touch()
    monkeypatch.setattr(tables, "load", store.__getitem__)
    assert headline.stored("smoke") is store["laptop"]
