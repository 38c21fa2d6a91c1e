"""How the papers trained, as named presets of the one loop. Every value stands beside the place it was read from.

A preset is an optimizer, groups of parameters with their own rate and decay, a schedule in *published* steps, stages
that each begin with a new optimizer, what the network is fed and what its losses are. A shorter budget runs through
the same schedule faster: a quarter of the steps, a quarter of the warm-up.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from rgbd_lib.errors import UserError, unknown
from rgbd_lib.papers import objectives
from rgbd_lib.papers.objectives import Feed, Objective

Group = dict[str, object]  # "params", "lr", "weight_decay"
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Preset:
    """One paper's recipe. Rates are multiplied by ``stages[i]``, one entry for each stage."""

    name: str
    network: str
    source: str  # where the values are described
    epochs: tuple[int, ...]  # of each stage
    steps: int  # published steps per epoch
    batch: int
    optimizer: Callable[[Sequence[Group]], Optimizer]
    groups: Callable[[nn.Module, int], list[Group]]  # of a network and a stage
    factor: Callable[[float], float]  # of the rate, by published step within a stage
    feed: Feed
    objective: Objective
    options: dict[str, object] = field(default_factory=dict)  # of the network
    without_weights: dict[str, object] = field(
        default_factory=dict
    )  # options where no pre-trained encoder is given
    weighted: bool = False  # median-frequency class weights, divided by the number of pixels
    teacher: str | None = None  # preset of the frozen network that it learns from
    notes: str = ""


# -- schedules: factors of a group's rate, by published step ---------------------------------------


def constant(step: float) -> float:
    """Stay."""
    return 1.0


