"""FuseNet: two VGG-16 encoders, depth summed into colour, and a decoder that remembers where maxima were.

Idea       The depth encoder never sees colour, the RGB encoder goes on with the sum. Both sides have passed a ReLU,
           so what one modality has found the other cannot cancel. The decoder puts values back where the pooling
           took them from, and convolutions fill the gaps.
Paper      Hazirbas, Ma, Domokos, Cremers, FuseNet, ACCV 2016; the arithmetic is that of a public PyTorch port, which
           adds the scene classifier.
Here       block    = relu(norm(conv 3x3)), with bias; a stage is 2, 2, 3, 3, 3 blocks
           D_s      = stage_s(d_{s-1}),         d_s = drop(pool(D_s))                                 (1)
           F_s      = stage_s(f_{s-1}) + D_s,   f_s, i_s = drop(pool(F_s))                            (2)
           y_{s-1}  = drop(stage'_s(unpool(y_s, i_s))),   y_5 = f_5,   logits = y_0                   (3)
           scene    = W_3 drop(relu(W_2 drop(relu(W_1 f_5))))                                         (4)
           Dropout acts behind the poolings 3, 4, 5 and the decoder stages 5, 4, 3. SFk sums at the end of stages
           1 to k, DFk behind every block of these stages; the depth encoder ends at stage k, SF0 is RGB alone.
Quirks     ``fusion``       "sum" as in the paper; "mean" halves each sum, as another port does.
           ``dropout``      0.5 here and in the authors' network, 0.4 in the other port.
           ``ceil_pooling`` The authors' network rounds odd sizes up when pooling, both ports down (False).
           ``scene_head``   "released": two layers of 4096 on 7x10x512 values, 163.6 million weights; "light": one
                            layer on the mean over all pixels.
           ``bgr``          The weights were made for R, G, B, the port's data file seems to hold B, G, R. True: RGB
                            images are turned round first.
           Images and depth come in as 0 to 255, without mean or deviation taken off. The port tells only the first
           unpooling its size, so height and width must be multiples of 16; here every unpooling is told, and any
           size from 32 will do, with equal results where the port works. The port's classifier fails unless
           stage 5 ends in 7x10 values (240x320 pixels); here a mean brings it there.
           Pooling jumps: of two values in a window that differ by rounding, another machine may keep the other one,
           and a patch of the output changes by up to 0.1. Compare machines in float64.
Names      D_s, F_s = CBRs_D, CBRs_RGB; stage'_s = CBRs_Dec; conv11d is the depth encoder's first convolution, the
           only one outside a stage. Parameter names are those of the port's checkpoints.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.fusenet import FUSIONS, VARIANTS, keep
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.registry import network

ENCODER = {1: (64, 64), 2: (128, 128), 3: (256,) * 3, 4: (512,) * 3, 5: (512,) * 3}
DECODER = {5: (512,) * 3, 4: (512, 512, 256), 3: (256, 256, 128), 2: (128, 64), 1: (64,)}
STAGES = tuple(ENCODER)
DROPPED = (3, 4, 5)
SMALLEST = 32
BLOCK = 3  # layers
GRID = (7, 10)  # what stage 5 leaves of 240x320 pixels
HEADS = ("released", "light")


def stage(inside: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return blocks of a convolution, a norm and a ReLU."""
    layers = nn.Sequential()
    for a, b in pairwise((inside, *widths)):
        layers.extend([nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()])
    return layers


def run(layers: list[nn.Module], x: Tensor) -> Tensor:
    """Return what the layers make of ``x``, one after the other."""
    for layer in layers:
        x = layer(x)
    return x


def classifier(grid: tuple[int, int], hidden: tuple[int, ...], scenes: int, dropout: float) -> nn.Sequential:
    """Return linear layers on all values of a grid (eq. 4), started as in the port."""
    layers = nn.Sequential()
    for inside, outside in pairwise((ENCODER[5][-1] * grid[0] * grid[1], *hidden, scenes)):
        if len(layers):
            layers.extend([nn.ReLU(), nn.Dropout(dropout)])
        linear = nn.Linear(inside, outside)
        nn.init.normal_(linear.weight, std=(4 / (inside + outside)) ** 0.5)
        layers.append(linear)
    return layers


