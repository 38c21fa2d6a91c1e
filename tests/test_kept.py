"""Rows of runs that are elsewhere: which stay, which go, and in which order."""

import pandas as pd
import pytest

from rgbd_lib import kept, stored
from rgbd_lib.errors import UserError
from rgbd_lib.runs import Run
from tests.test_stored import SCENES, marks, record

FIXED = {"profile": "laptop", "data": "made 01234567", "synthetic": True, "variant": ""}


def rows(*runs: tuple[str, int, str, float], **changes: object) -> pd.DataFrame:
    found = pd.DataFrame(runs, columns=["method", "seed", "trained_on", "miou"])
    return found.assign(**FIXED | changes)


def values(table: pd.DataFrame) -> list[tuple]:
    return list(table[["method", "seed", "trained_on", "miou"]].itertuples(index=False, name=None))


def test_a_run_that_is_here_replaces_its_rows_and_no_others():
    old = rows(("rgb", 0, "mixed", 0.1), ("rgb", 1, "mixed", 0.2), ("mid", 0, "3", 0.3))
    new = rows(("rgb", 1, "mixed", 0.9), ("early", 0, "mixed", 0.8))
    assert values(kept.join(old, new)) == [
        ("rgb", 0, "mixed", 0.1),
        ("rgb", 1, "mixed", 0.9),
        ("early", 0, "mixed", 0.8),
        ("mid", 0, "3", 0.3),
    ]
    assert values(kept.join(None, new)) == values(new)
    assert values(kept.join(old, None)) == values(old)


def test_variants_of_a_method_are_other_runs():
    old, new = rows(("mid", 0, "mixed", 0.1)), rows(("mid", 0, "mixed", 0.2), variant="lr=0.1")
    assert [v[-1] for v in values(kept.join(old, new))] == [0.1, 0.2]


def test_a_sum_over_fewer_seeds_does_not_replace_one_over_more():
    old = rows(("rgb", 0, "", 0.1), ("mid", 0, "", 0.2)).assign(seeds=[3, 1])
    new = rows(("rgb", 0, "", 0.8), ("mid", 0, "", 0.9)).assign(seeds=[2, 1])
    assert [v[-1] for v in values(kept.fuller(old, new, kept.METHOD))] == [0.1, 0.9]


def test_other_data_and_methods_that_are_gone_do_not_stay(tmp_path, capsys):
    here = rows(("rgb", 0, "1", 0.1), ("no_such_method", 0, "mixed", 0.2))
    elsewhere = rows(("mid", 0, "mixed", 0.3), data="made 76543210")
    pd.concat([here, elsewhere]).to_csv(tmp_path / "runs.csv", index=False)
    pd.DataFrame({"method": ["rgb"], "p50_ms": [1.0]}).to_csv(tmp_path / "latency.csv", index=False)
    found = kept.tables(tmp_path, "made 01234567")
    assert "rows of made 76543210 make room for made 01234567" in capsys.readouterr().out
    assert list(found) == ["runs"]  # a table that is not made of runs is not touched
    assert values(found["runs"]) == [("rgb", 0, "1", 0.1)]  # a light's number is a name, not a number
    assert found["runs"].variant.eq("").all()


def test_matrices_of_runs_that_are_elsewhere_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    place = tmp_path / "laptop"
    place.mkdir()
    stored.save([record("rgb", 1), record("mid", 3), record("mid", 4, lighting="3")], place)
    stored.save([record("rgb", 9), record("early", 2), record("rgb", 7, lighting="3")], place)
    assert marks(stored.load("laptop")) == {"rgb": [9], "early": [2], "mid": [3]}
    assert [who[:3] for who in stored.read_variants(place)] == [("rgb", "3", ""), ("mid", "3", "")]
    stored.save([record("early", 5, lighting="3")], place)  # nothing of the main comparison is here
    assert list(marks(stored.load("laptop"))) == ["rgb", "early", "mid"]
    stored.save([record("rgb", 6, scenes=SCENES[::-1])], place)  # other scenes: nothing can stand beside it
    assert marks(stored.load("laptop")) == {"rgb": [6]}
    assert not (place / stored.VARIANTS).exists()


