"""Average: both streams go on with their mean.

Idea       Fusion with no parameter and no choice. What a learned operator must beat, and the contrast to
           channel exchanging, which has no parameters either but decides channel by channel.
Paper      Baseline of Wang et al., NeurIPS 2020 (there for image translation only).
Here       f = (x_rgb + x_depth) / 2,   x_m <- f
Differs    f replaces both streams instead of being added to them: added, it would only reweight them. Behind
           the place the streams differ by their private norms and by the skips from before it. Default place:
           middle; with "all" no difference is left, both branches and the ensemble are the same numbers.
"""

from torch import Tensor, nn

from rgbd_lib.methods.fused_streams import Merge, fused_unet
from rgbd_lib.methods.registry import method


class Average(Merge):
    """The mean of both maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def merge(self, rgb: Tensor, depth: Tensor) -> Tensor:
        """Return (x_rgb + x_depth) / 2."""
        return (rgb + depth) / 2

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Give both streams the mean."""
        fused = self.merge(rgb, depth)
        return fused, fused


@method(
    "average",
    title="Average",
    family="sum",
    paper="Wang et al., NeurIPS 2020 (baseline)",
    color="#B8A34A",
    marker="h",
    fuses="layer3",
)
def average(
    classes: int,
    *,
    width: float = 1.0,
    wiring: str = "study",
    place: str = "middle",
    setting: str = "ours",
    branch_loss: str = "dice+ce",
) -> nn.Module:
    """Build the network with the average at a place."""
    options = {"width": width, "wiring": wiring, "branch_loss": branch_loss}
    return fused_unet(classes, Average, place=place, setting=setting, **options)
