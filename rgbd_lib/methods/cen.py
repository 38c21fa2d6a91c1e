"""Channel exchanging: the modality with nothing to say in a channel gets the other's.

Idea       One network for both modalities, batch norms apart. An L1 penalty asks half of the channels to become
           silent for RGB and the other half for depth. Where a scale γ has become small, the channel is a
           constant, and the other modality's map takes its place. Fusion without one fusion parameter.
Paper      Wang et al., Deep Multimodal Fusion by Channel Exchanging, NeurIPS 2020 (equations numbered here).
Here       y_m = γ_m · (x_m - μ_m) / σ_m + β_m                          private norm
           y_m[c] <- y_n[c]   where |γ_m[c]| < θ = 0.02, n the other    exchange                          (1)
           loss  += λ · Σ_m Σ_{c in part m} |γ_m[c]|                    parts are disjoint halves         (2)
Differs    ResNet18 has no bottleneck: the exchange sits behind the norm of the first 3x3 convolution of each
           block, the one place with the paper's surroundings (3x3 convolution, norm, exchange, ReLU,
           convolution, norm, shortcut); ``after=2`` is behind the second. λ counts once (the released code adds
           it once per output, hence three times). Scales at exchange points start at 0.05 instead of 1. Adam
           moves a scale by at most the learning rate per step, whatever λ is: from 1, a few hundred steps never
           reach θ and nothing is exchanged. From 0.05, 100 steps do. What the network computes does not change,
           since the next norm undoes a factor common to all channels (not so with ``after=2``, where the block
           starts small beside its shortcut). With pre-trained weights the scales are those loaded.
           More in ``parallel_unet.py``.
Names      y, γ, θ, λ = maps, scales, threshold, lam here; modality order rgb, depth.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.parallel import ExchangeNorm
from rgbd_lib.methods.parallel_unet import ParallelUNet
from rgbd_lib.methods.registry import Output, Target, method

PENALTIES = ("none", "half", "all")

# The six rows of the paper's ablation: name -> options of ``cen``.
ABLATION: dict[str, dict[str, object]] = {
    "two networks": {"share_convs": False, "l1": "none", "exchange": False},
    "shared norms": {"private_norms": False, "l1": "none", "exchange": False},
    "private norms": {"l1": "none", "exchange": False},
    "L1 on halves": {"l1": "half", "exchange": False},
    "L1 on halves, exchange": {"l1": "half", "exchange": True},
    "L1 on all, exchange": {"l1": "all", "exchange": True},
}


@method(
    "cen",
    title="Channel exchanging",
    family="exchange",
    paper="Wang et al., NeurIPS 2020",
    color="#2B8847",
    marker="D",
    fuses="every residual block",
)
class CEN(ParallelUNet):
    """The ResNet18-UNet with exchanged channels."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        wiring: str = "study",
        modalities: Sequence[str] = ("rgb", "depth"),
        share_convs: bool = True,
        private_norms: bool = True,
        l1: str | None = "half",
        exchange: bool = True,
        half_only: bool = False,
        threshold: float = 2e-2,
        lam: float = 1e-3,
        scale_start: float = 0.05,
        after: int = 1,
        branch_loss: str = "dice+ce",
    ) -> None:
        l1 = l1 or "none"  # a command line reads "none" as None
        if l1 not in PENALTIES:
            raise unknown("l1", l1, PENALTIES)
        if after not in (1, 2):
            raise UserError(f"method 'cen': after={after} is neither 1 nor 2, a block's two 3x3 convolutions")
        if not private_norms and (exchange or l1 != "none"):
            raise UserError(
                "method 'cen': private_norms=False leaves nothing to compare between modalities; "
                "give it together with exchange=False and l1=none"
            )
        super().__init__(
            classes,
            width=width,
            wiring=wiring,
            modalities=modalities,
            share_convs=share_convs,
            private_norms=private_norms,
            branch_loss=branch_loss,
        )
        self.threshold, self.lam, self.l1 = threshold, lam, l1
        for block in self.encoder.modules():
            if isinstance(block, BasicBlock) and private_norms:
                norms = getattr(block, f"bn{after}").of
                point = ExchangeNorm(norms, threshold=threshold if exchange else 0.0, half_only=half_only)
                for scale in point.scales():
                    nn.init.constant_(scale, scale_start)
                setattr(block, f"bn{after}", point)

    def points(self) -> dict[str, ExchangeNorm]:
        """Return the exchange points by block: "layer1.0" .. "layer4.1"."""
        found = self.encoder.named_modules()
        return {n.rpartition(".")[0]: m for n, m in found if isinstance(m, ExchangeNorm)}

    def penalty(self) -> Tensor | float:
        """Return λ times the L1 norm of the penalised scales (2)."""
        if self.l1 == "none" or len(self.modalities) == 1:
            return 0.0
        points = self.points().values()
        scales = [γ for p in points for γ in (p.penalised() if self.l1 == "half" else p.scales())]
        return self.lam * torch.cat(scales).abs().sum()

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score each modality and their ensemble; ``explain`` adds scales, masks and maps per block."""
        if not explain:
            return super().forward(rgb, depth, target)
        with watch(self.points()) as seen:
            output = super().forward(rgb, depth, target, explain=True)
        output.explain |= seen
        return output

    @torch.no_grad()
    def report(self) -> dict[str, float]:
        """Return the share of penalised scales under θ, of channels replaced, and α."""
        if not self.points():
            return super().report()
        points = self.points().values()
        small = torch.cat([γ for p in points for γ in p.penalised()]).abs() < self.threshold
        shares = [small] + [torch.cat([p.masks()[m] for p in points]) for m in range(len(self.modalities))]
        names = ["small_scales"] + [f"replaced_{name}" for name in self.modalities]
        values = torch.stack([s.float().mean() for s in shares]).tolist()  # one transfer from the device
        return dict(zip(names, values, strict=True)) | super().report()


@contextmanager
def watch(points: dict[str, ExchangeNorm]) -> Iterator[dict[str, Tensor]]:
    """Collect, while the network runs, what each exchange point does.

    ``BLOCK/scales`` and ``BLOCK/replaced`` are M,C. ``BLOCK/maps`` is B,M,G,H,W: the maps before the exchange,
    averaged over the channels that G = (only modality 0, .., only modality M-1 gives up, nobody gives up);
    zero where a group is empty.
    """
    seen: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name, point in points.items():
            masks = torch.stack(point.masks())
            seen[f"{name}/scales"] = torch.stack(point.scales()).detach().clone()
            seen[f"{name}/replaced"] = masks
            groups = torch.cat([masks & (masks.sum(0) == 1), ~masks.any(0, keepdim=True)]).float()  # G,C
            groups = groups / groups.sum(1, keepdim=True).clamp(min=1)
            for norm in point.of:
                handle = norm.register_forward_hook(_average(seen, f"{name}/maps", groups))
                hooks.callback(handle.remove)
        yield seen


def _average(seen: dict[str, Tensor], key: str, groups: Tensor):
    def hook(_: nn.Module, __: tuple, y: Tensor) -> None:
        mean = torch.einsum("gc,bchw->bghw", groups, y.detach().float())[:, None]  # B,1,G,H,W
        seen[key] = torch.cat([seen[key], mean], dim=1) if key in seen else mean

    return hook
