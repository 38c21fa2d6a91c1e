"""Looking into the methods of the four papers: slopes of scales, copied mistakes, counted work, silenced noise."""

import copy
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rgbd_lib import checkpoint, lesson, methods, probes, runs, statistics
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.batches import Batches, normalise
from rgbd_lib.errors import unknown
from rgbd_lib.losses import task_loss
from rgbd_lib.methods import Output, Target
from rgbd_lib.methods.attention_ops import Attention, pooled, tokens
from rgbd_lib.methods.cen import ABLATION
from rgbd_lib.methods.cen_theory import gamma_zero_probability
from rgbd_lib.methods.encoder import STAGES
from rgbd_lib.methods.fusenet import FuseNet, keep
from rgbd_lib.methods.gemini import GeminiFusionBlock
from rgbd_lib.methods.parallel import ExchangeNorm, own_part
from rgbd_lib.runs import DEFAULT_DATA, Record

BRANCHES = {"RGB": "rgb", "depth": "depth"}  # what they are called on the page, and in Output.branches
DEFAULT_ROW = "L1 on halves, exchange"  # of the ablation: the method as it is


# -- channel exchanging ---------------------------------------------------------------------------


def ablation(profile: str, seed: int = 0, data: str = DEFAULT_DATA) -> dict[str, Record]:
    """Return the six runs of the paper's ablation, of one budget; the row that is the default is the plain run."""
    asked = {row: {} if row == DEFAULT_ROW else {"options": options} for row, options in ABLATION.items()}
    return lesson.trained_alike(profile, seed, {row: ("cen", o) for row, o in asked.items()}, data=data)


def branch_scores(record: Record) -> statistics.Results:
    """Return what each branch scores alone and what both score together ("ensemble")."""

    def votes(output: Output) -> dict[str, Tensor]:
        branches = {f"{label} branch": output.branches[name] for label, name in BRANCHES.items()}
        return branches | {"ensemble": output.logits}

    return probes.measure_votes(record, votes)


def branch_table(found: Mapping[str, Record]) -> pd.DataFrame:
    """Return mIoU (%), mean over lightings, of both branches and the ensemble: one row per run."""
    rows = {}
    for name, record in found.items():
        results = branch_scores(record)
        measure = results.metric("miou")
        rows[name] = {n: 100 * statistics.scores(m, measure).mean() for n, m in results.matrices.items()}
    return pd.DataFrame(rows).T


def scales(model: nn.Module) -> dict[str, np.ndarray]:
    """Return |γ| at each exchange point: M,C."""
    return {n: torch.stack(p.scales()).detach().abs().numpy() for n, p in model.points().items()}


def first_scales(model: nn.Module, count: int = 128) -> dict[str, np.ndarray]:
    """Return RGB's first |γ|, from the first exchange point on, as ``train_demo`` observes them."""
    found = np.concatenate([of_both[0] for of_both in scales(model).values()])
    return {"rgb": found[:count]}


def slopes(record: Record, batches: int = 8) -> pd.DataFrame:
    """Return, for every scale and batch, how the task pulls at it: a row per batch, point, modality, channel.

    ``slope`` is the true gradient of the task in γ, Σ g x̂ over all images and pixels; ``gradient`` is
    √(Σ g²), what the slope's deviation would be if each x̂ were drawn by itself; ``penalised`` says whether the
    L1 term acts on this scale.
    """
    model, data, recipe = record.model().train(), record.run.material(), record.run.recipe
    loss = task_loss(recipe.loss, data.classes)
    source = Batches(
        data.cache, data.splits["train"], data.lightings, batch=recipe.batch, seed=0, drop_last=True
    )
    rows: list[pd.DataFrame] = []
    for number, sample in zip(range(batches), source.epoch(0), strict=False):
        with Recorder(model.points()) as seen:
            out = model(*normalise(sample, data.stats), Target(sample.label, sample.lighting))
            (
                loss(out.logits, sample.label) + out.extra_loss
            ).backward()  # the penalty pulls at γ alone, not at maps
        rows += [table.assign(batch=number) for table in seen.tables()]
    return pd.concat(rows, ignore_index=True)


