"""One encoder and one decoder on one image: what a baseline is, and what late fusion has twice.

Here       scores = D(x4; x3, x2, x1),  x1 .. x4 = E(image)
"""

from torch import Tensor, nn

from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder


class UNet(nn.Module):
    """The ResNet18-UNet of an image with any number of channels."""

    def __init__(self, classes: int, in_channels: int, width: float, wiring: str) -> None:
        super().__init__()
        self.encoder = Encoder(in_channels, width)
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def score(self, image: Tensor) -> Tensor:
        """Return class scores B,K,H,W."""
        _, x1, x2, x3, x4 = self.encoder(image)
        return self.decoder(x4, (x3, x2, x1), image.shape[-2:])
