"""Which records a table is about: the newest of each run, and the columns that say which run it was."""

import json
from collections.abc import Iterable

from rgbd_lib import methods
from rgbd_lib.runs import Record


def newest(found: Iterable[Record]) -> list[Record]:
    """Return one record per run, in the order of figures: of two with the same parameters the later one counts."""
    latest: dict[str, Record] = {}
    for record in sorted(found, key=lambda r: r.info["cost"]["finished"]):
        latest[json.dumps(record.info["parameters"], sort_keys=True)] = record
    order = {name: i for i, name in enumerate(methods.names())}
    return sorted(
        (r for r in latest.values() if r.info["parameters"]["method"] in order),
        key=lambda r: (order[r.info["parameters"]["method"]], *map(str, key(r).values())),
    )


def key(record: Record) -> dict[str, object]:
    """Return the columns that say which run a row is about."""
    p, data = record.info["parameters"], record.info["data"]
    return {
        "profile": p["profile"],
        "data": f"{data['name']} {data['identity'][:8]}",
        "synthetic": data["synthetic"],
        "method": p["method"],
        "seed": p["seed"],
        "trained_on": p["lighting"],
        "variant": variant(p),
    }


def variant(parameters: dict) -> str:
    """Return what differs from the plain method, "" for the plain one."""
    parts = [f"{k}={v}" for k, v in sorted((parameters["options"] | parameters["settings"]).items())]
    usual = (("init", "random"), ("split", "grouped"))
    parts += [f"{k}={parameters[k]}" for k, plain in usual if parameters[k] != plain]
    return " ".join(parts)


def plain(record: Record) -> bool:
    """Whether a record belongs to the main comparison: default options, trained on all lightings."""
    return not variant(record.info["parameters"]) and record.info["parameters"]["lighting"] == "mixed"
