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
from rgbd_lib.records import variant
from rgbd_lib.runs import Run

RUN = ("method", "seed", "trained_on", "variant")  # what tells the runs of one profile apart
METHOD = ("method", "variant")
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
    """Whether the tables have this very run (same parameters, data and code), tested under these conditions."""
    folder, asked = paths.results() / run.profile, run.parameters()
    values = (run.method, run.seed, run.lighting, variant(asked))
    own = dict(zip(RUN, map(str, values), strict=True)) | {"run": run.id}
    wanted = {"runs.csv": ("run",), **{f"{name}.csv": RUN for name in conditions}}
    for name, by in wanted.items():
        columns, found = entries(folder / name, by)
        if tuple(own[c] for c in columns) not in found:
            return False
    return True


def entries(path: Path, by: Sequence[str]) -> tuple[tuple[str, ...], frozenset[tuple[str, ...]]]:
    """Return which of these columns a table has, and what stands in them; nothing where there is no table.

    A table that sums up seeds is there only for methods that have them all.
    """
    if not path.exists():
        return (), frozenset()
    return _entries(path, path.stat().st_mtime_ns, tuple(by))


@lru_cache(maxsize=32)
def _entries(path: Path, _changed: int, by: tuple[str, ...]) -> tuple[tuple[str, ...], frozenset]:
    table = read(path)
    columns = tuple(c for c in by if c in table)
    return columns, frozenset(table[list(columns)].astype(str).itertuples(index=False, name=None))
