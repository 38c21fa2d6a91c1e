"""How fast the training loop is, against two references measured in the same run.

``plain``  what a straightforward script does: decode PNGs and augment image by image, float32, NCHW, Dice from
           one-hot tensors, unfused AdamW. It runs in a process of its own, without the loop's memory settings.
``bare``   forward, backward and optimizer step on one constant batch, with all of the loop's own settings:
           what no data preparation could beat. On a GPU both are recorded as a graph.
``pair``   two trainings side by side on one thread each, as the study runs them on two cores; their sum.
``peak``   the bare step's arithmetic (forward and backward, no optimizer) as a share of what one large matrix
           product reaches on the same device in the same precision: no way of writing the loop gets past 100 %.

    python benchmarks/train_speed.py [--methods rgb,mid,se,attention,gemini,cen] [--size 224x224] [--batch 32]
"""

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from rgbd_lib import cuda, machine, methods
from rgbd_lib.datasets.batches import Batches, normalise, statistics
from rgbd_lib.datasets.cache import open_cache
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.material import Material
from rgbd_lib.methods import Target
from rgbd_lib.recipe import Recipe

STEPS = 9  # of the loop and of the bare step, in turn; their medians are compared


class PlainLoop:
    """The reference: correct, readable, and slow in all the usual places."""

    def __init__(self, name: str, data, scenes: list[str], size: tuple[int, int], device: str) -> None:
        self.data, self.scenes, self.size, self.device = data, scenes, size, device
        self.model = methods.build(name, len(data.classes)).to(device).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, foreach=False, fused=False)
        self.rng = np.random.default_rng(0)
        self.colour = v2.ColorJitter(0.2, 0.2, 0.2, 0.1)

    def image(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scene = self.scenes[number % len(self.scenes)]
        frame = self.data.read(scene, self.data.lightings[number % len(self.data.lightings)])
        height, width = self.size
        rgb = cv2.resize(frame.rgb, (width, height), interpolation=cv2.INTER_LINEAR)
        depth = cv2.resize(frame.depth, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        label = cv2.resize(frame.label, (width, height), interpolation=cv2.INTER_NEAREST)
        if self.rng.random() < 0.5:
            rgb, depth, label = (np.ascontiguousarray(x[:, ::-1]) for x in (rgb, depth, label))
        turn = cv2.getRotationMatrix2D(
            (width / 2, height / 2), self.rng.uniform(-10, 10), self.rng.uniform(0.9, 1.1)
        )
        rgb = cv2.warpAffine(rgb, turn, (width, height))
        depth, label = (
            cv2.warpAffine(x, turn, (width, height), flags=cv2.INTER_NEAREST) for x in (depth, label)
        )
        tensor = self.colour(torch.from_numpy(rgb).permute(2, 0, 1)).float() / 255
        tensor = v2.functional.normalize(tensor, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        return tensor, torch.from_numpy((depth / 1000 - 0.9) / 0.3)[None], torch.from_numpy(label).long()

    def step(self, number: int, batch: int) -> float:
        parts = zip(*(self.image(number * batch + i) for i in range(batch)), strict=True)
        rgb, depth, label = (torch.stack(part).to(self.device) for part in parts)
        output = self.model(rgb, depth, Target(label, label[:, 0, 0]))
        classes = output.logits.shape[1]
        truth = F.one_hot(label.clamp(max=classes - 1), classes).permute(0, 3, 1, 2).float()
        p = output.logits.softmax(1)
        dice = 1 - ((2 * (p * truth).sum((2, 3)) + 1) / (p.sum((2, 3)) + truth.sum((2, 3)) + 1)).mean()
        loss = 0.5 * dice + 0.5 * F.cross_entropy(output.logits, label, ignore_index=255)
        if output.extra_loss is not None:
            loss = loss + output.extra_loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def seconds(work, device: str, number: int = 0) -> float:
    """Return how long one call takes."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = time.perf_counter()
    work(number)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rate(work, images: int, repeats: int, device: str) -> float:
    """Return images per second, the median over repeats after one that does not count."""
    work(0)
    return images / float(np.median([seconds(work, device, i) for i in range(1, repeats + 1)]))


def loop_rates(name: str, material: Material, recipe: Recipe, chosen: machine.Machine) -> tuple[float, float]:
    """Return images/s of the loop with its data, and of the bare step, in alternating order."""
    model = methods.build(name, material.classes, width=recipe.width)
    kind = cuda.trainer(chosen, recipe)
    with tempfile.TemporaryDirectory() as folder:
        trainer = kind(model, material, recipe, chosen, seed=0, folder=Path(folder))
    trainer.model.train()
    batches = Batches(
        material.cache,
        material.splits["train"],
        material.lightings,
        batch=recipe.batch,
        seed=0,
        device=chosen.device,
        augment=trainer.batches.augment,
        drop_last=True,
    )
    trainer.batches = cuda.Ahead(batches) if kind is cuda.GraphTrainer else batches
    stream = (sample for epoch in range(10**6) for sample in trainer.batches.epoch(epoch))
    constant = next(stream)
    inputs = normalise(constant, material.stats)
    target = Target(constant.label, constant.lighting)

    def step(_: int) -> None:
        with chosen.autocast():
            output = trainer.forward(*inputs, target)
        loss = trainer.loss(output.logits, constant.label)
        if output.extra_loss is not None:
            loss = loss + output.extra_loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), recipe.clip, foreach=True)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)

    def loop(_: int) -> None:
        for _ in range(steps):
            trainer.step(next(stream))

    def bare(_: int) -> None:
        recording = getattr(trainer, "recording", None)
        for _ in range(steps):
            recording.graph.replay() if recording else step(0)

    # A step on a GPU is too short to be timed alone, and every so often it makes the samples of the next ones.
    steps = 40 if chosen.kind == "cuda" else 1
    for work in (loop, bare, loop, bare):  # memory and compiled kernels are there from now on
        work(0)
    spent = [(seconds(loop, chosen.device), seconds(bare, chosen.device)) for _ in range(STEPS)]
    of_loop, of_bare = np.median(spent, axis=0)  # in turn, so that a drifting machine touches both
    return steps * recipe.batch / float(of_loop), steps * recipe.batch / float(of_bare)


def flops_per_image(name: str, size: tuple[int, int]) -> float:
    """Return the floating-point operations of a forward and backward pass."""
    model = methods.build(name, 32)
    label = torch.zeros(1, *size, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        output = model(torch.zeros(1, 3, *size), torch.zeros(1, 1, *size), Target(label, label[:, 0, 0]))
        output.logits.sum().backward()
    return float(counter.get_total_flops())


def matrix_rate(on: machine.Machine, side: int = 4096, repeats: int = 5) -> float:
    """Return the floating-point operations per second of a large matrix product."""
    a, b = torch.randn(2, side, side, device=on.device)
    with on.autocast():
        return rate(lambda _: a @ b, 2 * side**3, repeats, on.device)


def plain_rate(
    name: str, folder: Path, size: tuple[int, int], batch: int, repeats: int, device: str
) -> float:
    """Return images/s of the plain loop; called in a process of its own."""
    data = open_dataset(folder / "synth")
    loop = PlainLoop(name, data, list(data.scenes), size, device)
    return rate(lambda i: loop.step(i, batch), batch, repeats, device)


def own_rates(
    name: str, folder: Path, size: tuple[int, int], batch: int, device: str, threads: int = 0
) -> tuple[float, float]:
    """Return images/s of the loop and of the bare step; called in a process of its own."""
    if threads:
        torch.set_num_threads(threads)
    data = open_dataset(folder / "synth")
    cache = open_cache(data, size, folder=folder / "cache", progress=False)
    positions = np.arange(len(cache.scenes))
    splits = {"train": positions, "val": positions[:4], "test": positions[:4]}
    material = Material(data, cache, splits, tuple(range(len(data.lightings))), statistics(cache, positions))
    recipe = replace(Recipe.of("frame"), size=size, batch=batch, width=1.0)
    return loop_rates(name, material, recipe, machine.choose(device))


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--methods", default="rgb,mid,se,attention,gemini,cen")
    arguments.add_argument("--size", default="224x224")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--pair-batch", type=int, default=8, help="batch of each of the two side by side")
    arguments.add_argument("--repeats", type=int, default=3, help="steps of the plain loop that count")
    arguments.add_argument("--scenes", type=int, default=48)
    arguments.add_argument("--device", default="auto")
    chosen = arguments.parse_args()
    size = tuple(int(x) for x in chosen.size.split("x"))
    on = machine.choose(chosen.device)
    print(f"{on}; {size[0]}x{size[1]}, batch {chosen.batch}; images per second")
    peak = matrix_rate(on)
    print(f"a matrix product does {peak / 1e9:.0f} GFLOP/s")
    titles = ("plain", "bare", "loop", "pair", "loop/plain", "loop/bare", "pair/plain", "peak")
    print(f"{'method':<12}" + "".join(f"{title:>12}" for title in titles))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = open_dataset(write(folder / "synth", scenes=chosen.scenes, size=(480, 640), progress=False))
        open_cache(data, size, folder=folder / "cache", progress=False)
        # The loop's memory settings stay with its process; on a GPU there are none, and starting takes long.
        lives = {"max_tasks_per_child": 1} if on.kind == "cpu" else {}
        with ProcessPoolExecutor(2 if lives else 1, get_context("spawn"), **lives) as pool:
            for name in chosen.methods.split(","):
                common = (name, folder, size)
                plain = pool.submit(plain_rate, *common, chosen.batch, chosen.repeats, on.device).result()
                loop, bare = pool.submit(own_rates, *common, chosen.batch, on.device).result()
                pair = 0.0
                if on.kind == "cpu":
                    two = [pool.submit(own_rates, *common, chosen.pair_batch, on.device, 1) for _ in range(2)]
                    pair = sum(future.result()[0] for future in two)
                ratios = (loop / plain, loop / bare, pair / plain)
                share = bare * flops_per_image(name, size) / peak
                print(
                    f"{name:<12}"
                    + "".join(f"{value:>12.2f}" for value in (plain, bare, loop, pair))
                    + f"{ratios[0]:>11.2f}x{ratios[1]:>12.1%}{ratios[2]:>11.2f}x{share:>12.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
