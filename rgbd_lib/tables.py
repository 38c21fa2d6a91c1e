"""From run records to tidy tables: ``results/<profile>/*.csv``, one row per fact, documented in results/README.md.

Tables of different profiles lie in different folders and are never mixed; every row says which data made it. What
the tables hold of runs that are not on this machine stays (``kept``).
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rgbd_lib import kept, methods, metrics, paths, statistics, stored, tables_robustness
from rgbd_lib.errors import UserError
from rgbd_lib.methods import cost
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.records import key, newest
from rgbd_lib.runs import Record, records
from rgbd_lib.statistics import Results
from rgbd_lib.stored import load as load

REFERENCES = ("rgb", "early")  # every method is compared with these two


def write(profile: str, found: Iterable[Record] | None = None) -> Path:
    """Make all tables of a profile from its records and from what they hold already; return their folder."""
    chosen = newest(
        r for r in (records() if found is None else found) if r.info["parameters"]["profile"] == profile
    )
    folder = paths.results() / profile
    if not chosen:
        if (folder / stored.MAIN).exists():
            return folder
        raise UserError(
            f"no finished run of profile '{profile}' in {paths.results() / 'runs'}; make them with `rgbd study`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    stored.save(chosen, folder)
    results = load(profile)
    if others := [r for r in chosen if key(r)["data"] != results.data]:
        print(f"{folder}: {len(others)} runs on other data than {results.data} are left out")
        chosen = [r for r in chosen if r not in others]
    if not chosen:
        return folder
    runs = pd.DataFrame([run_row(r) for r in chosen])
    before = kept.without_remade(kept.tables(folder, results.data), runs)
    found = {
        "runs": runs,
        "lightings": pd.concat([lighting_rows(r) for r in chosen]),
        "classes": pd.concat([class_rows(r) for r in chosen]),
        "history": pd.concat([r.history.assign(**key(r)) for r in chosen]),
    }
    tables = {name: kept.join(before.get(name), table) for name, table in found.items()}
    tables |= {
        "methods": pd.DataFrame([method_row(results, name) for name in results.matrices]),
        "comparisons": comparisons(results),
        **tables_robustness.tables(chosen, results, before),
    }
    for name, table in tables.items():
        first = [
            c
            for c in ("profile", "data", "synthetic", "method", "seed", "trained_on", "variant")
            if c in table
        ]
        with kept.replacing(folder / f"{name}.csv") as path:
            table[first + [c for c in table if c not in first]].to_csv(
                path, index=False, float_format=kept.FLOAT
            )
    for name in tables_robustness.NAMES:
        if name not in tables:  # made once from runs that are no longer current
            (folder / f"{name}.csv").unlink(missing_ok=True)
    return folder


def run_row(record: Record) -> dict[str, object]:
    """Return a run's identity, its validation and test scores, and what it cost."""
    table = record.scores().table()
    last = record.scores(weights="last").table()
    info = record.info
    return key(record) | {
        "run": record.folder.name,
        "epochs": info["recipe"]["epochs"],
        "val_miou_best": info["validation"]["best"],
        "val_miou_last": info["validation"]["last"],
        "best_epoch": info["validation"]["best_epoch"],
        "miou_mean": table.miou.mean(),
        "miou_worst": table.miou.min(),
        "miou_mean_last": last.miou.mean(),
        "parameters": info["cost"]["parameters"],
        "train_seconds": info["cost"]["train_seconds"],
        "images_per_second": info["cost"]["images_per_second"],
        "peak_memory_mb": info["cost"]["peak_memory_mb"],
        "device": info["cost"]["device"],
        "torch": info["versions"]["torch"],
    }


def lighting_rows(record: Record) -> pd.DataFrame:
    """Return one row per test condition with every score."""
    return record.scores().table().assign(**key(record))


def class_rows(record: Record) -> pd.DataFrame:
    """Return one row per class, over all lightings: IoU, and how many test pixels and scenes hold it."""
    scores = record.scores()
    truth = scores.matrices[:, 0].sum(-1)  # S,K: the same under every lighting
    return pd.DataFrame(
        {
            "class_id": range(scores.matrices.shape[-1]),
            "class": record.info["data"]["classes"],
            "iou": metrics.iou(scores.matrices.sum((0, 1))),
            "pixels": truth.sum(0),
            "scenes": (truth > 0).sum(0),
        }
    ).assign(**key(record))


def method_row(results: Results, name: str) -> dict[str, object]:
    """Return a method's headline: mean and worst lighting with intervals, and its cost on any machine."""
    info, budget = methods.get(name), profile_of(results.profile)
    model = methods.build(name, results.matrices[name].shape[-1], width=budget.width)
    metric = results.metric("miou")
    mean = statistics.interval(results.matrices[name], metric)
    worst = statistics.interval(results.matrices[name], metric, over="worst")
    return {
        "profile": results.profile,
        "data": results.data,
        "synthetic": results.synthetic,
        "method": name,
        "title": info.title,
        "family": info.family,
        "seeds": mean.seeds,
        "scenes": mean.scenes,
        **{f"miou_{part}": getattr(mean, part) for part in ("mean", "low", "high")},
        **{f"worst_{part}": getattr(worst, part) for part in ("mean", "low", "high")},
        "parameters": cost.parameters(model),
        "multiply_adds": cost.multiply_adds(model, budget.size),
    }


def comparisons(results: Results) -> pd.DataFrame:
    """Return each method minus each reference, paired, with Holm-corrected p-values per reference."""
    rows = []
    metric = results.metric("miou")
    for reference in (r for r in REFERENCES if r in results.matrices):
        for over in ("mean", "worst"):
            family = []
            for name in (n for n in results.matrices if n != reference):
                found = statistics.paired_difference(*results.paired(name, reference), metric, over=over)
                family.append(
                    {
                        "profile": results.profile,
                        "data": results.data,
                        "synthetic": results.synthetic,
                        "method": name,
                        "reference": reference,
                        "over": over,
                        "seeds": found.seeds,
                        "scenes": found.scenes,
                        "difference": found.mean,
                        "low": found.low,
                        "high": found.high,
                        "p": found.p,
                    }
                )
            corrected = statistics.holm([row["p"] for row in family]) if family else []
            rows += [row | {"p_holm": p} for row, p in zip(family, corrected, strict=True)]
    return pd.DataFrame(rows)


def read(profile: str, name: str) -> pd.DataFrame:
    """Return one of a profile's tables."""
    path = paths.results() / profile / f"{name}.csv"
    if not path.exists():
        raise UserError(f"{path} does not exist; `rgbd study --profile {profile}` makes it")
    return pd.read_csv(path)


def main(profile: str, name: str) -> pd.DataFrame:
    """Return a table's rows of the main comparison: plain runs on mixed light of the methods in methods.csv."""
    table = read(profile, name)
    compared = table.method.isin(read(profile, "methods").method)
    return table[compared & table.variant.isna() & (table.trained_on == "mixed")]
