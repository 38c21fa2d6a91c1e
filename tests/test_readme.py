"""What the README says about results is what the stored tables say."""

from dataclasses import replace
from pathlib import Path

import pytest

from rgbd_lib import readme
from rgbd_lib.errors import UserError
from tests.test_headline import made

PROJECT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the tables that came with the project, wherever other tests left this process."""
    monkeypatch.chdir(PROJECT)
    for name in ("RGBD_HOME", "RGBD_RESULTS"):
        monkeypatch.delenv(name, raising=False)


def test_the_readme_is_up_to_date_with_its_tables():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    profile = readme.shown(text)
    assert (
        PROJECT / "results" / profile / "latency.csv"
    ).exists()  # else it would be measured anew, and differ
    assert readme.renewed(text, profile) == text, "renew it with `python -m rgbd_lib.readme`"
    assert "Synthetic data" in text


def test_only_what_lies_between_the_marks_changes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(readme, "block", lambda profile: f"{readme.BEGIN}\nnew \\1 {profile}\n{readme.END}")
    old = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert readme.renewed(old, "full") == f"before\n{readme.BEGIN}\nnew \\1 full\n{readme.END}\nafter\n"
    with pytest.raises(UserError, match="no place for results"):
        readme.renewed("nothing", "full")


def test_who_waits_for_seeds_is_named_and_shown_with_the_shorter_training(monkeypatch: pytest.MonkeyPatch):
    short, long = made({"rgb": 0.5, "mid": 0.6, "cen": 0.4}), made({"rgb": 0.6, "mid": 0.7})
    monkeypatch.setattr(readme.lengths, "shorter", lambda profile: "laptop")
    monkeypatch.setattr(readme.tables, "load", {"laptop": short, "overnight": long}.__getitem__)
    monkeypatch.setattr(readme.stored, "load", lambda profile, partial: long)
    monkeypatch.setattr(readme, "scores", lambda profile: f"table of {profile}")
    said, folded = readme.waiting(replace(long, profile="overnight"))
    assert said.endswith(": Channel exchanging.")
    assert "\n\ntable of laptop\n\n" in folded
    monkeypatch.setattr(readme.tables, "load", lambda profile: long)
    assert readme.waiting(replace(long, profile="overnight")) == []
    monkeypatch.setattr(readme.lengths, "shorter", lambda profile: None)
    assert readme.waiting(replace(long, profile="overnight")) == []
    monkeypatch.setattr(readme.stored, "load", lambda profile, partial: short)
    (said,) = readme.waiting(replace(long, profile="overnight"))
    assert said.endswith(": Channel exchanging.")  # begun, without all seeds


def test_a_larger_study_that_lacks_seeds_is_told_seed_by_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(readme.paths, "results", lambda: tmp_path)
    larger = replace(made({"rgb": 0.5, "depth": 0.4, "mid": 0.6, "late": 0.3}), profile="full", seeds={})
    monkeypatch.setattr(readme.stored, "load", lambda profile, partial: {"full": larger}[profile])
    here = replace(larger, profile="overnight")
    assert readme.begun(here) == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "matrices.npz").touch()
    said, folded = readme.begun(here)
    assert "profile full (96x256 pixels, width 0.5, 150 epochs), 2 of 3 seeds so far" in said
    assert said.endswith("Ahead of RGB alone with each of them: Mid fusion.")
    assert "| method | seed 0 | seed 1 |\n|---|---|---|\n| RGB only | 33.3 | 33.3 |" in folded
    assert readme.begun(larger) == []  # shown itself
    assert readme.begun(replace(here, data="other")) == []
    assert readme.so_far(replace(larger, matrices={"mid": larger.matrices["mid"]})) == []  # beside whom?
