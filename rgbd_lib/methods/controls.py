"""Controls: what looks like fusion but cannot be.

Idea       A method with depth differs from the RGB baseline in more than depth: it has more parameters, a second
           encoder, another input that shakes the optimiser. Each control keeps one of these and takes the
           information away. What mid fusion gains beyond all four is what depth has told it.
Paper      none; the comparison of 13.7 with 25.4 million parameters in the seed study asked for them.
Here       ``rgb_twice``       mid fusion whose second encoder sees RGB again: parameters, no new sensor
           ``depth_zero``      mid fusion with depth = 0 (the mean depth) everywhere: parameters, no input
           ``depth_shuffled``  mid fusion with the depth of another image: statistics without agreement
           ``rgb_wide``        the RGB baseline, 1.36 times as wide: the parameters in one encoder
Differs    A shuffled depth must not match by accident. Image b of a batch of B gets the depth of image b + B/2,
           turned by half a turn: neighbours in a batch may be one scene under several lights, and a batch of one
           has no other depth than its own. So results of this one method depend on the batch; in training and in
           evaluation alike depth never belongs to the pixel it is given to.
"""

import torch
from torch import Tensor

from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.mid import MidFusion
from rgbd_lib.methods.registry import Output, Target, method
from rgbd_lib.methods.unet import UNet

WIDER = 1.36  # the decoder and both encoders of mid fusion, as one encoder and its decoder


@method(
    "rgb_twice",
    title="RGB twice",
    family="control",
    paper="Ours",
    color="#9C6B3F",
    marker="X",
    fuses="as mid, without depth",
)
class RGBTwice(MidFusion):
    """Mid fusion of RGB with itself."""

    def add_depth_encoder(self, width: float, stages: int) -> None:
        """Make a second encoder for three channels."""
        # not called depth_encoder: what that finds may be shared by images with one depth (``evaluation.py``)
        self.second_encoder = Encoder(3, width, stages)

    def second_maps(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return what the second encoder finds in RGB."""
        return self.second_encoder(rgb)


@method(
    "depth_zero",
    title="Depth zeroed",
    family="control",
    paper="Ours",
    color="#C9B08D",
    marker="X",
    fuses="as mid, depth = 0",
)
class DepthZero(MidFusion):
    """Mid fusion that is never given a depth image."""

    def second_maps(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return what the depth encoder makes of nothing."""
        return self.depth_encoder(torch.zeros_like(depth))


@method(
    "depth_shuffled",
    title="Depth shuffled",
    family="control",
    paper="Ours",
    color="#5B4636",
    marker="X",
    fuses="as mid, depth of another image",
)
class DepthShuffled(MidFusion):
    """Mid fusion with depth that belongs to something else."""

    def second_maps(self, rgb: Tensor, depth: Tensor) -> list[Tensor]:
        """Return what the depth encoder finds in a depth image that does not match."""
        return self.depth_encoder(mismatched(depth))


def mismatched(depth: Tensor) -> Tensor:
    """Return for each image the depth of the one half a batch further, turned by half a turn."""
    return depth.roll(len(depth) // 2, dims=0).flip(-2, -1)


@method(
    "rgb_wide",
    title="RGB only, wider",
    family="control",
    paper="Ours",
    color="#A9A9A9",
    marker="X",
)
class RGBWide(UNet):
    """The RGB baseline with as many parameters as mid fusion."""

    def __init__(self, classes: int, *, width: float = 1.0, wiring: str = "study") -> None:
        super().__init__(classes, 3, WIDER * width, wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score ``rgb``; ``depth`` is not looked at."""
        return Output(self.score(rgb))
