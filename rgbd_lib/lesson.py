"""What chapters share: a run, its results beside others, and scenes to look at.

Nothing is trained that is already there: first the run folders are asked, then the tables that came with the
project, and only then a training starts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from rgbd_lib import machine, paths, runs, tables
from rgbd_lib.conditions import Condition, Stage, lightings, reference
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.errors import UserError
from rgbd_lib.material import Material
from rgbd_lib.methods import Output
from rgbd_lib.profiles import larger
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.runs import DEFAULT_DATA, Record, Run
from rgbd_lib.statistics import Results
from rgbd_lib.stored import load_runs

# label -> a method and the fields of Run that are changed
Asked = Mapping[str, tuple[str, Mapping[str, object]]]


def run(method: str, profile: str, seed: int = 0, *, data: str = DEFAULT_DATA, **changes: object) -> Record:
    """Return a finished run, trained now if it was never made; ``changes`` are fields of Run."""
    return runs.get(Run(method, profile, seed, data=data, **changes), quiet=True)


def trained(
    method: str, profile: str, seed: int = 0, *, data: str = DEFAULT_DATA, **changes: object
) -> Record:
    """Return the longest trained run of a method on this machine, of this profile or a larger one.

    For looking at a network, not for comparing it: runs of different budgets must not stand beside each other.
    """
    return trained_alike(profile, seed, {method: (method, changes)}, data=data)[method]


def trained_alike(profile: str, seed: int, wanted: Asked, *, data: str = DEFAULT_DATA) -> dict[str, Record]:
    """Return runs of one budget: the largest that all have been trained with on this machine, else trained now."""
    there = {(r.info["parameters"]["method"], r.info["parameters"]["profile"]) for r in runs.records()}
    for name in larger(profile):
        if {(method, name) for method, _ in wanted.values()} <= there:
            found = {label: runs.find(one) for label, one in named(wanted, name, seed, data).items()}
            if all(record and record.has_weights for record in found.values()):
                return found
    return {label: runs.get(one, quiet=True) for label, one in named(wanted, profile, seed, data).items()}


def named(wanted: Asked, profile: str, seed: int, data: str) -> dict[str, Run]:
    """Return what is asked for as runs of one budget."""
    return {
        label: Run(method, profile, seed, data=data, **changes) for label, (method, changes) in wanted.items()
    }


def results(profile: str, methods: Sequence[str], data: str = DEFAULT_DATA) -> Results:
    """Return what these methods scored: the stored tables of the largest budget that has them all, else their runs.

    A caption reads the profile from what is returned; it need not be the one asked for.
    """
    if data == DEFAULT_DATA and (found := stored(methods, least=profile)):
        return replace(found, matrices={name: found.matrices[name] for name in methods})
    return results_of(
        {
            name: [run(name, profile, seed, data=data) for seed in profile_of(profile).seeds]
            for name in methods
        }
    )


def stored(methods: Sequence[str], least: str = "smoke") -> Results | None:
    """Return the stored results of the largest profile, down to ``least``, that has all these methods.

    One that has them with all its seeds comes before a larger one that is not finished.
    """
    begun = None
    for name in larger(least):
        if (paths.results() / name / "matrices.npz").exists():
            found = tables.load(name)
            if set(methods) <= set(found.matrices):
                if finished(found, methods):
                    return found
                begun = begun or found
    return begun


def finished(found: Results, methods: Sequence[str]) -> bool:
    """Whether results have all seeds of their profile for these methods."""
    seeds = set(profile_of(found.profile).seeds)
    return all(seeds <= set(found.seeds.get(name, seeds)) for name in methods)


def sweep(profile: str, seed: int, wanted: Asked, *, data: str = DEFAULT_DATA) -> Results:
    """Return what some runs scored, by labels of their own.

    As for ``results``: the stored tables of the largest budget that has them all, else runs that are made now.
    """
    for name in larger(profile) if data == DEFAULT_DATA else ():
        if found := load_runs(name, named(wanted, name, seed, data)):
            return found
    made = {label: [runs.get(one, quiet=True)] for label, one in named(wanted, profile, seed, data).items()}
    return results_of(made)


def results_of(found: Mapping[str, Sequence[Record]], conditions: str = "lightings") -> Results:
    """Return records as results, under any names and a set of conditions: for sweeps and variants."""
    first = next(iter(found.values()))[0]
    info = first.info
    for name, records in found.items():
        for record in records:
            if record.scores().scenes != first.scores().scenes:
                raise UserError(
                    f"'{name}' was tested on other scenes than the rest; the two cannot be compared"
                )
    return Results(
        matrices={
            n: np.stack([r.scores(conditions).matrices for r in records]) for n, records in found.items()
        },
        profile=info["parameters"]["profile"],
        data=f"{info['data']['name']} {info['data']['identity'][:8]}",
        synthetic=info["data"]["synthetic"],
        background=info["data"]["background"],
        seeds={n: tuple(r.info["parameters"]["seed"] for r in records) for n, records in found.items()},
    )


@dataclass(frozen=True)
class Look:
    """One test scene under some conditions, and what a model made of it."""

    conditions: tuple[str, ...]
    rgb: np.ndarray  # C,H,W,3 uint8
    depth: np.ndarray  # C,H,W metres, NaN where missing
    label: np.ndarray  # H,W uint8
    prediction: np.ndarray  # C,H,W uint8
    confidence: np.ndarray  # C,H,W, 0..1
    output: Output  # everything the model returned, for all conditions


def stage(profile: str, data: str = DEFAULT_DATA, **changes: object) -> Stage:
    """Return the test scenes of a profile, to be shown under any condition."""
    return Stage(material(profile, data, **changes), "test", "cpu")


def material(profile: str, data: str = DEFAULT_DATA, **changes: object) -> Material:
    """Return the data that runs of a profile learn from."""
    return Run("rgb", profile, data=data, **changes).material()


@torch.inference_mode()
def look(record: Record, scene: int = 0, conditions: Sequence[Condition] | None = None) -> Look:
    """Show a trained model the ``scene``-th test scene under conditions (default: all lightings)."""
    data = record.run.material()
    shown = tuple(conditions or lightings(data))
    view = Stage(data, "test", "cpu")
    positions = data.splits["test"][scene : scene + 1]
    if not len(positions):
        raise UserError(
            f"test scene {scene} does not exist: there are {len(data.splits['test'])}, counted from 0"
        )
    sample = view.before(positions, shown)
    model = record.model()
    rgb, depth = view.after(shown, sample, *normalise(sample, data.stats))
    with machine.choose("cpu", record.run.recipe.precision).autocast():
        output = model(rgb, depth, explain=True)
    confidence, prediction = output.logits.float().softmax(1).max(1)
    return Look(
        tuple(c.name for c in shown),
        colours(sample),
        metres(sample),
        sample.label[0].numpy().astype(np.uint8),
        prediction.numpy().astype(np.uint8),
        confidence.numpy(),
        output,
    )


def colours(sample: Sample) -> np.ndarray:
    """Return a raw sample's images as uint8, B,H,W,3."""
    return (sample.rgb.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()


def metres(sample: Sample) -> np.ndarray:
    """Return a raw sample's depth, B,H,W, NaN where nothing was measured."""
    return torch.where(sample.valid, sample.depth, torch.nan)[:, 0].numpy()


def inputs(
    profile: str, scene: int = 0, light: int | None = None, data: str = DEFAULT_DATA
) -> tuple[Tensor, Tensor]:
    """Return one test scene as a method gets it: rgb 1,3,H,W and depth 1,1,H,W, normalised."""
    made = material(profile, data)
    number = reference(made) if light is None else made.dataset.lightings.index(light)
    sample = Stage(made, "test", "cpu").before(
        made.splits["test"][scene : scene + 1], [Condition("", number)]
    )
    return normalise(sample, made.stats)


def parameters(model: nn.Module) -> int:
    """Return how many numbers a model learns."""
    return sum(p.numel() for p in model.parameters())
