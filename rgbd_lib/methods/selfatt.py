"""Self-attention fusion: a gate sees both modalities and weighs every channel at every pixel.

Idea       Squeeze both maps through a narrow layer, let it say how much of each channel to trust where, mix.
Paper      "Self-attention" baseline of Wang et al., NeurIPS 2020; the operator is the SSMA block of Valada et
           al., Self-Supervised Model Adaptation, IJCV 2019. No queries and keys: a gate over channels and space.
Here       u = [x_rgb; x_depth]                                          2C
           w = σ( W2 relu( W1 u ) )        W1: 3x3, 2C -> C/16,  W2: 3x3, C/16 -> 2C
           f = norm( W3 (w ⊙ u) )          W3: 3x3, 2C -> C
Differs    Identified by its parameter count 20.25C² (without the norm's 2C), which the source prints and does
           not explain. How f re-enters the streams: ``fused_streams.py``. Default place: all, the best of the
           paper's four.
Names      u, w, f = both, gate, fused; W1, W2, W3 = squeeze, excite, mix here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.fused_streams import Merge, fused_unet
from rgbd_lib.methods.registry import method

BOTTLENECK = 16


class SelfAttention(Merge):
    """The SSMA block: 20.25C² weights and one batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = max(1, channels // BOTTLENECK)
        self.squeeze = nn.Conv2d(2 * channels, narrow, 3, padding=1, bias=False)
        self.excite = nn.Conv2d(narrow, 2 * channels, 3, padding=1, bias=False)
        self.mix = nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def gate(self, both: Tensor) -> Tensor:
        """Return w in (0, 1), one number per channel and pixel: B,2C,H,W."""
        return self.excite(self.squeeze(both).relu()).sigmoid()

    def merge(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return norm(W3 (w ⊙ u))."""
        both = torch.cat([rgb, depth], dim=1)  # B,2C,H,W
        return self.norm(self.mix(self.gate(both) * both))

    def explain(self, rgb: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Return the gate of each modality, averaged over channels: B,2,H,W."""
        gate = self.gate(torch.cat([rgb, depth], dim=1))
        return {"gate": gate.unflatten(1, (2, -1)).mean(2)}


@method(
    "selfatt",
    title="Self-attention (SSMA)",
    family="gate",
    paper="Valada et al., IJCV 2019",
    color="#E0A800",
    marker="h",
    fuses="layer1 .. layer4",
)
def selfatt(
    classes: int,
    *,
    width: float = 1.0,
    wiring: str = "study",
    place: str = "all",
    setting: str = "ours",
    branch_loss: str = "dice+ce",
) -> nn.Module:
    """Build the network with the SSMA block at a place."""
    options = {"width": width, "wiring": wiring, "branch_loss": branch_loss}
    return fused_unet(classes, SelfAttention, place=place, setting=setting, **options)
