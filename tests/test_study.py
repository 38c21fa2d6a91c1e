"""The study as a user meets it: plan, work, failures, Ctrl-C, and doing nothing twice."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from typer.testing import CliRunner

from rgbd_lib import batch, kept, methods, notebook_source, notebooks, paths, runs, study, tables
from rgbd_lib.__main__ import app
from rgbd_lib.errors import UserError
from rgbd_lib.ledger import Ledger, content
from rgbd_lib.scheduling import Job, Outcome, TimeIsUp
from rgbd_lib.study import Product
from rgbd_lib.wanted import Wanted, parse_lightings, parse_numbers, portable

PROJECT = Path(__file__).parents[1]


def chapter(path, *cells):
    """Write a chapter with a parameters cell."""
    first = new_code_cell('profile = "quick"', metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[first, *map(new_code_cell, cells)]), path)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_mm5):
    """A project folder with a card that asks for its run, a good chapter and a failing one."""
    home = tmp_path_factory.mktemp("home")
    (home / "notebooks").mkdir()
    (home / "rgbd_lib").mkdir()
    card = "\n".join(
        f"{k} = {v!r}"
        for k, v in {"method": "", "seed": 0, "profile": "", "lighting": "", "data": ""}.items()
    )
    work = "from rgbd_lib.runs import Run, find\nprint(find(Run(method, profile, seed, lighting, data)).folder.name)"
    nbformat.write(
        new_notebook(cells=[new_code_cell(card, metadata={"tags": ["parameters"]}), new_code_cell(work)]),
        home / "notebooks" / "method_card.ipynb",
    )
    chapter(home / "notebooks" / "01_good.ipynb", "print(profile)")
    chapter(home / "notebooks" / "02_bad.ipynb", "x = 1", "open('nowhere.txt')")
    (home / "data").symlink_to(tiny_mm5)
    return home


@pytest.fixture
def home(place, monkeypatch):
    """This process in that project."""
    monkeypatch.chdir(place)
    for name in ("RGBD_HOME", "RGBD_RESULTS", "RGBD_CACHE"):
        monkeypatch.delenv(name, raising=False)
    runs._materials.cache_clear()
    yield place
    runs._materials.cache_clear()


def command(*words, **options):
    """Start the command line in a process of its own, as ``subprocess.run`` does."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(
        [sys.executable, "-m", "rgbd_lib", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=hears_ctrl_c,
        **options,
    )


