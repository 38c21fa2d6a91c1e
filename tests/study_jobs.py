"""Jobs for tests of scheduling; worker processes import them from here."""

import os
import signal
import time
from pathlib import Path

from rgbd_lib.errors import UserError


def write(folder: Path, name: str) -> None:
    """Note which process did it, when it began, and what it was given."""
    begun = time.time()
    time.sleep(0.05)
    keys = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "RGBD_RESULTS")
    text = "\n".join([str(os.getpid()), str(begun), *(os.environ.get(k, "") for k in keys)])
    (folder / name).write_text(text)


def fail() -> None:
    """Fail as a user's mistake does."""
    raise UserError("depth.png is missing")


def rest(folder: Path, seconds: float) -> None:
    """Do nothing for a while, then say that it was a whole while."""
    (folder / "begun").touch()
    time.sleep(seconds)
    (folder / "ended").touch()


def divide() -> int:
    """Fail as a mistake of the code does."""
    return 1 // 0


def die(folder: Path) -> None:
    """End the process without a word, as a machine out of memory would."""
    (folder / f"death-{time.time_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def train(run: object, log: Path) -> None:
    """Train a run, noting the process and the checkpoint it begins from."""
    from rgbd_lib import checkpoint, runs  # the other jobs need not wait for torch

    found = checkpoint.latest(run.folder)
    with log.open("a") as out:
        out.write(f"{os.getpid()} {found.name if found else '-'}\n")
    runs.get(run, quiet=True)
