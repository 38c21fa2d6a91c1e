"""Training on a CUDA device, which would spend most of a small network's time waiting to be told what to do.

The loop is ``training.Trainer``'s, and so is every number but for rounding. Three things are done in other portions:
a step is recorded once as a CUDA graph and then started as a whole; the samples of many steps are gathered and
augmented at once; the validation scenes stay on the device, normalised, in a few large batches. Checkpoints are written
every few seconds instead of every epoch, which may last a few hundredths of one; either kind of trainer takes up those
of the other.
"""

import copy
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from rgbd_lib import checkpoint, distributed
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import Batches, normalise
from rgbd_lib.errors import UserError
from rgbd_lib.machine import Machine
from rgbd_lib.metrics import confusions, miou
from rgbd_lib.progress import Progress
from rgbd_lib.recipe import Recipe
from rgbd_lib.training import Trainer

AHEAD = 2**23  # pixels whose samples are made at once
KEPT = 2**26  # pixels of validation pictures that may stay on the device, at 24 bytes each
WARM_UP = 3  # steps before the recording: they fill the optimizer's state and the libraries' workspaces
PATIENCE = 15.0  # seconds between two checkpoints: what a killed run may lose
BEST = "best.safetensors"  # of the weights that the parent calls the best


def trainer(machine: Machine, recipe: Recipe) -> type[Trainer]:
    """Return the kind of trainer that suits a machine; RGBD_CUDA_GRAPHS=off asks for the plain one everywhere."""
    plain = machine.kind != "cuda" or machine.compiled or distributed.world() > 1 or recipe.ema
    return Trainer if plain or os.environ.get("RGBD_CUDA_GRAPHS") == "off" else GraphTrainer


