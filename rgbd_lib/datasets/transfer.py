"""Small arrays from the host to a device, without making the host wait for the device's queue."""

import numpy as np
import torch
from torch import Tensor


def send(array: np.ndarray, device: torch.device) -> Tensor:
    """Return the array as a tensor on the device.

    A copy from ordinary memory to a CUDA device first waits for all work queued there; one from pinned memory
    takes its place in the queue.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
