"""One training on several processes, started by ``torchrun``; with one process, nothing of it happens."""

import atexit
import os

import torch
from torch import Tensor, nn
from torch import distributed as dist

from rgbd_lib.machine import Machine


def world() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number among them."""
    return dist.get_rank() if dist.is_initialized() else 0


def start(device: str) -> None:
    """Join the processes that torchrun started, once."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and not dist.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        atexit.register(dist.destroy_process_group)


def wait() -> None:
    """Let all processes arrive before any goes on."""
    if dist.is_initialized():
        dist.barrier()


def mean(value: Tensor) -> Tensor:
    """Return the mean of a tensor over all processes."""
    if world() == 1:
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value / world()


def wrap(model: nn.Module, machine: Machine) -> nn.Module:
    """Return the module whose backward pass averages gradients over all processes."""
    if world() == 1:
        return model
    devices = [torch.device(machine.device)] if machine.kind == "cuda" else None
    return nn.parallel.DistributedDataParallel(model, device_ids=devices, find_unused_parameters=True)
