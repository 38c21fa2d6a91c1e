"""Tables of what corruptions and missing sensors do, from the runs that were evaluated under the suite."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from rgbd_lib import corruptions, dimmer, kept, metrics, reliance, robustness, statistics
from rgbd_lib.records import key, plain, variant
from rgbd_lib.runs import Record
from rgbd_lib.statistics import Results

SUITE, MISSING, DIMMED = "suite", "missing", "dimmed"
NAMES = (SUITE, MISSING, DIMMED, "robustness", "reliance", "hardening")
SCORES = ("clean", "depth_off", "rgb_off", SUITE)  # whose intervals need matrices under the suite
HARDENING = ("modality_dropout", "corruption")  # settings of training that prepare for bad sensors


def tables(
    chosen: Sequence[Record], results: Results, before: Mapping[str, pd.DataFrame] | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables that there are runs for, here or in the tables as they were ``before``.

    "suite" and "missing": a row per run and condition; "robustness": a row per method; "reliance": how much a method
    uses depth, by severity; "hardening": what training for bad sensors costs and brings; "dimmed": a row per method and
    exposure.
    """
    before = before or {}
    tested = {name: [r for r in chosen if has(r, name)] for name in (SUITE, MISSING)}
    found = {
        name: kept.join(before.get(name), pd.concat([r.scores(name).table().assign(**key(r)) for r in rs]))
        if rs
        else before.get(name)
        for name, rs in tested.items()
    }
    compared = [r for r in chosen if key(r)["method"] in results.matrices]  # with all seeds of the profile
    main, dimmed = whole(compared, SUITE), whole(compared, DIMMED)
    asked = [r for r in tested[SUITE] if plain(r)]
    found["reliance"] = kept.join(before.get("reliance"), reliance.table(asked) if asked else None)
    found[DIMMED] = of_all_seeds(
        kept.fuller(before.get(DIMMED), exposures(dimmed) if dimmed else None, kept.METHOD), results
    )
    found["hardening"] = kept.fuller(
        before.get("hardening"), hardening(tested[SUITE]) if tested[SUITE] else None, kept.METHOD
    )
    if found[SUITE] is not None:
        own = intervals(main) if main else None
        sure = of_all_seeds(kept.fuller(before.get("robustness"), own, kept.METHOD), results)
        found["robustness"] = per_method(found[SUITE], results, sure) if len(sure) else None
    return {name: table for name, table in found.items() if table is not None and len(table)}


def of_all_seeds(table: pd.DataFrame, results: Results) -> pd.DataFrame:
    """Return rows of compared methods that rest on all their seeds; where none does, those of all compared methods.

    As in ``whole``, for rows that were made on several machines. Who is left out is said.
    """
    if not len(table):
        return table
    there = table[table.method.isin(list(results.matrices))]
    full = there[there.seeds == there.method.map(lambda name: len(results.seeds[name]))]
    if 0 < len(full) < len(there):
        names = ", ".join(sorted(set(there.method) - set(full.method)))
        print(f"not in the tables of robustness, which need all seeds tested on one machine: {names}")
    return full if len(full) else there


def has(record: Record, conditions: str) -> bool:
    """Whether a run was tested under a set of conditions."""
    return (record.folder / f"{conditions}-best.npz").exists()


def whole(chosen: Sequence[Record], conditions: str) -> list[Record]:
    """Return the plain runs tested under a set of conditions, of methods of which no run still waits for that test.

    A method with two of its three seeds would stand beside the others with an interval that knows less.
    """
    tested = [r for r in chosen if plain(r) and has(r, conditions)]
    waiting = {key(r)["method"] for r in chosen if plain(r) and not has(r, conditions)}
    return [r for r in tested if key(r)["method"] not in waiting] or tested


def per_method(tested: pd.DataFrame, results: Results, sure: pd.DataFrame) -> pd.DataFrame:
    """Return each method's scores under the suite; ``sure`` has the intervals, over seeds and scenes.

    Scores are those of the suite's table, where rows can be that were measured on another machine.
    """
    plain_rows = tested[(tested.variant == "") & (tested.trained_on == "mixed")]
    names = tuple(dict.fromkeys(plain_rows.condition))
    values = {
        method: rows.assign(miou=kept.as_written(rows.miou))
        .pivot(index="seed", columns="condition", values="miou")[list(names)]
        .to_numpy()
        for method, rows in plain_rows.groupby("method", sort=False)
        if method in set(sure.method)
    }
    table = robustness.summary(values, robustness.Layout(names)).set_index("method")
    ends = sure.set_index("method")
    for column in (f"{score}_{end}" for score in SCORES for end in ("low", "high")):
        table[column] = ends[column]
    for name, over in (("lightings", "mean"), ("worst", "worst")):
        for method in table.index:
            found = statistics.interval(results.matrices[method], results.metric("miou"), over=over)
            for end, value in zip(("", "_low", "_high"), ("mean", "low", "high"), strict=True):
                table.loc[method, f"{name}{end}"] = getattr(found, value)
    table = table.assign(profile=results.profile, data=results.data, synthetic=results.synthetic)
    return table.assign(seeds=ends.seeds, scenes=ends.scenes).reset_index()


