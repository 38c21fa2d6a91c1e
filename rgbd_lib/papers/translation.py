"""CEN's second task: from shade and texture, or depth and normals, to a photograph.

Idea       The same exchange in another kind of network: one U-Net for all modalities, private instance norms, and
           channels of small scale take the other modality's map.
Paper      Wang et al., Deep Multimodal Fusion by Channel Exchanging, NeurIPS 2020, image-to-image translation; the
           arithmetic is that of the released code. Generator and discriminator are pix2pix's (Isola et al. 2017).
Here       e_k = exchange(norm(conv(leaky(e_{k-1}))))          4x4, stride 2; e_1 without leaky and norm, e_8 without norm
           d_k = drop(norm(deconv(relu([d_{k-1}, e_{8-k+1}]))))   drop in the first three; d_8 without norm, behind it tanh
           image = sum_m softmax(alpha)_m stopgrad(tanh(d_8^m))                                            (1)
           L_D = sum_m ½ [BCE(D(x_m, y), 1) + BCE(D(x_m, ŷ_m), 0)]                                         (2)
           L_G = sum_m BCE(D(x_m, ŷ_m), 1) + 100 sum_{m, ens} mean |ŷ - y| + 1e-3 sum |scale|              (3)
Quirks     The norms of the first and the last block are not used but penalised, 288 of 1504 scales per modality,
           and their scales count in the share of small ones. The ensemble is never judged by D. The release never
           leaves training mode: dropout and each image's own statistics act in testing as well.
Differs    ``widths`` may be shorter and narrower, for small images. Data are our renders, not Taskonomy.
Names      Parameter names are those of the released weights.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.methods.parallel import ExchangeNorm, join, split
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.geminifusion import Shared

WIDTHS = (64, 128, 256, 512, 512, 512, 512, 512)
RATES = {"lr": 2e-4, "betas": (0.5, 0.999)}  # of both Adams
PIXELS, PENALTY = 100.0, 1e-3  # weights of (3)


class InstanceNorms(ExchangeNorm):
    """A private instance norm for each modality under its released name, and the exchange."""

    def __init__(self, channels: int, modalities: int, threshold: float) -> None:
        nn.Module.__init__(self)
        self.threshold, self.half_only = threshold, False
        for m in range(modalities):
            norm = nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)
            self.add_module(f"insnorm_{m}", norm)

    @property
    def of(self) -> list[nn.Module]:
        """Return the norms in the order of the modalities."""
        return list(self.children())


def start(layer: nn.Module) -> nn.Module:
    """Draw weights with a deviation of 0.02 around 0; biases start at 0."""
    nn.init.normal_(layer.weight, 0.0, 0.02)
    nn.init.zeros_(layer.bias)
    return layer


class Down(nn.Module):
    """Half the size: activation, convolution, private norms with exchange; both ends are plainer."""

    def __init__(self, inside: int, outside: int, modalities: int, threshold: float, end: bool) -> None:
        super().__init__()
        self.conv = Shared(start(nn.Conv2d(inside, outside, 4, stride=2, padding=1)))
        self.insnorm_conv = InstanceNorms(outside, modalities, threshold)
        self.activates, self.norms = inside != 3, not end

    def forward(self, x: Tensor) -> Tensor:
        """Return M·B,C,H/2,W/2."""
        x = self.conv(F.leaky_relu(x, 0.2) if self.activates else x)
        return self.insnorm_conv(x) if self.norms else x


class Up(nn.Module):
    """Twice the size: ReLU, transposed convolution, private norms without exchange, dropout."""

    def __init__(self, inside: int, outside: int, modalities: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.deconv = Shared(start(nn.ConvTranspose2d(inside, outside, 4, stride=2, padding=1)))
        self.insnorm_deconv = InstanceNorms(outside, modalities, 0.0)
        self.dropout, self.norms = dropout, not last

    def forward(self, x: Tensor) -> Tensor:
        """Return M·B,C,2H,2W; each modality has dropout of its own."""
        x = self.deconv(x.relu())
        x = self.insnorm_deconv(x) if self.norms else x
        return F.dropout(x, self.dropout, self.training)


class Generator(nn.Module):
    """The U-Net through which all modalities pass (eq. 1)."""

    def __init__(
        self, modalities: int = 2, *, threshold: float = 0.01, widths: Sequence[int] = WIDTHS
    ) -> None:
        """``threshold=0`` exchanges nothing; images must be 2 to the power of ``len(widths)`` or a multiple of it."""
        super().__init__()
        self.modalities, self.depth = modalities, len(widths)
        self.alpha = nn.Parameter(torch.ones(modalities))
        for k, (a, b) in enumerate(zip((3, *widths), widths, strict=False), start=1):
            self.add_module(f"conv{k}", Down(a, b, modalities, threshold, end=k in (1, self.depth)))
        outs, inside = [*reversed(widths[:-1]), 3], widths[-1]
        for k, outside in enumerate(outs, start=1):
            dropout = 0.5 if k <= 3 and k < self.depth else 0.0
            self.add_module(f"deconv{k}", Up(inside, outside, modalities, dropout, last=k == self.depth))
            inside = 2 * outside

    def forward(self, inputs: Sequence[Tensor]) -> Output:
        """Return pictures in -1..1: the ensemble as ``logits``, one for each modality in ``branches`` ("0", "1" ..)."""
        self.check(inputs)
        x, seen = join(inputs), []
        for k in range(1, self.depth + 1):
            x = self.get_submodule(f"conv{k}")(x)
            seen.append(x)
        for k in range(1, self.depth + 1):
            x = x if k == 1 else torch.cat([x, seen[self.depth - k]], dim=1)
            x = self.get_submodule(f"deconv{k}")(x)
        pictures = split(x.tanh(), self.modalities)
        ensemble = sum(w * p.detach() for w, p in zip(self.alpha.softmax(0), pictures, strict=True))
        return Output(ensemble, {str(m): p for m, p in enumerate(pictures)})

    def check(self, inputs: Sequence[Tensor]) -> None:
        """Refuse what the U-Net cannot halve often enough."""
        step = 2**self.depth
        if len(inputs) != self.modalities or any(side % step for side in inputs[0].shape[-2:]):
            raise UserError(
                f"the generator needs {self.modalities} inputs of sizes that are multiples of {step}; "
                f"it got {len(inputs)} of {tuple(inputs[0].shape[-2:])}"
            )

    def points(self) -> dict[str, InstanceNorms]:
        """Return the norms of the encoder, also those of its ends, which are penalised without being used."""
        return {f"conv{k}": self.get_submodule(f"conv{k}").insnorm_conv for k in range(1, self.depth + 1)}

    def penalty(self) -> Tensor:
        """Return the sum of |scale| over each modality's own half of the channels."""
        return torch.cat([part for point in self.points().values() for part in point.penalised()]).abs().sum()