class Recorder:
    """Listens to exchange points during one pass forward and back: normalised maps and the gradients on them."""

    def __init__(self, points: Mapping[str, ExchangeNorm]) -> None:
        self.points, self.seen, self.hooks = points, {}, []

    def __enter__(self) -> "Recorder":
        for name, point in self.points.items():
            for m, norm in enumerate(point.of):
                self.hooks.append(norm.register_forward_hook(self._hear(name, m)))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _hear(self, name: str, m: int):
        def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor], y: Tensor) -> None:
            y.retain_grad()
            self.seen[name, m] = inputs[0].detach(), y, norm

        return hook

    def tables(self) -> list[pd.DataFrame]:
        """Return a table per point and modality, one row per channel; a map without gradient has slope 0."""
        return [self._table(name, m) for name, m in self.seen]

    def _table(self, name: str, m: int) -> pd.DataFrame:
        x, y, norm = self.seen[name, m]
        spread, mean = torch.var_mean(x, (0, 2, 3), unbiased=False, keepdim=True)
        unit = (x - mean) / (spread + norm.eps).sqrt()
        g = torch.zeros_like(unit) if y.grad is None else y.grad
        part = own_part(len(norm.weight), m, len(self.points[name].of))
        return pd.DataFrame(
            {
                "point": name,
                "modality": m,
                "channel": range(len(norm.weight)),
                "scale": norm.weight.detach().abs().numpy(),
                "penalised": np.isin(np.arange(len(norm.weight)), np.r_[part]),
                "slope": (g * unit).sum((0, 2, 3)).numpy(),
                "gradient": g.square().sum((0, 2, 3)).sqrt().numpy(),
            }
        )


def held(found: pd.DataFrame, lam: float, fewest: int = 30) -> pd.DataFrame:
    """Return how often the penalty λ outweighs the slope, beside theorem 1, in bins of λ / gradient.

    Bins are even on a logarithmic axis from 0.01 to 10; those with few scales are left out.
    """
    live = found[found.gradient > 0]
    gradient = live.gradient.to_numpy()
    table = pd.DataFrame(
        {
            "ratio": lam / gradient,
            "held": live.slope.abs().to_numpy() < lam,
            "formula": gamma_zero_probability(lam, torch.tensor(gradient)).numpy(),
        }
    )
    bins = table.groupby(np.digitize(table.ratio, np.logspace(-2, 1, 13)))
    means = bins.agg(
        ratio=("ratio", "median"), held=("held", "mean"), formula=("formula", "mean"), scales=("held", "size")
    )
    inside = means.index.isin(range(1, 13)) & (means.scales >= fewest)
    return means[inside].reset_index(drop=True)


# -- FuseNet --------------------------------------------------------------------------------------


def without_sums(model: FuseNet, stages: Sequence[str]) -> FuseNet:
    """Return a copy of a FuseNet that adds nothing at these stages; nothing is trained anew."""
    changed = copy.deepcopy(model)
    for stage in stages:
        if stage not in STAGES:
            raise unknown("stage", stage, STAGES)
        place = STAGES.index(stage)
        changed.operators[place] = (keep,) * len(changed.operators[place])
    return changed


# -- GeminiFusion ---------------------------------------------------------------------------------


def with_noise(model: nn.Module, *, keys: float = 1.0, values: float = 1.0) -> nn.Module:
    """Return a copy of a network with GeminiFusion blocks whose noise is multiplied: 0 silences it."""
    changed = copy.deepcopy(model)
    for block in changed.modules():
        if isinstance(block, GeminiFusionBlock):
            block.k_noise.weight.data *= keys
            block.v_noise.weight.data *= values
    return changed


