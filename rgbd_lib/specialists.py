"""Networks that have learned one light each: what they are worth under that light, and under all others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from rgbd_lib import headline, methods, paths, statistics, stored, tables
from rgbd_lib.profiles import larger
from rgbd_lib.runs import Run
from rgbd_lib.statistics import Interval, Results

OWN, OTHER, MIXED = "own light", "other lights", "mixed"


def parts(found: Results, lights: Sequence[int], tested: Sequence[int]) -> Results:
    """Return what specialists score under their own light and under the others, and one mixed network under theirs.

    ``found`` has a network "light N" for each of ``lights``, and "mixed"; ``tested`` are the lights of its conditions.
    """
    at = {n: list(tested).index(n) for n in lights}
    matrices = {
        OWN: np.concatenate([found.matrices[f"light {n}"][:, :, [i]] for n, i in at.items()], axis=2),
        OTHER: np.concatenate(
            [np.delete(found.matrices[f"light {n}"], i, axis=2) for n, i in at.items()], axis=2
        ),
        MIXED: found.matrices["mixed"][:, :, list(at.values())],
    }
    return replace(found, matrices=matrices, seeds=dict.fromkeys(matrices, found.seeds["mixed"]))


def scores(found: Results) -> tuple[Interval, Interval, Interval]:
    """Return the three scores of ``parts``: under the own light, under the others, and of the mixed network."""
    measure = found.metric("miou")
    own, other, mixed = (statistics.interval(found.matrices[n], measure) for n in (OWN, OTHER, MIXED))
    return own, other, mixed


def sentence(found: Results, method: str) -> str:
    """Return the three scores of ``parts`` in words, each with its interval."""
    own, other, mixed = scores(found)
    return (
        f"{methods.get(method).title}, trained under one light alone, scores **{own}** under that light and **{other}** "
        f"under the others; trained with as many steps under all of them, **{mixed}** (mIoU in %, mean over "
        f"{found.matrices[OWN].shape[2]} lights). {headline.provenance(found)}"
    )


def sentences(found: Mapping[str, Results]) -> str:
    """Return the scores of ``parts`` of one method or of several, in as few words as they need."""
    first = next(iter(found.values()))
    if len(found) == 1:
        return sentence(first, next(iter(found)))
    rows = (
        "{} **{}**, **{}** and **{}**".format(methods.get(name).title, *scores(one))
        for name, one in found.items()
    )
    return (
        "Trained under one light alone, networks score under that light, under the others and, had they been trained "
        f"with as many steps under all of them, on average: {'; '.join(rows)} (mIoU in %, mean over "
        f"{first.matrices[OWN].shape[2]} lights). {headline.provenance(first)}"
    )


def stored_sentence(least: str = "quick") -> str:
    """Return the sentence for the largest stored profile where any method has a specialist of every light."""
    for name in larger(least):
        if (paths.results() / name / stored.VARIANTS).exists():
            lights = [int(c.split()[1]) for c in tables.read(name, "lightings").condition.unique()]
            complete = {}
            for method in methods.names():
                asked = {f"light {n}": Run(method, name, lighting=str(n)) for n in lights}
                if found := stored.load_runs(name, asked | {"mixed": Run(method, name)}):
                    complete[method] = parts(found, lights, lights)
            if complete:
                return sentences(complete)
    return "No method has been trained under each light alone: what such networks are worth elsewhere is not known."
