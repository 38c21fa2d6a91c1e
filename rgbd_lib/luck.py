"""What a table of single runs owes to luck: two runs of one method, and copies of one method as a competition."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from io import StringIO

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from rgbd_lib import lesson
from rgbd_lib.errors import UserError
from rgbd_lib.runs import Record
from rgbd_lib.significance import published_seed_study
from rgbd_lib.statistics import Results


def published_first_run() -> pd.DataFrame:
    """Return the mIoU values (%) that the seed study had published for two methods before it trained them again."""
    text = (
        resources.files("rgbd_lib").joinpath("published/seed_study_first_run.csv").read_text(encoding="utf-8")
    )
    return pd.read_csv(StringIO(text), comment="#", index_col="lighting")


def published_with_first_run() -> pd.DataFrame:
    """Return the seed study's table as it was before two of its rows were trained again."""
    table, first = published_seed_study(), published_first_run()
    return table.assign(**{name: first[name] for name in first})


def run_deviation(first: ArrayLike, second: ArrayLike) -> float:
    """Return the standard deviation of one run that two runs of the same cells imply.

    The difference of two runs has twice the variance of one, whatever the cells' own values are.
    """
    change = np.asarray(first, dtype=float) - np.asarray(second, dtype=float)
    if change.size < 2:
        raise UserError(f"a deviation needs two cells that were run twice, got {change.size}")
    return float(np.sqrt((change**2).sum() / (2 * change.size)))


def rivals(runs: Mapping[str, Record]) -> Results:
    """Return single runs, of one method even, as if each were a method of its own."""
    return replace(lesson.results_of({name: [run] for name, run in runs.items()}), seeds={})


def copies(methods: int, cells: int, deviation: float, seed: int = 0, worlds: int = 10_000) -> np.ndarray:
    """Return, for many imagined tables, how far the best of equal methods seems to be ahead of the worst.

    All methods have the same true value; a cell is one run, a method's score the mean of its cells.
    """
    noise = np.random.default_rng(seed).standard_normal((worlds, methods, cells)) * deviation
    means = noise.mean(-1)
    return means.max(1) - means.min(1)
