"""Transformer fusion: both sensors ask each other, at four scales.

Idea       Attention fusion, thorough: in both directions, at every scale, with residuals, norms and a feed-forward
           layer; then a transformer over the bottleneck, where each token sees the whole image.
Paper      the seed study on MM5, section "transformer fusion" (released without results); blocks after Vaswani et
           al., NeurIPS 2017; keys on a coarser grid after Wang et al. (PVT), ICCV 2021.
Here       at each scale   r' = LN(r + attention(r, p(d))),  d' = LN(d + attention(d, p(r)))            (1)
                           s = r' + d',  f = LN(s + FFN(s)),  FFN: C -> 4C -> C                         (2)
           f4 passes four more blocks x <- LN(x + attention(x, x)), x <- LN(x + FFN(x))                 (3)
           p averages over equal cells until at most 14 x 14 are left: each pixel asks a coarse copy of the
           other map. For 224 x 224 this changes 1/4 (56 x 56: cells of 4 x 4) and 1/8 (cells of 2 x 2), and
           nothing at 1/16 and 1/32. At 1/4 that is 16 times less work (3,136 x 196 pairs instead of 3,136²), and
           work and memory grow linearly with the number of pixels; what is lost is *which* of 16 neighbouring
           pixels was looked at.
Differs    Each modality has a LayerNorm of its own in (1), the study one for both; its unused 1x1 convolution is
           not built (262,656 parameters). The study's arithmetic: ``grid=None, shared_norm=True``. Even then
           attention maps are never stored (315 MB per image and direction there).
Names      r, d, s, f, p in the text = rgb, depth, both, fused, pooled here.
"""

from torch import Tensor, nn

from rgbd_lib.methods.attention_ops import Attention, pooled, tokens, untokens
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import STAGES, Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method

GRID = 14  # the 1/16 map of 224 x 224, the finest at which full attention is cheap


def feed_forward(width: int, dropout: float = 0.0) -> nn.Sequential:
    """Return the two layers C -> 4C -> C."""
    return nn.Sequential(
        nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
    )


class CrossBlock(nn.Module):
    """Fuse two maps by asking in both directions (eq. 1-2)."""

    def __init__(self, width: int, heads: int, grid: int | None, shared_norm: bool) -> None:
        super().__init__()
        self.grid = grid
        self.rgb_asks = Attention(width, heads)
        self.depth_asks = Attention(width, heads)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(1 if shared_norm else 2))
        self.ffn = feed_forward(width)
        self.last_norm = nn.LayerNorm(width)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return the fused map B,C,H,W."""
        r, d = tokens(rgb), tokens(depth)  # B,N,C
        memory_r, memory_d = self.memories(rgb, depth)
        new_r = self.norms[0](r + self.rgb_asks(r, memory_d))  # (1)
        new_d = self.norms[-1](d + self.depth_asks(d, memory_r))
        both = new_r + new_d
        return untokens(self.last_norm(both + self.ffn(both)), rgb)  # (2)

    def memories(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens that can be asked: at most grid² of each."""
        return tokens(pooled(rgb, self.grid)), tokens(pooled(depth, self.grid))

    def explain(self, rgb: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Return who looks where: B,heads,H,W (asks),h,w (is asked)."""
        size, asked = rgb.shape[-2:], pooled(rgb, self.grid).shape[-2:]
        memory_r, memory_d = self.memories(rgb, depth)
        maps = {
            "rgb_asks": self.rgb_asks.weights(tokens(rgb), memory_d),
            "depth_asks": self.depth_asks.weights(tokens(depth), memory_r),
        }
        return {name: w.unflatten(-1, asked).unflatten(2, size) for name, w in maps.items()}


class SelfBlock(nn.Module):
    """Attention among the tokens of one map (eq. 3)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.ffn = feed_forward(width, dropout)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,N,C."""
        x = self.norm1(x + self.drop(self.attention(x, x)))
        return self.norm2(x + self.drop(self.ffn(x)))


@method(
    "transformer",
    title="Transformer fusion",
    family="attention",
    paper="Seed study",
    color="#BB8CBD",
    marker="v",
    fuses="1/4, 1/8, 1/16, 1/32",
)
class TransformerFusion(nn.Module):
    """Two encoders, cross-attention blocks at four scales, a transformer at the bottleneck, one decoder."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        heads: int = 8,
        layers: int = 4,
        dropout: float = 0.1,
        grid: int | None = GRID,
        shared_norm: bool = False,
        wiring: str = "study",
    ) -> None:
        """``grid=None`` asks all pixels of the other map; ``layers`` are the blocks of the bottleneck."""
        super().__init__()
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        c = channels(width)
        scales = zip(STAGES[1:], c[1:], strict=True)
        self.fusions = nn.ModuleDict({s: CrossBlock(n, heads, grid, shared_norm) for s, n in scales})
        self.bottleneck = nn.Sequential(*(SelfBlock(c[4], heads, dropout) for _ in range(layers)))
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the fused maps; ``explain`` holds the attention of both directions per scale."""
        pairs = list(zip(self.encoder(rgb)[1:], self.depth_encoder(depth)[1:], strict=True))
        f1, f2, f3, f4 = (fusion(*pair) for fusion, pair in zip(self.fusions.values(), pairs, strict=True))
        f4 = untokens(self.bottleneck(tokens(f4)), f4)
        shown = {}
        if explain:
            for (name, fusion), pair in zip(self.fusions.items(), pairs, strict=True):
                shown |= {f"{name}/{key}": value for key, value in fusion.explain(*pair).items()}
        return Output(self.decoder(f4, (f3, f2, f1), rgb.shape[-2:]), explain=shown)
