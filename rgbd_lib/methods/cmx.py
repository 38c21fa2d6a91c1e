"""CMX: each sensor mends the other, then both meet in an attention whose cost is linear.

Idea       Rectify first: what one map lacks the other may add, by channel and by place. Then fuse: a small
           matrix of channels by channels sums up one whole image, and the other reads from it.
Paper      Zhang et al., CMX, T-ITS 2023, sections III-B (rectification) and III-C (fusion).
Here       r' = r + l_c w_d d + l_s s_d d,   d' = d + l_c w_r r + l_s s_r r                           (1)
             w = sigmoid(mlp([mean; max of r, d])) per channel,  s = sigmoid(conv(conv([r; d]))) per pixel
           u, y = halves of relu(linear(r')),   G_r = softmax(k_r^T v_r / sqrt(C/h)), k_r, v_r from u_r  (2)
           o_r = norm(r' + linear [y_r; u_r G_d]),   o_d = norm(d' + linear [y_d; u_d G_r])            (3)
           f = norm(W [o_r; o_d] + mix([o_r; o_d]))                                                   (4)
           A weight named after a modality multiplies that modality where it is added to the other one.
           r' and d' go on through the encoders; f goes to the decoder alone.
Differs    Two ResNet18 encoders and the U-Net's decoder instead of two transformers and an MLP head.
Names      l_c, l_s, G, u, y in the paper = lambda_c, lambda_s, context, read, kept here. Parameter names are
           those of the released weights.
"""

import math

import torch
from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder, channels
from rgbd_lib.methods.gemini import tokens, untokens
from rgbd_lib.methods.registry import Output, Target, method

HEADS = (1, 2, 4, 8)  # at layer1..4; the paper's transformer has 1, 2, 5, 8


class _MLP(nn.Module):
    """Two layers with a ReLU between, kept under the name ``mlp``."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.mlp = nn.Sequential(first, nn.ReLU(inplace=True), second)

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x).sigmoid()


class FeatureRectification(nn.Module):
    """Let each map add to itself what the other has (eq. 1)."""

    def __init__(self, width: int, lambda_c: float = 0.5, lambda_s: float = 0.5) -> None:
        super().__init__()
        self.lambda_c, self.lambda_s = lambda_c, lambda_s
        self.channel_weights = _MLP(nn.Linear(4 * width, 4 * width), nn.Linear(4 * width, 2 * width))
        self.spatial_weights = _MLP(nn.Conv2d(2 * width, width, 1), nn.Conv2d(width, 2, 1))
        self.apply(start)

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both maps rectified, and how much of (rgb, depth) was passed on: B,2,H,W."""
        both = torch.cat([rgb, depth], dim=1)
        summary = torch.cat([both.mean((2, 3)), both.amax((2, 3))], dim=1)  # B,4C
        by_channel = self.channel_weights(summary)[:, :, None, None].chunk(2, dim=1)  # twice B,C,1,1
        by_place = self.spatial_weights(both).chunk(2, dim=1)  # twice B,1,H,W
        from_rgb, from_depth = (
            self.lambda_c * c + self.lambda_s * s for c, s in zip(by_channel, by_place, strict=True)
        )  # B,C,H,W
        passed = torch.cat([from_rgb.mean(1, keepdim=True), from_depth.mean(1, keepdim=True)], dim=1)
        return rgb + from_depth * depth, depth + from_rgb * rgb, passed


class ContextAttention(nn.Module):
    """Summarise each sequence in a matrix of channels, and read from the other's (eq. 2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.kv1 = nn.Linear(width, 2 * width, bias=False)
        self.kv2 = nn.Linear(width, 2 * width, bias=False)

    def context(self, read: Tensor, kv: nn.Linear) -> Tensor:
        """Return B,h,d,d with columns that sum to 1; d = C/h."""
        k, v = (self.split(x) for x in kv(read).chunk(2, dim=-1))
        scale = k.shape[-1] ** -0.5
        return (k.transpose(-2, -1) @ v * scale).softmax(dim=-2)

    def split(self, x: Tensor) -> Tensor:
        """Return B,h,N,d from B,N,C."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each sequence B,N,C reads from the other's context."""
        contexts = self.context(depth, self.kv2), self.context(rgb, self.kv1)
        reads = (self.split(x) @ context for x, context in zip((rgb, depth), contexts, strict=True))
        return tuple(x.transpose(1, 2).flatten(-2) for x in reads)


