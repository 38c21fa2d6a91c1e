"""Small models of every method, and what one does with a model: shared by the tests of methods."""

import torch
from torch import Tensor, nn

from rgbd_lib.losses import task_loss
from rgbd_lib.methods import Target, build, get

CLASSES, WIDTH = 5, 0.125


def make(name: str, seed: int = 0, **options: object) -> nn.Module:
    """Build a small model; what it learns from is there, untrained."""
    teachers = {other: build(other, CLASSES, width=WIDTH, seed=7) for other in get(name).requires}
    return build(name, CLASSES, width=WIDTH, seed=seed, teachers=teachers, **options)


def images(batch: int = 2, size: tuple[int, int] = (33, 47), seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 3, *size, generator=draw), torch.randn(batch, 1, *size, generator=draw)


def target(batch: int = 2, size: tuple[int, int] = (64, 64)) -> Target:
    label = torch.randint(0, CLASSES, (batch, *size), generator=torch.Generator().manual_seed(1))
    label[:, :3] = 255
    return Target(label, torch.arange(batch), torch.zeros(batch, dtype=torch.long))


def train_loss(model: nn.Module, rgb: Tensor, depth: Tensor, seen: Target) -> Tensor:
    output = model.train()(rgb, depth, seen)
    loss = task_loss("dice+ce", CLASSES)(output.logits, seen.label)
    return loss if output.extra_loss is None else loss + output.extra_loss


def awake(model: nn.Module) -> nn.Module:
    """Fill what starts at zero: a closed gate would hide what is behind it."""
    draw = torch.Generator().manual_seed(2)
    for p in model.parameters():
        if not p.any():
            p.data.normal_(std=0.1, generator=draw)
    return model


@torch.no_grad()
def logits(model: nn.Module, rgb: Tensor, depth: Tensor) -> Tensor:
    return model.eval()(rgb, depth).logits


def small(name: str, **options: object) -> nn.Module:
    return awake(build(name, CLASSES, width=WIDTH, **options)).eval()


def maps(channels: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, channels, *size, generator=draw) for _ in range(2))
