"""A task that needs both modalities, small enough to watch channel exchanging happen.

Here       Four classes of rectangles, class = 2·a + b: RGB shows bit a, depth shows bit b, both under noise. A
           branch that sees one modality can only halve the classes; every point it gains beyond came across.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from rgbd_lib.methods.registry import Target, build
from rgbd_lib.metrics import confusions, miou

CLASSES = 4


def make_rectangles(
    count: int, generator: torch.Generator, *, size: int = 32, rectangles: int = 4, noise: float = 0.3
) -> tuple[Tensor, Tensor, Tensor]:
    """Return rgb B,3,H,W, depth B,1,H,W and label B,H,W: rectangles of random classes on class 0."""
    label = torch.zeros(count, size, size, dtype=torch.long)
    for image in label:
        for _ in range(rectangles):
            top, left = torch.randint(0, size - 8, (2,), generator=generator).tolist()
            height, width = torch.randint(8, size // 2 + 1, (2,), generator=generator).tolist()
            image[top : top + height, left : left + width] = torch.randint(CLASSES, (), generator=generator)
    a, b = (label // 2)[:, None].float(), (label % 2)[:, None].float()
    rgb = a.expand(-1, 3, -1, -1) + noise * torch.randn(count, 3, size, size, generator=generator)
    depth = b + noise * torch.randn(count, 1, size, size, generator=generator)
    return rgb * 2 - 1, depth * 2 - 1, label


def train_demo(
    method: str = "cen",
    *,
    steps: int = 300,
    lr: float = 5e-3,
    batch: int = 8,
    width: float = 0.125,
    size: int = 32,
    seed: int = 0,
    every: int = 10,
    observe: Callable[[nn.Module], Mapping[str, object]] | None = None,
    **options: object,
) -> tuple[nn.Module, list[dict[str, object]]]:
    """Train a method on rectangles by the course's recipe: AdamW, warm-up, half a cosine.

    Returns the model and a row every few steps: ``step``, ``loss`` and what ``observe`` sees in the model
    (default: what it reports of itself).
    """
    model = build(method, CLASSES, width=width, seed=seed, **options).train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = AdamW(model.parameters(), lr=lr, weight_decay=1e-4)
    warm = max(1, steps // 20)
    schedule = LambdaLR(
        optimizer,
        lambda i: min((i + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(0, i - warm) / (steps - warm)))),
    )
    rows = []
    for step in range(1, steps + 1):
        rgb, depth, label = make_rectangles(batch, generator, size=size)
        output = model(rgb, depth, Target(label, torch.zeros(batch, dtype=torch.long)))
        loss = nn.functional.cross_entropy(output.logits, label)
        loss = loss if output.extra_loss is None else loss + output.extra_loss
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % every == 0 or step == steps:
            report = (observe or reported)(model)
            rows.append({"step": step, "loss": loss.item(), **report})
    return model.eval(), rows


def reported(model: nn.Module) -> Mapping[str, float]:
    """Return what a model reports of itself; most report nothing."""
    return model.report() if hasattr(model, "report") else {}


@torch.no_grad()
def score_demo(model: nn.Module, *, images: int = 64, seed: int = 10_000) -> dict[str, float]:
    """Return the mean IoU of each branch and of the final scores ("ens") on new rectangles."""
    rgb, depth, label = make_rectangles(images, torch.Generator().manual_seed(seed))
    output = model(rgb, depth)
    scores = output.branches | {"ens": output.logits}
    matrices = {name: confusions(label, s.argmax(1), CLASSES).sum(0) for name, s in scores.items()}
    return {name: float(miou(np.asarray(m))) for name, m in matrices.items()}
