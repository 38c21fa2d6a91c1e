"""Jobs on real worker processes: order, failures that stay where they are, deaths that are survived."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from study_jobs import die, divide, fail, rest, train, write

from rgbd_lib import checkpoint, runs, workers
from rgbd_lib.board import Board
from rgbd_lib.errors import UserError
from rgbd_lib.scheduling import Job, Outcome, Pool, TimeIsUp, Todo

SETTINGS = {"epochs": 12, "size": (32, 48), "batch": 2, "width": 0.125, "scenes": None, "precision": "fp32"}


@pytest.fixture(scope="module")
def pool():
    """Two workers that were told they have a GPU each; a job may kill one, not two."""
    with pytest.MonkeyPatch.context() as patch, Pool(2) as made:
        patch.setattr(workers, "DEATHS", 1)
        cluster = workers.start([workers.ALONE | {"CUDA_VISIBLE_DEVICES": name} for name in ("5", "7")])
        made.cluster, made.limit = cluster, 2
        made.client = workers.connect(cluster)
        made.client.subscribe_topic(made.topic, made.heard)
        yield made


def said(capsys) -> str:
    return capsys.readouterr().out


def read(folder: Path, name: str) -> list[str]:
    return (folder / name).read_text().split("\n")


def test_what_is_needed_comes_first_and_failures_stay_where_they_are(pool, tmp_path):
    def job(name, *after):
        return Job(name, write, {"folder": tmp_path, "name": name}, after)

    jobs = [
        job("student", "teacher"),
        Job("broken", fail, {}),
        Job("divide", divide, {}),
        job("lost", "broken"),
        job("lost too", "lost"),
        job("teacher"),
        Job("old", fail, {}, done=True),
        *[job(f"other {i}") for i in range(4)],
    ]
    outcome = Outcome()
    pool.do(jobs, outcome)
    assert outcome.failed == {
        "broken": "depth.png is missing",
        "divide": "ZeroDivisionError: integer division or modulo by zero",
    }
    assert outcome.skipped == {"lost": "needs broken", "lost too": "needs lost"}
    assert sorted(outcome.done) == ["old", *(f"other {i}" for i in range(4)), "student", "teacher"]
    assert float(read(tmp_path, "student")[1]) >= float(read(tmp_path, "teacher")[1]) + 0.05


def test_a_failure_is_remembered_by_what_is_done_later(pool, tmp_path):
    outcome = Outcome(failed={"run a": "no"})
    pool.do([Job("card a", write, {"folder": tmp_path, "name": "x"}, after=("run a", "run b"))], outcome)
    assert outcome.skipped == {"card a": "needs run a"}
    assert not list(tmp_path.iterdir())


def test_each_worker_has_its_own_gpu_one_thread_and_the_callers_folders(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "results"))
    names = [f"job {i}" for i in range(6)]
    pool.do([Job(name, write, {"folder": tmp_path, "name": name}) for name in names], Outcome())
    seen = {tuple(read(tmp_path, name)[i] for i in (0, 2)) for name in names}
    assert {gpu for _, gpu in seen} == {"5", "7"}
    assert len({pid for pid, _ in seen}) == len(seen) == 2
    assert {read(tmp_path, name)[3] for name in names} == {"1"}
    assert {read(tmp_path, name)[4] for name in names} == {str(tmp_path / "results")}


def test_a_running_scheduler_is_used_by_its_address(pool, tmp_path):
    outcome = Outcome()
    with Pool(scheduler=pool.cluster.scheduler_address) as other:
        other.do([Job("far", write, {"folder": tmp_path, "name": "far"})], outcome)
    assert outcome.done == ["far"]
    assert read(tmp_path, "far")[2] in ("5", "7")  # a worker of that scheduler did it
    assert len(pool.client.nthreads()) == 2  # which is left running


def test_a_run_whose_worker_is_killed_goes_on_from_its_checkpoint(
    pool, tiny_mm5, tmp_path, monkeypatch, capsys
):
    """The killed and the unbroken run end with the same history."""
    monkeypatch.setenv("RGBD_CACHE", str(tmp_path / "cache"))
    run, log = runs.Run("rgb", "smoke", data=str(tiny_mm5), settings=SETTINGS), tmp_path / "log"
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "whole"))
    torch.set_num_threads(1)
    whole = runs.get(run, quiet=True, device="cpu").history

    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path / "results"))
    outcome, killed = Outcome(), []

    class Killer(Board):
        def status(self, text: str) -> None:
            path = checkpoint.latest(run.folder)
            if path and not killed:
                killed.append(int(log.read_text().split()[0]))
                os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr("rgbd_lib.scheduling.TICK", 0.05)
    monkeypatch.setattr(pool, "board", Killer())
    pool.do([Job("rgb", train, {"run": run, "log": log})], outcome)
    sittings = [line.split() for line in log.read_text().splitlines()]
    assert outcome.done == ["rgb"]
    assert [int(pid) for pid, _ in sittings][:1] == killed
    assert len(sittings) == 2
    assert sittings[0][1] == "-"
    assert sittings[1][1].startswith("checkpoint")
    assert "again    rgb: its worker died" in said(capsys)
    record = runs.find(run)
    assert record.history.equals(whole)


def test_a_job_that_kills_every_worker_is_given_up(pool, tmp_path):
    outcome, good = Outcome(), {"folder": tmp_path, "name": "good"}
    pool.do([Job("deadly", die, {"folder": tmp_path}), Job("good", write, good)], outcome)
    assert outcome.failed == {"deadly": "its worker process died 2 times: killed, or out of memory"}
    assert outcome.done == ["good"]
    assert len(list(tmp_path.glob("death-*"))) == 2


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nowhere", "tcp://no-such-host.invalid:8786"])
def test_an_address_where_nobody_answers_is_an_error_at_once(address, monkeypatch):
    monkeypatch.setattr(workers, "ANSWER", 1)
    begun = time.monotonic()
    with pytest.raises(UserError, match=f"no dask scheduler answers at {address}"), Pool(scheduler=address):
        pass
    assert time.monotonic() - begun < 10


def test_one_worker_per_gpu_else_per_core(monkeypatch):
    monkeypatch.setattr(workers, "CPU_COUNT", 6)
    monkeypatch.setattr(workers, "MEMORY_LIMIT", 64 * 2**30)
    monkeypatch.setattr(workers, "gpus", lambda: [])
    assert len(workers.places()) == 6
    assert len(workers.places(3)) == 3
    assert "CUDA_VISIBLE_DEVICES" not in workers.places()[0]
    monkeypatch.setattr(workers, "MEMORY_LIMIT", 4 * 2**30)
    assert len(workers.places()) == 2  # six would swap
    monkeypatch.setattr(workers, "gpus", lambda: ["0", "3"])
    assert [p["CUDA_VISIBLE_DEVICES"] for p in workers.places()] == ["0", "3"]
    assert [p["CUDA_VISIBLE_DEVICES"] for p in workers.places(3)] == ["0", "3", "0"]


def test_gpus_are_those_that_were_allowed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,MIG-9,11")
    assert workers.gpus() == ["4", "MIG-9"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert workers.gpus() == ["0", "1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert workers.gpus() == []


def test_without_workers_this_process_does_it_all(tmp_path, capsys):
    outcome, noted = Outcome(), {}
    jobs = [
        Job("second", write, {"folder": tmp_path, "name": "b"}, ("first",)),
        Job("first", write, {"folder": tmp_path, "name": "a"}),
        Job("bad", fail, {}),
        Job("after bad", fail, {}, ("bad",)),
    ]
    with Pool(0) as alone:
        alone.do(jobs, outcome, noted.__setitem__)
    assert outcome.done == ["first", "second"]
    assert set(noted) == {"first", "second"}
    assert (outcome.failed, outcome.skipped) == (
        {"bad": "depth.png is missing"},
        {"after bad": "needs bad"},
    )
    assert read(tmp_path, "a")[0] == str(os.getpid())
    assert alone.client is None
    assert "FAILED   bad: depth.png is missing" in said(capsys)


def test_what_runs_is_cut_off_when_the_time_is_up(tmp_path, monkeypatch):
    outcome, ended = Outcome(), []
    kill = workers.kill
    monkeypatch.setattr(workers, "kill", lambda cluster: ended.append(1) or kill(cluster))
    jobs = [Job("long", rest, {"folder": tmp_path, "seconds": 600}), Job("never", fail, {}, ("long",))]
    begun, hurried = time.monotonic(), Pool(1)
    monkeypatch.setattr(hurried.board, "status", lambda _: hurry(hurried, tmp_path))
    with pytest.raises(TimeIsUp), hurried:
        hurried.do(jobs, outcome)
    assert time.monotonic() - begun < 120
    assert ended == [1]
    assert (outcome.done, outcome.failed) == ([], {})
    assert not (tmp_path / "ended").exists()


def hurry(pool: Pool, folder: Path) -> None:
    """Let the time be up as soon as the first job has begun."""
    if (folder / "begun").exists():
        pool.until = 0.0


def test_without_workers_nothing_begins_when_the_time_is_up(tmp_path):
    outcome = Outcome()
    with pytest.raises(TimeIsUp), Pool(0, until=time.monotonic() - 1) as late:
        late.do([Job("first", write, {"folder": tmp_path, "name": "a"})], outcome)
    assert outcome.done == []
    assert not (tmp_path / "a").exists()


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setattr(workers, "start", None)
    outcome = Outcome()
    with Pool(2) as idle:
        idle.do([Job("old", fail, {}, done=True)], outcome)
    assert outcome.done == ["old"]


def test_the_time_left_is_told_once_each_kind_of_job_was_timed():
    def job(name: str, kind: str, seconds: float | None = None) -> Job:
        return Job(name, write, {}, kind=kind, seconds=seconds)

    jobs = [job("a", "card"), job("b", "card"), job("c", "card", 7.0), job("long", "chapter")]
    outcome = Outcome(seconds={"a": 10.0})
    todo = Todo(jobs, Board(), outcome, lambda *_: None)
    todo.waiting = jobs[1:]
    assert todo.left({}) is None  # nobody knows how long a chapter takes
    assert "left" not in todo.status({}, 2)
    todo.waiting, todo.busy = [jobs[2]], {"b": jobs[1]}
    assert todo.left({"b": 4.0}) == pytest.approx(7.0 + (10.0 + 7.0) / 2 - 4.0)
    assert "about 6 s left" in todo.status({"b": time.monotonic() - 4.0}, 2)