@network({"fusenet-vgg16": {}}, title="FuseNet", paper="Hazirbas et al., ACCV 2016")
class FuseNet(nn.Module):
    """Two encoders of which the RGB one carries the sums, a decoder by unpooling, an optional scene classifier."""

    def __init__(
        self,
        classes: int,
        *,
        variant: str = "SF5",
        scene_classes: int | None = None,
        scene_head: str = "released",
        scene_hidden: int = 4096,
        fusion: str = "sum",
        dropout: float = 0.5,
        ceil_pooling: bool = False,
        bgr: bool = False,
        channels: int = 3,
    ) -> None:
        """``channels`` of the first input: 4 or 6 for the paper's stacked baselines (with ``variant="SF0"``)."""
        super().__init__()
        for kind, value, known in (
            ("FuseNet variant", variant, VARIANTS),
            ("FuseNet fusion", fusion, FUSIONS),
            ("scene_head", scene_head, HEADS),
        ):
            if value not in known:
                raise unknown(kind, value, known)
        last = self.depth_stages = int(variant[-1])
        self.at_end = {s: FUSIONS[fusion] if s <= last else keep for s in STAGES}
        self.inside = self.at_end if variant.startswith("D") else dict.fromkeys(STAGES, keep)
        self.ceil_pooling, self.bgr, self.channels = ceil_pooling, bgr, channels
        for s in STAGES[:last]:
            layers = stage(ENCODER[s - 1][-1] if s > 1 else 1, ENCODER[s])
            if s == 1:
                self.conv11d, layers = layers[0], nn.Sequential(*layers[1:])
            self.add_module(f"CBR{s}_D", layers)
        for s in STAGES:
            self.add_module(f"CBR{s}_RGB", stage(ENCODER[s - 1][-1] if s > 1 else channels, ENCODER[s]))
        if scene_classes:
            released = scene_head == "released"
            hidden = (scene_hidden, scene_hidden) if released else ()
            self.grid = GRID if released else (1, 1)
            self.ClassHead = classifier(self.grid, hidden, scene_classes, dropout)
        for (s, widths), inside in zip(DECODER.items(), (512, 512, 256, 128, 64), strict=True):
            layers = stage(inside, widths)
            if s == 1:
                layers.append(nn.Conv2d(widths[-1], classes, 3, padding=1))
            self.add_module(f"CBR{s}_Dec", layers)
        self.drop = nn.Dropout(dropout)
        self.start()

    def start(self) -> None:
        """He initialisation of all convolutions; depth's first is the mean of RGB's over the channels."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if self.depth_stages:
            self.conv11d.weight.data = self.CBR1_RGB[0].weight.data.mean(1, keepdim=True)

    def load_vgg16(self, state: Mapping[str, Tensor]) -> None:
        """Take the convolutions of torchvision's vgg16 for both encoders; norms start anew.

        The first ones take what fits their inputs: RGB's weights, their mean for one channel, weights and mean for
        four, the weights twice for six. The bias of depth's first convolution is not taken, as in the port.
        """
        sources = [key.removesuffix(".weight") for key, value in state.items() if value.dim() == 4]
        if len(sources) != sum(map(len, ENCODER.values())):
            raise UserError(f"a state dict with {len(sources)} convolutions is not vgg16's, which has 13")
        for kind, channels, stages in (("RGB", self.channels, 5), ("D", 1, self.depth_stages)):
            ours = [
                layer
                for s in STAGES[:stages]
                for block in self.blocks(s, kind)
                for layer in block
                if isinstance(layer, nn.Conv2d)
            ]
            for layer, source in zip(ours, sources, strict=False):
                weight = state[f"{source}.weight"]
                weight = adapt(weight, channels) if layer is ours[0] else weight
                with torch.no_grad():
                    layer.weight.copy_(weight)
                    if kind == "RGB" or layer is not ours[0]:
                        layer.bias.copy_(state[f"{source}.bias"])

    def blocks(self, s: int, kind: str) -> list[list[nn.Module]]:
        """Return the layers of a stage, block by block; "D" has empty blocks where the depth encoder has ended."""
        if kind == "D" and s > self.depth_stages:
            return [[] for _ in ENCODER[s]]
        layers = list(self.get_submodule(f"CBR{s}_{kind}"))
        layers = [self.conv11d, *layers] if (s, kind) == (1, "D") else layers
        return [layers[i : i + BLOCK] for i in range(0, len(layers), BLOCK)]

    def pool(self, x: Tensor, s: int) -> tuple[Tensor, Tensor]:
        """Return the maxima behind stage ``s``, thinned out from stage 3 on, and where they were."""
        x, places = F.max_pool2d(x, 2, ceil_mode=self.ceil_pooling, return_indices=True)
        return (self.drop(x) if s in DROPPED else x), places

    def encode(
        self, rgb: Tensor, depth: Tensor | None
    ) -> tuple[Tensor, dict[int, tuple[Tensor, torch.Size]]]:
        """Return f_5, and for each stage where its maxima were and the size they came from (eq. 1-2)."""
        memory = {}
        for s in STAGES:
            fuses = [self.inside[s]] * (len(ENCODER[s]) - 1) + [self.at_end[s]]
            for own, other, fuse in zip(self.blocks(s, "RGB"), self.blocks(s, "D"), fuses, strict=True):
                depth = run(other, depth)
                rgb = fuse(run(own, rgb), depth)
            size = rgb.shape[-2:]
            rgb, places = self.pool(rgb, s)
            memory[s] = places, size
            if s < self.depth_stages:
                depth, _ = self.pool(depth, s)
        return rgb, memory

    def decode(self, x: Tensor, memory: Mapping[int, tuple[Tensor, torch.Size]]) -> Tensor:
        """Return class scores at full size (eq. 3)."""
        for s in DECODER:
            places, size = memory[s]
            x = self.get_submodule(f"CBR{s}_Dec")(F.max_unpool2d(x, places, 2, output_size=size))
            x = self.drop(x) if s in DROPPED else x
        return x

    def forward(self, rgb: Tensor, depth: Tensor | None = None, full_size: bool = True) -> Output:
        """Score every pixel, always at full size; ``branches["scene"]`` scores the scene, B,S, if there is a head."""
        self.check(rgb, depth)
        x, memory = self.encode(rgb.flip(1) if self.bgr else rgb, depth)
        branches = {}
        if hasattr(self, "ClassHead"):
            branches["scene"] = self.scene(x)
        return Output(self.decode(x, memory), branches)

    def scene(self, x: Tensor) -> Tensor:
        """Return scene scores B,S from f_5 (eq. 4), whose values are read channel by channel, row by row."""
        return self.ClassHead(F.adaptive_avg_pool2d(x, self.grid).flatten(1))

    def check(self, rgb: Tensor, depth: Tensor | None) -> None:
        """Refuse what the encoders cannot read."""
        if rgb.shape[1] != self.channels or min(rgb.shape[-2:]) < SMALLEST:
            raise UserError(
                f"fusenet-vgg16: an input of shape {tuple(rgb.shape)} cannot be read; "
                f"{self.channels} channels and {SMALLEST}x{SMALLEST} pixels or more are needed"
            )
        if self.depth_stages and (depth is None or depth.shape[1] != 1):
            found = "no depth" if depth is None else f"depth of shape {tuple(depth.shape)}"
            raise UserError(f"fusenet-vgg16: {found}; one channel is needed, or variant=SF0 for RGB alone")


def adapt(weight: Tensor, channels: int) -> Tensor:
    """Return first-layer weights for another number of input channels."""
    mean = weight.mean(1, keepdim=True)
    fitting = {1: mean, 3: weight, 4: torch.cat([weight, mean], 1), 6: torch.cat([weight, weight], 1)}
    if channels not in fitting:
        raise UserError(f"no rule makes vgg16's first layer fit {channels} channels; possible: 1, 3, 4, 6")
    return fitting[channels]
