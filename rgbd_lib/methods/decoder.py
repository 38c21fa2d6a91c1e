"""The U-Net decoder and head that every method shares.

Paper      Ronneberger et al., U-Net, MICCAI 2015, in the wiring of the seed study.
Here       x <- convs(up(x)), then the skip is concatenated and enters the *next* up-convolution.
           The stem's map is no skip, unless a method hands one over.
Differs    ``wiring="unet"`` is the usual order instead: concatenate first, then convolve.
           An up-convolution doubles the size; where an odd size was rounded up on the way down,
           the surplus row or column is cut off again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods.encoder import channels

WIRINGS = ("study", "unet")


def double_conv(inside: int, outside: int) -> nn.Sequential:
    """Return two 3x3 convolutions, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for c in (inside, outside):
        layers += [nn.Conv2d(c, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UpBlock(nn.Module):
    """Double the size, then two convolutions; ``skip`` channels join before or after them."""

    def __init__(self, inside: int, outside: int, skip: int, wiring: str) -> None:
        super().__init__()
        self.skip_first = wiring == "unet"
        self.up = nn.ConvTranspose2d(inside, outside, 2, stride=2)
        self.convs = double_conv(outside + skip * self.skip_first, outside)
        self.out_channels = outside + skip * (not self.skip_first)

    def forward(self, x: Tensor, skip: Tensor | None, size: Sequence[int]) -> Tensor:
        """Return the map at ``size``, joined with ``skip``."""
        x = self.up(x)[..., : size[0], : size[1]]
        if skip is None:
            return self.convs(x)
        if self.skip_first:
            return self.convs(torch.cat([x, skip], dim=1))
        return torch.cat([self.convs(x), skip], dim=1)


class Decoder(nn.Module):
    """From the 1/32 map and three skips (1/16, 1/8, 1/4) to class scores at the input's size."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        bottleneck: int | None = None,
        skips: Sequence[int] | None = None,
        stem: int = 0,
        wiring: str = "study",
    ) -> None:
        """``bottleneck``, ``skips`` and ``stem`` are the channels of what comes in, where not the encoder's."""
        super().__init__()
        if wiring not in WIRINGS:
            raise unknown("decoder wiring", wiring, WIRINGS)
        c1, c2, c3, c4 = channels(width)[1:]
        half = max(8, c1 // 2)
        s3, s2, s1 = skips or (c3, c2, c1)
        self.up4 = UpBlock(bottleneck or c4, c3, s3, wiring)
        self.up3 = UpBlock(self.up4.out_channels, c2, s2, wiring)
        self.up2 = UpBlock(self.up3.out_channels, c1, s1, wiring)
        self.up1 = UpBlock(self.up2.out_channels, c1, stem, wiring)
        self.up0 = nn.ConvTranspose2d(self.up1.out_channels, half, 2, stride=2)
        self.norm0 = nn.Sequential(nn.BatchNorm2d(half), nn.ReLU(inplace=True))
        self.classify = nn.Conv2d(half, classes, 1)

    def features(
        self, bottleneck: Tensor, skips: Sequence[Tensor], size: Sequence[int], stem: Tensor | None = None
    ) -> Tensor:
        """Return the last map before the classifier, at ``size`` (the input's H, W)."""
        s3, s2, s1 = skips
        x = self.up4(bottleneck, s3, s3.shape[-2:])
        x = self.up3(x, s2, s2.shape[-2:])
        x = self.up2(x, s1, s1.shape[-2:])
        x = self.up1(x, stem, [-(-s // 2) for s in size])
        return self.norm0(self.up0(x)[..., : size[0], : size[1]])

    def forward(
        self, bottleneck: Tensor, skips: Sequence[Tensor], size: Sequence[int], stem: Tensor | None = None
    ) -> Tensor:
        """Return class scores B,K,H,W; ``skips`` from coarse (1/16) to fine (1/4), ``stem`` one more at 1/2."""
        return self.classify(self.features(bottleneck, skips, size, stem))
