"""The contract that every fusion method obeys, and the list of those that do."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from rgbd_lib.errors import UserError, unknown


@dataclass
class Output:
    """What a method returns. Only ``logits`` is scored."""

    logits: Tensor  # B,K,H,W at the input's size
    branches: dict[str, Tensor] = field(default_factory=dict)  # scores of one modality alone, where there are
    extra_loss: Tensor | None = None  # what the method adds to the task loss; None means nothing
    explain: dict[str, Tensor] = field(default_factory=dict)  # filled only when asked for


torch.export.register_dataclass(Output, serialized_type_name="rgbd_lib.Output")


@dataclass
class Target:
    """What training knows about a batch beyond its images; a method never sees it at test time."""

    label: Tensor  # B,H,W long, 255 = ignore
    lighting: Tensor  # B long, index into the data set's lightings (0-based)
    scene_class: Tensor | None = None  # B long, where the data set has scene classes


@dataclass(frozen=True)
class MethodInfo:
    """What tables, figures and the runner need to know about a method."""

    name: str  # used in parameters, tables, figures and files
    title: str  # "Mid fusion"
    family: str  # baseline, concat, gate, attention, sum, exchange, distillation, control
    paper: str  # "Hazirbas et al., ACCV 2016", or "Seed study" or "Ours"
    color: str  # hex, the same in every figure
    marker: str  # matplotlib marker, shared within a family
    fuses: str  # where modalities meet: "1/8 skip and 1/32"
    requires: tuple[str, ...]  # methods whose finished run this one learns from
    factory: Callable[..., nn.Module]

    @property
    def module(self) -> str:
        """Return the dotted name of the file that defines the method."""
        return self.factory.__module__


_REGISTRY: dict[str, MethodInfo] = {}


def method(
    name: str,
    *,
    title: str,
    family: str,
    paper: str,
    color: str,
    marker: str = "o",
    fuses: str = "-",
    requires: tuple[str, ...] = (),
) -> Callable:
    """Declare a class (or a function that builds a module) as the fusion method ``name``.

    It is called as ``factory(classes, width=..., **options)``; a method that ``requires`` others
    is also given ``teachers={name: trained module}`` (None where it is built without them).
    """

    def register(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        known = _REGISTRY.get(name)
        if known and known.factory.__qualname__ != factory.__qualname__:
            raise UserError(f"two methods are called '{name}': {known.module} and {factory.__module__}")
        _REGISTRY[name] = MethodInfo(
            name, title, family, paper, color, marker, fuses, tuple(requires), factory
        )
        return factory

    return register


@cache
def _import_all() -> None:
    """Import every file of this folder once, so that each has registered its methods, if it has any."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"rgbd_lib.methods.{module.name}")


# Tables and figures list methods in this order: baselines first, then by family. Unlisted ones follow.
ORDER = (
    "rgb",
    "depth",
    "early",
    "mid",
    "late",
    "se",
    "attention",
    "transformer",
    "fusenet",
    "cen",
    "gemini",
    "primkd",
    "sagate",
    "cmx",
    "middrop",
    "average",
    "concat",
    "align",
    "selfatt",
)


def names(*, controls: bool = True) -> tuple[str, ...]:
    """Return the registered names in the order of tables and figures."""
    _import_all()
    found = [n for n in _REGISTRY if controls or _REGISTRY[n].family != "control"]
    rank = {n: i for i, n in enumerate(ORDER)}
    control = {n: _REGISTRY[n].family == "control" for n in found}
    return tuple(sorted(found, key=lambda n: (control[n], rank.get(n, len(rank)), n)))


def get(name: str) -> MethodInfo:
    """Return what is registered under a name; an unknown name lists the known ones."""
    _import_all()
    if name not in _REGISTRY:
        raise unknown("method", name, _REGISTRY)
    return _REGISTRY[name]


def build(
    name: str,
    classes: int,
    *,
    width: float = 1.0,
    init: str = "random",
    seed: int = 0,
    teachers: Mapping[str, nn.Module] | None = None,
    **options: object,
) -> nn.Module:
    """Build a method, initialised by the rule that is the same for all of them.

    ``init`` is "random" (seeded), "imagenet" (both encoders) or a path to a state dict; ``options``
    are the method's own keyword arguments, as its file documents them.
    """
    from rgbd_lib.methods.initialise import initialise  # torchvision loads only when something is built

    info = get(name)
    if info.requires:
        options["teachers"] = teachers
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = info.factory(classes, width=width, **options)
        except TypeError as error:
            if "unexpected keyword" not in str(error):
                raise
            raise UserError(f"method '{name}': {error}. Its options are in {info.module}") from error
        initialise(model, init)
    return model
