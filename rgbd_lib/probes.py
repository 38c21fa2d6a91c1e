"""Looking into trained models: what they answer under any condition, and what they say on the way.

Nothing here trains. Every probe shows a finished run the test scenes once more, in the order of its own test, and
returns numbers per scene or results like those of the main tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib import corruptions, evaluation, machine
from rgbd_lib.conditions import Condition, Stage, lightings, reference
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.material import Material
from rgbd_lib.methods import Output
from rgbd_lib.methods.encoder import STAGES, Encoder
from rgbd_lib.runs import Record
from rgbd_lib.statistics import Results


@dataclass(frozen=True)
class Shown:
    """One test scene under all conditions asked for: what went in, and what came out."""

    number: int  # of the test scene, counted from 0
    conditions: tuple[str, ...]
    sample: Sample  # raw
    rgb: Tensor  # normalised, one row per condition
    depth: Tensor
    output: Output


def walk(
    record: Record,
    conditions: Sequence[Condition] | None = None,
    *,
    scenes: int | None = None,
    model: nn.Module | None = None,
) -> Iterator[Shown]:
    """Show a model test scene after test scene, each under all conditions (default: all lightings)."""
    data = record.run.material()
    shown = tuple(conditions or lightings(data))
    stage, model = Stage(data, "test", "cpu"), model or record.model()
    chosen = machine.choose("cpu", record.run.recipe.precision)
    for number, position in enumerate(data.splits["test"][:scenes]):
        with torch.no_grad(), chosen.autocast():
            sample = stage.before(np.array([position]), shown)
            rgb, depth = stage.after(shown, sample, *normalise(sample, data.stats))
            output = model(rgb, depth, explain=True)
        yield Shown(number, tuple(c.name for c in shown), sample, rgb, depth, output)


def graded(data: Material, name: str, light: int | None = None) -> tuple[Condition, ...]:
    """Return one corruption at severities 0 (none) to 5, under the reference lighting or another."""
    at = reference(data) if light is None else data.dataset.lightings.index(light)
    settings = [corruptions.Setting(corruptions.CLEAN, 0)]
    settings += [corruptions.Setting(name, severity) for severity in corruptions.SEVERITIES]
    return tuple(Condition(f"{name} {s.severity}", at, s) for s in settings)


def spoiled(data: Material, names: Sequence[str], light: int | None = None) -> tuple[Condition, ...]:
    """Return conditions of one lighting: untouched, then each named corruption at its worst."""
    at = reference(data) if light is None else data.dataset.lightings.index(light)
    found = [Condition("untouched", at)]
    return (*found, *(Condition(n, at, corruptions.Setting(n, corruptions.SEVERITIES[-1])) for n in names))


def measure(
    models: Mapping[str, nn.Module], record: Record, conditions: str | Sequence[Condition] = "lightings"
) -> Results:
    """Return what models score on the test scenes of a record, one run each."""
    chosen, data = machine.choose("cpu", record.run.recipe.precision), record.run.material()
    found = {
        name: evaluation.matrices(model, data, chosen, conditions=conditions)[""]
        for name, model in models.items()
    }
    return one_run(found, record)


def measure_votes(record: Record, votes: evaluation.Votes) -> Results:
    """Return what several answers of one model, like its branches, score on the test scenes under all lightings."""
    chosen = machine.choose("cpu", record.run.recipe.precision)
    return one_run(evaluation.matrices(record.model(), record.run.material(), chosen, votes=votes), record)


def one_run(found: Mapping[str, np.ndarray], record: Record) -> Results:
    """Return matrices S,C,K,K by name as results that stand beside those of a record."""
    info = record.info
    return Results(
        matrices={name: counts[None] for name, counts in found.items()},
        profile=info["parameters"]["profile"],
        data=f"{info['data']['name']} {info['data']['identity'][:8]}",
        synthetic=info["data"]["synthetic"],
        background=info["data"]["background"],
        seeds={name: (info["parameters"]["seed"],) for name in found},
    )


# -- numbers per scene ----------------------------------------------------------------------------


@torch.no_grad()
def parts_of(layer: nn.Conv2d, glued: Tensor, colour: int) -> tuple[Tensor, Tensor]:
    """Return what a convolution over glued inputs makes of the first ``colour`` channels and of the rest.

    Their sum, plus its bias, is its answer.
    """
    return tuple(
        F.conv2d(x, weight, None, layer.stride, layer.padding)
        for x, weight in (
            (glued[:, :colour], layer.weight[:, :colour]),
            (glued[:, colour:], layer.weight[:, colour:]),
        )
    )


def depth_share(record: Record, layer: str, colour: int, scenes: int | None = None) -> pd.DataFrame:
    """Return how much of the variance of a glued convolution's answer comes from depth: light x scene."""
    model, rows, seen = record.model(), {}, []
    conv = model.get_submodule(layer)
    conv.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].float()))
    for shown in walk(record, scenes=scenes, model=model):
        rgb, depth = (spread(part) for part in parts_of(conv, seen.pop(), colour))
        rows[shown.number] = (depth / (rgb + depth)).numpy()
    return pd.DataFrame(rows, index=list(shown.conditions))