def staircase(step: float, *, every: float, by: float) -> float:
    """Multiply by ``by`` after every ``every`` steps."""
    return by ** (step // every)


def gemini(step: float, *, warm: float = 1500, total: float = 40_000) -> float:
    """Warm up from 1e-6, fall linearly as if there had been no warm-up, stay where that ends."""
    if step < warm:
        return 1 - (1 - step / warm) * (1 - 1e-6)
    if step < total:
        return 1 - step / total
    return 2.5e-5


def polynomial(step: float, *, warm: float, total: float, power: float = 0.9) -> float:
    """Warm up linearly from 0, then fall polynomially, not shifted: a drop at the end of the warm-up."""
    return step / warm if step < warm else (1 - min(step, total) / total) ** power


def after_the_step(step: float, *, schedule: Callable[[float], float]) -> float:
    """Set the rate behind the optimizer's step: the first runs at the full rate, the second with the first's."""
    return 1.0 if step < 1 else schedule(step - 1)


# -- groups of parameters ---------------------------------------------------------------------------


def group(parameters: Sequence[nn.Parameter], lr: float, decay: float) -> Group:
    """Return one group."""
    return {"params": list(parameters), "lr": lr, "weight_decay": decay}


CEN_RATES = ((5e-4, 3e-3), (2.5e-4, 1.5e-3), (1e-4, 7e-4))  # encoder and the rest, in three stages


def cen_groups(model: nn.Module, stage: int) -> list[Group]:
    """Return encoder and rest; the release has an SGD for each, which is the same."""
    return [group(p, lr, 1e-5) for p, lr in zip(model.halves(), CEN_RATES[stage], strict=True)]


def one_group(model: nn.Module, stage: int, *, lr: float, decay: float) -> list[Group]:
    """Return all parameters alike."""
    return [group([p for p in model.parameters() if p.requires_grad], lr, decay)]


def caffe_groups(model: nn.Module, stage: int, *, lr: float, decay: float) -> list[Group]:
    """Return weights, and biases with twice the rate and no decay."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        group([p for n, p in named if not n.endswith("bias")], lr, decay),
        group([p for n, p in named if n.endswith("bias")], 2 * lr, 0.0),
    ]


def gemini_groups(model: nn.Module, stage: int, *, decay: float = 0.01) -> list[Group]:
    """Return encoder, encoder's norms without decay, head at ten times the rate; alpha is in no group."""
    encoder, head = (getattr(model, name) for name in model.names)
    named, lr = list(encoder.named_parameters()), 6e-5 / 2**stage
    return [
        group([p for n, p in named if "norm" not in n], lr, decay),
        group([p for n, p in named if "norm" in n], lr, 0.0),
        group(head.parameters(), 10 * lr, decay),
    ]


def cmx_groups(model: nn.Module, stage: int, *, lr: float = 6e-5) -> list[Group]:
    """Return weights of linear and convolution layers, and all biases and norms without decay."""
    plain = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    plain |= {id(p) for n, p in model.named_parameters() if n.endswith("bias")}
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed, kept = ([p for p in parameters if (id(p) in plain) == side] for side in (False, True))
    return [group(decayed, lr, 0.01), group(kept, lr, 0.0)]


# -- the presets ------------------------------------------------------------------------------------

MOMENTUM = partial(SGD, momentum=0.9)
ADAMW = partial(AdamW, betas=(0.9, 0.999), eps=1e-8)
_PRESETS: dict[str, Preset] = {}


def declare(*presets: Preset) -> None:
    """Make presets known."""
    _PRESETS.update({preset.name: preset for preset in presets})


def cen_preset(size: int, epochs: int) -> Preset:
    """Return channel exchanging's recipe on NYUv2: 795 images, batches of 6, the last incomplete one dropped."""
    return Preset(
        f"cen-nyuv2-{size}", f"cen-refinenet{size}", "CEN: released code (training script)",
        (epochs,) * 3, 132, 6, MOMENTUM, cen_groups, constant, objectives.raw_metres,
        partial(objectives.cen, penalty=2e-4), without_weights={"freeze_bn": False},
        notes="L1 counts once per output, three times in all; batch-norm statistics stay those of ImageNet.",
    )  # fmt: skip


declare(cen_preset(101, 100), cen_preset(152, 150), cen_preset(50, 100))
_FUSENET = Preset(
    "fusenet-sun", "fusenet-vgg16", "FuseNet, section 4 (training), and its Caffe files", (43,), 1174, 4, MOMENTUM,
    partial(caffe_groups, lr=1e-3, decay=5e-4), partial(staircase, every=50_000, by=0.9), objectives.levels,
    objectives.branchless, weighted=True,
    notes="The paper trains until the loss stops falling; 43 epochs are 50,000 steps, the first fall of the rate.",
)  # fmt: skip
_PORT = replace(
    _FUSENET, name="fusenet-port", source="FuseNet: second PyTorch port (options and defaults)", epochs=(100,), steps=198,
    groups=partial(one_group, lr=5e-3, decay=5e-4), factor=partial(staircase, every=25 * 198, by=0.9), weighted=False,
    options={"scene_classes": 10}, objective=partial(objectives.scenes, weight=0.001),
    notes="Adds the scene head; lambda 0.001. Biases as weights, against the paper.",
)  # fmt: skip
declare(_FUSENET, _PORT)


def lambda_sweep(start: float = 0.004, end: float = 0.01, steps: int = 5) -> Iterator[Preset]:
    """Yield the port's recipe once for each lambda, equally spaced, both ends included (its --lambda_class_range)."""
    if steps < 1 or (steps == 1 and start != end):
        raise UserError(
            f"{steps} steps from {start} to {end}: 2 or more are needed, or one with equal ends, as in the port"
        )
    for weight in np.linspace(start, end, steps):
        objective = partial(objectives.scenes, weight=float(weight))
        yield replace(_PORT, name=f"fusenet-port-lambda{weight:.5f}", objective=objective)


declare(*lambda_sweep())
for _size in ("mit_b0", "mit_b3", "mit_b5"):
    declare(
        Preset(
            f"geminifusion-nyuv2-{_size}", f"geminifusion-{_size}", "GeminiFusion: released code, its readme and arguments",
            (100,) * 3, 132, 6, ADAMW, gemini_groups, gemini, objectives.counts, objectives.branches,
            without_weights={"freeze_bn": False},
            notes="Each stage restarts optimizer and warm-up; on three GPUs with two images each.",
        )
    )  # fmt: skip
_CMX = Preset(
    "cmx-nyuv2-mit_b2", "cmx-mit_b2", "CMX: released configuration for NYUv2", (500,), 100, 8, ADAMW, cmx_groups,
    partial(after_the_step, schedule=partial(polynomial, warm=1000, total=50_000)), objectives.three_levels,
    objectives.branchless, options={"bgr": True},
    notes="The rate is set behind the step: the first step runs at the full rate, the second at 0.",
)  # fmt: skip
_PRIMKD_SCHEDULE = partial(after_the_step, schedule=partial(polynomial, warm=1990, total=99_500))
_TEACHER = replace(
    _CMX, name="segformer-teacher-mit_b4", network="segformer-mit_b4", source="PrimKD: its teacher; how it was trained is "
    "not in the release, so the student's schedule", batch=4, steps=199, factor=_PRIMKD_SCHEDULE, notes="",
)  # fmt: skip
declare(_CMX, _TEACHER, replace(_TEACHER, name="segformer-teacher-mit_b0", network="segformer-mit_b0"))
for _size in ("mit_b4", "mit_b0"):
    _documented = replace(
        _TEACHER, name=f"primkd-documented-{_size}", network=f"primkd-{_size}", source="PrimKD: command of the readme",
        objective=objectives.taught, teacher=f"segformer-teacher-{_size}",
        options={"bgr": True, "branch": "hint", "direction": "teacher", "alpha": 1.0, "beta": 0.1, "select": "max"},
        notes="KL from teacher to student; the mask ratio of the command has no effect on 'hint'.",
    )  # fmt: skip
    _script = replace(
        _documented, name=f"primkd-script-{_size}", source="PrimKD: defaults of the training script",
        options=_documented.options | {"direction": "student"},
        notes="The script's own default turns the KL round.",
    )  # fmt: skip
    declare(_documented, _script)


def names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(sorted(_PRESETS))


def get(name: str) -> Preset:
    """Return a preset; an unknown name lists the known ones."""
    if name not in _PRESETS:
        raise unknown("preset", name, _PRESETS)
    return _PRESETS[name]
