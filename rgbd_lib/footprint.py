"""What a method costs beside its score: memory counted exactly, latency measured once and kept.

Memory and operations are properties of a method, the same everywhere. Latency is one of a method on a machine: it is
measured where it is missing and lies in ``results/PROFILE/latency.csv``, with the machine's name, so that a page that
shows it does not change with every reading.
"""

import platform
import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rgbd_lib import methods, paths
from rgbd_lib.methods import cost
from rgbd_lib.profiles import profile as profile_of

ADAM = 4 * 4  # bytes per weight in training: itself, its gradient and two running means, 4 each
REPEATS = 30
COLUMNS = ("method", "profile", "classes", "machine", "threads", "p50_ms", "p95_ms")


def saved_for_backward(model: nn.Module, size: tuple[int, int], batch: int = 2) -> int:
    """Return the bytes that a training step of ``batch`` images keeps until its backward pass.

    Every stored array counts once, however many layers keep it; weights do not count. Measured on the CPU in
    float32, without what the loss adds.
    """
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[
        int, torch.UntypedStorage
    ] = {}  # holding on to an array keeps its address from being used again

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    model = model.cpu().float().train()
    inputs = [torch.zeros(batch, channels, *size) for channels in (3, 1)]
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        out = model(*inputs)
    total = sum(storage.nbytes() for storage in kept.values())
    del out
    return total


def table(names: Sequence[str], profile: str, classes: int) -> pd.DataFrame:
    """Return a row per method: parameters, multiply-adds of an image, bytes of a training step of the profile."""
    chosen, rows = profile_of(profile), {}
    for name in names:
        model = methods.build(name, classes, width=chosen.width)
        weights = cost.parameters(model)
        step = ADAM * weights + saved_for_backward(model, chosen.size) // 2 * chosen.batch
        rows[name] = {
            "parameters": weights,
            "multiply_adds": cost.multiply_adds(model, chosen.size),
            "training_bytes": step,
        }
    return pd.DataFrame(rows).T.astype(np.int64)


def latency(names: Sequence[str], profile: str, classes: int) -> pd.DataFrame:
    """Return the time of one prediction of a single image, read from the table or measured now and kept there."""
    path = paths.results() / profile / "latency.csv"
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))
    have = set(known.method[known.classes == classes])
    new = [{"method": n, **measure(n, profile, classes)} for n in names if n not in have]
    if new:
        made = pd.DataFrame(new, columns=list(COLUMNS))
        path.parent.mkdir(parents=True, exist_ok=True)
        (pd.concat([known, made]) if len(known) else made).to_csv(path, index=False, float_format="%.4g")
        known = pd.read_csv(path)  # what is shown now is what is shown the next time
    return known[known.classes == classes].set_index("method").loc[list(names)]


@torch.inference_mode()
def measure(name: str, profile: str, classes: int, repeats: int = REPEATS) -> dict[str, object]:
    """Time single predictions on one core of this machine; weights do not matter, so none are loaded.

    Processor time of one thread, which is the latency of an idle core, whatever else the machine does.
    """
    chosen = profile_of(profile)
    model = methods.build(name, classes, width=chosen.width).eval()
    inputs = [torch.zeros(1, channels, *chosen.size) for channels in (3, 1)]
    threads, spent = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        for _ in range(repeats + 3):
            start = time.process_time()
            model(*inputs)
            spent.append(1000 * (time.process_time() - start))
    finally:
        torch.set_num_threads(threads)
    median, late = np.percentile(spent[3:], (50, 95))

    return {
        "profile": profile,
        "classes": classes,
        "machine": f"{platform.machine()} CPU",
        "threads": 1,
        "p50_ms": median,
        "p95_ms": late,
    }


def unbeaten(score: pd.Series, price: pd.Series) -> list[str]:
    """Return the methods that no other beats in score at the same price or less."""
    return [n for n in score.index if not ((price <= price[n]) & (score > score[n])).any()]
