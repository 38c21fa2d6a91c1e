"""Doing many jobs, each once what it needs is done.

A job whose worker was killed is started again (a run goes on from its checkpoint); one that fails stops only those
that need it.
"""

import math
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from distributed import Client, Future, get_worker, wait

from rgbd_lib import paths, workers
from rgbd_lib.board import Board, duration
from rgbd_lib.errors import UserError

Note = Callable[[str, float], None]
FEW = 4  # names that are listed; more are counted
TICK = 1.0  # seconds between two looks at what is running


class TimeIsUp(Exception):
    """The time that was given has passed; what is running is cut off, and goes on the next time."""


@dataclass(frozen=True)
class Job:
    """One piece of work: a run to train, a notebook to execute."""

    name: str
    work: Callable[..., object]
    arguments: Mapping[str, object]
    after: tuple[str, ...] = ()  # names of jobs whose failure makes this one pointless
    done: bool = False
    seconds: float | None = None  # expected, from the last time
    kind: str = ""  # jobs of one kind take about the same time


@dataclass
class Outcome:
    """What became of each job, over everything that was done."""

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # of those done now
    interrupted: bool = False
    out_of_time: bool = False

    def blocks(self, job: Job) -> str | None:
        """Return the name of a job that failed and that this one needs."""
        return next((name for name in job.after if name in self.failed or name in self.skipped), None)


