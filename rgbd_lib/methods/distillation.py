"""Knowledge distillation in parts: divergences, selections, adapters, and maps overheard from a network.

Paper      Hao et al., PrimKD, ACM Multimedia 2024, in the arithmetic of the released code; masked
           reconstruction from Yang et al., Masked Generative Distillation, ECCV 2022.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder

STAGES = (1, 2, 3, 4)  # layer1 .. layer4, at 1/4 .. 1/32


def kl_divergence(p: Tensor, q: Tensor, valid: Tensor | None = None, temperature: float = 1.0) -> Tensor:
    """Return KL(p || q) of two score maps B,K,H,W, mean over the pixels where ``valid`` B,H,W (eq. 1)."""
    log_p, log_q = ((x.float() / temperature).log_softmax(1) for x in (p, q))
    each = (log_p.exp() * (log_p - log_q)).sum(1)  # B,H,W
    if valid is None:
        valid = torch.ones_like(each, dtype=torch.bool)
    return temperature**2 * (each * valid).sum() / valid.sum().clamp(min=1)


def teach(student: Tensor, teacher: Tensor, **options: object) -> Tensor:
    """Return KL(teacher || student): the student must cover all that the teacher holds possible."""
    return kl_divergence(teacher, student, **options)


def seek(student: Tensor, teacher: Tensor, **options: object) -> Tensor:
    """Return KL(student || teacher), the release's default: the student may pick one of them."""
    return kl_divergence(student, teacher, **options)


def worst(terms: Tensor) -> Tensor:
    """Return the sum of the terms that equal the largest; all others get a gradient of exactly 0."""
    return (terms * (terms == terms.max())).sum()


def best(terms: Tensor) -> Tensor:
    """Return the sum of the terms that equal the smallest."""
    return (terms * (terms == terms.min())).sum()


def none(terms: Tensor) -> Tensor:
    """Return 0: no feature distillation."""
    return terms.sum() * 0


DIRECTIONS: dict[str, Callable] = {"teacher": teach, "student": seek}
SELECTIONS: dict[str, Callable] = {"max": worst, "min": best, "mean": torch.mean, "none": none}


class Hint(nn.Conv2d):
    """R_k: one 1x1 convolution from the student's to the teacher's channels."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__(inside, outside, 1)


class MaskedReconstruction(nn.Module):
    """R_k with a quarter of the places hidden, which two 3x3 convolutions must fill in."""

    def __init__(self, inside: int, outside: int, keep: float = 0.75) -> None:
        """``keep`` is the share of places that stay (the release keeps 75 %; its source MGD drops 75 %)."""
        super().__init__()
        self.keep = keep
        self.align = nn.Conv2d(inside, outside, 1)
        self.fill = nn.Sequential(
            nn.Conv2d(outside, outside, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(outside, outside, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the reconstruction; the mask B,1,H,W is drawn anew each time, as dropout draws its own."""
        x = self.align(x)
        return self.fill(x * (torch.rand_like(x[:, :1]) <= self.keep))


ADAPTERS: dict[str, Callable[[int, int], nn.Module]] = {"hint": Hint, "mask": MaskedReconstruction}


class Standardise(nn.Module):
    """Give every channel mean 0 and deviation 1 over all the maps seen so far; nothing is learned."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("square", torch.ones(width))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take one batch into the cumulative mean and mean square."""
        x = x.float()
        self.seen += 1
        self.mean += (x.mean((0, 2, 3)) - self.mean) / self.seen
        self.square += (x.square().mean((0, 2, 3)) - self.square) / self.seen

    def forward(self, x: Tensor) -> Tensor:
        """Return (x - mean) / (std + 0.001) per channel."""
        std = (self.square - self.mean.square()).clamp(min=0).sqrt()
        return (x.float() - self.mean[:, None, None]) / (std[:, None, None] + 1e-3)


class Raw(nn.Module):
    """Leave the teacher's maps as they are, as the release does."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def observe(self, x: Tensor) -> None:
        """Remember nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x in float32."""
        return x.float()


@contextmanager
def listening(network: nn.Module, batch: int) -> Iterator[list[Tensor]]:
    """Collect the maps that the network's decoder is given, from fine (1/4) to coarse, while the block lasts.

    The list is filled by the call. A decoder that is run on several streams, one after the other or side by
    side in one batch, gives their concatenation B,nC,H,W. Two decoders share no map: nothing is collected.
    """
    decoders = [m for m in network.modules() if isinstance(m, Decoder)]
    heard: list[Tensor] = []

    def hear(_: nn.Module, inputs: tuple) -> None:
        bottleneck, skips = inputs[:2]
        maps = [torch.cat(x.split(batch), dim=1) for x in (*reversed(skips), bottleneck)]
        heard[:] = [torch.cat(pair, dim=1) for pair in zip(heard, maps, strict=True)] if heard else maps

    handle = decoders[0].register_forward_pre_hook(hear) if len(decoders) == 1 else None
    try:
        yield heard
    finally:
        if handle:
            handle.remove()


@torch.no_grad()
def examine(network: nn.Module) -> tuple[dict[int, int], tuple[int, ...], int]:
    """Return the channels of a network's decoder maps by stage, the stages that fuse, and its classes.

    A stage fuses if its map answers to both inputs. A copy is asked whose zeros are filled, since a gate
    that starts at zero would hide the dependence.
    """
    network = copy.deepcopy(network).cpu().float().eval()
    draw = torch.Generator().manual_seed(0)
    for p in network.parameters():
        if not p.any():
            p.normal_(std=0.1, generator=draw)
    rgb, depth = (torch.randn(2, c, 32, 32, generator=draw) for c in (3, 1))

    def ask(rgb: Tensor, depth: Tensor) -> tuple[list[Tensor], int]:
        with listening(network, len(rgb)) as heard:
            classes = network(rgb, depth).logits.shape[1]
        return heard, classes

    maps, classes = ask(rgb, depth)
    by_rgb, by_depth = ask(rgb.flip(0), depth)[0], ask(rgb, depth.flip(0))[0]
    answers = [not x.equal(a) and not x.equal(b) for x, a, b in zip(maps, by_rgb, by_depth, strict=True)]
    widths = {k: x.shape[1] for k, x in zip(STAGES, maps, strict=False)}
    return widths, tuple(k for k, both in zip(widths, answers, strict=True) if both), classes
