"""The ResNet18-UNet with two streams to the end: shared convolutions, private norms, an ensemble.

Here       s_m = D_m(E_m(x_m)),  logits = Σ_m α_m · stopgrad(s_m),  α = softmax(a)
           loss = task(logits) + Σ_m task(s_m) + what a method adds
           E_m, D_m differ between the modalities only in their batch norms.
Differs    Decoder norms are private too: the decoder of the paper has no norms at all, ours has, and its two
           inputs differ in statistics for the same reason as the encoder's. Depth is repeated to three channels,
           since the stem is shared. The branches are trained by Dice and cross-entropy like every other method
           here; ``branch_loss="ce"`` is the paper's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rgbd_lib.losses import task_loss
from rgbd_lib.methods.decoder import Decoder
from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.parallel import CONVS, NORMS, Ensemble, join, privatise, split
from rgbd_lib.methods.registry import Output, Target


class ParallelUNet(nn.Module):
    """Both modalities through one network. ``fusions`` maps a stage (1..4) to the operator behind it."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        wiring: str = "study",
        modalities: Sequence[str] = ("rgb", "depth"),
        share_convs: bool = True,
        private_norms: bool = True,
        joint: bool = False,
        branch_loss: str = "dice+ce",
        fusions: dict[int, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.encoder = Encoder(3, width)
        self.decoder = Decoder(classes, width=width, wiring=wiring)
        private = NORMS * private_norms + CONVS * (not share_convs)
        for part in (self.encoder, self.decoder):
            privatise(part, len(self.modalities), private)
        self.ensemble = Ensemble(len(self.modalities), joint=joint)
        self.fusions = nn.ModuleDict({str(i): fusion for i, fusion in (fusions or {}).items()})
        self.branch_loss = task_loss(branch_loss, classes)

    def penalty(self) -> Tensor | float:
        """Return what the method adds to the losses of the branches."""
        return 0.0

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Score each modality and their ensemble."""
        images = {"rgb": rgb, "depth": depth.expand(-1, 3, -1, -1)}
        x = join([images[name] for name in self.modalities])  # M·B,3,H,W
        training = self.training and target is not None
        maps, extra, shown = [], 0.0, {}
        for i, stage in enumerate(self.encoder.stages()):
            x = stage(x)
            if str(i) in self.fusions:
                fusion, streams = self.fusions[str(i)], split(x, len(self.modalities))
                x = join(fusion(*streams))
                extra = extra + fusion.loss(*streams) if training else extra
                shown |= {f"layer{i}/{k}": v for k, v in fusion.explain(*streams).items()} if explain else {}
            maps.append(x)
        scores = split(self.decoder(maps[4], maps[3:0:-1], rgb.shape[-2:]), len(self.modalities))
        if training:
            extra = extra + self.penalty()
            if not self.ensemble.joint:
                extra = extra + sum(self.branch_loss(s, target.label) for s in scores)
        return Output(
            self.ensemble(scores),
            branches=dict(zip(self.modalities, scores, strict=True)),
            extra_loss=extra if isinstance(extra, Tensor) else None,
            explain=shown | {"alpha": self.ensemble.weights()} if explain else {},
        )

    @torch.no_grad()
    def report(self) -> dict[str, float]:
        """Return what is worth a line per epoch: how much the ensemble trusts each modality."""
        alpha = self.ensemble.weights().tolist()
        return {f"alpha_{name}": a for name, a in zip(self.modalities, alpha, strict=True)}
