"""CMX: two Mix Transformers that mend each other, and a fused map per stage for the head.

Idea       Rectify both maps after each stage and pass them on; fuse a copy for the decoder.
Paper      Zhang et al., CMX, T-ITS 2023; the arithmetic is that of the released code.
Here       for each stage i:  r, d <- stage_i(r), stage'_i(d);  r, d <- rectify_i(r, d)               (1)
                              f_i = fuse_i(r, d)            goes to the head alone                    (2)
           The operators of (1) and (2) are those of ``rgbd_lib.methods.cmx``.
Quirks     ``stage2_rates`` "released": in stage 2 every block of the RGB stream is dropped with the rate of the
                          stage's first block, every block of the other stream with that of the second;
                          "own": each block has its own rate. Acts in training only.
           ``head_eps``   1e-3 in the head's batch norm (the teacher's stays at 1e-5); 1e-5 is the sane value.
           ``bgr``        as in ``segformer.py``: the released weights saw B, G, R.
           The fusion's batch norms stay ordinary ones in the release even on several GPUs, so that the
           documented run normalises over one image per GPU; ``SyncBatchNorm.convert_sync_batchnorm`` mends it.
Names      r, d in the text = first and second input; depth or HHA, one channel or three. Parameter names are those
           of the released weights (FRMs = rectify, FFMs = fuse, extra_ = second stream).
"""

from collections.abc import Mapping

from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods.cmx import FeatureFusion, FeatureRectification, start
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.mit import HEADS, SIZES, STAGES, MixTransformer, depth_rates
from rgbd_lib.papers.registry import network
from rgbd_lib.papers.segformer import convolution_head, resize, three_channels

OTHER = "extra_"  # what the second stream's names begin with
RATES = ("released", "own")


class DualTransformer(MixTransformer):
    """Two encoders with rectification and fusion after each stage (eq. 1-2)."""

    def __init__(self, backbone: str, drop_path: float, stage2_rates: str) -> None:
        rates = stream_rates(backbone, drop_path, stage2_rates)
        super().__init__(backbone, rates=rates, streams=("", OTHER))
        self.FRMs = nn.ModuleList(FeatureRectification(c) for c in self.widths)
        self.FFMs = nn.ModuleList(FeatureFusion(c, h) for c, h in zip(self.widths, HEADS, strict=True))
        self.apply(start)

    def forward(self, rgb: Tensor, other: Tensor) -> list[Tensor]:
        """Return the four fused maps, at 1/4, 1/8, 1/16 and 1/32."""
        maps = []
        for stage, rectify, fuse in zip(STAGES, self.FRMs, self.FFMs, strict=True):
            rgb, other, _ = rectify(self.stage(stage, rgb), self.stage(stage, other, OTHER))
            maps.append(fuse(rgb, other))
        return maps


def stream_rates(backbone: str, drop_path: float, stage2_rates: str) -> list[list[float]]:
    """Return the rates of stochastic depth of both streams, block by block."""
    if stage2_rates not in RATES:
        raise unknown("rule for the rates of stage 2", stage2_rates, RATES)
    one, two, *_ = depths = SIZES[backbone].depths
    own = depth_rates(drop_path, sum(depths))
    if stage2_rates == "own":
        return [own, own]
    return [own[:one] + [own[one + stream]] * two + own[one + two :] for stream in (0, 1)]


@network({f"cmx-{size}": {"backbone": size} for size in SIZES}, title="CMX", paper="Zhang et al., T-ITS 2023")
class CMX(nn.Module):
    """Two streams, one head on the fused maps."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str,
        embed: int = 512,
        head_eps: float = 1e-3,
        drop_path: float = 0.1,
        stage2_rates: str = "released",
        bgr: bool = False,
        adapters: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """``adapters`` are layers that only training uses; see the quirks of this file for the rest."""
        super().__init__()
        self.backbone = DualTransformer(backbone, drop_path, stage2_rates)
        widths = self.backbone.widths
        self.decode_head = convolution_head(classes, widths, embed=embed, eps=head_eps, adapters=adapters)
        self.bgr = bgr

    def forward(self, rgb: Tensor, depth: Tensor, full_size: bool = True) -> Output:
        """Score both inputs together; there are no scores of one modality alone."""
        return self.score(self.fused(rgb, depth), rgb, full_size)

    def fused(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return the fused maps of the four stages."""
        return self.backbone(three_channels(rgb, self.bgr), three_channels(depth))

    def score(self, maps: list[Tensor], rgb: Tensor, full_size: bool) -> Output:
        """Return the head's scores, at 1/4 or at the size of ``rgb``."""
        logits = self.decode_head(maps)
        return Output(resize(logits, rgb.shape[-2:]) if full_size else logits)
