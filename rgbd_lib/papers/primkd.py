"""PrimKD: CMX, taught by a frozen SegFormer that sees only the primary modality.

Idea       The stronger sensor deserves a teacher of its own. The fused maps must be able to rebuild what the
           teacher saw, and the scores must agree with its scores. At test time nothing of this is left.
Paper      Hao et al., PrimKD, ACM Multimedia 2024; the arithmetic is that of the released code.
Here       L = CE(s, y) + alpha KL + beta D_sel,   D_k = mean of (R_k(f_k) - g_k)²                    (1)
             s, t  scores of student and teacher at the input's size;  KL over classes, mean over all pixels
             f_k   fused map of stage k,  g_k  map of the teacher's stage k behind its norm
             R_k   "hint": a 1x1 convolution; "mask": the same, times a random mask B,1,H,W, then two 3x3
                   convolutions with a ReLU between                                                   (2)
           ``forward(..., teacher=...)`` puts alpha KL + beta D_sel into ``extra_loss``.
Quirks     ``keep``           "mask" *keeps* 75 % of the places; the paper it is taken from drops 75 % (0.25).
           ``mask_always``    The mask is drawn in evaluation mode as well (False: in training only). Scores do
                              not depend on it.
           ``direction``      "teacher" is KL(t || s), the documented command; the script's own default is
                              "student", KL(s || t).
           ``select``         "max": only the stage that fits worst learns, ties count several times; "min";
                              "none"; "mean" of all four is the sane variant.
           Pixels without a label and padding count in KL, as in the release.
           The documented command asks for "hint" and gives a mask ratio that "hint" ignores.
Names      R_k in the paper = align_loss{k} and conv_loss{k} here (names of the released weights).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.distillation import DIRECTIONS, SELECTIONS
from rgbd_lib.methods.registry import Output
from rgbd_lib.papers.cmx import CMX
from rgbd_lib.papers.mit import SIZES, STAGES
from rgbd_lib.papers.registry import network
from rgbd_lib.papers.segformer import SegFormer, three_channels

BRANCHES = ("hint", "mask")


def adapters(branch: str, widths: tuple[int, ...]) -> dict[str, nn.Module]:
    """Return R_1 to R_4 by their released names (eq. 2)."""
    if branch not in BRANCHES:
        raise unknown("branch", branch, BRANCHES)
    layers: dict[str, nn.Module] = {}
    for stage, c in zip(STAGES, widths, strict=True):
        layers[f"align_loss{stage}"] = nn.Conv2d(c, c, 1)
        if branch == "mask":
            convolutions = nn.Conv2d(c, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1)
            layers[f"conv_loss{stage}"] = nn.Sequential(*convolutions)
    return layers


@network(
    {f"primkd-{size}": {"backbone": size} for size in SIZES},
    title="PrimKD",
    paper="Hao et al., ACM Multimedia 2024",
)
class PrimKD(CMX):
    """CMX with the layers that rebuild the teacher's maps."""

    def __init__(
        self,
        classes: int,
        *,
        backbone: str,
        branch: str = "hint",
        alpha: float = 1.0,
        beta: float = 0.1,
        direction: str = "teacher",
        select: str = "max",
        keep: float = 0.75,
        mask_always: bool = True,
        **options: object,
    ) -> None:
        """``options`` are those of CMX; alpha, beta and the rest are used only with a teacher."""
        for kind, name, known in (("direction", direction, DIRECTIONS), ("selection", select, SELECTIONS)):
            if name not in known:
                raise unknown(kind, name, known)
        self.made_of = {"classes": classes, "backbone": backbone, **options}
        super().__init__(**self.made_of, adapters=adapters(branch, SIZES[backbone].widths))
        self.alpha, self.beta, self.keep = alpha, beta, keep
        self.divergence, self.select = DIRECTIONS[direction], SELECTIONS[select]
        self.masks, self.mask_always = branch == "mask", mask_always

    def forward(
        self, rgb: Tensor, depth: Tensor, full_size: bool = True, teacher: SegFormer | None = None
    ) -> Output:
        """Score as CMX does; with a ``teacher`` (in evaluation mode) its lesson is in ``extra_loss``."""
        maps = self.fused(rgb, depth)
        out = self.score(maps, rgb, full_size)
        if teacher is not None:
            student = out.logits if full_size else self.score(maps, rgb, True).logits
            out.extra_loss = self.lesson(student, maps, rgb, teacher)
        return out

    def rebuild(self, maps: list[Tensor]) -> list[Tensor]:
        """Return R_k(f_k) for the four stages (eq. 2); masks are drawn anew by each call."""
        return [self._rebuild(stage, x) for stage, x in zip(STAGES, maps, strict=True)]

    def _rebuild(self, stage: int, x: Tensor) -> Tensor:
        x = getattr(self.decode_head, f"align_loss{stage}")(x)
        if not self.masks:
            return x
        if self.training or self.mask_always:
            x = x * (torch.rand_like(x[:, :1]) <= self.keep)
        return getattr(self.decode_head, f"conv_loss{stage}")(x)

    def lesson(self, student: Tensor, maps: list[Tensor], rgb: Tensor, teacher: SegFormer) -> Tensor:
        """Return alpha KL + beta D_sel (eq. 1); the teacher gets no gradient."""
        if teacher.training:
            raise UserError(
                "PrimKD: the teacher is in training mode; call teacher.eval() so that it stays as it is"
            )
        with torch.no_grad():
            known = teacher.backbone(three_channels(rgb, teacher.bgr))
            scores = F.interpolate(teacher.decode_head(known), size=student.shape[-2:], mode="bilinear")
        terms = [F.mse_loss(r, g) for r, g in zip(self.rebuild(maps), known, strict=True)]
        return self.alpha * self.divergence(student, scores) + self.beta * self.select(torch.stack(terms))

    def student(self) -> CMX:
        """Return the network without the layers of training: CMX, with the same tensors."""
        with torch.device("meta"):
            plain = CMX(**self.made_of)
        state = {name: value for name, value in self.state_dict().items() if "_loss" not in name}
        plain.load_state_dict(state, assign=True)
        return plain.train(self.training)