class CrossPath(nn.Module):
    """Exchange by context attention, added to the tokens as they came (eq. 2-3)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.channel_proj1 = nn.Linear(width, 2 * width)
        self.channel_proj2 = nn.Linear(width, 2 * width)
        self.cross_attn = ContextAttention(width, heads)
        self.end_proj1 = nn.Linear(2 * width, width)
        self.end_proj2 = nn.Linear(2 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return both sequences B,N,C after the exchange."""
        kept1, read1 = self.channel_proj1(rgb).relu().chunk(2, dim=-1)
        kept2, read2 = self.channel_proj2(depth).relu().chunk(2, dim=-1)
        read1, read2 = self.cross_attn(read1, read2)
        return (
            self.norm1(rgb + self.end_proj1(torch.cat([kept1, read1], dim=-1))),
            self.norm2(depth + self.end_proj2(torch.cat([kept2, read2], dim=-1))),
        )


class ChannelEmbed(nn.Module):
    """Merge 2C channels into C, with a residual branch (eq. 4)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.residual = nn.Conv2d(2 * width, width, 1, bias=False)
        self.channel_embed = nn.Sequential(
            nn.Conv2d(2 * width, width, 1),
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.BatchNorm2d(width),
        )
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return B,C,H,W from B,2C,H,W."""
        return self.norm(self.residual(x) + self.channel_embed(x))


class FeatureFusion(nn.Module):
    """Exchange between two maps, then merge them into one (eq. 2-4)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.cross = CrossPath(width, heads)
        self.channel_emb = ChannelEmbed(width)
        self.apply(start)

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return the fused map B,C,H,W."""
        pair = self.cross(tokens(rgb), tokens(depth))
        return self.channel_emb(torch.cat([untokens(x, rgb) for x in pair], dim=1))


def start(layer: nn.Module) -> None:
    """Initialise as the paper's code does: linear truncated normal 0.02, convolution by fan-out."""
    if isinstance(layer, nn.Linear):
        nn.init.trunc_normal_(layer.weight, std=0.02)
    elif isinstance(layer, nn.Conv2d):
        fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
    if isinstance(layer, nn.Linear | nn.Conv2d) and layer.bias is not None:
        nn.init.zeros_(layer.bias)


@method(
    "cmx",
    title="CMX",
    family="attention",
    paper="Zhang et al., T-ITS 2023",
    color="#8A3BC4",
    marker="v",
    fuses="rectified both ways and fused at layer1..4",
)
class CMX(nn.Module):
    """Two encoders that rectify each other after layer1..4; fused maps feed the decoder."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        lambda_c: float = 0.5,
        lambda_s: float = 0.5,
        wiring: str = "study",
    ) -> None:
        """``lambda_c`` and ``lambda_s`` weigh rectification by channel and by place; 0 switches it off."""
        super().__init__()
        widths = channels(width)[1:]
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width)
        self.rectifications = nn.ModuleList(FeatureRectification(c, lambda_c, lambda_s) for c in widths)
        self.fusions = nn.ModuleList(FeatureFusion(c, h) for c, h in zip(widths, HEADS, strict=True))
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the fused maps; ``explain`` holds what each modality gave the other, B,1,H,W per stage."""
        size, maps, passed = rgb.shape[-2:], [], {}
        rgb_stem, *rgb_layers = self.encoder.stages()
        depth_stem, *depth_layers = self.depth_encoder.stages()
        rgb, depth = rgb_stem(rgb), depth_stem(depth)
        stages = zip(rgb_layers, depth_layers, self.rectifications, self.fusions, strict=True)
        for i, (rgb_layer, depth_layer, rectify, fuse) in enumerate(stages, start=1):
            rgb, depth, shares = rectify(rgb_layer(rgb), depth_layer(depth))
            maps.append(fuse(rgb, depth))
            if explain:
                passed |= {f"rgb_into_depth_{i}": shares[:, :1], f"depth_into_rgb_{i}": shares[:, 1:]}
        x1, x2, x3, x4 = maps
        return Output(self.decoder(x4, (x3, x2, x1), size), explain=passed)
