"""What the papers feed their networks in training, and what they add to the loss on the network's scores.

A feed turns RGB with ImageNet's statistics taken off and depth in raw units (metres, or level / 255) into the paper's
inputs. An objective returns everything but the loss on ``Output.logits``; ``class_loss`` is that loss.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.losses import cross_entropy
from rgbd_lib.methods.registry import Output, Target
from rgbd_lib.papers.protocols import COUNTS_PER_METRE
from rgbd_lib.papers.segformer import MEAN, STD

Feed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Loss = Callable[[Tensor, Tensor], Tensor]
Objective = Callable[[nn.Module, Output, Target, Loss], Tensor | None]
FARTHEST = 10.0  # metres that 8-bit depth spans where there is no HHA


def raw_metres(rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """CEN: metres, not normalised."""
    return rgb, depth


def counts(rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """GeminiFusion: the counts of its depth files over 255, nothing else."""
    return rgb, depth * (COUNTS_PER_METRE / 255)


def levels(rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """FuseNet: 0..255 without mean or deviation; depth stretched image by image."""
    mean, std = (rgb.new_tensor(v)[:, None, None] for v in (MEAN, STD))
    low, high = (f(depth, dim=(1, 2, 3), keepdim=True) for f in (torch.amin, torch.amax))
    return (rgb * std + mean) * 255, (depth - low) / (high - low).clamp(min=1e-6) * 255


def three_levels(rgb: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """CMX, with plain depth in the place of HHA: 8-bit levels of 10 m, three times, ImageNet's statistics."""
    mean, std = (rgb.new_tensor(v)[:, None, None] for v in (MEAN, STD))
    return rgb, ((depth / FARTHEST).clamp(0, 1) - mean) / std


def per_pixel(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Return FuseNet's weighted cross-entropy: divided by the number of labelled pixels, not by their weights."""
    seen = label != 255
    total = F.cross_entropy(logits.float(), label, weight.to(logits), ignore_index=255, reduction="sum")
    return total / seen.sum().clamp(min=1)


def branchless(network: nn.Module, out: Output, target: Target, loss: Loss) -> Tensor | None:
    """Nothing beside the loss on the scores."""
    return None


def branches(network: nn.Module, out: Output, target: Target, loss: Loss) -> Tensor:
    """Add each modality's own loss, unweighted."""
    return sum(loss(scores, target.label) for scores in out.branches.values())


def cen(network: nn.Module, out: Output, target: Target, loss: Loss, *, penalty: float) -> Tensor:
    """Add each modality's loss, and the L1 term once for every output, the ensemble included."""
    outputs = len(out.branches) + 1
    return branches(network, out, target, loss) + outputs * penalty * network.penalty()


def scenes(network: nn.Module, out: Output, target: Target, loss: Loss, *, weight: float) -> Tensor:
    """Add lambda times the cross-entropy of the kind of room."""
    if target.scene_class is None:
        raise UserError(
            "this recipe names the kind of room, and the data set has no scene classes; use NYUv2 as published "
            "(.mat), or the preset fusenet-sun"
        )
    return weight * F.cross_entropy(out.branches["scene"].float(), target.scene_class)


def taught(network: nn.Module, out: Output, target: Target, loss: Loss) -> Tensor | None:
    """Add what the network, given its teacher, has put there itself: alpha KL + beta D."""
    return out.extra_loss


def class_loss(weight: Tensor | None = None) -> Loss:
    """Return the mean negative log-likelihood of labelled pixels, or FuseNet's weighted one."""
    if weight is None:
        return cross_entropy
    return lambda logits, label: per_pixel(logits, label, weight)
