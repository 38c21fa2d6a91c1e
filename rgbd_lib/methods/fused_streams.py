"""Fusion operators put between the stages of two ResNet18 streams: at one place or at all.

Paper      Wang et al., NeurIPS 2020, tables of fusion baselines. They are named there, not defined; the
           definitions here reproduce the printed parameter counts.
Here       place     early = behind layer2, middle = layer3, late = layer4, all = layer1 .. layer4
           setting   "ours": shared convolutions, private norms, both streams to the end, scores rgb, depth and
                     ensemble, as in channel exchanging: what differs is the operator alone. The default.
                     "common": two encoders of their own up to the place, then one stream f and one decoder.
           ours      x_m <- x_m + f(x_rgb, x_depth);  common  x_rgb <- f(x_rgb, x_depth)
Differs    The source does not say how f re-enters two streams; here it is added to both, so that each keeps
           what is its own. Where one stream remains, skips from before the place are RGB's.
"""

from collections.abc import Callable

from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder, channels
from rgbd_lib.methods.parallel_unet import ParallelUNet
from rgbd_lib.methods.registry import Output, Target

PLACES = {"early": (2,), "middle": (3,), "late": (4,), "all": (1, 2, 3, 4)}
SETTINGS = ("ours", "common")


class Fusion(nn.Module):
    """An operator on the maps of both modalities: called with two maps, it returns how two streams go on."""

    def loss(self, rgb: Tensor, depth: Tensor) -> Tensor | float:
        """Return what the operator adds to the loss."""
        return 0.0

    def explain(self, rgb: Tensor, depth: Tensor) -> dict[str, Tensor]:
        """Return what there is to see."""
        return {}


class Merge(Fusion):
    """A fusion that makes one map of two; a subclass says in ``merge`` what f is."""

    merge: Callable[[Tensor, Tensor], Tensor]

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
        """Add f to both streams."""
        fused = self.merge(rgb, depth)
        return rgb + fused, depth + fused


class OneStream(nn.Module):
    """Two encoders; behind each place RGB's stream goes on with f, and depth's ends after the last."""

    def __init__(self, classes: int, fusions: dict[int, Merge], *, width: float, wiring: str) -> None:
        super().__init__()
        self.encoder = Encoder(3, width)
        self.depth_encoder = Encoder(1, width, stages=max(fusions) + 1)
        self.fusions = nn.ModuleDict({str(i): fusion for i, fusion in fusions.items()})
        self.decoder = Decoder(classes, width=width, wiring=wiring)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score the fused stream."""
        size, maps, shown = rgb.shape[-2:], [], {}
        depths = self.depth_encoder(depth)
        for i, stage in enumerate(self.encoder.stages()):
            rgb = stage(rgb)
            if str(i) in self.fusions:
                fusion = self.fusions[str(i)]
                if explain:
                    shown |= {f"layer{i}/{k}": v for k, v in fusion.explain(rgb, depths[i]).items()}
                rgb = fusion.merge(rgb, depths[i])
            maps.append(rgb)
        return Output(self.decoder(maps[4], maps[3:0:-1], size), explain=shown)


def fusions_at(place: str, width: float, operator: Callable[[int], Fusion]) -> dict[int, Fusion]:
    """Return an operator for each stage of a place, made for its number of channels."""
    if place not in PLACES:
        raise unknown("place", place, PLACES)
    return {i: operator(channels(width)[i]) for i in PLACES[place]}


def fused_unet(
    classes: int,
    operator: Callable[[int], Merge],
    *,
    width: float,
    wiring: str,
    place: str,
    setting: str,
    branch_loss: str,
) -> nn.Module:
    """Build the ResNet18-UNet with a fusion operator at a place, in one of the two settings."""
    fusions = fusions_at(place, width, operator)
    if setting not in SETTINGS:
        raise unknown("setting", setting, SETTINGS)
    if setting == "common":
        return OneStream(classes, fusions, width=width, wiring=wiring)
    return ParallelUNet(classes, width=width, wiring=wiring, fusions=fusions, branch_loss=branch_loss)
