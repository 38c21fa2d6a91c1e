"""Load the authors' weights: whatever wrapping, every tensor accounted for, nothing executed."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rgbd_lib.errors import UserError
from rgbd_lib.papers.registry import State, build, get

WRAPPERS = ("state_dict", "model", "segmenter")  # where authors keep the weights in a checkpoint
DEEPEST = 4  # checkpoints within checkpoints
# Plain numbers beside the weights (epoch, best score): without these types a harmless file would be refused.
SCALAR = np.float64(0).__reduce__()[0]
NUMBERS = [
    (SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 called it
    (SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)),
]


def load_official(
    name: str, source: Mapping[str, object] | str | Path, classes: int = 40, **options: object
) -> nn.Module:
    """Return a published network with its authors' weights, in evaluation mode.

    ``source`` is a state dict, a checkpoint that holds one, or a file (.pth, .pth.tar, .pt, .safetensors);
    ``classes`` and ``options`` are those of ``build`` and must be what the weights were trained with.
    """
    model = build(name, classes, **options)
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read(Path(source))
    state = unwrap(content, where)
    translate = get(name).translate
    state = translate(state) if translate else state
    _fill(model, state, f"{where} does not fit {name}")
    return model.eval()


def read(path: Path) -> Mapping[str, object]:
    """Return what a checkpoint file holds; a file that asks to run code is refused."""
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}; give the file with the authors' weights")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        culprit = re.search(r"GLOBAL (\S+)", str(error))
        asks = f"it asks for '{culprit[1]}', which is no data" if culprit else "it is no plain set of tensors"
        raise UserError(
            f"{path} is refused: {asks}. Nothing in it was executed; ask for a file that holds the state dict alone"
        ) from error
    except Exception as error:  # damaged and hostile files fail in any way they like
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{path} cannot be read: {reason}. Fetch it again, it may be cut off") from error


def unwrap(content: object, where: str) -> State:
    """Return the tensors of a checkpoint by name, without wrapping and without ``module.`` in front."""
    for _ in range(DEEPEST):
        inner = [content.get(key) for key in WRAPPERS] if isinstance(content, Mapping) else []
        content = next((part for part in inner if isinstance(part, Mapping)), content)
    tensors = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    if not tensors or not content:
        found = list(content)[:8] if isinstance(content, Mapping) else type(content).__name__
        raise UserError(
            f"{where} holds no state dict, neither itself nor under {', '.join(WRAPPERS)}: found {found}"
        )
    state = dict(content)
    while all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return state


def _fill(model: nn.Module, state: State, problem: str) -> None:
    """Load strictly; what does not fit is listed in full."""
    ours = model.state_dict()
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in ours.items()
        if key in state and state[key].shape != value.shape
    ]
    missing, unexpected = ((), ()) if shapes else model.load_state_dict(state, strict=False)
    if shapes:
        missing, unexpected = [k for k in ours if k not in state], [k for k in state if k not in ours]
    faults = {"missing": missing, "unexpected": unexpected, "other shapes": shapes}
    told = "; ".join(f"{kind} {len(keys)}: {', '.join(keys)}" for kind, keys in faults.items() if keys)
    if told:
        raise UserError(
            f"{problem}: {told}. Check the name, the number of classes and the options it was trained with"
        )