def hears_ctrl_c():
    """Undo what a shell does to commands in its background, these tests perhaps: they are deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wanted(methods_="rgb", seeds="0", lightings="mixed"):
    return Wanted.parse("smoke", methods_, seeds, lightings, "data")


# -- words ----------------------------------------------------------------------------------------


def test_ranges_are_read():
    assert parse_numbers("0-2") == parse_numbers("0..2") == parse_numbers("0,1,2,1") == (0, 1, 2)
    assert parse_lightings("mixed,1..8") == ("mixed", *"12345678")
    assert parse_lightings("all-but-3, 2") == ("all-but-3", "2")


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "2-1", "1..b", "1,,2"])
def test_no_ranges_are_refused(text):
    with pytest.raises(UserError, match=f"'{text}' is no list of numbers; say 0-2 or 0,3,5"):
        parse_numbers(text)


def test_unknown_words_stop_before_anything_is_opened(monkeypatch):
    monkeypatch.setattr("rgbd_lib.wanted.Run", None)
    with pytest.raises(UserError, match=r"unknown method 'rbg'\. Did you mean 'rgb'"):
        Wanted.parse("smoke", "mid,rbg", "", "mixed", "data")
    with pytest.raises(UserError, match="unknown profile 'quik'"):
        Wanted.parse("quik", "all", "0", "mixed", "data")
    assert Wanted.parse("full", "all", "", "mixed", "data").seeds == (0, 1, 2)
    assert Wanted.parse("full", "all", "", "mixed", "data").methods == tuple(methods.names())


def test_a_lighting_that_the_data_lacks_is_an_error_of_the_plan(home):
    with pytest.raises(UserError, match="9"):
        wanted(lightings="9").runs()


# -- plan -----------------------------------------------------------------------------------------


def test_the_grid_is_complete_and_teachers_come_first(home):
    jobs = study.run_jobs(wanted("primkd,rgb", "0-1", "mixed,3").runs())
    names = [job.name for job in jobs]
    assert sorted(names) == sorted(
        f"{m} seed {s} {light}" for m in ("rgb", "primkd") for s in (0, 1) for light in ("mixed", "3")
    )
    for job in jobs:
        assert all(names.index(name) < names.index(job.name) for name in job.after)
    assert jobs[names.index("primkd seed 1 3")].after == ("rgb seed 1 3",)


def test_a_sweep_is_part_of_the_plan_under_its_own_names(home):
    with pytest.raises(UserError, match=r"unknown sweep 'wher'\. Did you mean 'where'"):
        Wanted.parse("smoke", "none", "0", "mixed", "data", sweeps_="wher")
    asked = Wanted.parse("smoke", "none", "0", "mixed", "data", sweeps_="primkd, where")
    names = [job.name for job in study.run_jobs(asked.runs())]
    assert names[:2] == ["rgb seed 0 mixed", "primkd seed 0 mixed standardise=False"]  # the teacher first
    assert "mid seed 0 mixed fuse_at=['stem'] into=encoder" in names
    assert len(names) == len(set(names)) == 1 + 4 + 5
    assert "card" not in batch.plan_text(asked)  # cards are for methods


def test_a_run_that_was_trained_but_not_tested_is_not_done(home):
    run = wanted(seeds="3").runs()[0]
    assert not study.finished(run)
    study.make_run(run)
    assert study.finished(run)
    (run.folder / "lightings-last.npz").unlink()
    assert not study.finished(run)
    weights = (run.folder / "best.safetensors").stat().st_mtime_ns
    study.make_run(run)
    assert study.finished(run)
    assert (run.folder / "best.safetensors").stat().st_mtime_ns == weights  # no second training


def test_conditions_are_tested_after_the_training_and_only_once(home):
    asked = Wanted.parse("smoke", "rgb", "4", "mixed", "data", "missing, lightings")
    assert asked.conditions == ("missing",)
    with pytest.raises(UserError, match=r"unknown set of conditions 'suit'.*suite"):
        Wanted.parse("smoke", "rgb", "4", "mixed", "data", "suit")
    run = asked.runs()[0]
    assert "to do  rgb seed 4 mixed missing" in batch.plan_text(asked, "runs")
    outcome = batch.study(asked, only="runs", jobs=0)
    assert list(outcome.seconds) == ["rgb seed 4 mixed", "rgb seed 4 mixed missing"]
    assert study.tested(run, "missing").exists()
    assert batch.study(asked, only="runs", jobs=0).seconds == {}
    study.tested(run, "missing").unlink()  # as if killed in between
    assert "1 of 2 done; 1 to do, about" in batch.plan_text(asked, "runs", 1)  # timed once
    assert list(batch.study(asked, only="runs", jobs=0).seconds) == ["rgb seed 4 mixed missing"]


def test_a_run_is_tested_before_the_next_is_trained_and_the_time_may_be_up(home, monkeypatch):
    wanted = Wanted.parse("smoke", "rgb,mid", "0", "mixed", str(home / "data"), "missing")
    asked = []

    def do(pool, jobs, outcome, note):
        asked.extend(job.name for job in jobs)
        raise TimeIsUp

    monkeypatch.setattr(batch.Pool, "do", do)
    outcome = batch.study(wanted, only="runs", jobs=0)
    assert asked == [
        "rgb seed 0 mixed",
        "rgb seed 0 mixed missing",
        "mid seed 0 mixed",
        "mid seed 0 mixed missing",
    ]
    assert outcome.out_of_time
    assert "time is up. The same command goes on from here" in batch.summary(outcome)


def test_the_plan_knows_what_was_timed():
    jobs = [Job("a", len, {}, seconds=90), Job("b", len, {}, seconds=150), Job("c", len, {})]
    assert batch.total(jobs, 5, 2) == (
        "2 of 5 done; 3 to do, about 2 min on 2 workers; 1 of them never timed here, and not counted"
    )
    assert batch.total(jobs[:1], 5, 0) == "4 of 5 done; 1 to do, about 90 s on 1 worker"
    assert batch.total([], 5, 2) == "5 of 5 done"


def test_data_inside_the_project_has_no_absolute_path(home):
    (home / "inside").mkdir()
    assert portable(str(home / "inside")) == "inside"
    assert portable("inside") == "inside"
    assert portable("/elsewhere/mm5") == "/elsewhere/mm5"


def test_a_thing_is_current_until_its_inputs_or_itself_change(home, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.csv").write_text("1")
    ledger, made, job = Ledger(), tmp_path / "folder", Job("x", len, {})
    assert not Product.of(job, made, ["in"], ledger).job.done
    ledger.note(made, Product.of(job, made, ["in"], ledger).inputs, 3.14)
    again = Product.of(job, made, ["in"], ledger)
    assert (again.job.done, again.job.seconds) == (True, 3.1)
    assert not Product.of(job, made, ["other"], ledger).job.done
    (made / "b.csv").write_text("2")
    assert not Product.of(job, made, ["in"], ledger).job.done
    (made / "b.csv").unlink()
    assert Product.of(job, made, ["in"], ledger).job.done
    ledger.path.write_text("{half")
    assert not Product.of(job, made, ["in"], ledger).job.done


def test_a_chapter_goes_in_place_only_with_its_own_parameters(home):
    def targets(profile, **options):
        asked = Wanted(profile, ("rgb",), (0,), data="data")
        return [p.place.relative_to(home).as_posix() for p in study.chapters(asked, Ledger(), **options)]

    assert targets("quick") == ["notebooks/01_good.ipynb", "notebooks/02_bad.ipynb"]
    beside = ["results/notebooks/quick/01_good.ipynb", "results/notebooks/quick/02_bad.ipynb"]
    assert targets("quick", in_place=False) == beside
    assert targets("smoke")[0] == "results/notebooks/smoke/01_good.ipynb"


def test_a_card_that_lacks_a_parameter_stops_the_study_before_the_first_run(home, tmp_path, monkeypatch):
    other = tmp_path / "notebooks"
    other.mkdir()
    chapter(other / "method_card.ipynb", "print(profile)")
    monkeypatch.setenv("RGBD_HOME", str(tmp_path))
    monkeypatch.setattr(study, "run_jobs", None)
    asked = Wanted("smoke", ("rgb",), (0,), data=str(home / "data"))
    with pytest.raises(UserError, match=r"method_card\.ipynb has no parameter data, lighting, method, seed"):
        batch.study(asked)


def test_the_summary_names_what_failed_and_why():
    outcome = Outcome(
        ["a"], {"02_bad": "02_bad.ipynb, cell [3] `open()`: no"}, {"card se": "needs se seed 0 mixed"}
    )
    assert batch.summary(outcome).splitlines() == [
        "FAILED   02_bad   02_bad.ipynb, cell [3] `open()`: no",
        "skipped  card se  needs se seed 0 mixed",
        "1 done, 1 failed, 1 skipped",
    ]


def test_a_report_ends_with_the_table_of_methods_and_where_to_look(home, monkeypatch):
    """The stored tables of the project stand for those of a finished report."""
    stored = pd.read_csv(PROJECT / "results" / "laptop" / "methods.csv")
    folder = home / "results" / "quick"
    folder.mkdir(parents=True)
    stored.to_csv(folder / "methods.csv", index=False)
    monkeypatch.setattr("rgbd_lib.datasets.synthetic.write", lambda place: None)
    monkeypatch.setattr(batch, "study", lambda *_, **__: Outcome([], {}, {}))  # nothing was left to do
    monkeypatch.setattr(paths, "environment", dict)
    told = CliRunner().invoke(app, ["report"])
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    best = stored.loc[stored.miou_mean.idxmax()]
    assert lines[1].startswith(f"{best.title}  ")
    assert f"{100 * best.miou_mean:.1f} (" in lines[1]
    about = f"{stored.seeds.max()} seeds, {stored.scenes.max()} test scenes"
    assert f"profile quick, synthetic data, {about}" in lines
    assert [line.split()[0] for line in lines[-4:-1]] == ["tables", "figures", "notebooks"]
    assert lines[-1] == "0 done, 0 failed, 0 skipped"


# -- work -----------------------------------------------------------------------------------------


def test_a_whole_study_then_nothing_to_do(home, capsys):
    """Runs, tables, figures, notebooks; one chapter fails; mended, only it and nothing else is done again."""
    asked = wanted("rgb")
    plan = batch.plan_text(asked)
    assert "to do  rgb seed 0 mixed" in plan
    assert "\n0 of 6 done; 6 to do" in plan

    words = ["--methods", "rgb", "--data", "data", "--seeds", "0"]
    text, code = finished(command("study", "--profile", "smoke", *words, "--jobs", "2", cwd=home))
    assert code == 1, text
    failure = "02_bad.ipynb, cell [4] `open('nowhere.txt')`: FileNotFoundError"
    assert f"FAILED   02_bad  {failure}" in text.splitlines()[-2]
    assert text.splitlines()[-1] == "5 done, 1 failed, 0 skipped"
    results = home / "results"
    assert sorted(p.name for p in (results / "notebooks" / "smoke").iterdir()) == [
        "01_good.ipynb",
        "02_bad.failed.ipynb",
        "rgb.ipynb",
    ]
    assert (results / "smoke" / "runs.csv").exists()
    assert (home / "figures" / "smoke" / "methods.png").exists()
    plan = batch.plan_text(asked, jobs=1)
    assert "5 of 6 done; 1 to do" in plan
    assert "to do  02_bad" in plan

    own = "get(Run('rgb', 'smoke', data='data', settings={'lr': 1e-3}), quiet=True)"  # tables will know of it
    chapter(home / "notebooks" / "02_bad.ipynb", "from rgbd_lib.runs import Run, get", own)
    before = {p: content(p) for p in sorted(home.glob("*/**/*")) if p.is_file() and "02_bad" not in p.name}
    outcome = batch.study(asked, jobs=0)
    assert set(outcome.seconds) == {"02_bad"}
    assert (len(outcome.done), outcome.failed, outcome.skipped) == (6, {}, {})
    changed = [p for p in before if content(p) != before[p] and p.name != ".made.json"]
    assert {p.relative_to(results).as_posix() for p in changed} == {
        f"smoke/{name}.csv" for name in ("runs", "lightings", "classes", "history")
    }
    assert "lr=0.001" in (results / "smoke" / "runs.csv").read_text()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rgbd_lib.scheduling.workers", None)  # not even workers are started
        assert not batch.study(asked).seconds
    assert batch.plan_text(asked).endswith("\n6 of 6 done")
    more = batch.plan_text(wanted("rgb,depth"), jobs=2)  # another run: tables and chapters, no other card
    missing = {line[7:] for line in more.splitlines() if line.startswith("to do")}
    assert {name.split("  ")[0] for name in missing} == {
        "depth seed 0 mixed",
        "tables",
        "figures",
        "card depth",
        "01_good",
        "02_bad",
    }


def test_what_the_tables_hold_need_not_be_made_again(home, monkeypatch):
    """A fresh clone has tables and no runs: these count, until a card needs weights or somebody asks for them."""
    asked = Wanted.parse("smoke", "rgb,depth", "70", "mixed", "data", "missing")
    batch.study(asked, only="runs", jobs=0)
    folder = tables.write("smoke")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    shutil.rmtree(asked.runs()[1].folder)
    tables.write("smoke")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
    (home / "results" / "runs").rename(home / "results" / "elsewhere")
    try:
        tables.write("smoke")  # no record at all
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
        assert batch.plan_text(asked, "runs").endswith("\n4 of 4 done")
        assert "to do  depth seed 70 mixed " in batch.plan_text(
            asked
        )  # a method card shows what a network does
        assert "\n0 of 4 done" in batch.plan_text(replace(asked, afresh=True), "runs")
        assert "\n0 of 4 done" in batch.plan_text(replace(asked, conditions=("suite",)), "runs")
        student = batch.plan_text(replace(asked, methods=("rgb", "primkd"), conditions=()), "runs")
        assert "to do  rgb seed 70 mixed " in student  # it needs its teacher's weights
        (folder / "runs.csv").unlink()
        assert "\n0 of 4 done" in batch.plan_text(asked, "runs")
    finally:
        shutil.rmtree(home / "results" / "runs", ignore_errors=True)
        (home / "results" / "elsewhere").rename(home / "results" / "runs")
    tables.write("smoke")  # a table that was deleted is no reason to fail
    own = replace(asked.runs()[0], data=str(other_data(home)))
    study.make_run(own)
    tables.write("smoke")
    assert len(set(tables.read("smoke", "runs").data)) == 1  # no table mixes two data sets


def test_what_was_measured_of_an_edited_method_does_not_count(home, monkeypatch):
    asked = Wanted.parse("smoke", "rgb", "71", "mixed", "data", "missing")
    batch.study(asked, only="runs", jobs=0)
    folder = tables.write("smoke")
    assert kept.holds(asked.runs()[0], ["missing"])
    with monkeypatch.context() as patch:
        patch.setattr("rgbd_lib.identity.method_code", lambda *_: "edited")
        asked = Wanted.parse("smoke", "rgb", "71", "mixed", "data", "missing")
        assert "\n0 of 2 done" in batch.plan_text(asked, "runs")
        study.make_run(asked.runs()[0])  # trained again, not tested again
        tables.write("smoke")
        assert 71 not in set(pd.read_csv(folder / "missing.csv").seed)
        assert "1 of 2 done" in batch.plan_text(asked, "runs")


def other_data(home):
    """Return data of another identity in the same layout."""
    from rgbd_lib.datasets.synthetic import write

    return write(home / "other", scenes=24, size=(96, 128), seed=5, progress=False)


def done_runs(home):
    """Return how many runs are trained and tested."""
    return len(list((home / "results" / "runs").glob("rgb-*/lightings-best.npz")))


def test_ctrl_c_ends_all_processes_and_the_next_study_goes_on(home, monkeypatch):
    words = ["study", "--profile", "smoke", "--methods", "rgb", "--seeds", "10-60", "--data", "data"]
    before = done_runs(home)  # other tests share this project
    process = command(*words, "--only", "runs", "--jobs", "2", cwd=home, start_new_session=True)
    family = psutil.Process(process.pid)
    wait_for(lambda: done_runs(home) >= before + 2)
    children = family.children(recursive=True)
    assert len(children) >= 2  # the workers
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
    text, code = finished(process)
    assert code == 130, text
    assert text.strip().splitlines()[-1].endswith("nothing that is done is repeated")
    assert "Traceback" not in text
    assert not psutil.wait_procs(children, timeout=5)[1]
    done = set(re.findall(r"^done     (rgb seed \d+ mixed)", text, re.MULTILINE))
    assert text.strip().splitlines()[-1].startswith(f"{len(done)} done, 0 failed")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outcome = batch.study(wanted("rgb", f"10-{11 + len(done)}"), only="runs", jobs=0)
    assert done <= set(outcome.done)
    assert outcome.seconds
    assert not done & set(outcome.seconds)


def finished(process):
    try:
        text, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return text, process.returncode


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


# -- the card -------------------------------------------------------------------------------------


def test_the_method_card_runs_with_plain_papermill_and_shows_every_part(place, tmp_path):
    """And executed again by the runner it gives the same pictures and tables."""
    values = {"method": "se", "profile": "smoke", "data": str(place / "data")}
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RGBD_CACHE": str(place / ".cache")}
    environment |= {"RGBD_RESULTS": str(tmp_path / "results")}
    environment.pop("MPLBACKEND", None)
    source = PROJECT / "notebooks" / "method_card.ipynb"
    words = [word for pair in values.items() for word in ("-p", *pair)]
    subprocess.run(
        [sys.executable, "-m", "papermill", str(source), str(tmp_path / "plain.ipynb"), *words],
        check=True,
        cwd=PROJECT,
        env=environment,
        capture_output=True,
    )
    plain = notebooks.normalise(nbformat.read(tmp_path / "plain.ipynb", 4))
    outputs = [o for cell in plain.cells for o in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == 5  # curve, lightings, classes, scene, what it looked at
    assert all(o.metadata["image/png"]["alt"] for o in pictures)
    assert not [o for o in outputs if o.output_type == "stream"]
    assert str(tmp_path) not in str(outputs)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RGBD_CACHE", "RGBD_RESULTS"):
            patch.setenv(name, environment[name])
        patch.setenv("OMP_NUM_THREADS", "1")
        again = nbformat.read(notebooks.execute(source, tmp_path / "again.ipynb", values), 4)
    assert [c.get("outputs") for c in again.cells] == [c.get("outputs") for c in plain.cells]


def test_the_method_card_is_short_and_has_no_functions():
    cells = [
        c
        for c in nbformat.read(PROJECT / "notebooks" / "method_card.ipynb", 4).cells
        if c.cell_type == "code"
    ]
    assert max(len(c.source.splitlines()) for c in cells) <= 15
    assert not [c for c in cells if "def " in c.source or "lambda" in c.source]
    assert notebook_source.parameters_of(PROJECT / "notebooks" / "method_card.ipynb").keys() == {
        "method",
        "seed",
        "profile",
        "lighting",
        "data",
    }
