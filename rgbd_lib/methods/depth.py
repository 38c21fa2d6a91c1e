"""Depth baseline: one encoder, one decoder, no colour.

Idea       What shape alone can do, and the only method here that light cannot touch. Where it is as good as a
           fusion, that fusion has fused nothing.
Paper      none; the seed study has no depth-only row.
Here       logits = D(E(depth)); the stem has one input channel. RGB is accepted and ignored.
Names      E, D = encoder, decoder here.
"""

from torch import Tensor

from rgbd_lib.methods.registry import Output, Target, method
from rgbd_lib.methods.unet import UNet


@method("depth", title="Depth only", family="baseline", paper="Ours", color="#606060")
class DepthOnly(UNet):
    """The ResNet18-UNet on depth alone."""

    def __init__(self, classes: int, *, width: float = 1.0, wiring: str = "study") -> None:
        super().__init__(classes, 1, width, wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score ``depth``; ``rgb`` is not looked at."""
        return Output(self.score(depth))
