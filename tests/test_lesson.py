"""Which run a chapter looks at: the longest trained one that is here, and never a shorter one than asked for."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from rgbd_lib import lesson, runs


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch):
    """Let some (method, profile) pairs be finished; return what else is trained."""
    asked: list[str] = []

    def finish(*pairs: tuple[str, str], current: bool = True):
        found = [
            SimpleNamespace(folder=Path(f"{method}-0123"), info={"parameters": {"profile": profile}})
            for method, profile in pairs
        ]
        monkeypatch.setattr(runs, "records", lambda: iter(found))
        wanted = set(pairs) if current else set()
        monkeypatch.setattr(runs, "find", lambda r: r if (r.method, r.profile) in wanted else None)
        monkeypatch.setattr(runs, "get", lambda r, quiet: asked.append(r.profile) or r)
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
