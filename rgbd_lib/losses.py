"""Task losses. Every one takes logits B,K,H,W and labels B,H,W, and skips pixels labelled IGNORE.

All are computed in float32 whatever the logits are, and none waits for the device: there is no branch on a
value, so a batch without a single labelled pixel gives 0 and a gradient of 0 instead of a division by zero.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError, unknown

Loss = Callable[[Tensor, Tensor], Tensor]  # (logits B,K,H,W; label B,H,W) -> scalar
SMOOTH = 1.0  # added to both sides of the Dice fraction: an absent class that is not predicted costs nothing
OHEM_CONFIDENCE = 0.7  # pixels whose true class gets less than this are hard
OHEM_SHARE = 1 / 16  # and at least this share of a batch is kept


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean negative log-likelihood of the labelled pixels, by class weight if given."""
    logits, safe, seen = _split(logits, label)
    return _cross_entropy(logits.log_softmax(1), safe, seen, weight)


def dice(logits: Tensor, label: Tensor) -> Tensor:
    """Return 1 - soft Dice, averaged over images and all classes, absent ones included."""
    logits, safe, seen = _split(logits, label)
    return _dice(logits.softmax(1), safe, seen)


def dice_cross_entropy(logits: Tensor, label: Tensor, alpha: float = 0.5) -> Tensor:
    """Return alpha * Dice + (1 - alpha) * cross-entropy; 1.5 to 2 times as fast as the two apart."""
    return _DiceCrossEntropy.apply(*_split(logits, label), alpha)


def ohem(logits: Tensor, label: Tensor) -> Tensor:
    """Return the cross-entropy of the hard pixels alone (online hard example mining)."""
    logits, safe, seen = _split(logits, label)
    loss = -logits.log_softmax(1).gather(1, safe)[:, 0]  # B,N
    ranked = loss.detach().masked_fill(~seen, -math.inf).flatten()
    fewest = max(1, int(OHEM_SHARE * ranked.numel()))
    last_kept = ranked.topk(fewest, sorted=True).values[-1]
    kept = seen & (loss.detach() >= last_kept.clamp(max=-math.log(OHEM_CONFIDENCE)))
    return (loss * kept).sum() / kept.sum().clamp(min=1)


def lovasz(logits: Tensor, label: Tensor) -> Tensor:
    """Return the Lovász extension of 1 - IoU (Berman et al. 2018), mean over the classes of the batch."""
    logits, safe, seen = _split(logits, label)
    p = (logits.softmax(1) * seen[:, None]).transpose(0, 1).flatten(1)  # K,B*N
    classes = torch.arange(len(p), device=p.device)[:, None]
    truth = ((safe[:, 0].flatten() == classes) & seen.flatten()).float()
    error, order = (truth - p).abs().sort(1, descending=True)
    truth = truth.gather(1, order)
    size = truth.sum(1, keepdim=True)
    # IoU after the i worst pixels are counted wrong; its steps are the weights of the errors
    hit, union = size - truth.cumsum(1), size + (1 - truth).cumsum(1)
    jaccard = 1 - hit / union
    step = torch.cat([jaccard[:, :1], jaccard.diff(dim=1)], dim=1)
    present = size[:, 0] > 0
    return ((error * step).sum(1) * present).sum() / present.sum().clamp(min=1)


def balanced_weights(counts: Sequence[int] | Tensor) -> Tensor:
    """Return median-frequency class weights from pixel counts; classes without pixels get 0."""
    counts = torch.as_tensor(counts, dtype=torch.float64)
    present = counts > 0
    median = counts[present].median() if present.any() else counts.new_tensor(0.0)
    return torch.where(present, median / counts.clamp(min=1), 0.0).float()


_LOSSES: dict[str, Loss] = {
    "dice+ce": dice_cross_entropy,
    "ce": cross_entropy,
    "ohem": ohem,
    "lovasz": lovasz,
}