class Judged(nn.Module):
    """One layer of the discriminator: activation, convolution, norm, of which the ends lack some."""

    def __init__(self, inside: int, outside: int, stride: int, *, activates: bool, norms: bool) -> None:
        super().__init__()
        self.conv = Shared(start(nn.Conv2d(inside, outside, 4, stride=stride, padding=1)))
        self.insnorm = Shared(nn.InstanceNorm2d(outside, affine=True, track_running_stats=True))
        self.activates, self.norms = activates, norms

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's map."""
        x = self.conv(F.leaky_relu(x, 0.2) if self.activates else x)
        return self.insnorm(x) if self.norms else x


class Discriminator(nn.Module):
    """Judges patches of an input with a picture; shared by all modalities."""

    def __init__(self, widths: Sequence[int] = (64, 128, 256, 512)) -> None:
        super().__init__()
        for k, (a, b) in enumerate(zip((6, *widths), (*widths, 1), strict=True), start=1):
            stride, middle = (2 if k < len(widths) else 1), 1 < k <= len(widths)
            self.add_module(f"conv{k}", Judged(a, b, stride, activates=k > 1, norms=middle))

    def forward(self, given: Tensor, picture: Tensor) -> Tensor:
        """Return how real each patch looks, 0..1: 30x30 for 256x256."""
        x = torch.cat([given, picture], dim=1)
        for layer in self.children():
            x = layer(x)
        return x.sigmoid()


def judge_loss(judge: Discriminator, inputs: Iterable[Tensor], found: Output, real: Tensor) -> Tensor:
    """Return L_D (eq. 2); the generator gets no gradient."""
    loss = 0
    for given, made in zip(inputs, found.branches.values(), strict=True):
        true, false = judge(given, real), judge(given, made.detach())
        loss = loss + 0.5 * (bce(true, 1.0) + bce(false, 0.0))
    return loss


def generator_loss(
    generator: Generator, judge: Discriminator, inputs: Iterable[Tensor], found: Output, real: Tensor
) -> Tensor:
    """Return L_G (eq. 3)."""
    pictures = list(found.branches.values())
    fooled = sum(bce(judge(given, made), 1.0) for given, made in zip(inputs, pictures, strict=True))
    pixels = sum(F.l1_loss(made, real) for made in [*pictures, found.logits])
    return fooled + PIXELS * pixels + PENALTY * generator.penalty()


def bce(score: Tensor, wanted: float) -> Tensor:
    """Return the cross-entropy of patches against one answer."""
    return F.binary_cross_entropy(score, torch.full_like(score, wanted))


def step(
    generator: Generator,
    judge: Discriminator,
    optimizers: Mapping[str, torch.optim.Optimizer],
    inputs: Sequence[Tensor],
    real: Tensor,
) -> dict[str, float]:
    """Train the judge, then the generator, on one batch; return both losses."""
    found = generator(inputs)
    losses = {}
    for name, loss in (
        ("judge", lambda: judge_loss(judge, inputs, found, real)),
        ("generator", lambda: generator_loss(generator, judge, inputs, found, real)),
    ):
        value = loss()
        optimizers[name].zero_grad(set_to_none=True)
        value.backward()
        optimizers[name].step()
        losses[name] = value.item()
    return losses