def intervals(found: Sequence[Record]) -> pd.DataFrame:
    """Return the ends of the intervals that need test matrices under the suite, a row per method."""
    layout, metric = robustness.Layout(found[0].scores(SUITE).conditions), metric_of(found)
    rows = []
    for method, records in grouped(found).items():
        x = np.stack([r.scores(SUITE).matrices for r in records])
        row = {"method": method, "seeds": x.shape[0], "scenes": x.shape[1]}
        for name, over in reductions(layout).items():
            score = statistics.interval(x, metric, over=over)
            row |= {f"{name}_low": score.low, f"{name}_high": score.high}
        rows.append(row)
    return pd.DataFrame(rows)


def exposures(found: Sequence[Record]) -> pd.DataFrame:
    """Return each method's mIoU at every position of the dimmer, with an interval over seeds and scenes."""
    rows = []
    for records in grouped(found).values():
        x = np.stack([r.scores(DIMMED).matrices for r in records])
        first = {k: v for k, v in key(records[0]).items() if k in ("profile", "data", "synthetic", "method")}
        for place, stop in enumerate(dimmer.STOPS):
            score = statistics.interval(x[:, :, [place]], metric_of(found))
            rows.append(
                first
                | {"exposure": 0.0 - stop, "miou": score.mean, "low": score.low, "high": score.high}
                | {"seeds": score.seeds, "scenes": score.scenes}
            )
    return pd.DataFrame(rows)


def grouped(found: Sequence[Record]) -> dict[str, list[Record]]:
    """Return records by method."""
    by_method: dict[str, list[Record]] = {}
    for record in found:
        by_method.setdefault(record.info["parameters"]["method"], []).append(record)
    return by_method


def metric_of(found: Sequence[Record]) -> Callable:
    """Return the strict mIoU for the data of these records."""
    return partial(metrics.miou, background=found[0].info["data"]["background"])


def reductions(layout: robustness.Layout) -> dict[str, Callable]:
    """Return the scores that get an interval, as functions of values (..., conditions)."""
    return {
        "clean": lambda v: v[..., layout.at(corruptions.suite()[0].name)],
        "depth_off": lambda v: v[..., layout.at("depth_off")],
        "rgb_off": lambda v: v[..., layout.at("rgb_off")],
        "suite": lambda v: robustness.suite_mean(v, layout),
    }


# -- the price of training for bad sensors ---------------------------------------------------------


def hardening(found: Sequence[Record]) -> pd.DataFrame:
    """Return what runs that differ from plain ones only in hardening lose on clean images and gain elsewhere.

    A row per method, variant and score, paired by seed and scene: ``difference`` is hardened minus plain.
    """
    groups: dict[tuple[str, str], dict[int, Record]] = {}
    for record in found:
        p = record.info["parameters"]
        if p["lighting"] == "mixed" and (plain(record) or hardened(p)):
            groups.setdefault((p["method"], variant(p)), {})[p["seed"]] = record
    layout = robustness.Layout(found[0].scores(SUITE).conditions)
    rows = []
    for (method, how), hard in groups.items():
        usual = groups.get((method, ""), {})
        seeds = sorted(set(hard) & set(usual))
        if how and seeds:
            first = {k: v for k, v in key(hard[seeds[0]]).items() if k != "seed"}
            rows += [
                first | row for row in prices([hard[s] for s in seeds], [usual[s] for s in seeds], layout)
            ]
    return pd.DataFrame(rows)


def hardened(parameters: dict) -> bool:
    """Whether a run differs from the plain one in nothing but settings that prepare for bad sensors."""
    usual = not parameters["options"] and (parameters["init"], parameters["split"]) == ("random", "grouped")
    return usual and bool(parameters["settings"]) and set(parameters["settings"]) <= set(HARDENING)


def prices(
    hard: Sequence[Record], usual: Sequence[Record], layout: robustness.Layout
) -> list[dict[str, object]]:
    """Return the difference in every score that has an interval, and in the worst condition of all."""
    background = hard[0].info["data"]["background"]
    metric = partial(metrics.miou, background=background)
    a, b = (np.stack([r.scores(SUITE).matrices for r in records]) for records in (hard, usual))
    rows = []
    for score, over in (reductions(layout) | {"worst_condition": lambda v: v.min(-1)}).items():
        difference = statistics.paired_difference(a, b, metric, over=over)
        rows.append(
            {
                "score": score,
                "seeds": difference.seeds,
                "scenes": difference.scenes,
                "plain": float(statistics.scores(b, metric, over).mean()),
                "hardened": float(statistics.scores(a, metric, over).mean()),
                "difference": difference.mean,
                "low": difference.low,
                "high": difference.high,
            }
        )
    return rows
