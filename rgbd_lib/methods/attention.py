"""Attention fusion: every place of the RGB map asks the whole depth map.

Idea       Concatenation compares a pixel with the depth at the same place. Attention lets it look anywhere: a
           glass without a depth of its own can ask the table around it.
Paper      the seed study on MM5, section "attention fusion"; attention after Vaswani et al., NeurIPS 2017.
Here       q = tokens of r3 at 1/16,  k, v = tokens of d3,   f3 = attention(q, k, v)                     (1)
           decoder: bottleneck [r4; d4], skips f3, r2, r1;  r3 itself goes on to layer4
Differs    Nothing by default, and so: no residual, hence the 1/16 skip holds values of depth alone and RGB only
           says which; no positions, hence f3 does not change when the places of depth are shuffled.
           ``residual=True`` is the usual f3 = r3 + attention(q, k, v), with which a blind sensor costs less.
Names      r, d, f in the text = rgb, depth, fused here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.methods.attention_ops import Attention, tokens, untokens
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method


def found_alone(own: Tensor, found: Tensor) -> Tensor:
    """Return what was found, as the study does."""
    return found


@method(
    "attention",
    title="Attention fusion",
    family="attention",
    paper="Seed study",
    color="#AB1902",
    marker="^",
    fuses="1/16 skip and 1/32",
)
class AttentionFusion(nn.Module):
    """Two encoders; cross-attention in the 1/16 skip, both maps at the bottleneck."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        heads: int = 4,
        residual: bool = False,
        wiring: str = "study",
    ) -> None:
        super().__init__()
        c3, c4 = channels(width)[3:]
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.attention = Attention(c3, heads)
        self.combine = torch.add if residual else found_alone
        self.decoder = Decoder(classes, width=width, bottleneck=2 * c4, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score both; ``explain`` holds who looks where: B,heads,H,W (asks),h,w (is asked)."""
        _, r1, r2, r3, r4 = self.encoder(rgb)
        _, _, _, d3, d4 = self.depth_encoder(depth)
        query, memory = tokens(r3), tokens(d3)  # B,N,C
        found = untokens(self.attention(query, memory), r3)  # (1)
        logits = self.decoder(torch.cat([r4, d4], dim=1), (self.combine(r3, found), r2, r1), rgb.shape[-2:])
        shown = {}
        if explain:
            weights = self.attention.weights(query, memory)
            shown["attention"] = weights.unflatten(-1, d3.shape[-2:]).unflatten(2, r3.shape[-2:])
        return Output(logits, explain=shown)
