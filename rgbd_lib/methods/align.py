"""Alignment: what both modalities have in common is made to look alike, then shared.

Idea       Split each modality's features into a common and a specific part. A distance between distributions
           pulls the common parts together; each stream is rebuilt from its own two parts and the other's common.
Paper      "Align" baseline of Wang et al., NeurIPS 2020, after Wang et al., Learning Common and Specific
           Features, ECCV 2016.
Here       c_m = A_m x_m,  s_m = B_m x_m                                 1x1, C -> C each
           x_m <- x_m + R_m [c_m; s_m; c_n]                              1x1, 3C -> C, n the other modality
           loss += β · MMD²(c_rgb, c_depth)                              ``mmd.py``
Differs    The 10C² parameters are the source's, the split into A, B, R is ours: the cited paper's design fits
           that count. MMD looks at c pooled to at most 4x4 cells per image, β = 0.1: neither is given. Default
           place: middle, the best of the paper's four. ``setting="common"`` keeps two whole networks whose
           ensemble is trained through, as the source's formula has it, instead of ending one stream.
Names      A, B, R, β = common, specific, rebuild, beta here.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from rgbd_lib.errors import unknown
from rgbd_lib.methods.fused_streams import SETTINGS, Fusion, fusions_at
from rgbd_lib.methods.mmd import mmd2
from rgbd_lib.methods.parallel_unet import ParallelUNet
from rgbd_lib.methods.registry import method

CELLS = 4


class Align(Fusion):
    """Common and specific parts, and a distance between the common ones: 10C² parameters."""

    def __init__(self, channels: int, *, beta: float) -> None:
        super().__init__()
        self.beta = beta
        self.common = pair(channels, channels)  # A
        self.specific = pair(channels, channels)  # B
        self.rebuild = pair(3 * channels, channels)  # R

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Add to each stream what R makes of its own parts and the other's common part."""
        streams = (rgb, depth)
        common = [layer(x) for layer, x in zip(self.common, streams, strict=True)]
        specific = [layer(x) for layer, x in zip(self.specific, streams, strict=True)]
        parts = [torch.cat([common[m], specific[m], common[1 - m]], dim=1) for m in (0, 1)]  # B,3C,H,W
        return rgb + self.rebuild[0](parts[0]), depth + self.rebuild[1](parts[1])

    def points(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return the pooled common parts, one point per cell: N,C each.

        Pooling first gives the same as pooling c, since a 1x1 convolution and a mean commute.
        """
        pooled = [adaptive_avg_pool2d(x, CELLS) for x in (rgb, depth)]
        common = [layer(x) for layer, x in zip(self.common, pooled, strict=True)]
        return [c.flatten(2).transpose(1, 2).flatten(0, 1) for c in common]

    def loss(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return β · MMD² of the common parts."""
        return self.beta * mmd2(*self.points(rgb, depth))

    def explain(self, rgb: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Return MMD² and the points it compares."""
        points = self.points(rgb, depth)
        return {"mmd2": mmd2(*points), "points": torch.stack(points)}


def pair(inside: int, outside: int) -> nn.ModuleList:
    """Return a 1x1 convolution for each modality."""
    return nn.ModuleList(nn.Conv2d(inside, outside, 1, bias=False) for _ in range(2))


@method(
    "align",
    title="Alignment (MMD)",
    family="alignment",
    paper="Wang et al., NeurIPS 2020 (baseline)",
    color="#00A896",
    marker="h",
    fuses="layer3",
)
def align(
    classes: int,
    *,
    width: float = 1.0,
    wiring: str = "study",
    place: str = "middle",
    setting: str = "ours",
    beta: float = 0.1,
    branch_loss: str = "dice+ce",
) -> nn.Module:
    """Build the network with alignment at a place."""
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    common = setting == "common"
    return ParallelUNet(
        classes,
        width=width,
        wiring=wiring,
        share_convs=not common,
        joint=common,
        branch_loss=branch_loss,
        fusions=fusions_at(place, width, lambda c: Align(c, beta=beta)),
    )
