"""SegFormer: one Mix Transformer and a head of linear layers.

Idea       If the encoder sees far, the decoder may be simple: bring four maps to one width and one size, mix.
Paper      Xie et al., SegFormer, NeurIPS 2021, section 3.2; here as PrimKD's teacher has it (embed 512).
Here       scores = W_p dropout(relu(norm(W_f [up(W_4 x4); up(W_3 x3); up(W_2 x2); W_1 x1])))         (1)
           at 1/4 of the input, then resized bilinearly (align_corners=False) to the input's size.
Quirks     ``head_eps``  The batch norm of the head has eps 1e-3 in CMX and PrimKD's student, but stays at 1e-5 in
                         a teacher that is loaded for distillation. Both release defaults are kept; the sane choice
                         is one value for both.
           ``bgr``       CMX, PrimKD and their teachers were trained on images in B, G, R order, normalised with
                         the statistics of R, G, B. ``bgr=True`` turns a normalised RGB image into what they saw.
           The release's builder gives b0's encoder for "mit_b1" and b2 for "mit_b3"; here names mean what they say.
Names      Parameter names are those of the released weights.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.methods.cmx import start
from rgbd_lib.methods.gemini import tokens
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.mit import SIZES, MixTransformer, depth_rates, to_map
from rgbd_lib.papers.registry import network

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class Projection(nn.Module):
    """One linear layer on every pixel of a map."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inside, outside)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,E,H,W from B,C,H,W."""
        return to_map(self.proj(tokens(x)), x.shape[-2:])


class Head(nn.Module):
    """Class scores at the size of the finest map (eq. 1)."""

    def __init__(
        self,
        classes: int,
        widths: Sequence[int],
        mix: nn.Module,
        *,
        embed: int,
        order: Sequence[int] = (4, 3, 2, 1),
        adapters: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """``mix`` is W_f, norm and relu; ``order`` and ``adapters`` only place layers among the released names."""
        super().__init__()
        for stage in order:
            self.add_module(f"linear_c{stage}", Projection(widths[stage - 1], embed))
        for name, adapter in (adapters or {}).items():
            self.add_module(name, adapter)
        self.linear_fuse = mix
        self.dropout = nn.Dropout2d(0.1)
        self.linear_pred = nn.Conv2d(embed, classes, 1)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return scores B,K,H/4,W/4 from the maps of stages 1 to 4."""
        x1, *coarse = (getattr(self, f"linear_c{k}")(x) for k, x in enumerate(maps, start=1))
        coarse = [resize(x, x1.shape[-2:]) for x in coarse]
        return self.linear_pred(self.dropout(self.linear_fuse(torch.cat([*reversed(coarse), x1], dim=1))))


def convolution_head(
    classes: int,
    widths: Sequence[int],
    *,
    embed: int,
    eps: float,
    adapters: Mapping[str, nn.Module] | None = None,
) -> Head:
    """Return the head of CMX and PrimKD: W_f has a bias, convolutions start as He proposed."""
    mix = nn.Sequential(nn.Conv2d(4 * embed, embed, 1), nn.BatchNorm2d(embed, eps=eps), nn.ReLU())
    head = Head(classes, widths, mix, embed=embed, adapters=adapters)
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return head


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return a map at another size, bilinearly."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def three_channels(x: Tensor, bgr: bool = False) -> Tensor:
    """Return an input with three channels; ``bgr`` gives a normalised RGB image the order of the release."""
    x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
    if not bgr:
        return x
    mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    return ((x * std + mean).flip(1) - mean) / std


@network(
    {f"segformer-{size}": {"backbone": size} for size in SIZES},
    title="SegFormer",
    paper="Xie et al., NeurIPS 2021",
)
class SegFormer(nn.Module):
    """One stream; PrimKD's teacher has this form."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str,
        embed: int = 512,
        head_eps: float = 1e-5,
        drop_path: float = 0.1,
        bgr: bool = False,
    ) -> None:
        """``embed`` is the head's width; see the quirks of this file for ``head_eps`` and ``bgr``."""
        super().__init__()
        rates = depth_rates(drop_path, sum(SIZES[backbone].depths))
        self.backbone = MixTransformer(backbone, rates=[rates])
        self.backbone.apply(start)
        self.decode_head = convolution_head(classes, self.backbone.widths, embed=embed, eps=head_eps)
        self.bgr = bgr

    def forward(self, rgb: Tensor, depth: Tensor | None = None, full_size: bool = True) -> Output:
        """Score RGB; ``depth`` is there for the harness and not looked at."""
        logits = self.decode_head(self.backbone(three_channels(rgb, self.bgr)))
        logits = resize(logits, rgb.shape[-2:]) if full_size else logits
        return Output(logits, {"rgb": logits})
