"""What a study costs beyond its work: wall time of a grid of short runs and of empty chapters.

The reference is what perfect scheduling would take in the same run: (sum of the jobs' own times) / workers. On top
of it a study may take 10 s, and 3 s per notebook for starting its kernel, reading and writing it. At last the same
study is asked for again, when nothing is left to do.

    python benchmarks/study_overhead.py [--runs 12] [--chapters 6] [--jobs 2]
"""

import argparse
import io
import os
import tempfile
import time
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from rgbd_lib import batch
from rgbd_lib.board import Board
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.scheduling import Outcome
from rgbd_lib.wanted import Wanted
from rgbd_lib.workers import places

START, PER_NOTEBOOK = 10, 3  # seconds


def project(home: Path, chapters: int) -> None:
    """Make a project with a card and chapters that do nothing, and data for short runs."""
    (home / "notebooks").mkdir()
    names = ("method", "seed", "profile", "lighting", "data")
    cell = new_code_cell("\n".join(f"{name} = 0" for name in names), metadata={"tags": ["parameters"]})
    for name in ("method_card", *(f"{i:02d}_empty" for i in range(1, chapters))):
        nbformat.write(new_notebook(cells=[cell]), home / "notebooks" / f"{name}.ipynb")
    write(home / "data", scenes=24, size=(120, 160), progress=False)


def timed(wanted: Wanted, only: str, jobs: int) -> tuple[Outcome, float]:
    """Return what one part of the study did, and the wall time."""
    begun = time.perf_counter()
    outcome = batch.study(wanted, only=only, jobs=jobs, board=Board(io.StringIO()))
    assert not outcome.failed, outcome.failed
    return outcome, time.perf_counter() - begun


def report(what: str, outcome: Outcome, wall: float, jobs: int, allowed: float) -> None:
    ideal = sum(outcome.seconds.values()) / jobs
    verdict = "within" if wall <= ideal + allowed else "ABOVE"
    print(
        f"{what:<22}{len(outcome.seconds):>4} jobs  wall {wall:6.1f} s  work / workers {ideal:6.1f} s  "
        f"overhead {wall - ideal:5.1f} s, {verdict} the {allowed:.0f} s allowed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--chapters", type=int, default=6)
    parser.add_argument("--jobs", type=int, default=len(places()))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        project(home, chosen.chapters)
        os.environ |= {
            "RGBD_HOME": folder,
            "RGBD_RESULTS": f"{folder}/results",
            "RGBD_CACHE": f"{folder}/cache",
        }
        wanted = Wanted("smoke", ("rgb",), tuple(range(chosen.runs)), data=str(home / "data"))
        print(f"{chosen.jobs} workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        outcome, wall = timed(wanted, "runs", chosen.jobs)
        report("short runs", outcome, wall, chosen.jobs, START)
        timed(wanted, "figures", 0)
        outcome, wall = timed(wanted, "notebooks", chosen.jobs)
        count = len(outcome.seconds)
        outcome.seconds = {}  # they do no work: all of their time is overhead
        report(f"{count} empty notebooks", outcome, wall, chosen.jobs, PER_NOTEBOOK * count + START)
        begun = time.perf_counter()
        for part in batch.PARTS:
            again, _ = timed(wanted, part, chosen.jobs)
            assert not again.seconds
        print(f"nothing to do: {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
