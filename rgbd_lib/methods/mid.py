"""Mid fusion: two encoders, one decoder, and a choice of places where they meet.

Idea       Each sensor gets filters and norms of its own; the decoder sees both. The question of the chapter is
           *where* the two should meet.
Paper      the seed study on MM5, section "mid fusion".
Here       at every place s of ``fuse_at``, with r_s, d_s the maps of both encoders there,
           into="decoder"   D gets [r_s; d_s] where it would have got r_s; the encoders never meet
           into="encoder"   f_s = W_s [r_s; d_s], 1x1, 2C -> C; D gets f_s and the RGB encoder goes on with it
           The stem is no skip of the baseline's decoder: there, into="decoder" hands over d alone, at 1/2, and
           into="encoder" hands over nothing. The depth encoder ends at its last place.
Differs    Nothing by default: the released code concatenates the bottleneck (layer4) and the 1/8 skip (layer2).
           The study's text says layer3: ``fuse_at=("layer3", "layer4")``; 25,521,792 instead of 25,423,488
           parameters at 32 classes. For a fair sweep over places use one place and into="encoder": it
           touches the decoder nowhere.
Names      r, d, W, D in the text = rgb, depth, mix, decoder here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import STAGES, Encoder, channels
from rgbd_lib.methods.registry import Output, Target, method


class SideBySide(nn.Module):
    """The decoder gets both maps, the encoder goes on with its own."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = 2 * channels

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder goes on with, and what the decoder gets."""
        return rgb, torch.cat([rgb, depth], dim=1)


class DepthBeside(nn.Module):
    """The decoder gets depth's map alone, at a place where RGB hands nothing over."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_channels = channels

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder goes on with, and what the decoder gets."""
        return rgb, depth


class Mixed(nn.Module):
    """Encoder and decoder both go on with a mixture of the two maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, channels, 1)  # W
        self.out_channels = channels

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder goes on with, and what the decoder gets."""
        fused = self.mix(torch.cat([rgb, depth], dim=1))
        return fused, fused


JOINTS = {"decoder": (DepthBeside, SideBySide), "encoder": (Mixed, Mixed)}  # at the stem, at the layers


@method(
    "mid",
    title="Mid fusion",
    family="concat",
    paper="Seed study",
    color="#0357F5",
    marker="s",
    fuses="1/8 skip and 1/32",
)
class MidFusion(nn.Module):
    """Two encoders that meet at the places of ``fuse_at`` (stem, layer1 .. layer4)."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        fuse_at: Sequence[str] = ("layer2", "layer4"),
        into: str = "decoder",
        wiring: str = "study",
    ) -> None:
        super().__init__()
        fuse_at = (fuse_at,) if isinstance(fuse_at, str) else tuple(fuse_at)
        for place in fuse_at:
            if place not in STAGES:
                raise unknown("place", place, STAGES)
        if into not in JOINTS:
            raise unknown("into", into, JOINTS)
        at_stem, at_layer = JOINTS[into]
        c = dict(zip(STAGES, channels(width), strict=True))
        self.joints = nn.ModuleDict(
            {s: (at_stem if s == "stem" else at_layer)(c[s]) for s in STAGES if s in fuse_at}
        )
        self.encoder = Encoder(3, width)
        self.add_depth_encoder(width, stages=1 + max(map(STAGES.index, fuse_at), default=-1))
        given = c | {s: joint.out_channels for s, joint in self.joints.items()}
        self.stem_is_skip = into == "decoder" and "stem" in self.joints
        self.decoder = Decoder(
            classes,
            width=width,
            bottleneck=given["layer4"],
            skips=(given["layer3"], given["layer2"], given["layer1"]),
            stem=given["stem"] * self.stem_is_skip,
            wiring=wiring,
        )

    def add_depth_encoder(self, width: float, stages: int) -> None:
        """Make the second encoder, as far as it is needed."""
        self.depth_encoder = Encoder(1, width, stages)

    def second_maps(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return the maps of the second encoder; the controls show it something else."""
        return self.depth_encoder(depth)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score what both encoders found."""
        size, given = rgb.shape[-2:], []
        depth_maps = self.second_maps(rgb, depth)
        for i, stage in enumerate(self.encoder.stages()):
            rgb = handed_over = stage(rgb)
            if STAGES[i] in self.joints:
                rgb, handed_over = self.joints[STAGES[i]](rgb, depth_maps[i])
            given.append(handed_over)
        stem, x1, x2, x3, x4 = given
        return Output(self.decoder(x4, (x3, x2, x1), size, stem if self.stem_is_skip else None))
