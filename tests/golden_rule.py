"""The rule by which golden records were made: every tensor's numbers follow from its place and shape alone."""

import numpy as np
import torch
from torch import Tensor, nn


def state(entries: list) -> dict[str, Tensor]:
    """Return the state dict of a record's entries [name, shape], in their order."""
    return {
        name: torch.from_numpy(np.asarray(_fill(name, shape, k))) for k, (name, shape) in enumerate(entries)
    }


def _fill(name: str, shape: list[int], k: int) -> np.ndarray:
    draw = np.asarray(np.random.default_rng(k).standard_normal(shape or None), dtype=np.float32)
    leaf = name.split(".")[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, dtype=np.int64)
    if leaf == "running_var":
        return (1 + 0.1 * np.abs(draw)).astype(np.float32)
    if leaf == "running_mean" or "bias" in leaf:
        return (0.1 * draw).astype(np.float32)
    if len(shape) > 1:
        return (draw * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    return (1 + 0.1 * draw).astype(np.float32)


def inputs(i: int, shape: list[int]) -> Tensor:
    """Return the i-th input of a record."""
    return torch.from_numpy(np.random.default_rng(10_000 + i).standard_normal(shape).astype(np.float32))


def load(module: nn.Module, entries: list) -> None:
    """Fill a module; names, order and shapes must be those of the record."""
    ours = [[name, list(value.shape)] for name, value in module.state_dict().items()]
    assert ours == [list(entry) for entry in entries]
    module.load_state_dict(state(entries))


def check(value: Tensor, record: dict, atol: float) -> None:
    """Compare shape and sampled values with a record."""
    assert list(value.shape) == record["shape"]
    expected = torch.tensor(record["value"])
    found = value.detach().float().flatten()[record["index"]]
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)
