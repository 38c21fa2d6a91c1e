"""What this machine is and what it is good at: device, precision, versions."""

import ctypes
import importlib.metadata
import os
import platform
import resource
import sys
from dataclasses import dataclass
from functools import cache

import torch

from rgbd_lib.errors import UserError, unknown

PRECISIONS = ("auto", "fp32", "bf16")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
RECORDED = ("torch", "torchvision", "numpy", "opencv-python", "scipy", "pandas", "papermill")


@dataclass(frozen=True)
class Machine:
    """Where a run executes. It is recorded with the run, and is no part of the run's identity."""

    device: str  # "cpu", "cuda:0", "mps"
    precision: str  # "fp32" or "bf16" (autocast; weights stay float32)
    compiled: bool

    @property
    def kind(self) -> str:
        """Return the device's type: cpu, cuda or mps."""
        return self.device.split(":")[0]

    def autocast(self) -> torch.autocast:
        """Return the context of the forward pass."""
        return torch.autocast(self.kind, torch.bfloat16, enabled=self.precision == "bf16")

    def __str__(self) -> str:
        what = f" ({torch.cuda.get_device_name(self.device)})" if self.kind == "cuda" else ""
        threads = f", {torch.get_num_threads()} threads" if self.kind == "cpu" else ""
        return f"{self.device}{what}, {self.precision}{threads}{', compiled' if self.compiled else ''}"


def choose(device: str = "auto", precision: str = "auto", compiled: bool = False) -> Machine:
    """Return the best this machine offers, or what was asked for.

    ``compiled`` asks for ``torch.compile``, which takes longer to begin than a run of the study takes on a GPU.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device '{device}' is not usable here ({str(error).splitlines()[0]}); try --device cpu"
        ) from error
    if device == "cuda":
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0))}"
    if precision == "auto":  # a study that was begun elsewhere can go on in the precision it was begun in
        precision = os.environ.get("RGBD_PRECISION", "auto")
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if precision == "auto":
        precision = "bf16" if gains_from_bf16(device) else "fp32"
    if device == "cpu":
        keep_freed_memory()
    return Machine(device, precision, compiled)


@cache
def keep_freed_memory() -> None:
    """Let glibc keep what a step has freed for the next one, which needs the same again.

    By default it gives large tensors back to the system and takes them anew in every step; the system fills them
    with zeros each time. That was 15 to 30 % of a training step's processor time.
    """
    if not sys.platform.startswith("linux"):
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD) if set_option else ():
        set_option(option, 2**31 - 1)


def gains_from_bf16(device: str) -> bool:
    """Whether matrix units for bfloat16 exist: AMX or AVX512-BF16 on a CPU, Ampere or newer on a GPU."""
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    return any(
        getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def peak_memory_mb(device: str) -> float:
    """Return the peak so far: of the device on a GPU, of this process on a CPU."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def versions() -> dict[str, str]:
    """Return the versions that a run's numbers may depend on."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for package in RECORDED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "missing"
    return found
