"""Which run a chapter looks at: the longest trained one that is here, and never a shorter one than asked for."""

from types import SimpleNamespace

import numpy as np
import pytest

from rgbd_lib import lesson, runs
from rgbd_lib.statistics import Results


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch):
    """Let some (method, profile) pairs be finished; return what else is trained."""
    asked: list[str] = []

    def finish(*pairs: tuple[str, str], current: bool = True, weights: object = True):
        found = [
            SimpleNamespace(info={"parameters": {"method": method, "profile": profile}})
            for method, profile in pairs
        ]
        monkeypatch.setattr(runs, "records", lambda: iter(found))
        wanted = set(pairs) if current else set()
        monkeypatch.setattr(runs, "find", lambda r: r if (r.method, r.profile) in wanted else None)
        monkeypatch.setattr(runs, "get", lambda r, quiet: asked.append(r.profile) or r)
        monkeypatch.setattr(runs.Run, "has_weights", weights, raising=False)  # runs stand for their records
        return asked

    return finish


def test_the_largest_budget_is_looked_at(here):
    asked = here(("mid", "quick"), ("mid", "laptop"), ("se", "full"))
    assert lesson.trained("mid", "quick").profile == "laptop"
    assert lesson.trained("mid", "laptop", seed=2).seed == 2
    assert asked == []


def test_a_smaller_budget_or_old_code_is_trained_anew(here):
    asked = here(("mid", "quick"))
    assert lesson.trained("mid", "laptop").profile == "laptop"
    here(("mid", "laptop"), current=False)
    assert lesson.trained("mid", "quick").profile == "quick"
    assert asked == ["laptop", "quick"]


def test_a_record_that_came_without_its_network_cannot_be_looked_at(here):
    smaller = property(lambda run: run.profile != "full")
    asked = here(("mid", "full"), ("mid", "laptop"), weights=smaller)
    assert lesson.trained("mid", "quick").profile == "laptop"
    assert asked == []


def test_networks_that_are_compared_have_one_budget(here):
    asked = here(("mid", "quick"), ("mid", "laptop"), ("mid", "full"), ("se", "quick"), ("se", "laptop"))
    wanted = {"gates": ("se", {}), "plain": ("mid", {})}
    found = lesson.trained_alike("quick", 0, wanted)
    assert {label: (r.method, r.profile) for label, r in found.items()} == {
        "gates": ("se", "laptop"),
        "plain": ("mid", "laptop"),
    }
    assert asked == []
    found = lesson.trained_alike("full", 0, wanted)
    assert asked == ["full", "full"]
    assert found["gates"].profile == "full"


def test_a_variant_is_not_taken_for_the_plain_method(here, monkeypatch):
    asked = here(("se", "quick"), ("se", "laptop"))
    taught = {"modality_dropout": 0.3}
    plain = runs.find
    monkeypatch.setattr(runs, "find", lambda r: None if r.settings and r.profile == "laptop" else plain(r))
    found = lesson.trained_alike("quick", 0, {"se": ("se", {}), "taught": ("se", {"settings": taught})})
    assert {r.profile for r in found.values()} == {"quick"}
    assert found["taught"].settings == taught
    assert asked == []


def test_a_finished_study_is_shown_before_a_larger_one_that_lacks_seeds(monkeypatch, tmp_path):
    monkeypatch.setattr(lesson.paths, "results", lambda: tmp_path)
    seeds = {"full": (0, 1), "overnight": (0, 1, 2), "laptop": (0,)}
    there = {
        name: Results(
            {m: np.zeros((len(s), 1, 1, 2, 2)) for m in ("rgb", "mid")},
            name,
            "made",
            True,
            seeds={m: s for m in ("rgb", "mid")},
        )
        for name, s in seeds.items()
    }
    monkeypatch.setattr(lesson.tables, "load", there.__getitem__)

    def store(*names):
        for name in names:
            (tmp_path / name).mkdir()
            (tmp_path / name / "matrices.npz").touch()

    assert lesson.stored(("rgb", "mid")) is None
    store("full")
    assert lesson.stored(("rgb", "mid")) is there["full"]  # nothing else is there
    store("laptop")
    assert lesson.stored(("rgb", "mid")) is there["full"]  # neither has all seeds
    store("overnight")
    assert lesson.stored(("rgb", "mid")) is there["overnight"]
    assert lesson.stored(("rgb", "late")) is None