def trainings(*runs: tuple[str, int, str, str, float]) -> pd.DataFrame:
    found = pd.DataFrame(runs, columns=["method", "seed", "trained_on", "run", "miou_mean"])
    return found.assign(val_miou_best=found.miou_mean, miou_mean_last=found.miou_mean, **FIXED)


def test_all_rows_of_a_run_come_from_one_network(capsys):
    """Retrained by other code, or to other numbers: what was measured of the old network goes everywhere."""
    before = {
        "runs": trainings(
            ("rgb", 0, "mixed", "a", 0.1), ("mid", 0, "mixed", "b", 0.2), ("mid", 0, "3", "c", 0.3)
        ),
        "suite": rows(("rgb", 0, "mixed", 0.1), ("mid", 0, "mixed", 0.2), ("mid", 0, "3", 0.3)),
        "dimmed": pd.DataFrame({"method": ["rgb", "mid"], "seeds": [1, 1]}),
        "hardening": pd.DataFrame({"method": ["rgb", "mid"], "variant": ["x=1", "x=1"], "seeds": [1, 1]}),
    }

    def left(*runs):
        found = kept.without_remade(before, trainings(*runs))
        return [list(found[name].method) for name in ("suite", "dimmed", "hardening")]

    whole = [["rgb", "mid", "mid"], ["rgb", "mid"], ["rgb", "mid"]]
    assert left(("mid", 0, "mixed", "b", 0.2 + 1e-9)) == whole  # the network that the tables know, six digits
    assert left(("early", 0, "mixed", "d", 0.2)) == whole
    assert not capsys.readouterr().out
    assert left(("mid", 0, "mixed", "edited", 0.2)) == [["rgb", "mid"], ["rgb"], ["rgb"]]
    assert left(("mid", 0, "mixed", "b", 0.25)) == [["rgb", "mid"], ["rgb"], ["rgb"]]
    assert left(("mid", 0, "3", "edited", 0.3)) == [["rgb", "mid"], ["rgb", "mid"], ["rgb", "mid"]]
    assert "trained anew: mid 0 3; old rows go from suite" in capsys.readouterr().out


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_sum_over_seeds_holds_plain_runs_with_all_seeds(seeds, tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    monkeypatch.setattr(Run, "id", "known")
    place = tmp_path / "laptop"
    place.mkdir()
    trainings(("mid", 0, "mixed", "known", 0.1)).to_csv(place / "runs.csv", index=False)
    pd.DataFrame({"method": ["mid"], "seeds": [seeds]}).to_csv(place / "dimmed.csv", index=False)
    assert kept.holds(Run("mid", "laptop"))
    assert kept.holds(Run("mid", "laptop"), ["dimmed"]) == (seeds == 3)
    assert not kept.holds(Run("mid", "laptop", lighting="3"), ["dimmed"])
    assert not kept.holds(Run("mid", "laptop"), ["suite"])


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("before")

    def cut_off(error):
        with kept.replacing(path) as new:
            new.write_text("half")
            raise error

    with pytest.raises(UserError, match=r"cannot write .*runs\.csv: no space left"):
        cut_off(OSError("no space left"))
    with pytest.raises(KeyboardInterrupt):
        cut_off(KeyboardInterrupt())
    assert path.read_text() == "before"
    with kept.replacing(path) as new:
        new.write_text("after")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("runs.csv", "after")]


def test_a_broken_table_is_named_before_anything_is_lost(tmp_path):
    (tmp_path / "runs.csv").write_text('method,data\nrgb,"made')
    with pytest.raises(UserError, match=r"runs\.csv cannot be read .*version control"):
        kept.tables(tmp_path, "made 01234567")
    (tmp_path / "runs.csv").write_text("\n")
    assert kept.tables(tmp_path, "made 01234567") == {}


def test_numbers_come_back_as_they_were_written(tmp_path):
    table = rows(("rgb", 0, "mixed", 1 / 3)).assign(seeds=12345678)
    table.to_csv(tmp_path / "a.csv", index=False, float_format=kept.FLOAT)
    back = kept.read(tmp_path / "a.csv")
    assert kept.as_written(table.miou).tolist() == back.miou.tolist()
    back.to_csv(tmp_path / "b.csv", index=False, float_format=kept.FLOAT)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
