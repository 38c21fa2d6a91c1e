"""SA-Gate: filter each sensor by what both say, then let every pixel choose between them.

Idea       Depth is wrong in its own way (holes, edges), so first separate what is worth passing on, channel
           by channel; then aggregate, pixel by pixel. Both encoders go on with half of the agreement.
Paper      Chen et al., Bi-directional Cross-Modality Feature Propagation with Separation-and-Aggregation
           Gate, ECCV 2020, section 3.
Here       r~ = r + sigmoid(mlp([mean r; mean d])) * d,   d~ likewise with r                         (1)
           (A_r, A_d) = softmax over modalities of two 1x1 convolutions of [r~; d~]                   (2)
           M = A_r * r + A_d * d,   r' = (r + M) / 2,   d' = (d + M) / 2                              (3)
           The filtered maps of (1) only decide the gate; what is mixed in (3) are the maps as they came.
Differs    M of layer1..4 goes to the U-Net's decoder (the paper has DeepLabV3+ on its first and last). The
           ReLU behind (3) is left out: a mixture of non-negative maps is not negative. At small widths the
           hidden layer of (1) keeps at least four channels.
Names      r, d, A, M in the paper (RGB, HHA, A, M) = rgb, depth, weight, merged here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method


class Separation(nn.Module):
    """Add to one map the channels of the other that both maps together vouch for (eq. 1)."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(4, width // reduction)
        self.filter = nn.Sequential(
            nn.Linear(2 * width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width), nn.Sigmoid()
        )

    def forward(self, own: Tensor, other: Tensor) -> Tensor:
        """Return ``own`` B,C,H,W with the filtered ``other`` added."""
        gate = self.filter(torch.cat([other, own], dim=1).mean((2, 3)))  # B,C
        return own + gate[:, :, None, None] * other


class SAGate(nn.Module):
    """Separate, then aggregate (eq. 1-3)."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.separate_rgb = Separation(width, reduction)
        self.separate_depth = Separation(width, reduction)
        self.score = nn.Conv2d(2 * width, 2, 1)  # both 1x1 convolutions in one

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the maps both encoders go on with, their mixture, and its weights B,2,H,W."""
        separated = torch.cat([self.separate_rgb(rgb, depth), self.separate_depth(depth, rgb)], dim=1)
        weight = self.score(separated).softmax(dim=1)  # (2)
        merged = weight[:, :1] * rgb + weight[:, 1:] * depth
        return (rgb + merged) / 2, (depth + merged) / 2, merged, weight  # (3)


@method(
    "sagate",
    title="SA-Gate",
    family="gate",
    paper="Chen et al., ECCV 2020",
    color="#5D1C14",
    marker="^",
    fuses="gated both ways at layer1..4",
)
class SAGateNet(nn.Module):
    """Two encoders that exchange through a gate after layer1..4; the mixtures feed the decoder."""

    def __init__(
        self, classes: int, *, width: float = 1.0, reduction: int = 16, wiring: str = "study"
    ) -> None:
        super().__init__()
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.gates = nn.ModuleList(SAGate(c, reduction) for c in channels(width)[1:])
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the mixtures; ``explain`` holds depth's weight B,1,H,W at each stage."""
        size, maps, weights = rgb.shape[-2:], [], {}
        rgb_stem, *rgb_layers = self.encoder.stages()
        depth_stem, *depth_layers = self.depth_encoder.stages()
        rgb, depth = rgb_stem(rgb), depth_stem(depth)
        stages = zip(rgb_layers, depth_layers, self.gates, strict=True)
        for i, (rgb_layer, depth_layer, gate) in enumerate(stages, start=1):
            rgb, depth, merged, weight = gate(rgb_layer(rgb), depth_layer(depth))
            maps.append(merged)
            if explain:
                weights[f"depth_weight_{i}"] = weight[:, 1:]
        x1, x2, x3, x4 = maps
        return Output(self.decoder(x4, (x3, x2, x1), size), explain=weights)
