"""Early fusion: depth is a fourth colour.

Idea       Put depth beside red, green and blue and let the first convolution sort it out. Costs 3,136 weights,
           and everything after it is fused. The price: one set of filters and one normalisation must serve a
           sensor of light and a ruler.
Paper      the seed study on MM5, section "early fusion".
Here       logits = D(E([rgb; depth])),  stem 4 -> 64 channels
Differs    Pre-trained weights fill the whole encoder, the study's only the stem. The stem's fourth kernel is the
           mean of the other three in both.
Names      E, D = encoder, decoder here.
"""

import torch
from torch import Tensor

from rgbd_lib.methods.registry import Output, Target, method
from rgbd_lib.methods.unet import UNet


@method(
    "early",
    title="Early fusion",
    family="concat",
    paper="Seed study",
    color="#51A6FF",
    marker="s",
    fuses="input",
)
class EarlyFusion(UNet):
    """The ResNet18-UNet on four channels."""

    def __init__(self, classes: int, *, width: float = 1.0, wiring: str = "study") -> None:
        super().__init__(classes, 4, width, wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score both inputs as one image."""
        return Output(self.score(torch.cat([rgb, depth], dim=1)))  # B,4,H,W
