"""PrimKD: a trained RGB network teaches any fusion network; at test time it is gone.

Idea       Colour is the primary modality: a network that has seen nothing else knows what its features and
           scores should look like. The student imitates both while it learns to use depth.
Paper      Hao et al., PrimKD, ACM Multimedia 2024, section 3; the arithmetic is that of the released code.
Here       L = task + alpha * tau^2 * KL(softmax(t / tau) || softmax(s / tau))                        (1)
                    + beta * select_k mean (R_k(f_k) - g_k)^2,   R_k a 1x1 convolution ("hint")       (2)
           select = max: only the stage that fits worst is pulled; ties all count, as in the release.
Differs    The student is any method here: f_k is what its decoder is given at 1/4 .. 1/32, at the stages
           where that depends on both modalities (two decoder streams side by side count as one map); a
           student with two decoders gets (1) alone. Teacher maps
           are standardised per channel, (g - mean) / (std + 0.001), because behind a ReLU, unlike behind the
           paper's LayerNorm, stages differ in energy and the largest would always be selected; mean and std
           are those of all training batches so far. (1) leaves out ignored pixels; the release counts them.
           ``torch.export`` and whole-graph ``torch.compile`` hold for the trained student, not for the
           distillation step, which listens to the decoders with hooks.
Names      t, s, f_k, g_k, R_k in the paper = teacher and student logits, maps, teacher maps, adapters here.
"""

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError, unknown
from rgbd_lib.methods.distillation import (
    ADAPTERS,
    DIRECTIONS,
    SELECTIONS,
    STAGES,
    Raw,
    Standardise,
    examine,
    listening,
)
from rgbd_lib.methods.encoder import channels
from rgbd_lib.methods.registry import Output, Target, get, method


@method(
    "primkd",
    title="PrimKD",
    family="distillation",
    paper="Hao et al., ACM MM 2024",
    color="#481245",
    marker="P",
    fuses="where its student does",
    requires=("rgb",),
)
class PrimKD(nn.Module):
    """A student that is any method, and in training a frozen teacher beside it (eq. 1-2)."""

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        student: str = "mid",
        student_options: Mapping[str, object] | None = None,
        teachers: Mapping[str, nn.Module] | None = None,
        alpha: float = 1.0,
        beta: float = 0.1,
        temperature: float = 1.0,
        direction: str = "teacher",
        select: str = "max",
        reconstruct: str = "hint",
        stages: Sequence[int] | None = None,
        standardise: bool = True,
        count_ignored: bool = False,
    ) -> None:
        """``stages`` are layers 1..4, None for all that the student fuses; ``direction`` is KL's first side."""
        super().__init__()
        for kind, name, known in (
            ("PrimKD direction", direction, DIRECTIONS),
            ("PrimKD selection", select, SELECTIONS),
            ("PrimKD reconstruction", reconstruct, ADAPTERS),
        ):
            if name not in known:
                raise unknown(kind, name, known)
        if get(student).requires:
            raise UserError(
                f"primkd: student '{student}' has a teacher of its own; choose a method without one"
            )
        self.student = get(student).factory(classes, width=width, **(student_options or {}))
        self.alpha, self.beta, self.temperature = alpha, beta, temperature
        self.divergence, self.select = DIRECTIONS[direction], SELECTIONS[select]
        self.count_ignored = count_ignored
        with torch.random.fork_rng(devices=[]):  # the student starts as it would without a teacher
            self._add_adapters(student, width, ADAPTERS[reconstruct], stages, standardise)
        self._teacher: tuple[nn.Module, ...] = ()
        if teachers and "rgb" in teachers:
            self._teacher = (frozen(teachers["rgb"], classes, channels(width)),)

    def _add_adapters(
        self,
        student: str,
        width: float,
        reconstruct: Callable[[int, int], nn.Module],
        stages: Sequence[int] | None,
        standardise: bool,
    ) -> None:
        """Give every distilled stage its R_k and its statistics."""
        inside, fused, _ = examine(self.student)
        stages = fused if stages is None else tuple(stages)
        if not set(stages) <= set(inside):
            raise UserError(
                f"primkd: student '{student}' has no single decoder map at stages {stages}. "
                f"It has: {tuple(inside) or 'none'}; () distils its logits alone"
            )
        outside = channels(width)
        self.adapters = nn.ModuleDict({str(k): reconstruct(inside[k], outside[k]) for k in stages})
        scale = Standardise if standardise else Raw
        self.scales = nn.ModuleDict({str(k): scale(outside[k]) for k in stages})

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        """Move the teacher along: it is no submodule, so that it is neither trained nor saved."""
        for teacher in self._teacher:
            teacher._apply(fn)
        return super()._apply(fn, recurse)

    def forward(
        self, rgb: Tensor, depth: Tensor, target: Target | None = None, explain: bool = False
    ) -> Output:
        """Return what the student says; in training with a target, its distance from the teacher as well."""
        if not self.training or target is None:
            return self.student(rgb, depth, target, explain)
        if not self._teacher:
            raise UserError(
                "primkd needs a trained rgb run to learn from. Train 'rgb' with the same data, split, seed "
                "and profile first, or pass teachers={'rgb': model}"
            )
        with listening(self.student, len(rgb)) as heard:
            out = self.student(rgb, depth, target, explain)
        with torch.no_grad(), listening(self._teacher[0], len(rgb)) as told:
            teacher_logits = self._teacher[0](rgb, depth).logits
        valid = None if self.count_ignored else target.label != IGNORE
        loss = self.alpha * self.divergence(
            out.logits, teacher_logits, valid=valid, temperature=self.temperature
        )
        if self.adapters:
            terms = self.distances(heard, told)
            loss = loss + self.beta * self.select(terms)
            if explain:
                out.explain["feature_distances"] = terms.detach()
        out.extra_loss = loss if out.extra_loss is None else out.extra_loss + loss
        return out

    def distances(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Return mean (R_k(f_k) - g_k)^2 for each distilled stage k, from the maps of layer1 .. layer4."""
        terms = []
        for k, adapter in self.adapters.items():
            own, wanted = student[int(k) - 1], teacher[int(k) - 1]
            self.scales[k].observe(wanted)
            terms.append(F.mse_loss(adapter(own).float(), self.scales[k](wanted)))
        return torch.stack(terms)


def frozen(teacher: nn.Module, classes: int, width: Sequence[int]) -> nn.Module:
    """Return a copy of the teacher that will never change, if it fits the student."""
    maps, _, known = examine(teacher)
    if known != classes:
        raise UserError(
            f"primkd: the teacher knows {known} classes, the student {classes}; train them on one data set"
        )
    expected = dict(zip(STAGES, width[1:], strict=True))
    if maps != expected:
        raise UserError(
            f"primkd: the teacher's maps have {list(maps.values())} channels, the student's "
            f"{list(expected.values())}. Train the rgb teacher at the student's width"
        )
    return copy.deepcopy(teacher).eval().requires_grad_(False)
