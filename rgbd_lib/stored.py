"""Test matrices of a profile's runs, small enough for version control: all that scores and intervals need.

``matrices.npz`` has the main comparison, methods x seeds; ``variants.npz`` all other runs on the same test scenes, with
other options, settings or lightings.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rgbd_lib import paths
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.records import key, plain, variant
from rgbd_lib.runs import Record, Run
from rgbd_lib.statistics import Results

MAIN, VARIANTS = "matrices.npz", "variants.npz"
Name = tuple[str, str, str]  # method, what it was trained on, what differs from the plain method
Seeds = dict[int, np.ndarray]


def save(chosen: Sequence[Record], folder: Path) -> None:
    """Write the matrices of all runs that were tested on the same scenes as the first of the main comparison."""
    main = [r for r in chosen if plain(r)]
    if not main:
        raise UserError(
            f"no run with default options and mixed lighting among {len(chosen)} records; nothing to compare"
        )
    first = main[0]
    about = {
        "profile": first.info["parameters"]["profile"],
        "data": key(first)["data"],
        "synthetic": first.info["data"]["synthetic"],
        "background": first.info["data"]["background"],
        "classes": first.info["data"]["classes"],
        "lightings": first.scores().conditions,
        "scenes": first.scores().scenes,
    }
    same = [
        r
        for r in chosen
        if r.scores().scenes == first.scores().scenes
        and r.info["data"]["identity"] == first.info["data"]["identity"]
    ]
    arrays = {f"{key(r)['method']}/{key(r)['seed']}": r.scores().matrices for r in same if plain(r)}
    np.savez_compressed(folder / MAIN, about=json.dumps(about), **arrays)
    others = [r for r in same if not plain(r)]
    if others:
        runs = [[*name(r.info["parameters"]), key(r)["seed"]] for r in others]
        arrays = {str(i): r.scores().matrices for i, r in enumerate(others)}
        np.savez_compressed(folder / VARIANTS, runs=json.dumps(runs), **arrays)
    else:
        (folder / VARIANTS).unlink(missing_ok=True)


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
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        found: dict[str, Seeds] = {}
        for entry in stored.files:
            if entry != "about":
                method, seed = entry.split("/")
                found.setdefault(method, {})[int(seed)] = stored[entry]
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
    if (folder / VARIANTS).exists():
        with np.load(folder / VARIANTS, allow_pickle=False) as stored:
            for i, (*who, seed) in enumerate(json.loads(str(stored["runs"]))):
                if tuple(who) in asked.values():
                    known.setdefault(tuple(who), {})[seed] = stored[str(i)]
    found = {label: known.get(who, {}) for label, who in asked.items()}
    seeds = tuple(sorted(set.intersection(*map(set, found.values()))))
    if not seeds:
        return None
    matrices = {label: np.stack([by_seed[s] for s in seeds]) for label, by_seed in found.items()}
    return replace(main, matrices=matrices, seeds=dict.fromkeys(found, seeds))


def name(parameters: Mapping[str, object]) -> Name:
    """Return what tells runs of one profile apart, but for their seeds."""
    return str(parameters["method"]), str(parameters["lighting"]), variant(dict(parameters))
