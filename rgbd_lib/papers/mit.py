"""Mix Transformer, the encoder of SegFormer.

Idea       Attention at 1/4 of an image is affordable if keys and values come from a coarser copy. Patches overlap,
           and a 3x3 convolution inside the feed-forward part tells tokens where they are: no position code, so
           any image size will do.
Paper      Xie et al., SegFormer, NeurIPS 2021, section 3.1; the arithmetic is that of the released code.
Here       t <- t + attention(norm(t)),   t <- t + mlp(norm(t))                                       (1)
             q = W_q t,  (k, v) = W_kv norm(conv_RxR, stride R (t)),  R = 8, 4, 2, 1 by stage          (2)
             mlp(t) = W_2 gelu(depthwise 3x3 (W_1 t)),  C -> 4C -> C                                   (3)
           A stage is: overlapping patches (a convolution and a norm), blocks, a norm. Its map is both the stage's
           output and what the next stage reads. Sizes follow from the convolutions, nothing is padded.
Quirks     The norms behind the patches and behind the coarser copy have eps 1e-5, all others 1e-6. Multi-stream
           releases differ in that; ``Parts`` says which layers a network uses in these places.
Names      R in the paper = reduction here. Parameter names are those of the released weights.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.methods.gemini import tokens

Grid = Sequence[int]  # height and width of a map whose pixels are tokens


@dataclass(frozen=True)
class Size:
    """Channels and number of blocks of the four stages."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


WIDE = (64, 128, 320, 512)
SIZES = {
    "mit_b0": Size((32, 64, 160, 256), (2, 2, 2, 2)),
    "mit_b1": Size(WIDE, (2, 2, 2, 2)),
    "mit_b2": Size(WIDE, (3, 4, 6, 3)),
    "mit_b3": Size(WIDE, (3, 4, 18, 3)),
    "mit_b4": Size(WIDE, (3, 8, 27, 3)),
    "mit_b5": Size(WIDE, (3, 6, 40, 3)),
}
STAGES = (1, 2, 3, 4)
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
NORM = partial(nn.LayerNorm, eps=1e-5)
FINE_NORM = partial(nn.LayerNorm, eps=1e-6)


class Attention(nn.Module):
    """Each token asks a coarser copy of its own map (eq. 2)."""

    def __init__(self, width: int, heads: int, reduction: int, parts: "Parts") -> None:
        super().__init__()
        self.heads, self.reduction = heads, reduction
        self.q = parts.shared(nn.Linear(width, width))
        self.kv = parts.shared(nn.Linear(width, 2 * width))
        self.proj = parts.shared(nn.Linear(width, width))
        if reduction > 1:
            self.sr = parts.shared(nn.Conv2d(width, width, reduction, reduction))
            self.norm = parts.reduced_norm(width)

    def attend(self, x: Tensor, grid: Grid) -> Tensor:
        """Return the answers B,N,C before the last projection."""
        coarse = x
        if self.reduction > 1:
            coarse = self.norm(tokens(self.sr(to_map(x, grid))))  # B,N/R²,C
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B,heads,N,C/heads
            for part in (self.q(x), *self.kv(coarse).chunk(2, dim=-1))
        )
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C."""
        return self.proj(self.attend(x, grid))


@dataclass(frozen=True)
class Parts:
    """What a network builds its blocks from: ``shared`` wraps every layer that several streams have in common."""

    shared: Callable[[nn.Module], nn.Module] = lambda layer: layer
    norm: Callable[[int], nn.Module] = FINE_NORM
    patch_norm: Callable[[int], nn.Module] = NORM
    reduced_norm: Callable[[int], nn.Module] = NORM
    attention: Callable[[int, int, int, "Parts"], nn.Module] = Attention


class DepthWise(nn.Module):
    """A 3x3 convolution within each channel of the token map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C."""
        return tokens(self.dwconv(to_map(x, grid)))


class MixMLP(nn.Module):
    """Two linear layers with a depth-wise convolution between (eq. 3)."""

    def __init__(self, width: int, parts: Parts) -> None:
        super().__init__()
        self.fc1 = parts.shared(nn.Linear(width, 4 * width))
        self.dwconv = DepthWise(4 * width)
        self.fc2 = parts.shared(nn.Linear(4 * width, width))

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(x), grid)))


class DropPath(nn.Module):
    """Leave out a whole branch for some samples in training; the others are scaled up in return."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Return x, or in training x with samples set to 0."""
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand_like(x[:, :1, :1]) >= self.rate  # B,1,1
        return x * keep / (1 - self.rate)


