"""GeminiFusion: each pixel attends to itself and to its twin in the other modality.

Idea       Attention over a whole image costs the square of its pixels, but what a pixel needs from the other
           sensor stands at the same place. One query and two entries per pixel: linear cost.
Paper      Jia et al., GeminiFusion, ICML 2024, section 3; the arithmetic is that of the released code.
Here       s  = softmax_C(W2 gelu(W1 [own; other]))                                                   (1)
           k1 = own + n_k,  k2 = own * s;   v1 = own + n_v,  v2 = other                               (2)
           w  = softmax_j(q . k_j / sqrt(d)),  own' = own + W_o (w_1 V v1 + w_2 V v2)                 (3)
           for both modalities at once, each seeing the other as it was.
           Three things in (1) and (2) surprise: s is a softmax over *channels*, so it is about 1/C and k2
           starts near zero; the other modality enters as value, never as key; the "noise" n_k, n_v is a
           trained constant per layer and modality, nothing is sampled.
Differs    Two ResNet18 encoders, fused once at the end of layer1..4; the paper has one shared transformer,
           fused in every block. The mean of the two score maps is trained by the task loss (the release
           detaches it, so that it teaches nothing); as there, each map also has a loss of its own.
Names      n_k, n_v, s in the paper = k_noise, v_noise, relation_judger here (names of the released weights).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.losses import cross_entropy
from rgbd_lib.methods.attention_ops import tokens, untokens
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method


class PairAttention(nn.Module):
    """One query and two keys per pixel (eq. 3); the projections are packed as q, k, v."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixture B,N,C and its weights B,N,2,heads; keys and values are B,N,2,C."""
        projections = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1))
            for x, (weight, bias) in zip((query[:, :, None], keys, values), projections, strict=True)
        )
        weight = ((q * k).sum(-1) * q.shape[-1] ** -0.5).softmax(dim=2)  # B,N,2,heads
        mixed = (weight[..., None] * v).sum(2).flatten(-2)  # B,N,C
        return self.out_proj(mixed), weight


class RelationJudge(nn.Module):
    """The two linear layers behind the relation score (before its softmax)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = linear(2 * width, width)
        self.fc2 = linear(width, width)

    def forward(self, pair: Tensor) -> Tensor:
        """Return B,N,C from B,N,2C."""
        return self.fc2(F.gelu(self.fc1(pair)))


class GeminiFusionBlock(nn.Module):
    """Fuse two token sequences pixel by pixel (eq. 1-3); 11 C^2 + 14 C parameters."""

    def __init__(self, width: int, heads: int = 8) -> None:
        super().__init__()
        if width % heads:
            raise UserError(f"gemini: {heads} heads do not divide {width} channels")
        self.cross_attn_0_to_1 = PairAttention(width, heads)  # updates modality 0, RGB
        self.cross_attn_1_to_0 = PairAttention(width, heads)
        self.relation_judger = nn.Sequential(RelationJudge(width))
        self.k_noise = nn.Embedding(2, width)  # N(0, 1) at the start; row = modality
        self.v_noise = nn.Embedding(2, width)

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return both sequences B,N,C fused, and the weights B,N,2,heads on (itself, other) of each."""
        new_rgb, rgb_weight = self.exchange(rgb, depth, 0, self.cross_attn_0_to_1)
        new_depth, depth_weight = self.exchange(depth, rgb, 1, self.cross_attn_1_to_0)
        return new_rgb, new_depth, rgb_weight, depth_weight

    def exchange(
        self, own: Tensor, other: Tensor, row: int, attention: PairAttention
    ) -> tuple[Tensor, Tensor]:
        """Return modality ``row`` after it has looked at the other one, and its weights."""
        score = self.score(own, other)
        keys = torch.stack([own + self.k_noise.weight[row], own * score], dim=2)  # B,N,2,C (2)
        values = torch.stack([own + self.v_noise.weight[row], other], dim=2)
        mixed, weight = attention(own, keys, values)
        return own + mixed, weight  # (3)

    def score(self, own: Tensor, other: Tensor) -> Tensor:
        """Return the relation score B,N,C, which sums to 1 over the channels (eq. 1)."""
        return self.relation_judger(torch.cat([own, other], dim=-1)).softmax(dim=-1)


def linear(inside: int, outside: int) -> nn.Linear:
    """Return a linear layer as transformers start it: truncated normal 0.02, no bias."""
    layer = nn.Linear(inside, outside)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


@method(
    "gemini",
    title="GeminiFusion",
    family="attention",
    paper="Jia et al., ICML 2024",
    color="#A50F90",
    marker="v",
    fuses="pixel-wise, both ways, at layer1..4",
)
class Gemini(nn.Module):
    """Two encoders that meet pixel by pixel after each stage, one decoder for both, the mean of its scores."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        stages: Sequence[int] = (1, 2, 3, 4),
        heads: int = 8,
        branch_weight: float = 1.0,
        wiring: str = "study",
    ) -> None:
        """``stages`` are the layers after which to fuse (0 = stem); ``branch_weight`` weighs both own losses."""
        super().__init__()
        if not set(stages) <= set(range(5)):
            raise UserError(f"gemini: stages {tuple(stages)} are not all among 0 (stem), 1, 2, 3, 4 (layers)")
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.fusions = nn.ModuleDict({str(s): GeminiFusionBlock(channels(width)[s], heads) for s in stages})
        self.decoder = Decoder(classes, width=width, wiring=wiring)
        self.branch_weight = branch_weight

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score both streams; ``explain`` holds the weight on the other modality, per stage and pixel."""
        size, maps, weights = rgb.shape[-2:], [], {}
        stages = zip(self.encoder.stages(), self.depth_encoder.stages(), strict=True)
        for i, (rgb_stage, depth_stage) in enumerate(stages):
            rgb, depth = rgb_stage(rgb), depth_stage(depth)
            if str(i) in self.fusions:
                a, b, *pair = self.fusions[str(i)](tokens(rgb), tokens(depth))
                if explain:
                    weights |= {f"{n}_looks_over_{i}": look(w, rgb) for n, w in zip(NAMES, pair, strict=True)}
                rgb, depth = untokens(a, rgb), untokens(b, depth)
            maps.append((rgb, depth))
        x1, x2, x3, x4 = (torch.cat(pair) for pair in maps[1:])  # 2B,C,H,W: one pass of the decoder for both
        scores = self.decoder(x4, (x3, x2, x1), size).chunk(2)
        out = Output((scores[0] + scores[1]) / 2, dict(zip(NAMES, scores, strict=True)), explain=weights)
        if self.training and target is not None:
            out.extra_loss = self.branch_weight * sum(cross_entropy(s, target.label) for s in scores)
        return out


NAMES = ("rgb", "depth")


def look(weight: Tensor, like: Tensor) -> Tensor:
    """Return the heads' mean weight on the other modality as a map B,1,H,W."""
    return untokens(weight[:, :, 1].mean(-1, keepdim=True), like)
