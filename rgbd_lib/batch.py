"""The whole study from one call: runs, then tables and figures, then notebooks."""

import math
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from rgbd_lib import paths, workers
from rgbd_lib.board import Board, duration
from rgbd_lib.ledger import Ledger
from rgbd_lib.scheduling import Job, Outcome, Pool, TimeIsUp
from rgbd_lib.study import (
    CELL_SECONDS,
    Product,
    cards,
    chapters,
    evaluation_jobs,
    kind,
    run_jobs,
    seen,
    summaries,
    tested,
)
from rgbd_lib.wanted import Wanted

PARTS = ("runs", "figures", "notebooks")


def study(
    wanted: Wanted,
    *,
    only: str | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    in_place: bool = True,
    cell_seconds: float = CELL_SECONDS,
    minutes: float = math.inf,
    board: Board | None = None,
) -> Outcome:
    """Do what is missing of all parts, or of one, as far as the time given allows; what fails stops only what needs it."""
    until = time.monotonic() + 60 * minutes
    outcome, ledger, board = Outcome(), Ledger(), board or Board()
    parts = (only,) if only else PARTS
    if "notebooks" in parts:  # wrong parameters are known before the first run
        notebook_products(wanted, ledger, cell_seconds, in_place)
    try:
        with Pool(jobs, scheduler, board, until) as pool, Pool(0, board=board, until=until) as here:
            if "runs" in parts:
                make_runs(wanted, parts, pool, outcome, ledger)
            if "figures" in parts:
                for product in summaries(wanted.profile, ledger):
                    make([product], here, outcome, ledger)
            if "notebooks" in parts:
                before = seen(wanted.profile)
                planned = notebook_products(wanted, ledger, cell_seconds, in_place, before)
                make(planned, pool, outcome, ledger)
                if "figures" in parts:
                    settle(wanted, planned, before, in_place, here, outcome, ledger)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except TimeIsUp:
        outcome.out_of_time = True
    return outcome


def make_runs(wanted: Wanted, parts: Sequence[str], pool: Pool, outcome: Outcome, ledger: Ledger) -> None:
    """Train and test all runs, each tested when it is trained; how long a test took is kept for the next plan."""
    runs, spared = wanted.runs(), wanted.spared(parts)
    tests = evaluation_jobs(runs, wanted.conditions, ledger, spared)
    by_name = {job.name: job.arguments for job in tests}
    of_run: dict[str, list[Job]] = {}
    for test in tests:
        of_run.setdefault(test.after[0], []).append(test)

    def note(name: str, seconds: float) -> None:
        if name in by_name:
            ledger.note(tested(**by_name[name]), kind(**by_name[name]), seconds)

    trainings = run_jobs(runs, spared)
    pool.do([job for run in trainings for job in (run, *of_run.get(run.name, ()))], outcome, note)


def notebook_products(
    wanted: Wanted,
    ledger: Ledger,
    cell_seconds: float,
    in_place: bool,
    reading: Sequence[str] | None = None,
) -> list[Product]:
    """Return all chapters, then all method cards: the short ones last, so that no worker waits long for another."""
    return [
        *chapters(wanted, ledger, cell_seconds, in_place=in_place, reading=reading),
        *cards(wanted, ledger, cell_seconds),
    ]


def settle(
    wanted: Wanted,
    planned: Sequence[Product],
    before: Sequence[str],
    in_place: bool,
    here: Pool,
    outcome: Outcome,
    ledger: Ledger,
) -> None:
    """Take the runs that chapters have trained into the tables, and keep the chapters current.

    What is new in the tables came from the chapters: it is no reason to execute them again. One whose source was edited
    meanwhile is not kept.
    """
    closing = Outcome()
    for product in summaries(wanted.profile, ledger):
        if not product.job.done:
            make([product], here, closing, ledger)
    outcome.failed |= closing.failed
    made = {product.inputs for product in planned if product.job.name in outcome.done}
    read_before = chapters(wanted, ledger, in_place=in_place, reading=before)
    for old, new in zip(read_before, chapters(wanted, ledger, in_place=in_place), strict=True):
        if old.inputs in made and new.inputs != old.inputs:
            ledger.note(new.place, new.inputs, ledger.seconds(new.place) or 0.0)


