"""Trains on the made data in a process of its own: ``python -m tests.train_driver FOLDER METHOD [KILL]``.

KILL is "step:7", "sync:2" or "weights:3": the process kills itself (SIGKILL, no clean-up) at the beginning of the
n-th optimizer step, in the middle of the n-th checkpoint, or while the n-th file of weights is being written.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn

from rgbd_lib import checkpoint, distributed, machine, methods
from rgbd_lib.recipe import Recipe
from rgbd_lib.training import Trainer
from tests.study_fixtures import material


class Plain(nn.Module):
    """A model without batch norm: its gradient over a batch is the mean over any equal parts."""

    def __init__(self, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        self.score = nn.Conv2d(4, classes, 3, padding=1)

    def forward(self, rgb, depth, target=None, explain=False):
        return methods.Output(self.score(torch.cat([rgb, depth], dim=1)))


def register_plain() -> None:
    """Make ``Plain`` known; not on import, because other tests of the process go through all methods."""
    methods.method("test_plain", title="One convolution", family="control", paper="-", color="#777777")(Plain)


SETTINGS = {"epochs": 4, "size": (32, 48), "batch": 2, "width": 0.125, "ema": 0.9}


PARALLEL = {"ema": 0.0, "augment": False, "loss": "ce"}


def trainer(
    folder: Path, method: str = "rgb", chosen: machine.Machine | None = None, **settings: object
) -> Trainer:
    """Return a trainer of a tiny model on the made data below ``folder``."""
    data = material(folder)
    needed = methods.get(method).requires
    teachers = {name: methods.build(name, data.classes, width=0.125) for name in needed}
    model = methods.build(method, data.classes, width=0.125, seed=0, teachers=teachers)
    recipe = Recipe.of("smoke", SETTINGS | settings)
    return Trainer(model, data, recipe, chosen or machine.choose("cpu"), seed=0, folder=folder)


def kill_at(where: str, count: int) -> None:
    """Let this process die at the ``count``-th passage of a place."""
    owner, name = {
        "step": (Trainer, "step"),
        "sync": (checkpoint, "_sync"),
        "weights": (checkpoint, "save_file"),
    }[where]
    original, seen = getattr(owner, name), []

    def dying(*args: object, **kwargs: object) -> object:
        seen.append(0)
        if len(seen) == count:
            if where == "weights":
                Path(args[1]).write_bytes(b"half a file")
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, dying)


def main(folder: str, method: str, kill: str = "") -> None:
    """Train; under torchrun each process takes its share."""
    torch.set_num_threads(1)
    register_plain()
    if kill:
        where, count = kill.split(":")
        kill_at(where, int(count))
    distributed.start("cpu")
    settings = PARALLEL if distributed.world() > 1 else {}
    trainer(Path(folder), method, machine.choose("cpu", "fp32") if settings else None, **settings).run(
        quiet=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