def spread(maps: Tensor) -> Tensor:
    """Return how much maps B,C,H,W vary over their places, summed over channels."""
    return maps.var((2, 3)).sum(1)


def reach(encoder: Encoder) -> pd.DataFrame:
    """Return for each stage how many pixels lie between two places, and how many a place sees."""
    step, sees, rows = 1, 1, {}
    for name, stage in zip(STAGES, encoder.stages(), strict=False):
        for part, layer in stage.named_modules():
            if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)) and "downsample" not in part:
                kernel, stride = (
                    v[0] if isinstance(v, tuple) else v for v in (layer.kernel_size, layer.stride)
                )
                sees += (kernel - 1) * step
                step *= stride
        rows[name] = {"pixels apart": step, "sees (pixels)": sees}
    return pd.DataFrame(rows).T


def agreement(record: Record, model: nn.Module | None = None, scenes: int | None = None) -> pd.DataFrame:
    """Return per light the shares of object pixels that both branches have right, one alone, or neither.

    ``vote`` is the share that the fused scores have right, ``new`` the share where they alone are right.
    """
    background, counts = record.info["data"]["background"], 0
    for shown in walk(record, scenes=scenes, model=model):
        label = shown.sample.label
        counted = (label != 255) & (label != (-1 if background is None else background))
        rgb, depth = (shown.output.branches[b].argmax(1) == label for b in ("rgb", "depth"))
        vote = shown.output.logits.argmax(1) == label
        parts = (
            rgb & depth,
            rgb & ~depth,
            ~rgb & depth,
            ~rgb & ~depth,
            vote,
            vote & ~rgb & ~depth,
            vote | ~vote,
        )
        counts = counts + torch.stack([(p & counted).sum((1, 2)) for p in parts], dim=1)
    names = ["both", "RGB only", "depth only", "neither", "vote", "new"]
    shares = counts[:, :-1] / counts[:, -1:].clamp(min=1)
    return pd.DataFrame(shares.numpy(), index=list(shown.conditions), columns=names)


def explained(
    record: Record, conditions: Sequence[Condition] | None = None, scenes: int | None = None
) -> dict[str, np.ndarray]:
    """Return everything a method explains, averaged over test scenes: name -> conditions, ..."""
    total: dict[str, Tensor] = {}
    for shown in walk(record, conditions, scenes=scenes):
        for name, value in shown.output.explain.items():
            value = value.float().expand(len(shown.conditions), *value.shape[1:])
            total[name] = total.get(name, 0) + value
    return {name: (value / (shown.number + 1)).numpy() for name, value in total.items()}


def places_looked_at(attention: Tensor) -> Tensor:
    """Return exp(entropy) of attention B,heads,H,W,h,w, averaged over queries: B,heads effective places."""
    weights = attention.float().flatten(-2)
    entropy = -(weights * weights.clamp(min=1e-12).log()).sum(-1)
    return entropy.exp().mean((2, 3))


def mass_near(attention: Tensor, reach: int = 1) -> Tensor:
    """Return the share of attention B,heads,H,W,H,W within ``reach`` places of the asking one: B,heads."""
    height, width = attention.shape[-2:]
    rows, columns = ((torch.arange(n)[:, None] - torch.arange(n)).abs() <= reach for n in (height, width))
    near = rows[:, None, :, None] & columns[None, :, None, :]  # H,W,h,w
    return (attention.float() * near).sum((-1, -2)).mean((2, 3))
