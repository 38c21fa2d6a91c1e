"""RGB baseline: one encoder, one decoder, no depth.

Idea       What colour alone can do. Every other method must beat this to have fused anything.
Paper      the seed study on MM5 (ResNet18-UNet), section "RGB only".
Here       logits = D(E(rgb)); depth is accepted and ignored.
Names      E, D = encoder, decoder here.
"""

from torch import Tensor

from rgbd_lib.methods.registry import Output, Target, method
from rgbd_lib.methods.unet import UNet


@method("rgb", title="RGB only", family="baseline", paper="Seed study", color="#000000")
class RGBOnly(UNet):
    """The ResNet18-UNet on colour alone."""

    def __init__(self, classes: int, *, width: float = 1.0, wiring: str = "study") -> None:
        super().__init__(classes, 3, width, wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score ``rgb``; ``depth`` is not looked at."""
        return Output(self.score(rgb))
