"""What a profile's tables hold of runs that are not on this machine: it stays until they are made again.

Run folders are not versioned, tables are. Whoever adds a method to a fresh clone, or goes on with a study on another
machine, has the records of the new runs alone; rows of all others are taken over as they lie there. A run that is
here replaces its rows. Rows of other data, or of methods that do not exist any more, go.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pandas as pd

from rgbd_lib import methods, paths
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import profile
from rgbd_lib.records import variant
from rgbd_lib.runs import Run

RUN = ("method", "seed", "trained_on", "variant")  # what tells the runs of one profile apart
METHOD = ("method", "variant")
TRAINING = (
    "run",
    "val_miou_best",
    "miou_mean",
    "miou_mean_last",
)  # equal: the same network, for all that is known
FLOAT = "%.6g"  # of every number in a table


def read(path: Path) -> pd.DataFrame:
    """Return a table as it was before it was written; "" where nothing differs from the plain method."""
    try:
        table = pd.read_csv(path, dtype={"trained_on": str, "variant": str})
    except pd.errors.EmptyDataError:  # a comparison of one method has no rows, and no columns
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); take it from version control again, or delete it: "
            "then rows of runs that are not on this machine are lost"
        ) from error
    return table.fillna({"variant": ""}) if "variant" in table else table


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Let a file be written under another name and take its place whole: what it held may be nowhere else."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error}; it is as it was") from error
    finally:
        partial.unlink(missing_ok=True)


def tables(folder: Path, data: str) -> dict[str, pd.DataFrame]:
    """Return the tables of a folder, without rows that come from other data or from methods that are gone."""
    found = {path.stem: read(path) for path in sorted(folder.glob("*.csv")) if ".partial" not in path.name}
    known = methods.names()
    if len(runs := found.get("runs", ())) and (others := sorted(set(runs.data) - {data})):
        print(f"{folder}: rows of {', '.join(others)} make room for {data}; version control may have them")
    return {
        name: table[(table.data == data) & table.method.isin(known)]
        for name, table in found.items()
        if {"data", "method"} <= set(table)
    }


def without_remade(before: dict[str, pd.DataFrame], runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return tables without rows of runs that were trained anew: all rows of a run come from one network.

    What sums up the seeds of a method goes as well where one of them was trained anew.
    """
    old = before.get("runs", pd.DataFrame(columns=[*RUN, *TRAINING]))
    trainings = dict(zip(labels(old, RUN), networks(old), strict=True))
    new = dict(zip(labels(runs, RUN), networks(runs), strict=True))
    remade = {name for name, network in new.items() if trainings.get(name, network) != network}
    anew = runs[labels(runs, RUN).isin(remade)]
    plain = set(anew.method[(anew.variant == "") & (anew.trained_on == "mixed")])  # whose seeds are summed up
    varied = set(labels(anew, METHOD))

    def stays(table: pd.DataFrame) -> pd.Series:
        if "seed" in table:
            return ~labels(table, RUN).isin(remade)
        gone = table.method.isin(plain)
        return ~(gone | labels(table, METHOD).isin(varied)) if "variant" in table else ~gone

    kept_rows = {name: table[stays(table)] for name, table in before.items()}
    lost = sorted(n for n in kept_rows if n != "runs" and len(kept_rows[n]) < len(before[n]))
    if lost:
        print(
            f"trained anew: {', '.join(sorted(n.strip() for n in remade))}; old rows go from {', '.join(lost)}"
        )
    return kept_rows


def networks(runs: pd.DataFrame) -> list[tuple]:
    """Return what tells the network of each run from one of another training, numbers as they are written."""
    table = runs[list(TRAINING)].copy()
    for column in TRAINING[1:]:
        table[column] = as_written(table[column])
    return list(table.itertuples(index=False, name=None))


def join(old: pd.DataFrame | None, new: pd.DataFrame | None, by: Sequence[str] = RUN) -> pd.DataFrame:
    """Return new rows and those old ones that are about others, in the order of all tables."""
    if old is None or not len(old):
        return pd.DataFrame() if new is None else new
    if new is None or not len(new):
        return old
    stays = ~labels(old, by).isin(set(labels(new, by)))
    both = (pd.concat([new, old[stays]]) if stays.any() else new).reset_index(drop=True)
    order = {name: i for i, name in enumerate(methods.names())}
    ranked = both.method.map(order).astype(str).str.zfill(3) + labels(both, by)
    return both.loc[ranked.sort_values(kind="stable").index]


def fuller(old: pd.DataFrame | None, new: pd.DataFrame | None, by: Sequence[str]) -> pd.DataFrame:
    """As ``join``, for rows that sum up seeds: those here do not replace rows that rest on more of them."""
    if old is not None and new is not None and len(old) and len(new):
        seeds = old.assign(label=labels(old, by)).groupby("label").seeds.max()
        new = new[new.seeds >= labels(new, by).map(seeds).fillna(0)]
    return join(old, new, by)


def labels(table: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Return one text per row that says what it is about."""
    return sum((table[c].astype(str) + " " for c in by if c in table), start=pd.Series("", index=table.index))


def as_written(values: pd.Series) -> pd.Series:
    """Return numbers as they will be read again, so that what is made of them is the same with and without records."""
    return values.map(lambda value: float(FLOAT % value))


# -- runs that need not be made again --------------------------------------------------------------


def holds(run: Run, conditions: Sequence[str] = ()) -> bool:
    """Whether the tables have this very run (same parameters, data and code), tested under these conditions.

    Rows of other tables are of the same network (``without_remade``). A table that sums up seeds speaks for plain
    runs alone, and only where it has all seeds of the profile.
    """
    folder = paths.results() / run.profile
    if (run.id,) not in entries(folder / "runs.csv", ("run",)):
        return False
    name = (run.method, str(run.seed), run.lighting, variant(run.parameters()))
    main = name[2:] == ("mixed", "")
    every = str(len(profile(run.profile).seeds))
    return all(
        name in entries(folder / f"{each}.csv", RUN)
        or (main and (run.method, every) in entries(folder / f"{each}.csv", ("method", "seeds")))
        for each in conditions
    )


def entries(path: Path, by: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """Return what stands in some columns of a table; nothing where there is no table, or not all of them."""
    return _entries(path, path.stat().st_mtime_ns, tuple(by)) if path.exists() else frozenset()


@lru_cache(maxsize=32)
def _entries(path: Path, _changed: int, by: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    table = read(path)
    if not set(by) <= set(table):
        return frozenset()
    return frozenset(table[list(by)].astype(str).itertuples(index=False, name=None))
