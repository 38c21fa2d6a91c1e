"""RefineNet's decoder: from coarse to fine, each stage refines what the coarser one has seen.

Idea       Every encoder stage is first adapted by residual units, then added to the coarser stage's map, then
           pooled in a chain (context without losing resolution), then refined once more.
Paper      Lin et al., RefineNet, CVPR 2017, section 3; the arithmetic is that of the released code of CEN.
Here       unit(x)   = conv(relu(conv(h) + b)) + h,   h = relu(x)                                     (1)
           chain(x)  = x + t_1 + .. + t_4,   t_i = conv(pool_5x5(t_{i-1})),  t_0 = x   (2)
           g_1       = joint(unit^3(chain(relu(unit^2(reduce(drop(l4)))))))                           (3)
           g_i       = joint(unit^3(chain(relu(joint'(unit^2(reduce(l_{5-i}))) + up(g_{i-1})))))      (4)
           scores    = classify(drop(g_4)), where g_4 has no last joint; l3 is dropped too, l2 and l1 are not
Quirks     ``relu_residual`` (1) adds h, not x: the released ReLU works in place on a tensor that the sum still
                             points to. False: the identity of the paper.
           ``align_corners`` up() puts the corner pixels of both maps over each other. False: the usual grid.
           All convolutions are 3x3, although the released file calls itself the light-weight 1x1 variant.
           Dropout takes single values, not channels.
Names      unit, chain, joint, joint', reduce = adapt_stageG_b and mflow_conv_gG_b, mflow_conv_gG_pool, _b3_joint,
           _b2_joint, p_ims1d2_outlG: parameter names are those of the released weights. G counts from the
           coarsest stage. All layers are shared by all modalities, which pass as one batch.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.papers.geminifusion import Shared

UNITS_BEFORE, UNITS_AFTER, POOLINGS = 2, 3, 4


def conv(inside: int, outside: int, bias: bool = False) -> Shared:
    """Return a 3x3 convolution that keeps the size."""
    return Shared(nn.Conv2d(inside, outside, 3, padding=1, bias=bias))


class ResidualUnits(nn.Module):
    """Some residual units, one after the other (eq. 1)."""

    def __init__(self, width: int, count: int, *, relu_residual: bool = True) -> None:
        super().__init__()
        self.relu_residual = relu_residual
        for i in range(1, count + 1):
            self.add_module(f"{i}_conv", conv(width, width, bias=True))
            self.add_module(f"{i}_conv_relu_varout_dimred", conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return B,C,H,W."""
        layers = list(self.children())
        for first, second in zip(layers[::2], layers[1::2], strict=True):
            h = x.relu()
            x = second(first(h).relu()) + (h if self.relu_residual else x)
        return x


class ChainedPooling(nn.Module):
    """A chain of poolings and convolutions; the sum of all links (eq. 2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        for i in range(1, POOLINGS + 1):
            self.add_module(f"{i}_outvar_dimred", conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Return B,C,H,W."""
        link = x
        for layer in self.children():
            link = layer(F.max_pool2d(link, 5, stride=1, padding=2))
            x = x + link
        return x


class Decoder:
    """Holds RefineNet's layers as one's own: the released names have no level of their own for it."""

    def adopt_decoder(
        self,
        classes: int,
        inside: Sequence[int],
        *,
        dropout: float = 0.5,
        relu_residual: bool = True,
        align_corners: bool = True,
    ) -> None:
        """Register the layers; ``inside`` are the channels of l1 to l4."""

        def units(count: int, width: int) -> nn.Sequential:
            return nn.Sequential(ResidualUnits(width, count, relu_residual=relu_residual))

        self.dropout, self.align_corners = nn.Dropout(dropout), align_corners
        for g, channels in enumerate(reversed(inside), start=1):
            width = 512 if g == 1 else 256
            self.add_module(f"p_ims1d2_outl{g}_dimred", conv(channels, width))
            self.add_module(f"adapt_stage{g}_b", units(UNITS_BEFORE, width))
            if g > 1:
                self.add_module(f"adapt_stage{g}_b2_joint_varout_dimred", conv(width, width))
            self.add_module(f"mflow_conv_g{g}_pool", nn.Sequential(ChainedPooling(width)))
            self.add_module(f"mflow_conv_g{g}_b", units(UNITS_AFTER, width))
            if g < len(inside):
                self.add_module(f"mflow_conv_g{g}_b3_joint_varout_dimred", conv(width, 256))
        self.clf_conv = conv(256, classes, bias=True)

    def flows(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return g_1 to g_4, coarse to fine, from l1 to l4 (eq. 3-4)."""
        l1, l2, l3, l4 = maps
        flows = []
        for g, x in enumerate((self.dropout(l4), self.dropout(l3), l2, l1), start=1):
            flows.append(self.refine(g, x, flows[-1] if flows else None))
        return flows

    def refine(self, g: int, x: Tensor, coarser: Tensor | None) -> Tensor:
        """Return the map of decoder stage ``g`` at the size of its encoder map ``x``."""
        x = self.get_submodule(f"adapt_stage{g}_b")(self.get_submodule(f"p_ims1d2_outl{g}_dimred")(x))
        if coarser is not None:
            x = self.get_submodule(f"adapt_stage{g}_b2_joint_varout_dimred")(x) + self.up(coarser, x)
        x = self.get_submodule(f"mflow_conv_g{g}_pool")(x.relu())
        x = self.get_submodule(f"mflow_conv_g{g}_b")(x)
        joint = getattr(self, f"mflow_conv_g{g}_b3_joint_varout_dimred", None)
        return x if joint is None else joint(x)

    def up(self, x: Tensor, like: Tensor) -> Tensor:
        """Return a map at the size of another."""
        size = like.shape[-2:]
        return F.interpolate(x, size=size, mode="bilinear", align_corners=self.align_corners)

    def classify(self, flow: Tensor) -> Tensor:
        """Return class scores B,K,H/4,W/4 from g_4."""
        return self.clf_conv(self.dropout(flow))