class Pool:
    """Workers, started when there is something to do: 0 = none, this process does everything itself."""

    def __init__(
        self,
        jobs: int | None = None,
        scheduler: str | None = None,
        board: Board | None = None,
        until: float = math.inf,  # of the monotonic clock
    ) -> None:
        self.jobs, self.scheduler, self.board, self.until = jobs, scheduler, board or Board(), until
        self.cluster: object = None
        self.client: Client | None = None
        self.topic = f"rgbd-{uuid.uuid4().hex}"  # a scheduler may have other guests
        self.started: dict[str, float] = {}
        self.limit = 1

    def __enter__(self) -> "Pool":
        if self.scheduler:  # a wrong address is known before anything else is done
            self.start(1)
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.board.clear()
        if self.cluster is not None and kind is not None:
            workers.kill(self.cluster)
        for thing in (self.client, self.cluster):
            if thing is not None:
                thing.close()

    def start(self, count: int) -> None:
        """Start workers for at most ``count`` jobs at a time, or find those of the scheduler."""
        if self.client is not None:
            return
        if self.scheduler is None:
            places = workers.places(self.jobs)[:count]
            self.cluster, self.limit = workers.start(places), len(places)
        self.client = workers.connect(self.scheduler or self.cluster)
        self.client.subscribe_topic(self.topic, self.heard)

    def heard(self, event: tuple[float, str]) -> None:
        """Note that a worker has begun a job; for the second time if its first worker died."""
        _, name = event
        if name in self.started:
            self.board.line(f"again    {name}: its worker died")
        self.started[name] = time.monotonic()

    def do(self, jobs: Sequence[Job], outcome: Outcome, note: Note = lambda name, seconds: None) -> None:
        """Do all jobs that are not done; enter what became of each, and call ``note`` for those that succeed."""
        before = [job.name for job in jobs if job.done]
        outcome.done += before
        if before:
            names = ", ".join(before) if len(before) <= FEW else f"{len(before)} of {len(jobs)}"
            self.board.line(f"current  {names}")
        todo = Todo([job for job in jobs if not job.done], self.board, outcome, note)
        if not todo.waiting:
            return
        if self.jobs == 0 and not self.scheduler:
            while self.in_time() and (job := todo.next()):
                todo.settle(job, lambda job=job: measured(job))
            return
        self.start(len(todo.waiting))
        running: dict[Future, Job] = {}
        while self.in_time() and (todo.waiting or running):
            while (self.scheduler or len(running) < self.limit) and (job := todo.next()):
                running[self.submit(job, rank=len(jobs) - len(todo.waiting))] = job
            for future in self.finished(running):
                todo.settle(running.pop(future), future.result)
            count = len(self.client.nthreads()) if self.scheduler else self.limit
            self.board.status(todo.status(self.started, count))

    def in_time(self) -> bool:
        """Return True until the time is up, which ends everything."""
        if time.monotonic() > self.until:
            raise TimeIsUp
        return True

    def submit(self, job: Job, rank: int) -> Future:
        """Hand a job to the workers."""
        key = f"{self.topic}-{job.name}"
        return self.client.submit(
            perform, job, self.topic, paths.environment(), key=key, pure=False, priority=-rank
        )

    def finished(self, running: Mapping[Future, Job]) -> list[Future]:
        """Wait a little, then return what has ended."""
        if not running:
            return []
        try:
            wait(list(running), timeout=TICK, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return []
        return [future for future in running if future.done()]


class Todo:
    """The jobs that are left, and what is said about them."""

    def __init__(self, jobs: list[Job], board: Board, outcome: Outcome, note: Note) -> None:
        self.jobs, self.board, self.outcome, self.note = jobs, board, outcome, note
        self.waiting = list(jobs)
        self.busy: dict[str, Job] = {}

    def next(self) -> Job | None:
        """Return a job that can be begun now; those that cannot any more are left out."""
        for job in list(self.waiting):
            if cause := self.outcome.blocks(job):
                self.waiting.remove(job)
                self.outcome.skipped[job.name] = f"needs {cause}"
                self.board.line(f"skipped  {job.name}: needs {cause}")
        pending = {job.name for job in self.waiting} | set(self.busy)
        for job in self.waiting:
            if not pending & set(job.after):
                self.waiting.remove(job)
                self.busy[job.name] = job
                return job
        return None

    def settle(self, job: Job, result: Callable[[], float]) -> None:
        """Note how a job ended."""
        try:
            seconds = result()
        except Exception as error:
            self.outcome.failed[job.name] = describe(error)
            text = f"FAILED   {job.name}: {describe(error)}"
        else:
            self.outcome.done.append(job.name)
            self.outcome.seconds[job.name] = seconds
            self.note(job.name, seconds)
            text = f"done     {job.name} ({duration(seconds)})"
        del self.busy[job.name]
        count = len(self.jobs) - len(self.waiting) - len(self.busy)
        self.board.line(f"{text}  [{count}/{len(self.jobs)}]")

    def status(self, started: Mapping[str, float], workers: int) -> str:
        """Return done, running, failed, time left."""
        now = time.monotonic()
        running = {name: now - started[name] for name in self.busy if name in started}
        names = ", ".join(f"{name} ({duration(spent)})" for name, spent in running.items())
        done = sum(job.name in self.outcome.seconds for job in self.jobs)
        failed = sum(job.name in self.outcome.failed for job in self.jobs)
        left = self.left(running)
        time_left = "" if left is None or not workers else f", about {duration(left / workers)} left"
        people = names or ("no worker yet" if not workers else "starting")
        return f"{done}/{len(self.jobs)} done, {failed} failed{time_left}; running: {people}"

    def left(self, running: Mapping[str, float]) -> float | None:
        """Return the expected work, in seconds of one worker; a job never seen takes as long as its kind, if known."""
        seen: dict[str, list[float]] = {}
        for job in self.jobs:
            if (spent := self.outcome.seconds.get(job.name, job.seconds)) is not None:
                seen.setdefault(job.kind, []).append(spent)
        total = 0.0
        for job in [*self.waiting, *self.busy.values()]:
            if job.seconds is None and job.kind not in seen:
                return None
            expected = job.seconds if job.seconds is not None else fmean(seen[job.kind])
            total += max(0.0, expected - running.get(job.name, 0.0))
        return total


def perform(job: Job, topic: str, environment: Mapping[str, str]) -> float:
    """Do a job on a worker, with the folders of whoever asked for it; return the seconds it took."""
    os.environ.update(environment)
    get_worker().log_event(topic, job.name)
    return measured(job)


def measured(job: Job) -> float:
    """Do a job; return the seconds it took."""
    begun = time.monotonic()
    job.work(**job.arguments)
    return time.monotonic() - begun


def describe(error: BaseException) -> str:
    """Return an error in one line."""
    if type(error).__name__ == "KilledWorker":
        return f"its worker process died {workers.DEATHS + 1} times: killed, or out of memory"
    text = (str(error).strip().splitlines() or [""])[0]
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