def task_loss(
    name: str = "dice+ce", classes: int = 2, class_weights: Sequence[float] | Tensor | None = None
) -> Loss:
    """Return the loss of that name: "dice+ce", "ce", "weighted-ce", "ohem" or "lovasz".

    ``class_weights`` (one per class) belong to "weighted-ce" alone.
    """
    if name == "weighted-ce":
        given = 0 if class_weights is None else len(class_weights)
        if given != classes:
            raise UserError(
                f"loss 'weighted-ce': {given} class weights for {classes} classes; give one per class"
            )
        return _Weighted(torch.as_tensor(class_weights, dtype=torch.float32))
    if name not in _LOSSES:
        raise unknown("loss", name, [*_LOSSES, "weighted-ce"])
    if class_weights is not None:
        raise UserError(f"loss '{name}' takes no class weights; use 'weighted-ce', or leave them out")
    return _LOSSES[name]


@dataclass
class _Weighted:
    weight: Tensor

    def __call__(self, logits: Tensor, label: Tensor) -> Tensor:
        self.weight = self.weight.to(logits.device)  # moved once, not in every step
        return cross_entropy(logits, label, self.weight)


def _split(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return float logits B,K,N, labels B,1,N that are safe to index with, and seen B,N."""
    label = label.flatten(1).long()
    seen = label != IGNORE
    return logits.float().flatten(2), label.masked_fill(~seen, 0)[:, None], seen


def _cross_entropy(log_p: Tensor, safe: Tensor, seen: Tensor, weight: Tensor | None = None) -> Tensor:
    share = seen.float()
    if weight is not None:
        share = share * weight[safe[:, 0]]
    loss = -(log_p.gather(1, safe)[:, 0] * share).sum()
    # by 1 where no pixel counts; a sum of small weights must not be clamped to 1
    total = share.sum()
    return loss / torch.where(total > 0, total, 1.0)


def _dice(p: Tensor, safe: Tensor, seen: Tensor) -> Tensor:
    numerator, denominator, _ = _dice_sums(p, safe, seen.float())
    return (1 - numerator / denominator).mean()


def _dice_sums(p: Tensor, safe: Tensor, share: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return numerator and denominator B,K of the Dice fraction and the true class's p B,N.

    The one-hot labels that the formula asks for are only ever added up: a scatter does that.
    """
    zero = p.new_zeros(p.shape[:2])
    p_true = p.gather(1, safe)[:, 0] * share
    hit = zero.scatter_add(1, safe[:, 0], p_true)
    truth = zero.scatter_add(1, safe[:, 0], share)
    with torch.autocast(p.device.type, enabled=False):  # which would do this product in bfloat16
        predicted = (p @ share[:, :, None])[:, :, 0]
    return 2 * hit + SMOOTH, predicted + truth + SMOOTH, p_true


class _DiceCrossEntropy(torch.autograd.Function):
    """Dice and cross-entropy with the gradient written out, so that one B,K,N tensor is kept.

    With a = dL/d(predicted), b = dL/d(hit) and y the label, dL/dz_k = p_k (a_k - c) + [k = y] p_y b_y,
    c = sum_j p_j a_j + p_y b_y, and the cross-entropy adds p_k - [k = y] over the pixel count.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, safe: Tensor, seen: Tensor, alpha: float) -> Tensor:
        share = seen.float()
        p = logits.log_softmax(1)
        likelihood = (p.gather(1, safe)[:, 0] * share).sum()
        p.exp_()
        numerator, denominator, p_true = _dice_sums(p, safe, share)
        scale = alpha / numerator.numel()
        pixels = share.sum().clamp(min=1)
        by_hit, by_predicted = -2 * scale / denominator, scale * numerator / denominator**2
        ctx.save_for_backward(p, safe, share, by_predicted, by_hit.gather(1, safe[:, 0]) * p_true)
        ctx.per_pixel = (1 - alpha) / pixels
        return alpha * (1 - numerator / denominator).mean() - (1 - alpha) * likelihood / pixels

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        p, safe, share, by_predicted, by_true = ctx.saved_tensors
        with torch.autocast(p.device.type, enabled=False):
            mean = (by_predicted[:, None] @ p)[:, 0] + by_true - ctx.per_pixel  # c, with the entropy's p_k
        out = (by_predicted[:, :, None] - mean[:, None]) * p
        out.mul_((share * grad)[:, None])
        out.scatter_add_(1, safe, ((by_true - ctx.per_pixel * share) * grad)[:, None])
        return out, None, None, None