def noise_moved(record: Record) -> pd.DataFrame:
    """Return how far the noise came in training: size at start and end (per entry), and the cosine of both."""
    trained, chosen = record.model(), record.info["parameters"]
    begun = methods.build(
        chosen["method"],
        len(record.info["data"]["classes"]),
        width=record.info["recipe"]["width"],
        seed=chosen["seed"],
        **chosen["options"],
    )
    rows = {}
    for stage, block in trained.fusions.items():
        for kind, what in {"k_noise": "keys", "v_noise": "values"}.items():
            before, after = (
                getattr(b, kind).weight.detach().flatten() for b in (begun.fusions[stage], block)
            )
            rows[f"{STAGES[int(stage)]}, {what}"] = {
                "size at the start": before.square().mean().sqrt().item(),
                "size at the end": after.square().mean().sqrt().item(),
                "cosine": torch.cosine_similarity(before, after, dim=0).item(),
            }
    return pd.DataFrame(rows).T


def fusion_work(sides: Sequence[int], width: int = 64, heads: int = 8, grid: int = 14) -> pd.DataFrame:
    """Return the multiply-adds of fusing two square maps, both ways, in three manners: a row per map size."""
    with torch.device("meta"):
        gemini = GeminiFusionBlock(width, heads)
        ask = Attention(width, heads)
        rows = {}
        for side in sides:
            maps = torch.empty(1, width, side, side)
            every, few = tokens(maps), tokens(pooled(maps, grid))
            rows[side**2] = {
                "the same pixel only": counted(lambda x=every: gemini(x, x)),
                f"a grid of {grid} × {grid}": 2 * counted(lambda x=every, m=few: ask(x, m)),
                "every pixel": 2 * counted(lambda x=every: ask(x, x)),
            }
    return pd.DataFrame(rows).T


def counted(call: Callable[[], object]) -> int:
    """Return the multiply-adds of a call."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2


# -- PrimKD ---------------------------------------------------------------------------------------


def followed(teacher: Record, students: Mapping[str, Record]) -> dict[str, pd.DataFrame]:
    """Return, per light and student, what happens on object pixels where the teacher is wrong, and where right.

    "repeats": the student says the teacher's wrong class; "corrects": it is right where the teacher is wrong;
    "keeps": it is right where the teacher is right. Shares of the pixels in question, light x student.
    """
    background = teacher.info["data"]["background"]
    models = {name: record.model() for name, record in students.items()}
    counts: dict[str, Tensor] = dict.fromkeys(models, torch.zeros(()))
    for shown in probes.walk(teacher):
        label, said = shown.sample.label, shown.output.logits.argmax(1)
        objects = (label != IGNORE) & (label != (-1 if background is None else background))
        wrong, right = objects & (said != label), objects & (said == label)
        for name, model in models.items():
            with torch.no_grad():
                answer = model(shown.rgb, shown.depth).logits.argmax(1)
            parts = (
                wrong & (answer == said),
                wrong & (answer == label),
                right & (answer == label),
                wrong,
                right,
            )
            counts[name] = counts[name] + torch.stack([p.sum((1, 2)) for p in parts])
    return {
        what: pd.DataFrame(
            {n: (c[i] / c[whole].clamp(min=1)).numpy() for n, c in counts.items()},
            index=list(shown.conditions),
        )
        for i, (what, whole) in enumerate({"repeats": 3, "corrects": 3, "keeps": 4}.items())
    }


def distances(record: Record, batches: int = 12) -> pd.DataFrame:
    """Return how far a trained PrimKD student's maps are from its teacher's: a row per training batch, by stage."""
    run, data = record.run, record.run.material()
    teachers = {name: runs.get(needed, quiet=True) for name, needed in run.required().items()}
    model = runs.build(run, data, teachers, "cpu")
    checkpoint.load_weights(model, record.folder / "best.safetensors")
    source = Batches(
        data.cache, data.splits["train"], data.lightings, batch=run.recipe.batch, seed=0, drop_last=True
    )
    rows = []
    for _, sample in zip(range(batches), source.epoch(0), strict=False):
        with torch.no_grad():
            target = Target(sample.label, sample.lighting)
            out = model.train()(*normalise(sample, data.stats), target, explain=True)
        rows.append(out.explain["feature_distances"].tolist())
    return pd.DataFrame(rows, columns=[STAGES[int(k)] for k in model.adapters])