class Block(nn.Module):
    """Attention, then the mixing feed-forward part (eq. 1)."""

    def __init__(self, width: int, heads: int, reduction: int, parts: Parts, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = parts.norm(width)
        self.attn = parts.attention(width, heads, reduction, parts)
        self.norm2 = parts.norm(width)
        self.mlp = MixMLP(width, parts)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C."""
        x = x + self.drop_path(self.attn(self.norm1(x), grid))
        return x + self.drop_path(self.mlp(self.norm2(x), grid))


class PatchEmbedding(nn.Module):
    """Overlapping patches: a convolution with stride, then a norm."""

    def __init__(self, inside: int, width: int, parts: Parts, first: bool) -> None:
        super().__init__()
        kernel, stride = (7, 4) if first else (3, 2)
        self.proj = parts.shared(nn.Conv2d(inside, width, kernel, stride, kernel // 2))
        self.norm = parts.patch_norm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Return tokens B,N,C and the height and width of their map."""
        x = self.proj(x)
        return self.norm(tokens(x)), x.shape[-2:]


class MixTransformer(nn.Module):
    """One or several Mix Transformers side by side; ``streams`` are the prefixes of their layers' names."""

    def __init__(
        self,
        backbone: str,
        *,
        rates: Sequence[Sequence[float]],
        streams: Sequence[str] = ("",),
        parts: Parts | None = None,
    ) -> None:
        """``rates`` are the probabilities of stochastic depth, one list over all blocks for each stream."""
        super().__init__()
        parts, size = parts or Parts(), SIZES[backbone]
        self.widths = size.widths
        for stream in streams:
            inside = 3
            for stage, width in zip(STAGES, size.widths, strict=True):
                embedding = PatchEmbedding(inside, width, parts, first=stage == 1)
                self.add_module(f"{stream}patch_embed{stage}", embedding)
                inside = width
        for k, stage in enumerate(STAGES):
            width, first = size.widths[k], sum(size.depths[:k])
            for stream, own in zip(streams, rates, strict=True):
                drops = own[first : first + size.depths[k]]
                blocks = [Block(width, HEADS[k], REDUCTIONS[k], parts, drop) for drop in drops]
                self.add_module(f"{stream}block{stage}", nn.ModuleList(blocks))
                self.add_module(f"{stream}norm{stage}", parts.norm(width))

    def embed(self, stage: int, x: Tensor, stream: str = "") -> tuple[Tensor, Grid]:
        """Return the tokens that enter a stage's blocks, and the size of their map."""
        x, grid = getattr(self, f"{stream}patch_embed{stage}")(x)
        if min(grid) < REDUCTIONS[stage - 1]:
            raise UserError(
                f"the input is too small: its map at stage {stage} is {grid[0]}x{grid[1]}; use 29x29 at least"
            )
        return x, grid

    def blocks(self, stage: int, x: Tensor, grid: Grid, stream: str = "") -> Tensor:
        """Return the stage's map B,C,H,W from its tokens."""
        for block in getattr(self, f"{stream}block{stage}"):
            x = block(x, grid)
        return to_map(getattr(self, f"{stream}norm{stage}")(x), grid)

    def stage(self, stage: int, x: Tensor, stream: str = "") -> Tensor:
        """Return the map of a stage from that of the stage before (or from the image)."""
        return self.blocks(stage, *self.embed(stage, x, stream), stream)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four maps of the first stream, at 1/4, 1/8, 1/16 and 1/32."""
        maps = []
        for stage in STAGES:
            x = self.stage(stage, x)
            maps.append(x)
        return maps


def to_map(x: Tensor, grid: Grid) -> Tensor:
    """Return tokens B,N,C as a map B,C,H,W."""
    return x.transpose(1, 2).unflatten(2, tuple(grid))


def depth_rates(last: float, blocks: int) -> list[float]:
    """Return the probabilities of stochastic depth, from 0 at the first block to ``last``."""
    return [last * k / max(1, blocks - 1) for k in range(blocks)]
