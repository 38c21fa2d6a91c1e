"""Concatenation: one 1x1 convolution mixes both modalities' channels.

Idea       Put the maps on top of each other and let a matrix decide. The plainest learned fusion.
Paper      Baseline of Wang et al., NeurIPS 2020 (channel exchanging), there without a definition.
Here       f = W [x_rgb; x_depth],   W: 2C -> C, one per place
Differs    Defined by its parameter count 2C². How f re-enters the streams: ``fused_streams.py``. Default
           place: all, the best of the paper's four.
Names      W = mix here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.fused_streams import Merge, fused_unet
from rgbd_lib.methods.registry import method


class Concat(Merge):
    """A 1x1 convolution over both modalities' channels: 2C² parameters."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1, bias=False)  # W

    def merge(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return W [x_rgb; x_depth]."""
        return self.mix(torch.cat([rgb, depth], dim=1))


@method(
    "concat",
    title="Concatenation",
    family="concat",
    paper="Wang et al., NeurIPS 2020 (baseline)",
    color="#1F7A8C",
    marker="h",
    fuses="layer1 .. layer4",
)
def concat(
    classes: int,
    *,
    width: float = 1.0,
    wiring: str = "study",
    place: str = "all",
    setting: str = "ours",
    branch_loss: str = "dice+ce",
) -> nn.Module:
    """Build the network with concatenation at a place."""
    options = {"width": width, "wiring": wiring, "branch_loss": branch_loss}
    return fused_unet(classes, Concat, place=place, setting=setting, **options)
