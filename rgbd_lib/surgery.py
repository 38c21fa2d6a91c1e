"""Trained models with a part exchanged: the test of whether that part matters.

A gate that moves with the light may still be a gate that changes nothing. Here it is held still, and the model is
scored again. Every change is undone when its ``with`` ends.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from rgbd_lib.errors import unknown
from rgbd_lib.methods import Output
from rgbd_lib.methods.late import Mean


class Panel(nn.Module):
    """Two trained experts that never met vote: RGB's scores and depth's, mixed by a rule of late fusion."""

    def __init__(self, rgb: nn.Module, depth: nn.Module, weighting: nn.Module | None = None) -> None:
        super().__init__()
        self.rgb, self.depth, self.weighting = rgb, depth, weighting or Mean()

    def forward(self, rgb: Tensor, depth: Tensor, target: object = None, explain: bool = False) -> Output:
        """Ask both, then mix."""
        votes = {"rgb": self.rgb(rgb, depth).logits, "depth": self.depth(rgb, depth).logits}
        weight = self.weighting(**votes)
        return Output(weight * votes["rgb"] + (1 - weight) * votes["depth"], branches=votes)


class Branch(nn.Module):
    """One vote of a late fusion, alone."""

    def __init__(self, model: nn.Module, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, rgb: Tensor, depth: Tensor, target: object = None, explain: bool = False) -> Output:
        """Return what one branch says."""
        return Output(self.model(rgb, depth).branches[self.name])


class Changed(nn.Module):
    """A model that always works under a change, one of the functions below: ``Changed(model, replaced, parts)``."""

    def __init__(self, model: nn.Module, change: Callable, *arguments: object) -> None:
        super().__init__()
        self.model, self.change, self.arguments = model, change, arguments

    def forward(self, rgb: Tensor, depth: Tensor, target: object = None, explain: bool = False) -> Output:
        """Score both, changed."""
        with self.change(self.model, *self.arguments):
            return self.model(rgb, depth, explain=explain)


@contextmanager
def replaced(model: nn.Module, parts: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Let modules (by their dotted names) answer with fixed values, whatever they are shown."""
    known = dict(model.named_modules())
    hooks = []
    for name, value in parts.items():
        if name not in known:
            raise unknown("part of the model", name, known)
        hooks.append(known[name].register_forward_hook(_answer(value)))
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def _answer(value: Tensor) -> Callable:
    return lambda module, inputs, output: value.to(output.dtype).expand_as(output)


@contextmanager
def looking_everywhere(model: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """Let attention modules weigh all places alike: without queries every score is 0, and the softmax is flat."""
    known = dict(model.named_modules())
    kept = []
    for name in names:
        if name not in known:
            raise unknown("part of the model", name, known)
        third = known[name].in_proj_bias.numel() // 3
        for values in (known[name].in_proj_weight, known[name].in_proj_bias):
            kept.append((values, values.detach().clone()))
            values.data[:third] = 0
    try:
        yield model
    finally:
        for values, before in kept:
            values.data.copy_(before)


@contextmanager
def looking_here(model: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """Let attention modules look only at the place that asks; both maps must have the same size."""
    known = dict(model.named_modules())
    hooks = []
    for name in names:
        if name not in known:
            raise unknown("part of the model", name, known)
        hooks.append(known[name].register_forward_hook(_own_place))
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def _own_place(attention: nn.Module, inputs: tuple[Tensor, Tensor], output: Tensor) -> Tensor:
    value = attention.project(*inputs)[2]  # B,heads,N,d
    return attention.out_proj(value.transpose(1, 2).flatten(2))


@contextmanager
def without_place(model: nn.Module, stage: str) -> Iterator[nn.Module]:
    """Show the fusion at one place a depth map without places: every channel is its mean over the image."""
    fusions = dict(model.fusions.named_children())
    if stage not in fusions:
        raise unknown("place", stage, fusions)
    hook = fusions[stage].register_forward_pre_hook(
        lambda module, maps: (maps[0], maps[1].mean((2, 3), keepdim=True).expand_as(maps[1]))
    )
    try:
        yield model
    finally:
        hook.remove()
