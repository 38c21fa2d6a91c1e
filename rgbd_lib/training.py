"""One training loop for every method: it knows ``Output`` and nothing else of them.

The loss is the task loss on ``Output.logits`` plus ``Output.extra_loss``. Each epoch draws its randomness from
(seed, epoch) alone, and a checkpoint is written after each: a run that was killed goes on from the last one and
ends with the weights and the history of the unbroken run, bit for bit on the same machine.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rgbd_lib import checkpoint, distributed
from rgbd_lib.corruptions import training_corruption
from rgbd_lib.datasets.augment import Augment
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import Batches, normalise, sweep
from rgbd_lib.errors import UserError
from rgbd_lib.losses import balanced_weights, task_loss
from rgbd_lib.machine import Machine
from rgbd_lib.material import Material
from rgbd_lib.methods import Output, Target
from rgbd_lib.metrics import confusions, miou
from rgbd_lib.progress import Progress, scalars
from rgbd_lib.recipe import Recipe


class Trainer:
    """Trains one model on one material by one recipe, in one folder."""

    def __init__(
        self,
        model: nn.Module,
        material: Material,
        recipe: Recipe,
        machine: Machine,
        *,
        seed: int,
        folder: Path,
    ) -> None:
        self.material, self.recipe, self.machine = material, recipe, machine
        self.seed, self.folder = seed, folder
        self.model = model.to(machine.device, memory_format=torch.channels_last)
        if recipe.sync_bn and distributed.world() > 1:
            self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.batches = Batches(
            material.cache,
            material.splits["train"],
            material.lightings,
            batch=recipe.batch,
            seed=seed,
            device=machine.device,
            augment=augmentation(recipe, material),
            drop_last=len(material.splits["train"]) > recipe.batch,  # batch norm: no batch of one
            rank=distributed.rank(),
            world=distributed.world(),
        )
        self.loss = task_loss(recipe.loss, material.classes, self.class_weights())
        self.optimizer = self.make_optimizer()
        self.schedule = LambdaLR(self.optimizer, self.rate)
        self.average = (
            AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)
            if recipe.ema
            else None
        )
        self.parallel = distributed.wrap(self.model, machine)
        self.forward = torch.compile(self.parallel) if machine.compiled else self.parallel
        self.micro = recipe.batch  # images per forward pass; halves when a device runs out of memory
        self.history: list[dict[str, float]] = []
        self.best = -math.inf
        self.busy = 0.0  # seconds spent in training steps, over all sittings
        self.images = 0

    def class_weights(self) -> Tensor | None:
        """Return median-frequency weights of the training labels, where the loss wants them."""
        if self.recipe.loss != "weighted-ce":
            return None
        return balanced_weights(torch.from_numpy(self.material.class_counts))

    def make_optimizer(self) -> Optimizer:
        """Return the optimizer; a paper's own recipe has another one."""
        rate, decay = self.recipe.lr, self.recipe.weight_decay
        return AdamW(self.model.parameters(), lr=rate, weight_decay=decay, fused=self.machine.kind != "mps")

    # -- one step ---------------------------------------------------------------------------------

    def rate(self, step: int) -> float:
        """Return the learning rate's factor: linear warm-up, then half a cosine down to zero."""
        total = self.recipe.epochs * len(self.batches)
        warm = max(1, round(self.recipe.warmup * total))
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

    def predict(self, sample: Sample) -> Output:
        """Run the model on a raw sample under this machine's precision; training also passes the target."""
        rgb, depth = normalise(sample, self.material.stats)
        target = Target(sample.label, sample.lighting, self.scene_class(sample))
        with self.machine.autocast():
            return self.forward(rgb, depth, target)

    def scene_class(self, sample: Sample) -> Tensor | None:
        """Return the scene class of each image, where the data has any."""
        known = self.material.dataset.scene_classes
        if not known:
            return None
        table = torch.tensor([known[s] for s in self.material.cache.scenes], device=sample.scene.device)
        return table[sample.scene]

    def backward(self, sample: Sample, share: float) -> Tensor:
        """Add the gradients of one (part of a) batch; return its loss, weighted by its share."""
        output = self.predict(sample)
        loss = self.loss(output.logits, sample.label)
        if output.extra_loss is not None:
            loss = loss + output.extra_loss
        loss = loss * share
        loss.backward()
        return loss.detach()

    def step(self, sample: Sample) -> Tensor:
        """Make one optimizer step; where memory runs out, the same batch is done in smaller parts."""
        while True:
            try:
                parts = sample.parts(self.micro)
                loss = sum(self.backward(part, len(part.label) / len(sample.label)) for part in parts)
                break
            except torch.OutOfMemoryError:
                if self.micro == 1:
                    raise UserError(
                        "not even one image fits into the device's memory; use a smaller size or width"
                    ) from None
                self.micro = max(1, min(self.micro, len(sample.label)) // 2)
                self.optimizer.zero_grad(set_to_none=True)
                torch.cuda.empty_cache()
                print(
                    f"out of memory: now {self.micro} images at a time, same effective batch of {self.recipe.batch}"
                )
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        if self.average:
            self.average.update_parameters(self.model)
        return loss

    # -- one epoch --------------------------------------------------------------------------------

    def epoch(self, number: int, progress: Progress) -> dict[str, float]:
        """Train one pass over the scenes, then score the validation split."""
        self.model.train()
        start, losses, shown = time.monotonic(), [], {}
        every = 1 if self.machine.kind == "cpu" else 50  # reading a loss makes a GPU wait
        with torch.random.fork_rng(devices=[self.machine.device] if self.machine.kind == "cuda" else []):
            torch.manual_seed(hash((self.seed, number, distributed.rank())) % 2**63)
            for index, sample in enumerate(self.batches.epoch(number)):
                losses.append(self.step(sample))
                self.images += len(sample.label) * distributed.world()
                if index % every == 0 or index == len(self.batches) - 1:
                    self.check(losses[-1], number, index, sample)
                    shown = {"loss": f"{losses[-1].item():.3f}", "val mIoU": self.best_text()}
                progress.step(lambda shown=shown: shown)
        self.busy += time.monotonic() - start
        row = {
            "epoch": number,
            "loss": distributed.mean(torch.stack(losses).mean()).item(),
            "lr": self.schedule.get_last_lr()[0],
        }
        return row | self.reported() | {"val_miou": self.validate()}

    def check(self, loss: Tensor, epoch: int, index: int, sample: Sample) -> None:
        """Stop at the first loss that is no number, while the last checkpoint is still good."""
        if not torch.isfinite(loss):
            scenes = [self.material.cache.scenes[i] for i in sample.scene.tolist()]
            raise UserError(
                f"the loss of {type(self.model).__name__} is {loss.item()} in epoch {epoch}, step {index} (scenes "
                f"{', '.join(scenes)}); the checkpoint of epoch {epoch - 1} is kept. A lower lr or precision=fp32 may help"
            )

    def reported(self) -> dict[str, float]:
        """Return what a method wants recorded per epoch, if it has a ``report()``."""
        report = getattr(self.model, "report", None)
        return {key: float(value) for key, value in report().items()} if report else {}

    @torch.inference_mode()
    def validate(self) -> float:
        """Return the strict mIoU over the validation scenes, each under a fixed few of the training lightings."""
        model = self.average.module if self.average else self.model
        model.eval()
        cache, positions, lights = self.material.cache, self.material.splits["val"], self.material.lightings
        matrix = 0
        for turn in range(min(self.recipe.val_lights, len(lights))):
            for group, light in enumerate(lights):
                chosen = positions[group :: len(lights)]
                light = lights[(group + turn * max(1, len(lights) // 2)) % len(lights)]
                for sample in sweep(cache, chosen, light, self.recipe.batch, self.machine.device):
                    rgb, depth = normalise(sample, self.material.stats)
                    with self.machine.autocast():
                        scores = model(rgb, depth).logits
                    matrix = matrix + confusions(sample.label, scores.argmax(1), self.material.classes).sum(0)
        return float(miou(matrix.cpu().numpy()))

    # -- the whole run ----------------------------------------------------------------------------

    def run(self, *, quiet: bool = False, tensorboard: bool = False, title: str = "train") -> pd.DataFrame:
        """Train to the last epoch, from the last checkpoint if there is one; return the history."""
        self.resume()
        steps = len(self.batches)
        progress = Progress(
            self.recipe.epochs * steps,
            title,
            done=len(self.history) * steps,
            quiet=quiet or distributed.rank() > 0,
        )
        board = scalars(self.folder / "tensorboard") if tensorboard else None
        for number in range(len(self.history), self.recipe.epochs):
            row = self.epoch(number, progress)
            self.history.append(row)
            if row["val_miou"] > self.best:
                self.best = row["val_miou"]
                self.keep("best.safetensors")
            self.save()
            progress.line(
                f"epoch {number + 1}/{self.recipe.epochs}  loss {row['loss']:.3f}  val mIoU {row['val_miou']:.3f}"
                f"  {self.images / max(self.busy, 1e-9):.1f} images/s"
            )
            for key, value in row.items() if board else ():
                board.add_scalar(key, value, number)
        progress.close()
        self.keep("last.safetensors")
        return pd.DataFrame(self.history)

    def keep(self, name: str) -> None:
        """Write the weights that would be used if training ended here."""
        if distributed.rank() == 0:
            checkpoint.save_weights(self.average.module if self.average else self.model, self.folder / name)

    def save(self) -> None:
        """Write the checkpoint of the epoch that just ended."""
        if distributed.rank() == 0:
            state: Mapping[str, object] = {
                "optimizer": checkpoint.to_cpu(self.optimizer.state_dict()),
                "schedule": self.schedule.state_dict(),
                "average": checkpoint.to_cpu(self.average.state_dict()) if self.average else None,
                "history": self.history,
                "best": self.best,
                "busy": self.busy,
                "images": self.images,
                "micro": self.micro,
            }
            checkpoint.save(self.folder, len(self.history), self.model, state)

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one."""
        path = checkpoint.latest(self.folder)
        if path is None:
            return
        state = checkpoint.load(path, self.model)
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.history, self.best, self.busy, self.images, self.micro = (
            state[key] for key in ("history", "best", "busy", "images", "micro")
        )

    def best_text(self) -> str:
        """Return the best validation score so far, for the progress bar."""
        return f"{self.best:.3f}" if self.history else "-"


def augmentation(recipe: Recipe, material: Material) -> Augment | None:
    """Return what may happen to training samples: the same for all methods."""
    if not recipe.augment:
        return None
    corrupt = training_corruption(recipe.corruption, material.depth_range)
    return Augment(modality_dropout=recipe.modality_dropout, corrupt=corrupt)
