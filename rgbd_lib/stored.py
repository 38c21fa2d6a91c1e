"""Test matrices of a profile's runs, small enough for version control: all that scores and intervals need.

``matrices.npz`` has the main comparison, methods x seeds; ``variants.npz`` all other runs on the same test scenes, with
other options, settings or lightings.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rgbd_lib import kept, methods, paths
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.records import key, plain, variant
from rgbd_lib.runs import Record, Run
from rgbd_lib.statistics import Results

MAIN, VARIANTS = "matrices.npz", "variants.npz"
Name = tuple[str, str, str]  # method, what it was trained on, what differs from the plain method
Seeds = dict[int, np.ndarray]
Who = tuple[str, str, str, int]  # a name with its seed


def save(chosen: Sequence[Record], folder: Path) -> None:
    """Write the matrices of all runs that were tested on the same scenes as the first of the main comparison.

    Matrices that are there already, of other runs on the same scenes of the same data, stay.
    """
    main = [r for r in chosen if plain(r)]
    before = read_about(folder)
    if not main and not before:
        raise UserError(
            f"no run with default options and mixed lighting among {len(chosen)} records; nothing to compare"
        )
    about = describe(main[0]) if main else before
    same = [
        r for r in chosen if list(r.scores().scenes) == about["scenes"] and key(r)["data"] == about["data"]
    ]
    plains, others = (
        {
            (*name(r.info["parameters"]), key(r)["seed"]): r.scores().matrices
            for r in same
            if plain(r) == wanted
        }
        for wanted in (True, False)
    )
    if before and all(before[part] == about[part] for part in ("data", "scenes", "classes", "lightings")):
        plains, others = read_main(folder) | plains, read_variants(folder) | others
    arrays = {f"{method}/{seed}": matrices for (method, _, _, seed), matrices in in_order(plains)}
    with kept.replacing(folder / MAIN) as path:
        np.savez_compressed(path, about=json.dumps(about), **arrays)
    if others:
        runs = [list(who) for who, _ in in_order(others)]
        arrays = {str(i): matrices for i, (_, matrices) in enumerate(in_order(others))}
        with kept.replacing(folder / VARIANTS) as path:
            np.savez_compressed(path, runs=json.dumps(runs), **arrays)
    else:
        (folder / VARIANTS).unlink(missing_ok=True)


def describe(record: Record) -> dict[str, object]:
    """Return what a record says of all matrices that can stand beside its own."""
    return {
        "profile": record.info["parameters"]["profile"],
        "data": key(record)["data"],
        "synthetic": record.info["data"]["synthetic"],
        "background": record.info["data"]["background"],
        "classes": list(record.info["data"]["classes"]),
        "lightings": list(record.scores().conditions),
        "scenes": list(record.scores().scenes),
    }


def in_order(found: Mapping[Who, np.ndarray]) -> list[tuple[Who, np.ndarray]]:
    """Return matrices in the order of all tables; those of methods that do not exist any more are left out."""
    order = {method: i for i, method in enumerate(methods.names())}
    known = [(who, matrices) for who, matrices in found.items() if who[0] in order]
    return sorted(known, key=lambda item: (order[item[0][0]], item[0][3], *item[0][1:3]))


def read_about(folder: Path) -> dict | None:
    """Return what the stored matrices of a folder have in common; None where there are none."""
    if not (folder / MAIN).exists():
        return None
    with np.load(folder / MAIN, allow_pickle=False) as file:
        return json.loads(str(file["about"]))


def read_main(folder: Path) -> dict[Who, np.ndarray]:
    """Return the stored matrices of the main comparison."""
    found = {}
    with np.load(folder / MAIN, allow_pickle=False) as file:
        for entry in file.files:
            if entry != "about":
                method, seed = entry.split("/")
                found[(method, "mixed", "", int(seed))] = file[entry]
    return found


def read_variants(folder: Path, wanted: Collection[Name] | None = None) -> dict[Who, np.ndarray]:
    """Return the stored matrices of all other runs, or of some."""
    if not (folder / VARIANTS).exists():
        return {}
    with np.load(folder / VARIANTS, allow_pickle=False) as file:
        runs = [tuple(who) for who in json.loads(str(file["runs"]))]
        return {who: file[str(i)] for i, who in enumerate(runs) if wanted is None or who[:3] in wanted}


def load(profile: str, *, partial: bool = False) -> Results:
    """Return the matrices of a profile's main comparison, for intervals and sentences.

    Methods that lack some of the profile's seeds would stand beside the others with intervals that know less: they are
    left out as long as others have all, unless ``partial`` asks for them.
    """
    path = paths.results() / profile / MAIN
    if not path.exists():
        have = sorted(p.parent.name for p in paths.results().glob(f"*/{MAIN}"))
        raise UserError(
            f"no results of profile '{profile}' ({path} does not exist); there are: {', '.join(have) or 'none'}"
        )
    about = read_about(path.parent)
    found: dict[str, Seeds] = {}
    for (method, _, _, seed), matrices in read_main(path.parent).items():
        found.setdefault(method, {})[seed] = matrices
    if not partial:
        found = complete(found, profile_of(profile).seeds)
    return Results(
        matrices={m: np.stack([by_seed[s] for s in sorted(by_seed)]) for m, by_seed in found.items()},
        profile=about["profile"],
        data=about["data"],
        synthetic=about["synthetic"],
        background=about["background"],
        seeds={m: tuple(sorted(by_seed)) for m, by_seed in found.items()},
    )


def complete(found: Mapping[str, Seeds], seeds: Sequence[int]) -> Mapping[str, Seeds]:
    """Return the methods that have all these seeds; where none has, all of them."""
    return {name: by_seed for name, by_seed in found.items() if set(seeds) <= set(by_seed)} or found


def of_seeds(results: Results, name: str, seeds: Sequence[int]) -> np.ndarray:
    """Return a method's matrices of some of its seeds."""
    return results.matrices[name][[results.seeds[name].index(seed) for seed in seeds]]


def load_runs(profile: str, wanted: Mapping[str, Run]) -> Results | None:
    """Return stored runs of a profile under the labels given, for the seeds that all have; None where there is none."""
    folder = paths.results() / profile
    if not (folder / MAIN).exists():
        return None
    main = load(profile, partial=True)
    known: dict[Name, Seeds] = {
        (method, "mixed", ""): dict(zip(main.seeds[method], matrices, strict=True))
        for method, matrices in main.matrices.items()
    }
    asked = {label: name(run.parameters()) for label, run in wanted.items()}
    for (*who, seed), matrices in read_variants(folder, set(asked.values())).items():
        known.setdefault(tuple(who), {})[seed] = matrices
    found = {label: known.get(who, {}) for label, who in asked.items()}
    seeds = tuple(sorted(set.intersection(*map(set, found.values()))))
    if not seeds:
        return None
    matrices = {label: np.stack([by_seed[s] for s in seeds]) for label, by_seed in found.items()}
    return replace(main, matrices=matrices, seeds=dict.fromkeys(found, seeds))


def name(parameters: Mapping[str, object]) -> Name:
    """Return what tells runs of one profile apart, but for their seeds."""
    return str(parameters["method"]), str(parameters["lighting"]), variant(dict(parameters))
