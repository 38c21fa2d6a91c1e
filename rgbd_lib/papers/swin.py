"""Swin Transformer as an encoder for dense prediction.

Idea       Attention within windows costs what the number of pixels costs; shifting the windows by half in every
           second block lets neighbours talk.
Paper      Liu et al., Swin Transformer, ICCV 2021, in the form used for detection and segmentation.
Here       t <- t + attention_in_windows(norm(t)),   t <- t + W_2 gelu(W_1 norm(t))                   (1)
             weights = softmax(q k^T / sqrt(d) + b + m): b learned by relative position, m = -100 between
             pixels that only a shift has brought into one window                                     (2)
           Between stages 2x2 pixels become one: norm, then linear 4C -> 2C. Each stage's output has a norm of
           its own; what goes on to the next stage has not.
           A map is filled up with zeros at its right and lower edge to whole windows; they are attended to.
Quirks     ``always_shift``  This form shifts even where one window holds the whole map, which cuts the map into
                             parts for nothing. False: not there, as in the classifier.
           The multi-stream release cannot fill up images whose sides are no multiples of 4 (it stops with an
           error); here they are filled up with zeros, as the single-stream original does.
Names      b, m in the text = relative_position_bias_table, mask. Parameter names are those of the released weights;
           the constant ``relative_position_index`` of old files is checked and not kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.methods.cmx import start
from rgbd_lib.methods.gemini import tokens
from rgbd_lib.papers.mit import DropPath, Grid, depth_rates, to_map

NEVER = -100.0  # added to the score of a pair that must not meet


@dataclass(frozen=True)
class Size:
    """Channels of the first stage, blocks and heads of the four stages, side of a window."""

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int = 7


SIZES = {
    "swin_tiny": Size(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    "swin_small": Size(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    "swin_large": Size(192, (2, 2, 18, 2), (6, 12, 24, 48)),
    "swin_large_384": Size(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12),
}


class WindowAttention(nn.Module):
    """Attention among the pixels of one window (eq. 2)."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_load_state_dict_pre_hook(drop_index)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return B,windows,T,C; ``mask`` is windows,1,T,T, to be added to the scores."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)  # B,windows,h,T,d
        index = relative_index(self.window).to(x.device)
        bias = self.relative_position_bias_table[index].permute(2, 0, 1)  # h,T,T
        bias = bias if mask is None else bias + mask
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        return self.proj(out.transpose(2, 3).flatten(-2))


@cache
def relative_index(window: int) -> Tensor:
    """Return T,T: the row of the bias table for each pair of a window's pixels."""
    with torch.device("cpu"), torch.inference_mode(False):  # kept for all later calls, training included
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        dy, dx = (i.flatten()[:, None] - i.flatten() + window - 1 for i in (y, x))
    return dy * (2 * window - 1) + dx


