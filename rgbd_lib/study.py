"""The study: which runs, tables, figures and notebooks there are, what they need, and which are still good.

Runs train once each. Tables are made from the runs' records, figures from tables. A method card is executed once
per method and reads that method's run; chapters read the tables.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import fmean

from rgbd_lib import identity, methods, notebook_source, paths
from rgbd_lib.ledger import Ledger, content
from rgbd_lib.records import variant
from rgbd_lib.runs import Run, evaluate, find, get, records
from rgbd_lib.scheduling import Job
from rgbd_lib.wanted import LIGHTINGS, Wanted, with_required

CARD = "method_card.ipynb"
WEIGHTS = ("best", "last")  # of a run; tables compare the two
CELL_SECONDS = 1800  # longer than any cell of the book needs; a hanging widget must not block a batch


# -- runs -----------------------------------------------------------------------------------------


def run_jobs(runs: Iterable[Run], spared: Iterable[Run] = ()) -> list[Job]:
    """Return one job per run, with the time that the method took before, or others at that budget."""
    known = {run.id for run in spared}
    took: dict[str, dict[str, float]] = {}  # by profile, by method
    for record in records():
        made = record.info["parameters"]
        took.setdefault(made["profile"], {})[made["method"]] = record.info["cost"]["train_seconds"]
    usual = {name: fmean(seconds.values()) for name, seconds in took.items()}
    return [
        Job(
            name=title(run),
            work=make_run,
            arguments={"run": run},
            after=tuple(title(r) for r in run.required().values()),
            done=run.id in known or finished(run),
            seconds=took.get(run.profile, {}).get(run.method, usual.get(run.profile)),
        )
        for run in runs
    ]


def title(run: Run) -> str:
    """Return a run's name for people: "se seed 0 mixed", and what differs from the plain method."""
    return f"{run.method} seed {run.seed} {run.lighting} {variant(run.parameters())}".rstrip()


def finished(run: Run) -> bool:
    """Whether a run is trained and tested; a process can be killed between the two."""
    record = find(run)
    return record is not None and all((record.folder / f"{LIGHTINGS}-{w}.npz").exists() for w in WEIGHTS)


def make_run(run: Run) -> None:
    """Train and test one run, as far as that is not done; called on a worker."""
    get(run, quiet=True)
    for weights in WEIGHTS:
        evaluate(run, LIGHTINGS, weights=weights, quiet=True)


def evaluation_jobs(
    runs: Sequence[Run], conditions: Sequence[str], ledger: Ledger, spared: Iterable[Run] = ()
) -> list[Job]:
    """Return one job per run and set of conditions; what was timed once at a budget is expected again."""
    known = {run.id for run in spared}
    return [
        Job(
            name=f"{title(run)} {name}",
            work=evaluate_run,
            arguments={"run": run, "conditions": name},
            after=(title(run),),
            done=run.id in known or tested(run, name).exists(),
            seconds=ledger.usual(kind(run, name)),
            kind=name,
        )
        for name in conditions
        for run in runs
    ]


def tested(run: Run, conditions: str) -> Path:
    """Return where a run's scores under a set of conditions lie."""
    return run.folder / f"{conditions}-{WEIGHTS[0]}.npz"


def kind(run: Run, conditions: str) -> str:
    """Return what evaluations that take about the same time have in common."""
    return f"{conditions} {run.profile}"


def evaluate_run(run: Run, conditions: str) -> None:
    """Test a finished run under a set of conditions; called on a worker."""
    evaluate(run, conditions, quiet=True)


# -- things made from runs ------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """A job that makes a file or a folder from known inputs; it is done while these stay the same."""

    job: Job
    place: Path
    inputs: str

    @classmethod
    def of(cls, job: Job, place: Path, inputs: object, ledger: Ledger) -> "Product":
        """Return the product with its job marked as done if what is there is current."""
        known = identity.digest(inputs)
        done = place.exists() and ledger.current(place, known)
        return cls(replace(job, done=done, seconds=ledger.seconds(place)), place, known)


def summaries(profile_name: str, ledger: Ledger) -> Iterable[Product]:
    """Yield tables, then figures; each is looked at when what comes before it has been made."""
    folder = paths.results() / profile_name
    job = Job("tables", make_tables, {"profile_name": profile_name})
    code = identity.code(["rgbd_lib.tables", "rgbd_lib.examples"])
    yield Product.of(job, folder, [states(profile_name), looks(), code], ledger)
    figures = paths.home() / "figures" / profile_name
    job = Job("figures", make_figures, {"profile_name": profile_name}, after=("tables",))
    inputs = [content(folder), looks(), identity.code(["rgbd_lib.plots"])]
    yield Product.of(job, figures, inputs, ledger)


