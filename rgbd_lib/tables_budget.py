"""The table of longer trainings: what runs that differ from plain ones in nothing but their epochs gain."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from rgbd_lib import metrics, statistics
from rgbd_lib.records import key, plain
from rgbd_lib.runs import Record

NAME = "budget"


def tables(chosen: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Return a row per method and length of training, paired by seed and scene with the plain runs, if there are any."""
    groups: dict[tuple[str, int], dict[int, Record]] = {}
    for record in chosen:
        if plain(record) or only_length(record):
            groups.setdefault((method(record), epochs(record)), {})[key(record)["seed"]] = record
    usual = {method(r): epochs(r) for r in chosen if plain(r)}
    rows = []
    for (name, length), long in groups.items():
        short = groups.get((name, usual.get(name, length)), {})
        seeds = sorted(set(long) & set(short))
        if length != usual.get(name, length) and seeds:
            rows.append(row([long[s] for s in seeds], [short[s] for s in seeds]))
    return {NAME: pd.DataFrame(rows)} if rows else {}


def method(record: Record) -> str:
    """Return which method a record is of."""
    return record.info["parameters"]["method"]


def epochs(record: Record) -> int:
    """Return how long it was trained."""
    return record.info["recipe"]["epochs"]


def only_length(record: Record) -> bool:
    """Whether a run on mixed light differs from the plain one in its number of epochs alone."""
    p = record.info["parameters"]
    usual = not p["options"] and (p["init"], p["split"], p["lighting"]) == ("random", "grouped", "mixed")
    return usual and set(p["settings"]) == {"epochs"}


def row(long: Sequence[Record], short: Sequence[Record]) -> dict[str, object]:
    """Return what both lengths score, mean over lightings, and their paired difference."""
    metric = partial(metrics.miou, background=long[0].info["data"]["background"])
    a, b = (np.stack([r.scores().matrices for r in records]) for records in (long, short))
    found = {"miou": statistics.interval(a, metric), "plain": statistics.interval(b, metric)}
    found["difference"] = statistics.paired_difference(a, b, metric)
    first = {k: v for k, v in key(long[0]).items() if k in ("profile", "data", "synthetic", "method")}
    first |= {"epochs": epochs(long[0]), "plain_epochs": epochs(short[0])}
    for name, interval in found.items():
        first |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return first | {"seeds": found["difference"].seeds, "scenes": found["difference"].scenes}
