"""Train a published network by a paper's preset: the one loop with another optimizer, schedule and loss.

What stays ours: the split (validation scenes choose the epoch, no test image does), the geometry of augmentation, and
checkpoints. What is the paper's: everything in ``recipes.py``.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from rgbd_lib import machine, material, paths
from rgbd_lib.checkpoint import load_weights
from rgbd_lib.losses import balanced_weights
from rgbd_lib.machine import Machine
from rgbd_lib.material import Material
from rgbd_lib.methods.registry import Output, Target
from rgbd_lib.papers import objectives
from rgbd_lib.papers.official import load_official
from rgbd_lib.papers.recipes import Preset, get
from rgbd_lib.papers.registry import build
from rgbd_lib.progress import Progress
from rgbd_lib.recipe import Recipe
from rgbd_lib.training import Trainer

WHOLE = (0.0, 0.0, 1.0, 1.0)


class Fed(nn.Module):
    """A published network behind the loop's interface: fed as its paper does, with its paper's further losses."""

    def __init__(self, network: nn.Module, preset: Preset, data: Material, teacher: nn.Module | None) -> None:
        super().__init__()
        self.network, self.preset = network, preset
        self.mean, self.std = data.stats.depth_mean, data.stats.depth_std
        self.loss = objectives.class_loss()
        self.teacher = (teacher,)  # in a tuple: no parameters of this module, never in training mode

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score; with a ``target`` in training mode the further losses are in ``extra_loss``."""
        raw = depth * self.std + self.mean
        raw = torch.where(raw.abs() < 1e-4, 0.0, raw)  # missing is exactly 0 before the loop's normalisation
        inputs = self.preset.feed(rgb, raw)
        learns = target is not None and self.training
        extra = {"teacher": self.teacher[0]} if self.teacher[0] is not None and learns else {}
        out = self.network(*inputs, **extra)
        out.extra_loss = self.preset.objective(self.network, out, target, self.loss) if learns else None
        return out


class PaperTrainer(Trainer):
    """The loop with a preset's groups, rates and stages."""

    def __init__(
        self, preset: Preset, fed: Fed, data: Material, recipe: Recipe, chosen: Machine, **where: object
    ) -> None:
        self.preset, self.stage = preset, 0
        super().__init__(fed, data, recipe, chosen, **where)
        weight = balanced_weights(torch.from_numpy(data.class_counts)) if preset.weighted else None
        self.loss = fed.loss = objectives.class_loss(weight)

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer of the present stage."""
        return self.preset.optimizer(self.preset.groups(self.model.network, self.stage))

    def rate(self, step: int) -> float:
        """Return the factor at this step of the stage: the published schedule, run through as fast as the budget needs."""
        return self.preset.factor(step * self.pace())

    def pace(self) -> float:
        """Return how many published steps one of ours stands for."""
        ours = self.recipe.epochs * len(self.batches)
        return sum(self.preset.epochs) * self.preset.steps / ours

    def first_epochs(self) -> list[int]:
        """Return at which epoch each stage begins; stages keep their share of the budget, one epoch at least."""
        total, begins, done = sum(self.preset.epochs), [0], 0
        for length in self.preset.epochs[:-1]:
            done += length
            begins.append(max(begins[-1] + 1, round(done * self.recipe.epochs / total)))
        return begins

    def stage_at(self, epoch: int) -> int:
        """Return the stage that an epoch belongs to."""
        return sum(begin <= epoch for begin in self.first_epochs()) - 1

    def begin(self, stage: int) -> None:
        """Start a stage: a new optimizer without memory, the schedule from its beginning, weights as they are."""
        self.stage = stage
        self.optimizer = self.make_optimizer()
        self.schedule = LambdaLR(self.optimizer, self.rate)

    def epoch(self, number: int, progress: Progress) -> dict[str, float]:
        """Train one pass; the first of a stage begins it."""
        if number in self.first_epochs()[1:]:
            self.begin(self.stage_at(number))
        return super().epoch(number, progress) | {"stage": self.stage}

    def resume(self) -> None:
        """Take up the last checkpoint, in the stage it was made in."""
        super().resume()
        self.stage = self.stage_at(max(0, len(self.history) - 1))


def budget(preset: Preset, profile: str, published: bool) -> Recipe:
    """Return the loop's settings: a profile's size and epochs, or the published number of epochs and batch."""
    recipe = Recipe.of(profile, {"crop": WHOLE, "clip": float("inf"), "prior": False, "loss": "ce"})
    epochs = sum(preset.epochs) if published else max(recipe.epochs, len(preset.epochs))
    return replace(recipe, epochs=epochs, batch=preset.batch, precision="fp32")


def folder_of(name: str, profile: str, seed: int) -> Path:
    """Return where a training lies unless another place is named."""
    return paths.results() / "runs" / f"paper-{name}-{profile}-{seed}"


def train(
    name: str,
    data: str,
    *,
    profile: str = "smoke",
    seed: int = 0,
    published: bool = False,
    weights: Path | None = None,
    teacher: Path | None = None,
    device: str = "auto",
    folder: Path | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """Train a preset and return its history; a stopped training goes on. ``weights`` is a checkpoint to start from."""
    preset = get(name)
    recipe = budget(preset, profile, published)
    folder = folder or folder_of(name, profile, seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = material.prepare(data, recipe, progress=not quiet)
    options = preset.options if weights else preset.options | preset.without_weights
    if weights:
        network = load_official(preset.network, weights, made.classes, **options)
    else:
        network = build(preset.network, made.classes, seed=seed, **options)
    lecturer = known_teacher(preset, made, teacher, folder, data=data, profile=profile, seed=seed,
                             published=published, device=device, quiet=quiet)  # fmt: skip
    chosen = machine.choose(device, recipe.precision)
    if lecturer is not None:
        lecturer = lecturer.to(chosen.device)
    fed = Fed(network, preset, made, lecturer)
    return PaperTrainer(preset, fed, made, recipe, chosen, seed=seed, folder=folder).run(
        quiet=quiet, title=name
    )


def known_teacher(
    preset: Preset, made: Material, given: Path | None, folder: Path, **same: object
) -> nn.Module | None:
    """Return the frozen teacher: from a checkpoint, or trained now on the same data and budget."""
    if preset.teacher is None:
        return None
    lesson = get(preset.teacher)
    if given:
        return load_official(lesson.network, given, made.classes, **lesson.options).requires_grad_(False)
    train(lesson.name, folder=folder / "teacher", **same)
    fed = Fed(build(lesson.network, made.classes, **lesson.options), lesson, made, None)
    load_weights(fed, folder / "teacher" / "best.safetensors")
    return fed.network.eval().requires_grad_(False)
