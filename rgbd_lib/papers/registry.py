"""The list of published networks, and the one way to build them.

A network is a module with ``forward(rgb, depth, full_size=True) -> Output``: ``logits`` is what its paper
scores, ``branches["rgb"]`` and ``branches["depth"]`` are the scores of one modality alone, where there are
any. ``full_size=False`` leaves the scores at the network's own resolution.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown

State = dict[str, Tensor]


@dataclass(frozen=True)
class NetworkInfo:
    """What loading, converting and tables need to know about a published network."""

    name: str  # "cmx-mit_b2": the family, a hyphen, the backbone
    title: str  # "CMX"
    paper: str  # "Zhang et al., T-ITS 2023"
    factory: Callable[..., nn.Module]
    variant: Mapping[str, object]  # what this name stands for: keyword arguments of the factory
    translate: Callable[[State], State] | None  # from the authors' names to ours, where they differ

    @property
    def module(self) -> str:
        """Return the dotted name of the file that defines the network."""
        return self.factory.__module__


_REGISTRY: dict[str, NetworkInfo] = {}


def network(
    variants: Mapping[str, Mapping[str, object]],
    *,
    title: str,
    paper: str,
    translate: Callable[[State], State] | None = None,
) -> Callable:
    """Declare a class (or a function that builds a module) as a family of published networks.

    ``variants`` maps each name to the keyword arguments it stands for; the factory is called as
    ``factory(classes, **variant, **options)``, with options from whoever builds it.
    """

    def register(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        for name, variant in variants.items():
            _REGISTRY[name] = NetworkInfo(name, title, paper, factory, dict(variant), translate)
        return factory

    return register


@cache
def _import_all() -> None:
    """Import every file of this folder once, so that each has registered its networks, if it has any."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"rgbd_lib.papers.{module.name}")


def names() -> tuple[str, ...]:
    """Return the names of all networks, sorted."""
    _import_all()
    return tuple(sorted(_REGISTRY))


def get(name: str) -> NetworkInfo:
    """Return what is registered under a name; an unknown name lists the known ones."""
    _import_all()
    if name not in _REGISTRY:
        raise unknown("network", name, _REGISTRY)
    return _REGISTRY[name]


def build(name: str, classes: int = 40, *, seed: int = 0, **options: object) -> nn.Module:
    """Build a published network with its paper's initialisation, seeded.

    ``options`` are the network's own keyword arguments, as its file documents them (``modalities``,
    ``branch``, ``scene_classes``, and one per quirk). Under ``torch.device("meta")`` nothing is allocated.
    """
    info = get(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return info.factory(classes, **info.variant, **options)
        except TypeError as error:
            if "keyword argument" not in str(error):
                raise
            raise UserError(f"network '{name}': {error}. Its options are in {info.module}") from error
