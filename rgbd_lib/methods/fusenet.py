"""FuseNet: depth features are summed into RGB features after each stage.

Idea       Two encoders; the depth encoder never sees colour, the RGB encoder goes on with the sum. Both
           sides of the sum have passed a ReLU, so what one modality has found the other cannot cancel.
Paper      Hazirbas, Ma, Domokos, Cremers, FuseNet, ACCV 2016, section 3; the classifier is that of a public
           PyTorch port with joint scene classification.
Here       D_s = depth_s(D_{s-1}),  F_s = rgb_s(F_{s-1}) + D_s,  s = stem, layer1 .. layer4            (1)
           loss = task + lambda * CE(classify(mean over pixels of F_5), scene)                        (2)
           SFk sums once at the end of stages 1..k, DFk after every block of stages 1..k. The depth encoder
           ends where the last sum is. SF0 is the RGB baseline.
Differs    The shared ResNet18-UNet instead of two VGG-16s: skips instead of unpooling with remembered
           indices (those belong to max-pooled VGG stages), no dropout, as for all methods here. The stem is
           one block, so DF1 is SF1. The classifier pools to one vector instead of 7 x 10 x 512 (163 million
           weights). ``auxiliary="lighting"`` is an experiment of this project, not FuseNet's.
Names      D_s, F_s, lambda in the paper = depth, rgb, auxiliary_weight here.
"""

import re
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import STAGES, Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method

VARIANTS = ("SF0", *(f"{kind}{k}" for kind in ("SF", "DF") for k in range(1, 6)))
Operator = Callable[[Tensor, Tensor], Tensor]


def mean(rgb: Tensor, depth: Tensor) -> Tensor:
    """Return the mean, which one public port takes for the sum."""
    return (rgb + depth) / 2


def keep(rgb: Tensor, depth: Tensor) -> Tensor:
    """Return RGB as it is: no fusion here."""
    return rgb


def scene_class(target: Target) -> Tensor:
    """Return the scene classes, which not every data set has."""
    if target.scene_class is None:
        raise UserError(
            "fusenet: auxiliary 'scene' needs scene classes, and this data set has none. "
            "Use auxiliary=lighting, or none"
        )
    return target.scene_class


def lighting(target: Target) -> Tensor:
    """Return the lighting index, which every batch has."""
    return target.lighting


FUSIONS: dict[str, Operator] = {"sum": torch.add, "mean": mean}
AUXILIARIES: dict[str, tuple[Callable[[Target], Tensor] | None, int]] = {
    "none": (None, 0),
    "scene": (scene_class, 10),  # NYUv2's nine largest scene types and "others"
    "lighting": (lighting, 8),  # MM5's eight lights
}


@method(
    "fusenet",
    title="FuseNet",
    family="sum",
    paper="Hazirbas et al., ACCV 2016",
    color="#91AA94",
    marker="D",
    fuses="sum after the stem and layer1..4",
)
class FuseNet(nn.Module):
    """Two encoders of which the RGB one carries the sums (eq. 1), one decoder, an optional classifier."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        variant: str = "SF5",
        fusion: str = "sum",
        auxiliary: str = "none",
        auxiliary_classes: int | None = None,
        auxiliary_weight: float = 0.001,
        wiring: str = "study",
    ) -> None:
        """``auxiliary`` is "none", "scene" or "lighting": what the classifier at the bottleneck learns."""
        super().__init__()
        if variant not in VARIANTS:
            raise unknown("FuseNet variant", variant, VARIANTS)
        if fusion not in FUSIONS:
            raise unknown("FuseNet fusion", fusion, FUSIONS)
        if auxiliary not in AUXILIARIES:
            raise unknown("FuseNet auxiliary", auxiliary, AUXILIARIES)
        self.operators = operators(variant, FUSIONS[fusion])
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width, stages=int(variant[-1]))
        self.decoder = Decoder(classes, width=width, wiring=wiring)
        self.auxiliary, count = AUXILIARIES[auxiliary]
        self.auxiliary_weight = auxiliary_weight
        self.classifier = (
            nn.Linear(channels(width)[-1], auxiliary_classes or count) if self.auxiliary else None
        )

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the sums; ``explain`` holds depth's share of the energy at the end of each fused stage."""
        size, maps, shares = rgb.shape[-2:], [], {}
        parts = zip(STAGES, blocks(self.encoder), blocks(self.depth_encoder), self.operators, strict=True)
        for name, rgb_blocks, depth_blocks, fuses in parts:
            for rgb_block, depth_block, fuse in zip(rgb_blocks, depth_blocks, fuses, strict=True):
                own, depth = rgb_block(rgb), depth_block(depth)
                rgb = fuse(own, depth)  # (1)
            maps.append(rgb)
            if explain and fuses[-1] is not keep:
                shares[f"depth_share_{name}"] = energy_share(depth, own)
        out = Output(self.decoder(maps[4], (maps[3], maps[2], maps[1]), size), explain=shares)
        if self.classifier is not None:
            self.classify(maps[4], out, target, explain)
        return out

    def classify(self, bottleneck: Tensor, out: Output, target: Target | None, explain: bool) -> None:
        """Add the classifier's loss (eq. 2) or its verdict to ``out``, where they are wanted."""
        wanted = self.training and target is not None
        if not (wanted or explain):
            return
        scores = self.classifier(bottleneck.mean((2, 3))).float()  # B,S
        if wanted:
            out.extra_loss = self.auxiliary_weight * F.cross_entropy(scores, self.auxiliary(target))
        if explain:
            out.explain["auxiliary"] = scores.softmax(1)


def operators(variant: str, fuse: Operator) -> list[tuple[Operator, ...]]:
    """Return what happens after each block of each stage: ``fuse`` or ``keep``."""
    kind, k = re.fullmatch(r"([SD]F)(\d)", variant).groups()
    inner = fuse if kind == "DF" else keep
    fused = [(fuse,), *[(inner, fuse)] * 4]
    plain = [(keep,), *[(keep, keep)] * 4]
    return fused[: int(k)] + plain[int(k) :]


def blocks(encoder: Encoder) -> list[Sequence[nn.Module]]:
    """Return the blocks of each stage, one for the stem and two for each layer; no-ops where it has ended."""
    none = nn.Identity()
    layers = [tuple(getattr(encoder, name, (none, none))) for name in STAGES[1:]]
    layers[0] = nn.Sequential(encoder.pool, layers[0][0]), layers[0][1]
    return [(getattr(encoder, "stem", none),), *layers]


def energy_share(part: Tensor, rest: Tensor) -> Tensor:
    """Return the share B,1,H,W of ``part`` in the summed squares of both."""
    a, b = (x.float().square().sum(1, keepdim=True) for x in (part, rest))
    return a / (a + b).clamp(min=torch.finfo(a.dtype).tiny)
