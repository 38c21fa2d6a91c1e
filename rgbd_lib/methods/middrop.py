"""Mid fusion that survives a dead sensor: modalities are dropped in training, and absent ones are left out.

Idea       A network that has always had depth falls apart without it. So practise: take one sensor away from
           some images in every batch. And do not average with a map that says nothing.
Paper      After Neverova et al., ModDrop, TPAMI 2016, section 4; in this form ours.
Here       a_m = 1 if sensor m lives, else 0;   in training each is dropped with probability p, never both
           f_k = (a_r r_k + a_d d_k) / (a_r + a_d)   at layer1..4                                     (1)
           A sensor lives if its image is not the same everywhere: that is what a dead one delivers.
           With depth dead the scores are those of the RGB path alone, to the last bit.
Differs    ModDrop zeroes a modality's input; here its features leave the mean, so that their scale stays. A
           mean instead of ``mid``'s concatenation, at every skip, since one that is RGB's alone would die
           with RGB. A sensor that delivers noise counts as alive.
Names      a, p = alive, drop here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.registry import Output, Target, method


def alive(image: Tensor) -> Tensor:
    """Return B, True where an image varies: a dead sensor delivers one value everywhere."""
    return (image.amax((2, 3)) > image.amin((2, 3))).any(dim=1)


def drop_one(rgb: Tensor, depth: Tensor, p: float) -> tuple[Tensor, Tensor]:
    """Return who is left after each is dropped with probability ``p``; the last one standing stays."""
    u = torch.rand(rgb.shape, device=rgb.device)
    return rgb & ~((u < p) & depth), depth & ~((u >= 1 - p) & rgb)


def masked_mean(rgb: Tensor, depth: Tensor, weight: Tensor) -> Tensor:
    """Return the mixture of two maps B,C,H,W by weights B,2 (eq. 1)."""
    w = weight.to(rgb.dtype)[:, :, None, None, None]
    return w[:, 0] * rgb + w[:, 1] * depth


def shares(rgb: Tensor, depth: Tensor) -> Tensor:
    """Return the weights B,2 of (rgb, depth) in the mean; a half each where both are dead."""
    there = torch.stack([rgb, depth], dim=1)
    there = there | ~there.any(dim=1, keepdim=True)
    return there / there.sum(dim=1, keepdim=True)


@method(
    "middrop",
    title="Mid fusion, sensors dropped",
    family="sum",
    paper="After Neverova et al., TPAMI 2016",
    color="#14E58D",
    marker="D",
    fuses="mean of the living at layer1..4",
)
class MidDrop(nn.Module):
    """Two encoders whose maps are averaged over the sensors that are there."""

    def __init__(
        self, classes: int, *, width: float = 1.0, drop: float = 0.25, wiring: str = "study"
    ) -> None:
        """``drop`` is the probability with which each sensor is left out of a training image, 0 to 0.5."""
        super().__init__()
        if not 0 <= drop <= 0.5:
            raise UserError(f"middrop: drop {drop} is not between 0 and 0.5 (each sensor's own probability)")
        self.drop = drop
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the masked means; ``explain`` holds the weight B,1,1,1 of depth."""
        there = alive(rgb), alive(depth)
        if self.training:
            there = drop_one(*there, self.drop)
        weight = shares(*there)
        pairs = zip(self.encoder(rgb), self.depth_encoder(depth), strict=True)
        _, x1, x2, x3, x4 = (masked_mean(r, d, weight) for r, d in pairs)
        logits = self.decoder(x4, (x3, x2, x1), rgb.shape[-2:])
        return Output(logits, explain={"depth_weight": weight[:, 1, None, None, None]} if explain else {})