def states(profile_name: str) -> list[tuple[str, int, int]]:
    """Return name, size and time of all files of a profile's runs; of a run that cannot be read as well."""
    found = []
    for record in sorted((paths.results() / "runs").glob("*/run.json")):
        try:
            other = json.loads(record.read_text(encoding="utf-8"))["parameters"]["profile"] != profile_name
        except (OSError, ValueError, KeyError, TypeError):
            other = False
        files = (
            []
            if other
            else sorted(p for p in record.parent.iterdir() if p.suffix in (".json", ".npz", ".csv"))
        )
        found += [(f"{p.parent.name}/{p.name}", p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return found


def looks() -> list[list[object]]:
    """Return names, titles, colours and the like of all methods, in the order of figures."""
    infos = [methods.get(name) for name in methods.names()]
    return [[getattr(info, f.name) for f in fields(info) if f.name != "factory"] for info in infos]


def make_tables(profile_name: str) -> None:
    """Write all tables of a profile, and the scene that its figures show."""
    from rgbd_lib import examples, tables

    tables.write(profile_name)
    examples.write(profile_name)


def make_figures(profile_name: str) -> None:
    """Draw all figures of a profile."""
    from rgbd_lib import plots

    plots.write_all(profile_name)


# -- notebooks ------------------------------------------------------------------------------------


def cards(wanted: Wanted, ledger: Ledger, cell_seconds: float = CELL_SECONDS) -> list[Product]:
    """Return one method card per method, of the first seed and lighting asked for."""
    source = paths.home() / "notebooks" / CARD
    text, found = written(source), []
    for name, run in zip(wanted.methods, wanted.shown(), strict=True):
        parameters = {key: getattr(run, key) for key in ("method", "seed", "profile", "lighting", "data")}
        target = paths.results() / "notebooks" / wanted.profile / f"{name}.ipynb"
        job = notebook_job(f"card {name}", source, target, parameters, cell_seconds)
        job = replace(job, after=tuple(title(r) for r in with_required(run)), kind="card")
        found.append(Product.of(job, target, [*text, parameters, run.id, looks()], ledger))
    return found


def seen(profile_name: str) -> list[str]:
    """Return what chapters can read of a profile: its tables and figures, as hashes."""
    return [content(paths.results() / profile_name), content(paths.home() / "figures" / profile_name)]


def chapters(
    wanted: Wanted,
    ledger: Ledger,
    cell_seconds: float = CELL_SECONDS,
    *,
    in_place: bool = True,
    reading: Sequence[str] | None = None,
) -> list[Product]:
    """Return one product per numbered chapter, made from tables and figures as they are now or as ``seen`` before.

    A chapter is executed in place where its own parameters are those asked for. Otherwise, or if the versioned
    chapters must stay as they are, the result goes to ``results/notebooks/PROFILE``.
    """
    asked = {"profile": wanted.profile, "data": wanted.data}
    folder = paths.results() / "notebooks" / wanted.profile
    read = list(reading or seen(wanted.profile))
    found = []
    for source in sorted((paths.home() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if source.stem.endswith((".failed", ".partial")):
            continue
        own = notebook_source.parameters_of(source)
        parameters = {key: value for key, value in asked.items() if key in own and own[key] != value}
        target = source if in_place and not parameters else folder / source.name
        job = notebook_job(source.stem, source, target, parameters, cell_seconds)
        job = replace(job, after=("tables",), kind="chapter")
        found.append(Product.of(job, target, [*written(source), parameters, read, looks()], ledger))
    return found


def written(source: Path) -> list[object]:
    """Return what a notebook's author decided: its cells, and the code of the library that it imports."""
    return [
        notebook_source.sources(source),
        identity.code(identity.imports(notebook_source.code(source))),
    ]


def notebook_job(
    name: str, source: Path, target: Path, parameters: Mapping[str, object], cell_seconds: float
) -> Job:
    """Return the job of one notebook; wrong parameter names are refused here, before anything starts."""
    notebook_source.check_parameters(source, parameters)
    arguments = {"source": source, "target": target, "parameters": parameters, "cell_seconds": cell_seconds}
    return Job(name, make_notebook, arguments)


def make_notebook(source: Path, target: Path, parameters: Mapping[str, object], cell_seconds: float) -> None:
    """Execute one notebook; called on a worker."""
    from rgbd_lib import notebooks  # only who executes one needs what it takes seconds to import

    notebooks.execute(source, target, parameters, cell_seconds=cell_seconds)