class Ahead:
    """The batches of ``Batches``, gathered and augmented many at a time."""

    def __init__(self, batches: Batches, pixels: int = AHEAD) -> None:
        self.batches, self.augment = batches, batches.augment
        height, width = batches.store.host[0].shape[1:3]
        self.many = copy.copy(batches)
        self.many.batch = batches.batch * max(1, pixels // (batches.batch * height * width))
        self.many.drop_last = False

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        return len(self.batches)

    def epoch(self, e: int) -> Iterator[Sample]:
        """Yield the batches of epoch ``e``."""
        parts = (part for sample in self.many.epoch(e) for part in sample.parts(self.batches.batch))
        return islice(parts, len(self))


@dataclass
class Recording:
    """A step as a graph: it reads ``sample``, whatever is copied there, and leaves its loss in ``loss``."""

    graph: torch.cuda.CUDAGraph
    sample: Sample
    loss: Tensor

    def replay(self, sample: Sample) -> Tensor:
        """Make the step with another sample; return its loss."""
        for name, place in vars(self.sample).items():
            place.copy_(getattr(sample, name), non_blocking=True)
        self.graph.replay()
        return self.loss.clone()


class GraphTrainer(Trainer):
    """Trains as its parent does, in larger portions."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.batches = Ahead(self.batches)
        self.schedule.base_lrs = [float(rate) for rate in self.schedule.base_lrs]
        self.steps = 0  # made in this sitting
        self.recording: Recording | None = None
        self.validation: list[tuple[Tensor, Tensor, Tensor]] = []  # rgb, depth, label
        self.best_model: nn.Module | None = None  # waits to be written
        self.written = time.monotonic()

    def make_optimizer(self) -> Optimizer:
        """Return the parent's optimizer with its rate and its count on the device, where a graph can read them."""
        if self.machine.kind != "cuda":
            return super().make_optimizer()
        rate = torch.tensor(self.recipe.lr, device=self.machine.device)
        return AdamW(
            self.model.parameters(),
            lr=rate,
            weight_decay=self.recipe.weight_decay,
            fused=True,
            capturable=True,
        )

    # -- one step ---------------------------------------------------------------------------------

    def step(self, sample: Sample) -> Tensor:
        """Make one optimizer step: the first ones as the parent does, then by the recording."""
        self.steps += 1
        usual = len(sample.label) == self.recipe.batch
        if self.machine.kind != "cuda" or self.steps <= WARM_UP or not usual:
            return super().step(sample)
        if self.recording is None:
            try:
                self.recording = self.record(sample)
            except RuntimeError as error:  # from here on the device's state cannot be relied on
                raise UserError(
                    f"a step of {type(self.model).__name__} cannot be recorded as a CUDA graph "
                    f"({str(error).splitlines()[0]}); RGBD_CUDA_GRAPHS=off trains by plain steps"
                ) from error
        loss = self.recording.replay(sample)
        self.schedule.step()
        return loss

    def record(self, sample: Sample) -> Recording:
        """Write down what a step does, without doing it."""
        place = Sample(**{name: value.clone() for name, value in vars(sample).items()})
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream(self.machine.device)
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            loss = self.update(place)
        return Recording(graph, place, loss)

    def update(self, sample: Sample) -> Tensor:
        """Change the weights by one batch; nothing here waits for the device or depends on what is in the batch."""
        parts = sample.parts(self.micro)
        loss = sum(self.backward(part, len(part.label) / len(sample.label)) for part in parts)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss

    def scene_class(self, sample: Sample) -> Tensor | None:
        """Return the scene class of each image, from a table that is on the device already."""
        known = self.material.dataset.scene_classes
        return self.scene_classes[sample.scene] if known else None

    @cached_property
    def scene_classes(self) -> Tensor:
        """Return the scene class of every cached scene; made before a step is recorded, by the first one."""
        known, scenes = self.material.dataset.scene_classes, self.material.cache.scenes
        return torch.tensor([known[s] for s in scenes], device=self.machine.device)

    # -- one epoch --------------------------------------------------------------------------------

    def epoch(self, number: int, progress: Progress) -> dict[str, float]:
        """Train one pass over the scenes, then score the validation split."""
        row = super().epoch(number, progress)
        return row | {"lr": float(row["lr"])}

    @torch.inference_mode()
    def validate(self) -> float:
        """Return the strict mIoU over the validation scenes, each under a fixed few of the training lightings."""
        height, width = self.material.cache.size
        if self.recipe.val_lights * len(self.material.splits["val"]) * height * width > KEPT:
            return super().validate()
        self.model.eval()
        self.validation = self.validation or list(self.shown())
        matrix = 0
        for rgb, depth, label in self.validation:
            with self.machine.autocast():
                scores = self.model(rgb, depth).logits
            matrix = matrix + confusions(label, scores.argmax(1), self.material.classes).sum(0)
        return float(miou(matrix.cpu().numpy()))

    def shown(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield the validation scenes under the lightings that the parent shows them in: inputs and labels."""
        positions, lights = self.material.splits["val"], self.material.lightings
        turns, half = min(self.recipe.val_lights, len(lights)), max(1, len(lights) // 2)
        pairs = torch.tensor(
            [
                (position, lights[(i + turn * half) % len(lights)])
                for turn in range(turns)
                for i, position in enumerate(positions)
            ]
        )
        for part in pairs.split(8 * self.recipe.batch):
            sample = self.batches.many.store.gather(*part.numpy().T)
            yield *normalise(sample, self.material.stats), sample.label

    # -- the whole run ----------------------------------------------------------------------------

    def run(self, **options: object) -> pd.DataFrame:
        """Train to the last epoch, from the last checkpoint if there is one; return the history."""
        try:
            with torch.cuda.device(self.machine.device) if self.machine.kind == "cuda" else nullcontext():
                history = super().run(**options)
        finally:
            self.recording, self.validation = None, []  # their memory is for the next run
        self.write_best()
        return history

    def keep(self, name: str) -> None:
        """Remember the best weights on the device; write all others."""
        if name != BEST:
            super().keep(name)
        elif self.best_model is None:
            self.best_model = copy.deepcopy(self.model)
        else:
            self.best_model.load_state_dict(self.model.state_dict())

    def write_best(self) -> None:
        """Write the best weights so far."""
        if self.best_model is not None:
            checkpoint.save_weights(self.best_model, self.folder / BEST)

    def save(self) -> None:
        """Write a checkpoint, and the best weights so far before it, if the last one is some seconds old."""
        if time.monotonic() - self.written < PATIENCE:
            return
        self.write_best()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        self.schedule._last_lr = [float(rate) for rate in rates]
        self.on_device([float(rate) for rate in rates], False)  # as the parent would write it
        try:
            super().save()
        finally:
            self.on_device(rates, self.machine.kind == "cuda")
        self.written = time.monotonic()

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one; the rate goes back to the device."""
        super().resume()
        if self.machine.kind == "cuda":
            rates = [group["lr"] for group in self.optimizer.param_groups]
            self.on_device([torch.tensor(float(rate), device=self.machine.device) for rate in rates], True)

    def on_device(self, rates: Sequence[float | Tensor], capturable: bool) -> None:
        """Give the optimizer its rates, and say whether a graph may record it."""
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group.update(lr=rate, capturable=capturable)
