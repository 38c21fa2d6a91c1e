"""GeminiFusion: one transformer for all modalities, which meet pixel by pixel in every block.

Idea       Share all weights between the modalities and keep only norms private; let each pixel look at its twin in
           the other modality in every block; decode both streams with one head and average the scores.
Paper      Jia et al., GeminiFusion, ICML 2024; the arithmetic is that of the released code.
Here       Modalities pass through shared layers as one batch M·B; a private norm takes that batch apart.
           MiT    attention = W_o meet(attend(rgb), attend(depth))        before the output projection  (1)
           Swin   attention = meet(attention(rgb), attention(depth))      behind it                     (2)
           meet is the operator of ``rgbd_lib.methods.gemini``.
           logits = softmax(alpha)_0 rgb + softmax(alpha)_1 depth                                       (3)
           Four modalities: at each stage extra inputs are weighted, x_i <- x_i (1 + sigmoid(conv(x_i))), and
           their maximum passes the blocks beside RGB; the next stage reads x_i + that stream's map     (4)
Quirks     ``freeze_bn``  The head's batch norm stays in evaluation mode, so its statistics stay 0 and 1 if trained
                          from scratch. False: it learns them.
           ``detach``     (3) sees the scores without gradients: its loss teaches nothing but alpha (which the
                          release gives to no optimizer group, unless there are four modalities).
           ``resize``     Scores are resized bilinearly in the loss ("bilinear"), but by cubic interpolation
                          where the release evaluates ("bicubic").
           ``spare_net``  With M modalities M scoring networks exist per stage, and the last is never asked.
                          False leaves it out.
           ``always_shift`` as in ``swin.py``.
           Every private norm has eps 1e-6, in MiT also behind patches and reduction, where the plain network has
           1e-5. Swin's block and merging norms are shared and have 1e-5. The relation score is a softmax over
           channels and the noise is a constant: see ``rgbd_lib.methods.gemini``.
Names      alpha, meet in the text = alpha, cross_attn_*, relation_judger, k_noise, v_noise. Parameter names are
           those of the released weights; ``deliver`` gives those of the four-modality branch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.cmx import start
from rgbd_lib.methods.gemini import GeminiFusionBlock
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers import mit, swin
from rgbd_lib.papers.mit import STAGES, Grid
from rgbd_lib.papers.registry import network
from rgbd_lib.papers.segformer import Head, three_channels

RESIZES = ("bilinear", "bicubic")
# Stochastic depth of the published runs on NYUv2; 0.2 with four modalities. Other sizes were not published.
DROP_PATH = {
    "mit_b3": 0.4,
    "mit_b5": 0.35,
    "swin_tiny": 0.2,
    "swin_small": 0.4,
    "swin_large": 0.4,
    "swin_large_384": 0.2,
}


class Shared(nn.Module):
    """A layer that all modalities have in common."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: object) -> Tensor:
        """Return the layer's output for the batch of all modalities."""
        return self.module(*inputs)


