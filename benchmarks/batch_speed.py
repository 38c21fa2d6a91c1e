"""What data preparation costs, against a training step of the RGB baseline without it.

    python benchmarks/batch_speed.py [--threads 1] [--size 224x224] [--batch 16] [--width 1.0]

Prints milliseconds per image for every stage, the share of a training step, and as reference the usual way:
decode PNG files and transform image by image with torchvision. All in one run, the fastest of several repeats,
because other load on the machine only ever adds time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from rgbd_lib import methods
from rgbd_lib.datasets.augment import Augment
from rgbd_lib.datasets.base import DepthKind, Frame
from rgbd_lib.datasets.batches import Batches, normalise, statistics, store
from rgbd_lib.datasets.cache import open_cache

SCENES, CLASSES, FULL = 32, 32, (480, 640)


class Folder:
    """Noise-free random blobs as PNG files: they compress like scenes do, and cost the same to decode."""

    name, synthetic, background = "benchmark", True, 0
    classes = tuple(str(i) for i in range(CLASSES))
    lightings = (1, 2)
    depth_kind = DepthKind("mm", 0.001)
    groups, scene_classes = {}, {}

    def __init__(self, root: Path) -> None:
        self.root, self.scenes = root, tuple(str(i) for i in range(SCENES))
        rng = np.random.default_rng(0)
        for scene in self.scenes:
            for light in self.lightings:
                small = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
                image = cv2.resize(small, FULL[::-1], interpolation=cv2.INTER_CUBIC)
                noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
                cv2.imwrite(str(root / f"rgb{light}_{scene}.png"), noisy)
            depth = cv2.resize(rng.integers(400, 1400, (12, 16)).astype(np.uint16), FULL[::-1])
            label = cv2.resize(
                rng.integers(0, CLASSES, (12, 16)).astype(np.uint8), FULL[::-1], interpolation=0
            )
            cv2.imwrite(str(root / f"depth_{scene}.png"), depth)
            cv2.imwrite(str(root / f"label_{scene}.png"), label)

    def split(self, name: str, kind: str = "official") -> tuple[str, ...]:
        return self.scenes

    def files(self) -> list[Path]:
        return sorted(self.root.glob("*.png"))

    def read(self, scene: str, lighting: int) -> Frame:
        depth = cv2.imread(str(self.root / f"depth_{scene}.png"), cv2.IMREAD_UNCHANGED)
        label = cv2.imread(str(self.root / f"label_{scene}.png"), cv2.IMREAD_UNCHANGED)
        return Frame(self.read_rgb(scene, lighting), depth, depth > 0, label)

    def read_rgb(self, scene: str, lighting: int) -> np.ndarray:
        return cv2.imread(str(self.root / f"rgb{lighting}_{scene}.png"), cv2.IMREAD_COLOR_RGB)


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the shortest of several runs, after one that warms up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def usual_way(data: Folder, size: tuple[int, int]) -> Callable[[], None]:
    """Return one epoch of decoding and torchvision transforms with the same settings, image by image."""
    geometry = v2.Compose(
        [
            v2.Resize(size, antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.RandomAffine(10, translate=(0.05, 0.05), scale=(0.8, 1.25))], 0.75),
        ]
    )
    colour = v2.RandomApply([v2.ColorJitter(0.1, 0.1, 0.1, 0.02)], 0.5)
    finish = v2.Compose(
        [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    )

    def epoch() -> None:
        for scene in data.scenes:
            frame = data.read(scene, 1)
            rgb = tv_tensors.Image(torch.from_numpy(frame.rgb).permute(2, 0, 1))
            depth = tv_tensors.Mask(torch.from_numpy(frame.depth.astype(np.float32))[None])
            rgb, depth, _ = geometry(rgb, depth, tv_tensors.Mask(torch.from_numpy(frame.label)))
            finish(colour(rgb))
            depth.div(1000).sub(0.8).div(0.2)

    return epoch


def baseline_step(batch: int, size: tuple[int, int], width: float) -> Callable[[], None]:
    """Return a training step of the RGB baseline on a constant batch: channels_last, bfloat16, AdamW."""
    model = methods.build("rgb", CLASSES, width=width).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    rgb = torch.randn(batch, 3, *size).contiguous(memory_format=torch.channels_last)
    depth, label = torch.randn(batch, 1, *size), torch.randint(0, CLASSES, (batch, *size))

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(rgb, depth).logits
        torch.nn.functional.cross_entropy(logits.float(), label).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", default="224x224")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    size = tuple(int(n) for n in options.size.split("x"))

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        root.mkdir()
        data = Folder(root)
        start = time.perf_counter()
        cache = open_cache(data, size, folder=Path(folder, "cache"), progress=False)
        built = time.perf_counter() - start
        start = time.perf_counter()
        open_cache(data, size, folder=Path(folder, "cache"), progress=False)
        opened = time.perf_counter() - start

        positions = np.arange(SCENES)
        stats = statistics(cache, positions)
        augmented = Batches(cache, positions, (0, 1), batch=options.batch, seed=0, augment=Augment())
        chosen, seeds = positions[: options.batch], np.arange(options.batch)
        gather = lambda: store(cache).gather(chosen, chosen * 0)  # noqa: E731
        sample = gather()

        def epoch() -> None:
            for s in augmented.epoch(0):
                normalise(s, stats)

        per = 1000 / options.batch
        rows = {
            "gather and convert": seconds(gather, options.repeats) * per,
            "augment": seconds(lambda: Augment().apply(sample, seeds), options.repeats) * per,
            "normalise": seconds(lambda: normalise(sample, stats), options.repeats) * per,
        }
        prepare = seconds(epoch, options.repeats) * 1000 / SCENES
        usual = seconds(usual_way(data, size), 2) * 1000 / SCENES
        step = seconds(baseline_step(options.batch, size, options.width), options.repeats) * per

    setting = f"{options.size}, batch {options.batch}, width {options.width}, {options.threads} thread(s)"
    print(f"{setting}, torch {torch.__version__}")
    print(f"cache of {SCENES} scenes: built in {built:.2f} s, opened in {opened * 1000:.0f} ms")
    for name, value in rows.items():
        print(f"  {name:<28}{value:8.2f} ms/image")
    print(f"data preparation              {prepare:8.2f} ms/image")
    print(f"step of the RGB baseline      {step:8.2f} ms/image without data")
    print(f"share of the step             {100 * prepare / step:8.1f} %   (goal: under 5 %)")
    print(f"PNG + torchvision v2          {usual:8.2f} ms/image: {usual / prepare:.1f} times as long")


if __name__ == "__main__":
    main()
