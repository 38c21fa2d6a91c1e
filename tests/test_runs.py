"""A run is made once, is found again, and is never mixed up with another."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from filelock import FileLock

from rgbd_lib import material, runs
from rgbd_lib.errors import UserError
from tests.study_fixtures import SETTINGS

pytestmark = pytest.mark.usefixtures("run_home")


def run(method="rgb", **changes):
    return runs.Run(method, "smoke", settings=SETTINGS | changes.pop("settings", {}), **changes)


def test_a_run_is_made_once(monkeypatch):
    record = runs.get(run(), quiet=True, device="cpu")
    assert record.info["cost"]["parameters"] > 0
    assert list(record.scores().conditions) == ["light 1", "light 2", "light 3"]
    monkeypatch.setattr(runs, "train", None)  # asking again must not need it
    assert runs.get(run()).folder == record.folder
    assert not list(record.folder.glob("checkpoint*"))


def test_the_trained_model_comes_back():
    record = runs.get(run(), quiet=True, device="cpu")
    model = record.model()
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) == record.info["cost"]["parameters"]
    assert record.run.id == run().id


def test_scores_are_taken_over_where_the_best_epoch_is_the_last(monkeypatch):
    record = runs.get(run(seed=5), quiet=True, device="cpu")
    best, last = (record.folder / f"lightings-{name}.npz" for name in ("best", "last"))
    kept = last.read_bytes()
    best.unlink()
    monkeypatch.setattr(runs.evaluation, "evaluate", None)  # asking must not need it
    monkeypatch.setitem(record.info["validation"], "best_epoch", record.info["recipe"]["epochs"] - 1)
    monkeypatch.setattr(runs, "find", lambda _: record)
    runs.evaluate(run(seed=5), quiet=True)
    assert best.read_bytes() == kept
    best.unlink()
    monkeypatch.setitem(record.info["validation"], "best_epoch", -1)
    with pytest.raises(TypeError):
        runs.evaluate(run(seed=5), quiet=True)  # other weights: they have to be tested


def test_what_decides_the_result_decides_the_name():
    base = run().id
    assert run(data="elsewhere").id == base  # the content counts, not the place
    others = [
        run(seed=1),
        run(lighting="2"),
        run("depth"),
        run(options={"wiring": "unet"}),
        run(settings={"lr": 0.5}),
        replace(run(), split="official"),
    ]
    assert len({base, *(other.id for other in others)}) == 1 + len(others)


def test_a_student_waits_for_its_teacher():
    record = runs.get(run("primkd"), quiet=True, device="cpu")
    teacher = run("primkd").required()["rgb"]
    assert teacher == run("rgb")
    assert runs.find(teacher) is not None
    assert record.info["parameters"]["method"] == "primkd"


def test_two_processes_do_not_make_the_same_run_twice(capsys):
    wanted = run(seed=7)
    wanted.folder.mkdir(parents=True)
    holder = FileLock(str(wanted.folder / ".lock"))
    holder.acquire()
    code = (
        "import sys, time; from pathlib import Path; from rgbd_lib.runs import working_alone\n"
        "lock = working_alone(Path(sys.argv[1]), quiet=False)\n"
        "print('waiting', flush=True)\n"
        "with lock: print('mine', flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(wanted.folder)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert "another process is at work on it; waiting" in other.stdout.readline()
        assert other.stdout.readline() == "waiting\n"
        holder.release()
        assert other.stdout.readline() == "mine\n"


def test_broken_records_are_named_and_not_counted(capsys):
    good = runs.get(run(), quiet=True, device="cpu")
    broken = good.folder.with_name("rgb-broken")
    broken.mkdir()
    (broken / "run.json").write_text("{half")
    half = good.folder.with_name("rgb-half")
    half.mkdir()
    (half / "run.json").write_text(json.dumps({"parameters": {}}))
    found = [record.folder.name for record in runs.records()]
    assert good.folder.name in found
    assert "rgb-broken" not in found
    assert "rgb-half" not in found
    said = capsys.readouterr().out
    assert "rgb-broken" in said
    assert "rgb-half" in said


def test_an_untrained_run_cannot_be_evaluated():
    with pytest.raises(UserError, match=r"rgb \(seed 99, smoke\) is not trained yet; `rgbd train"):
        runs.evaluate(run(seed=99))


def test_an_unknown_method_stops_before_the_data_is_opened(monkeypatch):
    monkeypatch.setattr(material, "open_dataset", None)
    with pytest.raises(UserError, match="unknown method 'mids'"):
        runs.train(run("mids"))


def test_an_empty_split_is_an_error_before_the_first_step(run_home, monkeypatch):
    data = run_home
    monkeypatch.setattr(data, "split", lambda name, kind: () if name == "val" else data.scenes)
    with pytest.raises(UserError, match=r"split 'val' \(grouped\) of .* is empty; see `rgbd data check"):
        runs.train(run(seed=5))


def test_labels_outside_the_classes_are_an_error_before_the_first_step(run_home, monkeypatch):
    monkeypatch.setattr(run_home, "classes", ("background", "cube"))
    with pytest.raises(UserError, match=r"scene \d holds label 2, but there are 2 classes"):
        runs.train(run(seed=6))