class PrivateNorm(nn.Module):
    """A LayerNorm for each modality; the batch M·B holds one modality after the other."""

    def __init__(self, width: int, modalities: int = 2) -> None:
        super().__init__()
        for m in range(modalities):
            self.add_module(f"ln_{m}", nn.LayerNorm(width, eps=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Return M·B,N,C, each modality normalised by its own layer."""
        norms = list(self.children())
        return torch.cat([norm(part) for norm, part in zip(norms, x.chunk(len(norms)), strict=True)])


class Meeting:
    """Holds the layers of a GeminiFusionBlock as one's own: the released names have no level of their own for it."""

    fuse, exchange, score = GeminiFusionBlock.forward, GeminiFusionBlock.exchange, GeminiFusionBlock.score

    def adopt(self, width: int) -> None:
        """Register the fusion's layers, which come last in the state dict."""
        for name, layer in GeminiFusionBlock(width).named_children():
            self.add_module(name, layer)

    def meet(self, x: Tensor) -> Tensor:
        """Return the batch 2·B,N,C after both modalities have looked at each other."""
        rgb, depth, *_ = self.fuse(*x.chunk(2))
        return torch.cat([rgb, depth])


class MeetingAttention(Meeting, mit.Attention):
    """MiT's attention with the meeting before its last projection (eq. 1)."""

    def __init__(self, width: int, heads: int, reduction: int, parts: mit.Parts) -> None:
        super().__init__(width, heads, reduction, parts)
        self.adopt(width)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Return 2·B,N,C."""
        return self.proj(self.meet(self.attend(x, grid)))


class MeetingSwinBlock(Meeting, swin.SwinBlock):
    """Swin's block with the meeting behind the attention (eq. 2)."""

    def __init__(self, width: int, *args: object) -> None:
        super().__init__(width, *args)
        self.adopt(width)

    def attend(self, x: Tensor, grid: Grid) -> Tensor:
        """Return 2·B,N,C."""
        return self.meet(super().attend(x, grid))


def twin_parts(modalities: int = 2) -> mit.Parts:
    """Return the layers of a Mix Transformer through which several modalities pass."""

    def patch_norm(width: int) -> nn.Module:
        return PrivateNorm(width, modalities)

    return mit.Parts(Shared, PrivateNorm, patch_norm, PrivateNorm, MeetingAttention)


class TwinMix(mit.MixTransformer):
    """A Mix Transformer for M modalities, of which the last M - 1 share a stream (eq. 4 if M > 2)."""

    def __init__(self, backbone: str, drop_path: float, modalities: int, spare_net: bool) -> None:
        rates = mit.depth_rates(drop_path, sum(mit.SIZES[backbone].depths))
        super().__init__(backbone, rates=[rates], parts=twin_parts(modalities))
        self.modalities = modalities
        if modalities > 2:
            nets = modalities if spare_net else modalities - 1
            self.extra_score_predictor = nn.ModuleList(ScoreNets(c, nets) for c in self.widths)
        self.apply(start)

    def forward(self, inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return RGB's and the other stream's map of each stage."""
        maps = []
        for stage in STAGES:
            x, grid = self.embed(stage, torch.cat(list(inputs)))
            rgb, *extras = x.chunk(self.modalities)
            if self.modalities > 2:
                extras = self.extra_score_predictor[stage - 1](extras, grid)
            merged = torch.stack(extras).amax(0)
            maps.append(self.blocks(stage, torch.cat([rgb, merged]), grid).chunk(2))
            inputs = list(maps[-1])
            if self.modalities > 2:
                inputs = [inputs[0], *(mit.to_map(extra, grid) + inputs[1] for extra in extras)]
        return maps


class ScoreNets(nn.Module):
    """Raise each extra modality where its own network finds it worth while (eq. 4)."""

    def __init__(self, width: int, nets: int) -> None:
        super().__init__()
        self.score_nets = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.Conv2d(width, 1, 1))
            for _ in range(nets)
        )

    def forward(self, extras: Sequence[Tensor], grid: Grid) -> list[Tensor]:
        """Return the extra modalities B,N,C, each multiplied by 1 to 2 per pixel."""
        scores = (net(mit.to_map(x, grid)).sigmoid() for net, x in zip(self.score_nets, extras, strict=False))
        return [x + x * mit.tokens(score) for x, score in zip(extras, scores, strict=True)]


class TwinSwin(nn.Module):
    """A Swin Transformer through which two modalities pass."""

    def __init__(self, backbone: str, drop_path: float, always_shift: bool) -> None:
        super().__init__()
        self.body = swin.Swin(
            backbone,
            drop_path=drop_path,
            always_shift=always_shift,
            shared=Shared,
            norm=PrivateNorm,
            block=MeetingSwinBlock,
        )
        self.widths = self.body.widths

    def forward(self, inputs: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return both modalities' map of each stage."""
        return [x.chunk(2) for x in self.body(torch.cat(list(inputs)))]


class Mix(nn.Module):
    """1x1 convolution without bias, batch norm and ReLU, under their released names."""

    def __init__(self, embed: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * embed, embed, 1, bias=False)
        self.bn = nn.BatchNorm2d(embed)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,E,H,W from B,4E,H,W."""
        return self.bn(self.conv(x)).relu()


@network(
    {f"geminifusion-{size}": {"backbone": size} for size in (*mit.SIZES, *swin.SIZES)},
    title="GeminiFusion",
    paper="Jia et al., ICML 2024",
)
class GeminiFusion(nn.Module):
    """One encoder and one head for all modalities, and the mean of the scores (eq. 3)."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str,
        modalities: int = 2,
        deliver: bool | None = None,
        embed: int | None = None,
        drop_path: float | None = None,
        freeze_bn: bool = True,
        detach: bool = True,
        resize: str = "bilinear",
        spare_net: bool = True,
        always_shift: bool = True,
    ) -> None:
        """``deliver``: names and head (512 instead of 256 wide) of the branch for four modalities, its default there."""
        super().__init__()
        deliver = modalities > 2 if deliver is None else deliver
        if modalities < 2 or (modalities > 2 and not deliver):
            raise UserError(
                f"geminifusion: modalities={modalities} is not possible; use 2, or more with deliver=True"
            )
        if deliver and backbone in swin.SIZES:
            raise UserError(
                f"geminifusion: the branch for more modalities has no '{backbone}'; use mit_b0 to mit_b5"
            )
        if resize not in RESIZES:
            raise unknown("resize", resize, RESIZES)
        if drop_path is None:
            drop_path = 0.2 if modalities > 2 else DROP_PATH.get(backbone, 0.4)
        self.modalities = modalities
        self.freeze_bn, self.detach, self.mode = freeze_bn, detach, resize
        self.names = ("backbone", "decode_head") if deliver else ("encoder", "decoder")
        self.alpha = nn.Parameter(torch.ones(2))
        if backbone in swin.SIZES:
            encoder = TwinSwin(backbone, drop_path, always_shift)
        else:
            encoder = TwinMix(backbone, drop_path, modalities, spare_net)
        embed = embed or (512 if deliver else 256)
        order = STAGES if deliver else tuple(reversed(STAGES))
        head = Head(classes, encoder.widths, Mix(embed), embed=embed, order=order)
        for name, module in zip(self.names, (encoder, head), strict=True):
            self.add_module(name, module)

    def train(self, mode: bool = True) -> "GeminiFusion":
        """Switch to training, all but a frozen batch norm."""
        super().train(mode)
        if self.freeze_bn:
            getattr(self, self.names[1]).linear_fuse.bn.eval()
        return self

    def forward(
        self, rgb: Tensor | Sequence[Tensor], depth: Tensor | None = None, full_size: bool = True
    ) -> Output:
        """Score the ensemble; ``branches`` holds each stream. More modalities come as one list, RGB first."""
        inputs = [rgb, depth] if isinstance(rgb, Tensor) else list(rgb)
        encoder, head = (getattr(self, name) for name in self.names)
        if len(inputs) != self.modalities or any(x is None for x in inputs):
            raise UserError(f"geminifusion: {self.modalities} inputs are needed, as a list or (rgb, depth)")
        maps = encoder([three_channels(x) for x in inputs])
        scores = [head(stream) for stream in zip(*maps, strict=True)]
        if full_size:
            size = inputs[0].shape[-2:]
            scores = [F.interpolate(s, size=size, mode=self.mode, align_corners=False) for s in scores]
        seen = [s.detach() for s in scores] if self.detach else scores
        logits = sum(weight * s for weight, s in zip(self.alpha.softmax(0), seen, strict=True))
        return Output(logits, dict(zip(("rgb", "depth"), scores, strict=True)))
