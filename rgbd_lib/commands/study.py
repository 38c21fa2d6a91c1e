"""``rgbd study`` and ``rgbd report``: every run, table, figure and notebook."""

import math
import os
from typing import Annotated

import typer

from rgbd_lib.errors import unknown


def study(
    profile: Annotated[
        str, typer.Option(help="Budget: smoke, quick, laptop, overnight, full or frame.")
    ] = "quick",
    methods: Annotated[str, typer.Option(help="all, none, or names separated by commas.")] = "all",
    seeds: Annotated[str, typer.Option(help="0-2 or 0,3,5; default: the profile's.")] = "",
    lightings: Annotated[
        str, typer.Option(help="What to train on, one run each: mixed,1..8 or all-but-3.")
    ] = "mixed",
    conditions: Annotated[
        str, typer.Option(help="What to test under beside the lightings: suite, missing, dimmed, every.")
    ] = "",
    sweeps: Annotated[
        str,
        typer.Option(help="What chapters vary, trained at this budget: all, or names like where,cen,gemini."),
    ] = "",
    data: Annotated[str, typer.Option(help="Folder of the data set.")] = "data/mm5_synth",
    jobs: Annotated[
        int | None,
        typer.Option(min=0, help="Workers on this machine; default one per GPU or core; 0 = this process."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running dask scheduler, like tcp://host:8786.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="One part alone: runs, figures or notebooks.")] = None,
    cell_minutes: Annotated[float, typer.Option(min=0.01, help="Longest time for a notebook's cell.")] = 30,
    minutes: Annotated[
        float,
        typer.Option(
            min=0.01,
            help="Stop after this time, as asked (exit code 0); the same command goes on from there.",
        ),
    ] = math.inf,
    afresh: Annotated[
        bool,
        typer.Option(
            "--afresh", help="Make again what the tables hold, though this code made it from these data."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and do nothing.")] = False,
) -> None:
    """Do all runs that are missing, then tables and figures, then the notebooks; only what changed runs again.

    A chapter is executed in place where the profile is its own, else into results/notebooks/PROFILE.
    """
    from rgbd_lib import batch, paths
    from rgbd_lib.wanted import Wanted

    if only is not None and only not in batch.PARTS:
        raise unknown("part of the study", only, batch.PARTS)
    os.environ.update(paths.environment())  # notebooks run in another folder
    wanted = Wanted.parse(profile, methods, seeds, lightings, data, conditions, sweeps, afresh)
    if dry_run:
        typer.echo(batch.plan_text(wanted, only, jobs))
        return
    outcome = batch.study(
        wanted, only=only, jobs=jobs, scheduler=scheduler, cell_seconds=60 * cell_minutes, minutes=minutes
    )
    end(outcome)


def report() -> None:
    """Make the data, a quick run of every method, tables, figures and chapters; the versioned ones stay."""
    from rgbd_lib import batch, paths
    from rgbd_lib.datasets.synthetic import write
    from rgbd_lib.wanted import Wanted

    os.environ.update(paths.environment())
    data = paths.data("data/mm5_synth")
    write(data)
    outcome = batch.study(Wanted.parse("quick", "all", "", "mixed", str(data)), in_place=False)
    if (paths.results() / "quick" / "methods.csv").exists():
        typer.echo(batch.headline("quick"))
    end(outcome)


def end(outcome: object) -> None:
    """Say what failed, and leave with the code that scripts look at: 1 after failures, 130 after Ctrl-C."""
    from rgbd_lib import batch

    typer.echo(batch.summary(outcome))
    if outcome.interrupted:
        raise typer.Exit(130)
    if outcome.failed:
        raise typer.Exit(1)
