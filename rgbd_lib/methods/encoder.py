"""The ResNet18 encoder that every method shares.

Paper      He et al., Deep Residual Learning, CVPR 2016; blocks from torchvision.
Here       five maps at 1/2, 1/4, 1/8, 1/16, 1/32 of the input; any H, W (each stage rounds up).
Differs    A ``width`` factor scales all channel counts, so that small profiles stay the same network.
           ``stages`` ends the encoder early, where nobody would look at what follows.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from rgbd_lib.errors import UserError

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")
BASE_CHANNELS = (64, 64, 128, 256, 512)  # stem, layer1 .. layer4
_STEM = {"conv1": "stem.0", "bn1": "stem.1"}  # torchvision's names and ours


def channels(width: float = 1.0) -> tuple[int, ...]:
    """Return the channels of stem, layer1 .. layer4: multiples of 8, so that heads and gates divide."""
    return tuple(max(8, round(c * width / 8) * 8) for c in BASE_CHANNELS)


class Encoder(nn.Module):
    """ResNet18 without its classifier."""

    def __init__(self, in_channels: int = 3, width: float = 1.0, stages: int = 5) -> None:
        super().__init__()
        c = self.channels = channels(width)
        self.in_channels = in_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, c[0], 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(c[0]),
            nn.ReLU(inplace=True),
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = residual_stage(c[0], c[1], stride=1)
        self.layer2 = residual_stage(c[1], c[2], stride=2)
        self.layer3 = residual_stage(c[2], c[3], stride=2)
        self.layer4 = residual_stage(c[3], c[4], stride=2)
        self.count = stages
        for name in STAGES[stages:]:
            delattr(self, name)

    def stages(self) -> list[nn.Module]:
        """Return the stages in order, for methods that fuse between them."""
        stages = [getattr(self, name) for name in STAGES[: self.count]]
        return [*stages[:1], *(nn.Sequential(self.pool, s) for s in stages[1:2]), *stages[2:]]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of stem, layer1 .. layer4, each half the size of the one before."""
        maps = []
        for stage in self.stages():
            image = stage(image)
            maps.append(image)
        return maps

    def load_resnet18(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of torchvision's ResNet18; its classifier and stages cut off here are left out."""
        own = {name.split(".")[0] for name, _ in self.named_parameters()}
        named = {_our_name(key): value for key, value in state.items() if not key.startswith("fc.")}
        if "stem.0.weight" in named:
            named["stem.0.weight"] = stem_for(named["stem.0.weight"], self.in_channels)
        fitting = {k: v for k, v in named.items() if k.split(".")[0] in own or k.split(".")[0] not in STAGES}
        try:
            missing, unexpected = self.load_state_dict(fitting, strict=False)
        except RuntimeError as error:
            raise UserError(f"does not fit: {str(error).splitlines()[1].strip()}") from error
        if missing or unexpected:
            raise UserError(
                f"is no ResNet18: missing {_some(missing)}, unexpected {_some(unexpected)} (in names of this encoder)"
            )


def _our_name(key: str) -> str:
    """Return torchvision's conv1 and bn1 of the first level as our stem."""
    first, _, rest = key.partition(".")
    return f"{_STEM.get(first, first)}.{rest}"


def _some(names: list[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "nothing"


def stem_for(kernel: Tensor, in_channels: int) -> Tensor:
    """Return a 3-channel kernel for another number of channels: whatever is not RGB gets the mean of the three."""
    mean = kernel.mean(1, keepdim=True)
    if in_channels < 3:
        return mean.expand(-1, in_channels, -1, -1)
    return torch.cat([kernel, mean.expand(-1, in_channels - 3, -1, -1)], dim=1)


def residual_stage(
    inside: int, outside: int, stride: int, norm: type[nn.Module] = nn.BatchNorm2d
) -> nn.Sequential:
    """Return two basic residual blocks; the first may halve the size."""
    shortcut = None
    if stride != 1 or inside != outside:
        shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, stride=stride, bias=False), norm(outside))
    return nn.Sequential(
        BasicBlock(inside, outside, stride, shortcut, norm_layer=norm),
        BasicBlock(outside, outside, norm_layer=norm),
    )
