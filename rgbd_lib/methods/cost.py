"""What a method costs before it has run: parameters and multiply-adds."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rgbd_lib.methods.registry import build


def outline(name: str, classes: int, **options: object) -> nn.Module:
    """Build a method to be counted: without values where it can be, which saves the time of drawing them."""
    try:
        with torch.device("meta"):
            return build(name, classes, **options)
    except NotImplementedError:  # it looks at values while it is built, as a distillation at its student's
        return build(name, classes, **options)


def parameters(model: nn.Module) -> int:
    """Return how many numbers are trained."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def multiply_adds(model: nn.Module, size: tuple[int, int] = (224, 224)) -> int:
    """Return the multiply-adds of one image in evaluation; the model is left without values (device meta).

    Counted are convolutions, matrix products and attention, as everywhere; sums, norms and activations are not.
    """
    model = model.to("meta").eval()
    rgb, depth = (torch.empty(1, c, *size, device="meta") for c in (3, 1))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(rgb, depth)
    return counter.get_total_flops() // 2
