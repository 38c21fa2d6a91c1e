"""Several modalities through one network: shared layers, private layers, the exchange of channels.

Paper      Wang et al., Deep Multimodal Fusion by Channel Exchanging, NeurIPS 2020 (equation numbered here).
Here       The M modalities travel as one batch of M·B images. A shared layer does not notice; a ``Private``
           layer splits the batch and gives each modality its own copy. Any network becomes parallel by
           ``privatise``, and its code stays as it is.
           out_m[c] = y_m[c] if |γ_m[c]| >= θ else the mean of the other modalities' y[c]                (1)
Names      y, γ, θ, α in the paper = maps, scales, threshold, alpha here.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn

CONVS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, nn.InstanceNorm2d)


def join(maps: Sequence[Tensor]) -> Tensor:
    """Return the modalities' maps, each B,C,H,W, as one batch M·B,C,H,W."""
    return torch.cat(list(maps))


def split(x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Return the maps of ``count`` modalities from their common batch."""
    return x.unflatten(0, (count, -1)).unbind()


class Private(nn.Module):
    """One copy of a layer for each modality.

    Weights of the plain layer (of a pre-trained network) can be loaded: every copy gets them.
    """

    def __init__(self, copies: Iterable[nn.Module]) -> None:
        super().__init__()
        self.of = nn.ModuleList(copies)
        self.register_load_state_dict_pre_hook(_spread)

    def apart(self, x: Tensor) -> list[Tensor]:
        """Return each modality's map from its own copy."""
        return [layer(part) for layer, part in zip(self.of, split(x, len(self.of)), strict=True)]

    def forward(self, x: Tensor) -> Tensor:
        """Apply each copy to its modality's part of the batch."""
        return join(self.apart(x))


def _spread(module: Private, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Give the entries of a plain layer to all copies."""
    plain = [key for key in state if key.startswith(prefix) and "." not in key[len(prefix) :]]
    for key in plain:
        value = state.pop(key)
        for m in range(len(module.of)):
            state[f"{prefix}of.{m}.{key[len(prefix) :]}"] = value


def privatise(module: nn.Module, count: int, kinds: tuple[type[nn.Module], ...]) -> None:
    """Replace every layer of the given kinds by ``count`` private ones; all but the first start anew."""
    for name, child in module.named_children():
        if isinstance(child, kinds):
            copies = [child, *(deepcopy(child) for _ in range(count - 1))]
            for copy in copies[1:]:
                copy.reset_parameters()
            setattr(module, name, Private(copies))
        else:
            privatise(child, count, kinds)


def own_part(channels: int, modality: int, count: int) -> slice:
    """Return the channels that the penalty asks of a modality: disjoint parts that cover all."""
    return slice(channels * modality // count, channels * (modality + 1) // count)


def replaced(scales: Sequence[Tensor], threshold: float, part: Sequence[slice] | None = None) -> list[Tensor]:
    """Return for each modality which channels it gives up (C, bool): |γ| < θ, within ``part`` if given."""
    masks = [scale.detach().abs() < threshold for scale in scales]
    if part is None:
        return masks
    inside = torch.zeros_like(torch.stack(masks))
    for row, channels in zip(inside, part, strict=True):
        row[channels] = True
    return [mask & row for mask, row in zip(masks, inside, strict=True)]


def exchange(maps: Sequence[Tensor], masks: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps with each masked channel replaced by the mean of the other modalities' (1)."""
    out = []
    for m, (own, mask) in enumerate(zip(maps, masks, strict=True)):
        others = [x for i, x in enumerate(maps) if i != m]
        other = others[0] if len(others) == 1 else torch.stack(others).mean(0)
        out.append(torch.where(mask[:, None, None], other, own))
    return out


class ExchangeNorm(Private):
    """Private batch norms followed by the exchange; ``threshold=0`` exchanges nothing."""

    def __init__(self, norms: Iterable[nn.Module], *, threshold: float, half_only: bool = False) -> None:
        super().__init__(norms)
        self.threshold, self.half_only = threshold, half_only

    def scales(self) -> list[Tensor]:
        """Return γ of each modality."""
        return [norm.weight for norm in self.of]

    def penalised(self) -> list[Tensor]:
        """Return the part of each modality's γ that is to become small."""
        return [γ[own_part(len(γ), m, len(self.of))] for m, γ in enumerate(self.scales())]

    def masks(self) -> list[Tensor]:
        """Return which channels each modality gives up."""
        scales = self.scales()
        parts = [own_part(len(γ), m, len(scales)) for m, γ in enumerate(scales)]
        return replaced(scales, self.threshold, parts if self.half_only else None)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each modality by itself, then exchange."""
        if len(self.of) == 1 or self.threshold == 0:
            return super().forward(x)
        return join(exchange(self.apart(x), self.masks()))


class Ensemble(nn.Module):
    """Mix the modalities' class scores by a softmax over one learned number each.

    The scores are taken as given: no gradient reaches the branches unless ``joint``.
    """

    def __init__(self, count: int, *, joint: bool = False) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(count))
        self.joint = joint

    def weights(self) -> Tensor:
        """Return the M weights; they sum to 1."""
        return self.alpha.softmax(0)

    def forward(self, scores: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of the scores."""
        given = scores if self.joint else [s.detach() for s in scores]
        return sum(w * s for w, s in zip(self.weights().unbind(), given, strict=True))
