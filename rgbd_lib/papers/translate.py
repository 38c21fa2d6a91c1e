"""Train CEN's translation on synthetic renders: what the generator of scenes knows of a scene, and its photograph."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rgbd_lib.datasets.synthetic import LIGHTINGS, photograph, render_scene
from rgbd_lib.datasets.synthetic.design import endless
from rgbd_lib.datasets.synthetic.render import Linear
from rgbd_lib.errors import unknown
from rgbd_lib.papers.fid import distance
from rgbd_lib.papers.translation import RATES, Discriminator, Generator, step
from rgbd_lib.progress import Progress

DAYLIGHT = 2  # index of lighting 3, the well-exposed one
LOG_MAX = 11.1  # of log(1 + depth in millimetres), as the release scales it
SMALL = (16, 32, 64, 64, 64, 64)  # a generator for 64 pixels
SMALL_JUDGE = (16, 32, 64, 64)


def shade(linear: Linear) -> np.ndarray:
    """Return light on grey matter under white lamps, 0..1."""
    lit = linear.diffuse.sum(0)
    return three(lit / max(float(lit.max()), 1e-6))


def texture(linear: Linear) -> np.ndarray:
    """Return the paint without any light, 0..1."""
    return linear.surface.albedo.clip(0, 1)


def depth(linear: Linear) -> np.ndarray:
    """Return the logarithm of depth, 0..1."""
    return three((np.log1p(1000 * linear.surface.z) / LOG_MAX).clip(0, 1))


def normal(linear: Linear) -> np.ndarray:
    """Return directions of surfaces, -1..1 brought to 0..1."""
    return linear.surface.normal * 0.5 + 0.5


def three(image: np.ndarray) -> np.ndarray:
    """Repeat one channel, as the release does."""
    return np.repeat(image[None], 3, axis=0)


RENDERS = {"shade": shade, "texture": texture, "depth": depth, "normal": normal}


def renders(
    kinds: Sequence[str], count: int, *, seed: int = 0, size: tuple[int, int] = (64, 64)
) -> list[Tensor]:
    """Return N,3,H,W in -1..1 for each kind, and last the photographs of the same synthetic scenes."""
    for kind in kinds:
        if kind not in RENDERS:
            raise unknown("render", kind, RENDERS)
    rows = [one(kinds, index, seed, size) for index in range(count)]
    return [torch.stack([row[k] for row in rows]) for k in range(len(kinds) + 1)]


def one(kinds: Sequence[str], index: int, seed: int, size: tuple[int, int]) -> list[Tensor]:
    """Return a scene's renders and its photograph."""
    scene, linear = render_scene(endless(index, seed), seed, size)
    photo = photograph(scene, linear, LIGHTINGS[DAYLIGHT]).transpose(2, 0, 1) / 255
    made = [RENDERS[kind](linear) for kind in kinds] + [photo]
    return [torch.from_numpy(np.asarray(image, np.float32)) * 2 - 1 for image in made]


def train(
    kinds: Sequence[str] = ("shade", "texture"),
    *,
    scenes: int = 16,
    epochs: int = 2,
    seed: int = 0,
    threshold: float = 0.01,
    quiet: bool = True,
) -> tuple[Generator, pd.DataFrame]:
    """Train a small generator in batches of one; return it and the losses by epoch."""
    *inputs, photos = renders(kinds, scenes, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(len(kinds), threshold=threshold, widths=SMALL)
        judge = Discriminator(SMALL_JUDGE)
        models = {"generator": generator, "judge": judge}
        optimizers = {name: torch.optim.Adam(model.parameters(), **RATES) for name, model in models.items()}
        progress, rows = Progress(epochs * scenes, "translate", quiet=quiet), []
        for epoch in range(epochs):
            losses = []
            for i in torch.randperm(scenes).tolist():
                batch = [x[i : i + 1] for x in inputs]
                losses.append(step(generator, judge, optimizers, batch, photos[i : i + 1]))
                progress.step()
            rows.append({"epoch": epoch, **pd.DataFrame(losses).mean()})
        progress.close()
    return generator, pd.DataFrame(rows)


@torch.no_grad()
def score(
    generator: Generator,
    kinds: Sequence[str],
    *,
    scenes: int = 16,
    seed: int = 1,
    network: nn.Module | None = None,
) -> pd.DataFrame:
    """Return FID and KID of each output on scenes of another seed; the generator stays in training mode, as released."""
    *inputs, photos = renders(kinds, scenes, seed=seed)
    generator.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        found = [generator([x[i : i + 1] for x in inputs]) for i in range(scenes)]
    names = [*kinds, "ensemble"]
    sets = [torch.cat([out.branches[str(m)] for out in found]) for m in range(len(kinds))]
    sets.append(torch.cat([out.logits for out in found]))
    rows = [
        {"output": n, "synthetic": True, **vars(distance(photos, s, network))}
        for n, s in zip(names, sets, strict=True)
    ]
    return pd.DataFrame(rows)
