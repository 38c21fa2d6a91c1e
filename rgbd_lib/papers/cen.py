"""CEN: two modalities through one RefineNet, and silent channels replaced by the other modality's.

Idea       Share every convolution, keep batch norms private, and let a channel whose scale has become small carry
           the other modality. The decoder has no norms, so both modalities share it whole.
Paper      Wang et al., Deep Multimodal Fusion by Channel Exchanging, NeurIPS 2020; the arithmetic is that of the
           released code. The operators are those of ``rgbd_lib.methods.parallel``.
Here       Modalities pass as one batch M·B. In every bottleneck of a ResNet
             x <- relu(shortcut(x) + n3(c3(relu(exchange(n2(c2(relu(n1(c1(x))))))))))                 (1)
             c1, c3 are 1x1, c2 is 3x3 and carries the stride; n1, n2, n3 are private norms
             exchange replaces channels of |scale| < 0.02 by the other modality's, in training and evaluation
           scores_m = decoder of ``refinenet.py``, at 1/4 of the input
           logits   = softmax(alpha)_0 scores_0 + softmax(alpha)_1 scores_1                           (2)
Quirks     ``detach``     (2) sees the scores without gradients: its loss teaches nothing but alpha. With one
                          modality, too, logits equal the branch's scores but only the branch learns.
           ``half_only``  The paper exchanges only channels that are penalised (first half for RGB, second for
                          depth), the release any channel. True: as the paper says.
           ``freeze_bn``  Norms stay in evaluation mode: their statistics remain those of the pre-trained
                          network, scales and shifts are trained. From random weights that makes no sense: False.
           ``resize``     "released": scores are resized bilinearly in training and by cubic interpolation in
                          evaluation; "bilinear" or "bicubic": always so.
           ``relu_residual``, ``align_corners`` as in ``refinenet.py``.
           The penalised halves alternate in the order of the scales. With two modalities that is one half each;
           with one, first and second half take turns from block to block (and nothing can be exchanged).
           The ResNet's stem is shared as well, so depth needs three channels: one is repeated. It is raw, in
           metres (16-bit value / 5000), not normalised; RGB is normalised with ImageNet's mean and deviation.
Names      n2 = bn2, c2 = conv2, alpha = alpha. Parameter names are those of the released weights.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.initialise import he
from rgbd_lib.methods.parallel import ExchangeNorm, Private, join, own_part
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.geminifusion import Shared
from rgbd_lib.papers.refinenet import Decoder
from rgbd_lib.papers.registry import network
from rgbd_lib.papers.segformer import three_channels

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
MODALITIES = ("rgb", "depth")
RESIZES = {  # in training, in evaluation
    "released": ("bilinear", "bicubic"),
    "bilinear": ("bilinear", "bilinear"),
    "bicubic": ("bicubic", "bicubic"),
}


class Norms(Private):
    """A batch norm for each modality, under its released name."""

    def __init__(self, norms: Iterable[nn.Module]) -> None:
        nn.Module.__init__(self)
        for m, norm in enumerate(norms):
            self.add_module(f"bn_{m}", norm)

    @property
    def of(self) -> list[nn.Module]:
        """Return the norms in the order of the modalities."""
        return list(self.children())


class ExchangeNorms(Norms, ExchangeNorm):
    """Private norms with the exchange behind them."""

    def __init__(self, norms: Iterable[nn.Module], *, threshold: float, half_only: bool) -> None:
        super().__init__(norms)
        self.threshold, self.half_only = threshold, half_only


class Bottleneck(nn.Module):
    """ResNet's block, with the exchange behind its 3x3 convolution (eq. 1)."""

    def __init__(self, inside: int, width: int, stride: int, modalities: int, exchange: Mapping) -> None:
        super().__init__()
        outside = EXPANSION * width
        self.conv1 = shared_conv(inside, width, 1)
        self.bn1 = Norms(norms(width, modalities))
        self.conv2 = shared_conv(width, width, 3, stride)
        self.bn2 = ExchangeNorms(norms(width, modalities), **exchange)
        self.conv3 = shared_conv(width, outside, 1)
        self.bn3 = Norms(norms(outside, modalities))
        self.downsample = nn.Sequential()
        if inside != outside:
            self.downsample.append(shared_conv(inside, outside, 1, stride))
            self.downsample.append(Norms(norms(outside, modalities)))

    def forward(self, x: Tensor) -> Tensor:
        """Return M·B,4·width,H,W."""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()


def shared_conv(inside: int, outside: int, kernel: int, stride: int = 1) -> Shared:
    """Return a convolution without bias that all modalities share."""
    return Shared(nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False))


def norms(width: int, modalities: int) -> list[nn.Module]:
    """Return a batch norm for each modality."""
    return [nn.BatchNorm2d(width) for _ in range(modalities)]


