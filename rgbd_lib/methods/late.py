"""Late fusion: two complete networks vote.

Idea       Nobody talks until both have decided. Each network can be read alone, a dead sensor spoils only one
           vote, and nothing that needs both at once can ever be learned.
Paper      the seed study on MM5, section "late fusion".
Here       logits = w · U_rgb(rgb) + (1 - w) · U_depth(depth),  with w one of
           mean         1/2
           learned      softmax of two learned numbers: one trust in each sensor, for all images
           confidence   per pixel: softmax over sensors of -s · entropy(class scores), s learned from 1
Differs    The study has ``mean`` alone; the other two are ours, chosen with ``weighting=``.
Names      w, s = weight, sharpness here.
"""

import torch
from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods.registry import Output, Target, method
from rgbd_lib.methods.unet import UNet


class Mean(nn.Module):
    """Both votes count the same."""

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return 1/2 as 1,1,1,1."""
        return rgb.new_full((1, 1, 1, 1), 0.5)


class Learned(nn.Module):
    """Each sensor has one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.zeros(2))

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return RGB's weight as 1,1,1,1."""
        return self.trust.softmax(0)[0].view(1, 1, 1, 1)


class Confidence(nn.Module):
    """At every pixel the less uncertain network has more weight."""

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.ones(()))

    def forward(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return RGB's weight B,1,H,W."""
        return (self.sharpness * (entropy(depth) - entropy(rgb))).sigmoid()  # softmax of two


def entropy(scores: Tensor) -> Tensor:
    """Return the entropy B,1,H,W of the class probabilities, in nats."""
    log_p = scores.float().log_softmax(1)
    return -(log_p.exp() * log_p).sum(1, keepdim=True)


WEIGHTINGS = {"mean": Mean, "learned": Learned, "confidence": Confidence}


@method(
    "late",
    title="Late fusion",
    family="concat",
    paper="Seed study",
    color="#190894",
    marker="s",
    fuses="class scores",
)
class LateFusion(nn.Module):
    """Two ResNet18-UNets and a weighted mean of their scores."""

    def __init__(
        self, classes: int, *, width: float = 1.0, wiring: str = "study", weighting: str = "mean"
    ) -> None:
        super().__init__()
        if weighting not in WEIGHTINGS:
            raise unknown("weighting", weighting, WEIGHTINGS)
        self.rgb = UNet(classes, 3, width, wiring)
        self.depth = UNet(classes, 1, width, wiring)
        self.weighting = WEIGHTINGS[weighting]()

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score both inputs apart and mix; ``explain`` holds RGB's weight."""
        votes = {"rgb": self.rgb.score(rgb), "depth": self.depth.score(depth)}
        weight = self.weighting(**votes)
        logits = weight * votes["rgb"] + (1 - weight) * votes["depth"]
        return Output(logits, branches=votes, explain={"rgb_weight": weight} if explain else {})
