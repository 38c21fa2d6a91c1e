"""Tables of what corruptions and missing sensors do, from the runs that were evaluated under the suite."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd

from rgbd_lib import corruptions, metrics, robustness, statistics
from rgbd_lib.records import key, plain
from rgbd_lib.runs import Record

SUITE = "suite"


def tables(chosen: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """Return "suite" (a row per run and condition) and "robustness" (a row per method), where there are any."""
    evaluated = [r for r in chosen if (r.folder / f"{SUITE}-best.npz").exists()]
    if not evaluated:
        return {}
    rows = pd.concat([r.scores(SUITE).table().assign(**key(r)) for r in evaluated])
    return {"suite": rows, "robustness": per_method([r for r in evaluated if plain(r)])}


def per_method(found: Sequence[Record]) -> pd.DataFrame:
    """Return each method's scores under the suite, the main ones with intervals over seeds and scenes."""
    by_method: dict[str, list[Record]] = {}
    for record in found:
        by_method.setdefault(record.info["parameters"]["method"], []).append(record)
    layout = robustness.Layout(found[0].scores(SUITE).conditions)
    metric = partial(metrics.miou, background=found[0].info["data"]["background"])
    matrices = {m: np.stack([r.scores(SUITE).matrices for r in rs]) for m, rs in by_method.items()}
    values = {m: metric(x.sum(1)) for m, x in matrices.items()}  # seeds, conditions
    table = robustness.summary(values, layout).set_index("method")
    for name, over in reductions(layout).items():
        for method, x in matrices.items():
            found_interval = statistics.interval(x, metric, over=over)
            table.loc[method, [f"{name}_low", f"{name}_high"]] = found_interval.low, found_interval.high
    first = {m: key(rs[0]) for m, rs in by_method.items()}
    for column in ("profile", "data", "synthetic"):
        table[column] = [first[m][column] for m in table.index]
    table["seeds"] = [len(by_method[m]) for m in table.index]
    table["scenes"] = [matrices[m].shape[1] for m in table.index]
    return table.reset_index()


def reductions(layout: robustness.Layout) -> dict[str, Callable]:
    """Return the scores that get an interval, as functions of values (..., conditions)."""
    return {
        "clean": lambda v: v[..., layout.at(corruptions.suite()[0].name)],
        "depth_off": lambda v: v[..., layout.at("depth_off")],
        "rgb_off": lambda v: v[..., layout.at("rgb_off")],
        "suite": lambda v: robustness.suite_mean(v, layout),
    }