class Encoder(nn.Module):
    """A ResNet through which all modalities pass."""

    def __init__(self, depths: Iterable[int], modalities: int, exchange: Mapping[str, object]) -> None:
        super().__init__()
        self.conv1 = shared_conv(3, WIDTHS[0], 7, 2)
        self.bn1 = Norms(norms(WIDTHS[0], modalities))
        inside = WIDTHS[0]
        for stage, (width, depth) in enumerate(zip(WIDTHS, depths, strict=True), start=1):
            blocks = nn.Sequential()
            for block in range(depth):
                stride = 2 if stage > 1 and block == 0 else 1
                blocks.append(Bottleneck(inside, width, stride, modalities, exchange))
                inside = EXPANSION * width
            self.add_module(f"layer{stage}", blocks)
        he(self)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Return l1 to l4, the maps at 1/4, 1/8, 1/16 and 1/32, from M·B,3,H,W."""
        x = F.max_pool2d(self.bn1(self.conv1(x)).relu(), 3, stride=2, padding=1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take torchvision's weights of the same ResNet; every modality's norms start from the same values."""
        ours = {key: parameter for key, parameter in self.state_dict().items() if key.startswith(ENCODER)}
        sources = {key: plain_name(key) for key in ours}
        wrong = [s for k, s in sources.items() if s not in state or state[s].shape != ours[k].shape]
        if wrong:
            raise UserError(
                f"this state dict is not that of the same ResNet: {wrong[0]} and {len(wrong) - 1} more do not "
                "fit. Give torchvision's resnet50, resnet101 or resnet152, as the name of the network says"
            )
        self.load_state_dict({key: state[source] for key, source in sources.items()}, strict=False)


ENCODER = ("conv1.", "bn1.", "layer")


def plain_name(key: str) -> str:
    """Return what torchvision calls a layer: there is one norm, and nothing is shared."""
    return ".".join(part for part in key.split(".") if part != "module" and not part.startswith("bn_"))


@network(
    {f"cen-refinenet{size}": {"backbone": size} for size in DEPTHS},
    title="CEN",
    paper="Wang et al., NeurIPS 2020",
)
class CEN(Decoder, Encoder):
    """RefineNet for one or two modalities and the weighted sum of their scores (eq. 2)."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: int,
        modalities: int = 2,
        threshold: float = 0.02,
        half_only: bool = False,
        detach: bool = True,
        freeze_bn: bool = True,
        resize: str = "released",
        dropout: float = 0.5,
        relu_residual: bool = True,
        align_corners: bool = True,
    ) -> None:
        """``threshold=0`` exchanges nothing; see the quirks of this file for the rest."""
        if modalities not in (1, 2):
            raise UserError(f"cen: modalities={modalities} is not possible; the released network has 1 or 2")
        if resize not in RESIZES:
            raise unknown("resize", resize, RESIZES)
        super().__init__(DEPTHS[backbone], modalities, {"threshold": threshold, "half_only": half_only})
        self.alpha = nn.Parameter(torch.ones(modalities))
        self.adopt_decoder(
            classes,
            [EXPANSION * width for width in WIDTHS],
            dropout=dropout,
            relu_residual=relu_residual,
            align_corners=align_corners,
        )
        self.modalities, self.detach, self.freeze_bn = modalities, detach, freeze_bn
        self.training_resize, self.evaluation_resize = RESIZES[resize]

    def halves(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the encoder's parameters and all others, which the paper trains at different rates."""
        encoder, rest = [], []
        for name, parameter in self.named_parameters():
            (encoder if name.startswith(ENCODER) else rest).append(parameter)
        return encoder, rest

    def points(self) -> dict[str, ExchangeNorms]:
        """Return the exchange points by block: "layer1.0" to "layer4.2"."""
        found = self.named_modules()
        return {n.rpartition(".")[0]: m for n, m in found if isinstance(m, ExchangeNorms)}

    def penalty(self) -> Tensor:
        """Return the sum of |scale| over the halves that are to become silent.

        The release adds it, times 2e-4, once for each of its outputs.
        """
        scales = [scale for point in self.points().values() for scale in point.scales()]
        halves = [scale[own_part(len(scale), i % 2, 2)] for i, scale in enumerate(scales)]
        return torch.cat(halves).abs().sum()

    def train(self, mode: bool = True) -> "CEN":
        """Switch to training, all but frozen norms."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train(mode and not self.freeze_bn)
        return self

    def forward(self, rgb: Tensor, depth: Tensor | None = None, full_size: bool = True) -> Output:
        """Score the ensemble; ``branches`` holds each modality. With one modality ``depth`` is not looked at."""
        inputs = [rgb, depth][: self.modalities]
        if any(x is None for x in inputs):
            raise UserError("cen: depth is missing; give it, or build the network with modalities=1")
        flows = self.flows(self.encode(join([three_channels(x) for x in inputs])))
        scores = self.classify(flows[-1]).chunk(self.modalities)
        seen = [s.detach() for s in scores] if self.detach else scores
        logits = sum(weight * s for weight, s in zip(self.alpha.softmax(0), seen, strict=True))
        outputs = [logits, *scores]
        if full_size:
            mode = self.training_resize if self.training else self.evaluation_resize
            size = rgb.shape[-2:]
            outputs = [F.interpolate(s, size=size, mode=mode, align_corners=False) for s in outputs]
        return Output(outputs[0], dict(zip(MODALITIES, outputs[1:], strict=False)))