def make(products: Iterable[Product], pool: Pool, outcome: Outcome, ledger: Ledger) -> None:
    """Make what is not current, and enter each thing as it is finished."""
    by_name = {product.job.name: product for product in products}

    def note(name: str, seconds: float) -> None:
        ledger.note(by_name[name].place, by_name[name].inputs, seconds)

    pool.do([product.job for product in by_name.values()], outcome, note)


# -- what is said ---------------------------------------------------------------------------------


def plan_text(wanted: Wanted, only: str | None = None, jobs: int | None = None, in_place: bool = True) -> str:
    """Return what would be done, what is done already, and how long the rest takes by what it took before."""
    parts, ledger = (only,) if only else PARTS, Ledger()
    planned: list[Job] = []
    if "runs" in parts:
        runs, spared = wanted.runs(), wanted.spared(parts)
        planned += run_jobs(runs, spared)
        planned += evaluation_jobs(runs, wanted.conditions, ledger, spared)
    if "figures" in parts:
        planned += [product.job for product in summaries(wanted.profile, ledger)]
    if "notebooks" in parts:
        planned += [p.job for p in notebook_products(wanted, ledger, CELL_SECONDS, in_place)]
    missing: dict[str, Job] = {}
    for job in planned:  # what is made from things that are missing is missing as well
        if not job.done or set(job.after) & set(missing) or (job.name == "tables" and missing):
            missing[job.name] = job
    lines = [
        f"{'to do' if job.name in missing else 'done':<7}{job.name:<34} "
        f"{duration(job.seconds) if job.name in missing else ''}".rstrip()
        for job in planned
    ]
    return "\n".join([*lines, total(list(missing.values()), len(planned), jobs)])


def total(missing: list[Job], planned: int, jobs: int | None) -> str:
    """Return how much is left, for all workers together."""
    text = f"{planned - len(missing)} of {planned} done"
    if not missing:
        return text
    known = [job.seconds for job in missing if job.seconds is not None]
    count = len(workers.places(jobs)) if jobs != 0 else 1
    text += f"; {len(missing)} to do"
    if known:
        text += f", about {duration(sum(known) / count)} on {count} worker{'s'[: count > 1]}"
    new = len(missing) - len(known)
    return text + (f"; {new} of them never timed here, and not counted" if new else "")


def summary(outcome: Outcome) -> str:
    """Return what was done, and a table of what failed with the cell and the error."""
    rows = [("FAILED", *item) for item in outcome.failed.items()]
    rows += [("skipped", *item) for item in outcome.skipped.items()]
    width = max((len(name) for _, name, _ in rows), default=0)
    lines = [f"{state:<9}{name:<{width}}  {why}" for state, name, why in rows]
    counts = f"{len(outcome.done)} done, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
    if stopped := "time is up" if outcome.out_of_time else "stopped" if outcome.interrupted else "":
        counts += f"; {stopped}. The same command goes on from here: nothing that is done is repeated"
    return "\n".join([*lines, counts])


def headline(profile_name: str) -> str:
    """Return the table of methods with intervals, and where to look."""
    from rgbd_lib import tables  # what nothing is to be done for needs no statistics

    table = tables.read(profile_name, "methods")
    lines = [f"{'method':<28}{'mIoU (%), 95 % interval':>26}{'worst light':>13}{'parameters':>13}"]
    for row in table.sort_values("miou_mean", ascending=False).itertuples():
        interval = f"{100 * row.miou_mean:.1f} ({100 * row.miou_low:.1f} to {100 * row.miou_high:.1f})"
        lines.append(f"{row.title:<28}{interval:>26}{100 * row.worst_mean:>13.1f}{row.parameters:>13,}")
    data = "synthetic data" if table.synthetic.all() else f"data {table.data.iloc[0]}"
    seeds, scenes = int(table.seeds.max()), int(table.scenes.max())
    lines.append(f"profile {profile_name}, {data}, {seeds} seed{'s'[: seeds > 1]}, {scenes} test scenes")
    places = {
        "tables": paths.results() / profile_name,
        "figures": paths.home() / "figures" / profile_name,
        "notebooks": paths.results() / "notebooks" / profile_name,
    }
    return "\n".join([*lines, *(f"{what:<10} {nearby(place)}" for what, place in places.items())])


def nearby(place: Path) -> str:
    """Return a path as seen from here."""
    return os.path.relpath(place) if place.resolve().is_relative_to(Path.cwd()) else str(place)
