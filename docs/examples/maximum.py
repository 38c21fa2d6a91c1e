"""Maximum fusion: every feature comes from the sensor in which it is stronger.

Idea       A feature is a detector: large where it has found something. If either sensor finds it, it is there.
Paper      none; this is the example of chapter 18.
Here       f_s = max(r_s, d_s), element by element, at the four scales 1/4 to 1/32                   (1)
Names      r, d, f in the text = rgb, depth, fused here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.registry import Output, Target, method


@method(
    "maximum",
    title="Maximum fusion",
    family="sum",
    paper="Chapter 18",
    color="#B58900",
    marker="P",
    fuses="1/4, 1/8, 1/16, 1/32",
)
class MaximumFusion(nn.Module):
    """Two encoders, the larger of two features at every place, one decoder."""

    def __init__(self, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.decoder = Decoder(classes, width=width)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the larger features; ``explain`` holds the share of channels B,1,h,w that depth won."""
        pairs = list(zip(self.encoder(rgb)[1:], self.depth_encoder(depth)[1:], strict=True))
        fused = [torch.maximum(r, d) for r, d in pairs]  # B,C,h,w  (1)
        shown = {}
        if explain:
            shares = [(d > r).float().mean(1, keepdim=True) for r, d in pairs]
            shown = {f"layer{i}/depth_wins": share for i, share in enumerate(shares, start=1)}
        return Output(self.decoder(fused[3], fused[2::-1], rgb.shape[-2:]), explain=shown)