def drop_index(module: WindowAttention, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Take the constant index out of a state dict, if it is the one that is meant."""
    index = state.get(prefix + "relative_position_index")
    if index is not None and torch.equal(index.cpu().long(), relative_index(module.window)):
        del state[prefix + "relative_position_index"]


def split(x: Tensor, window: int) -> Tensor:
    """Return a map B,H,W,C as windows B,N,T,C; H and W are multiples of the window."""
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window))  # B,nH,w,nW,w,C
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def join(x: Tensor, size: Grid, window: int) -> Tensor:
    """Return windows B,N,T,C as a map B,H,W,C."""
    x = x.unflatten(1, (size[0] // window, -1)).unflatten(3, (window, window))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def shift_mask(size: Grid, window: int, shifts: Grid) -> Tensor:
    """Return windows,1,T,T: 0 for pixels that were neighbours before the shift, -100 for the others."""
    wrapped_rows, wrapped_columns = (torch.arange(n) >= n - s for n, s in zip(size, shifts, strict=True))
    part = 2 * wrapped_rows[:, None].int() + wrapped_columns  # H,W: which of four parts of the map
    part = split(part[None, :, :, None], window)[0, :, :, 0]  # windows,T
    return NEVER * (part[:, None, :] != part[:, :, None])[:, None].float()


class MLP(nn.Module):
    """Two linear layers, C -> 4C -> C."""

    def __init__(self, width: int, shared: Callable) -> None:
        super().__init__()
        self.fc1 = shared(nn.Linear(width, 4 * width))
        self.fc2 = shared(nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return B,N,C."""
        return self.fc2(F.gelu(self.fc1(x)))


class SwinBlock(nn.Module):
    """Attention in windows, then the feed-forward part (eq. 1)."""

    def __init__(
        self,
        width: int,
        heads: int,
        window: int,
        shift: int,
        shared: Callable[[nn.Module], nn.Module],
        drop_path: float = 0.0,
        always_shift: bool = True,
    ) -> None:
        super().__init__()
        self.window, self.shift, self.always_shift = window, shift, always_shift
        self.norm1 = shared(nn.LayerNorm(width))
        self.attn = shared(WindowAttention(width, heads, window))
        self.norm2 = shared(nn.LayerNorm(width))
        self.mlp = MLP(width, shared)
        self.drop_path = DropPath(drop_path)

    def attend(self, x: Tensor, grid: Grid) -> Tensor:
        """Return what each pixel finds in its window, B,N,C."""
        size = [n + -n % self.window for n in grid]
        shifts = [self.shift if self.always_shift or n > self.window else 0 for n in size]
        x = x.unflatten(1, tuple(grid))
        x = F.pad(x, (0, 0, 0, size[1] - grid[1], 0, size[0] - grid[0]))  # B,H,W,C
        x = split(x.roll([-s for s in shifts], (1, 2)), self.window)
        mask = shift_mask(size, self.window, shifts).to(x) if any(shifts) else None
        x = join(self.attn(x, mask), size, self.window).roll(shifts, (1, 2))
        return x[:, : grid[0], : grid[1]].flatten(1, 2)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C."""
        x = x + self.drop_path(self.attend(self.norm1(x), grid))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchMerging(nn.Module):
    """Make one pixel of 2C channels from 2x2 of C."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N/4,2C; an odd side is filled up with zeros."""
        x = F.pad(x.unflatten(1, tuple(grid)), (0, 0, 0, grid[1] % 2, 0, grid[0] % 2))
        corners = [x[:, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1).flatten(1, 2)))


class Stage(nn.Module):
    """Blocks, unshifted and shifted in turn, and the merging that leads to the next stage."""

    def __init__(self, blocks: Sequence[SwinBlock], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return B,N,C before the merging."""
        for block in self.blocks:
            x = block(x, grid)
        return x


class PatchEmbedding(nn.Module):
    """One token from each 4x4 pixels."""

    def __init__(self, width: int, shared: Callable, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.proj = shared(nn.Conv2d(3, width, 4, 4))
        self.norm = norm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Return tokens B,N,C and the height and width of their map."""
        x = self.proj(F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)))
        return self.norm(tokens(x)), x.shape[-2:]


class Swin(nn.Module):
    """Four maps of an image; ``shared``, ``norm`` and ``block`` let several streams pass through as one batch."""

    def __init__(
        self,
        backbone: str,
        *,
        drop_path: float = 0.2,
        always_shift: bool = True,
        shared: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        norm: Callable[[int], nn.Module] = nn.LayerNorm,
        block: type[SwinBlock] = SwinBlock,
    ) -> None:
        """``norm`` makes the norm behind the patches and those of the four outputs."""
        super().__init__()
        size = SIZES[backbone]
        self.widths = tuple(size.width * 2**k for k in range(4))
        self.patch_embed = PatchEmbedding(size.width, shared, norm)
        rates = iter(depth_rates(drop_path, sum(size.depths)))
        self.layers = nn.ModuleList()
        for width, depth, heads in zip(self.widths, size.depths, size.heads, strict=True):
            shifts = [size.window // 2 * (i % 2) for i in range(depth)]
            blocks = [block(width, heads, size.window, s, shared, next(rates), always_shift) for s in shifts]
            merging = shared(PatchMerging(width)) if len(self.layers) < 3 else None
            self.layers.append(Stage(blocks, merging))
        for k, width in enumerate(self.widths):
            self.add_module(f"norm{k}", norm(width))
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                start(layer)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps at 1/4, 1/8, 1/16 and 1/32."""
        (x, grid), maps = self.patch_embed(x), []
        for k, stage in enumerate(self.layers):
            x = stage(x, grid)
            maps.append(to_map(getattr(self, f"norm{k}")(x), grid))
            if k < 3:
                x = stage.downsample(x, grid)
                grid = [-(-n // 2) for n in grid]
        return maps
