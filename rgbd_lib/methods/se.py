"""Squeeze-and-excitation fusion: gates that can turn depth down.

Idea       At each of four scales, first ask where depth can be trusted, then how much each sensor should count in
           this image, then which channels and places matter.
Paper      the seed study on MM5, section "SE fusion", second version; channel attention after Hu et al., CVPR
           2018, spatial attention after Woo et al. (CBAM), ECCV 2018.
Here       c  = σ(conv1x1(relu(norm(conv3x3(d)))))                        confidence, one map per scale  (1)
           g  = softmax(W2 relu(W1 [mean(r); mean(c·d)] + b1) + b2)      two numbers per image          (2)
           f  = g_1 r + g_2 (c·d)                                                                       (3)
           f <- f · σ(conv1x1(relu(conv1x1(mean(f)))))                   channels                       (4)
           f <- f · σ(conv7x7([mean_C f; max_C f]))                      places                         (5)
           Start: W2 = 0, b2 = (1, 0), so g = (0.731, 0.269), whatever the images show.
Differs    Nothing is frozen; the study never trains depth's stem, layer1 and layer2 (676,800 parameters), which
           without pre-trained weights are noise. Hidden widths are C/16, at least 4.
Names      r, d, c, g, f in the text = rgb, depth, confidence, gates, fused here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import STAGES, Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method


def narrow(channels: int) -> int:
    """Return the hidden channels of gates."""
    return max(4, channels // 16)


class DepthConfidence(nn.Sequential):
    """Where depth can be trusted (eq. 1)."""

    def __init__(self, channels: int) -> None:
        hidden = channels // 4
        super().__init__(
            nn.Conv2d(channels, hidden, 3, padding=1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 1),
            nn.Sigmoid(),
        )


class Gates(nn.Module):
    """How much each sensor counts in this image (eq. 2)."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Linear(2 * channels, narrow(channels)),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(narrow(channels), 2),
        )
        nn.init.zeros_(self.judge[3].weight)
        with torch.no_grad():
            self.judge[3].bias.copy_(torch.tensor([1.0, 0.0]))

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return B,2 gates that sum to 1."""
        return self.judge(torch.cat([rgb.mean((2, 3)), depth.mean((2, 3))], dim=1)).softmax(1)


class ChannelAttention(nn.Module):
    """Which channels matter (eq. 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, narrow(channels), 1, bias=False)
        self.excite = nn.Conv2d(narrow(channels), channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,C,1,1 factors."""
        return self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class SpatialAttention(nn.Module):
    """Which places matter (eq. 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,1,H,W factors."""
        return self.look(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)).sigmoid()


class GatedFusion(nn.Module):
    """Everything that happens at one scale (eq. 1-5)."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.confidence = DepthConfidence(channels)
        self.gates = Gates(channels, dropout)
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the fused map, and what decided it."""
        confidence = self.confidence(depth)  # B,1,H,W  (1)
        depth = depth * confidence
        gates = self.gates(rgb, depth)  # B,2  (2)
        weights = gates[:, :, None, None, None]  # B,2,1,1,1
        fused = weights[:, 0] * rgb + weights[:, 1] * depth  # B,C,H,W  (3)
        fused = fused * self.channel(fused)  # (4)
        spatial = self.spatial(fused)  # B,1,H,W
        return fused * spatial, {"gates": gates, "confidence": confidence, "spatial": spatial}  # (5)


@method(
    "se",
    title="SE fusion",
    family="gate",
    paper="Seed study",
    color="#FB7A27",
    marker="^",
    fuses="1/4, 1/8, 1/16, 1/32",
)
class SEFusion(nn.Module):
    """Two encoders, gated fusion at four scales, one decoder."""

    def __init__(
        self, classes: int, *, width: float = 1.0, dropout: float = 0.3, wiring: str = "study"
    ) -> None:
        super().__init__()
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        scales = zip(STAGES[1:], channels(width)[1:], strict=True)
        self.fusions = nn.ModuleDict({name: GatedFusion(c, dropout) for name, c in scales})
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the fused maps; ``explain`` holds gates B,2, confidence and spatial attention B,1,h,w per scale."""
        maps, shown = [], {}
        for (name, fusion), r, d in zip(
            self.fusions.items(), self.encoder(rgb)[1:], self.depth_encoder(depth)[1:], strict=True
        ):
            fused, reasons = fusion(r, d)
            maps.append(fused)
            if explain:
                shown |= {f"{name}/{key}": value for key, value in reasons.items()}
        return Output(self.decoder(maps[3], maps[2::-1], rgb.shape[-2:]), explain=shown)
