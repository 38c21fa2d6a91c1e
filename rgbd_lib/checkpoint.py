"""Checkpoints that are whole or absent: a folder is filled beside its place and then renamed into it."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rgbd_lib.errors import UserError


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's state dict as safetensors, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    try:
        save_file(state, partial)
        os.replace(partial, path)
    except Exception as error:
        partial.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load weights that ``save_weights`` wrote; a mismatch names what is missing or unexpected."""
    missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    if missing or unexpected:
        raise UserError(
            f"{path} does not fit the model: missing {missing[:3]}, unexpected {unexpected[:3]}; "
            "it was made with other options or another version of the method"
        )


def save(folder: Path, epoch: int, model: nn.Module, state: Mapping[str, object]) -> None:
    """Write checkpoint ``epoch`` and then remove the older ones."""
    target = folder / f"checkpoint-{epoch:04d}"
    partial = folder / f".partial-{epoch:04d}"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_weights(model, partial / "model.safetensors")
        torch.save(dict(state), partial / "state.pt")
        _sync(partial)
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial, target)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _cannot_write(target, error) from error
    for old in sorted(folder.glob("checkpoint-*"))[:-1]:
        shutil.rmtree(old, ignore_errors=True)


def latest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, or None."""
    found = sorted(folder.glob("checkpoint-*"))
    return found[-1] if found else None


def load(path: Path, model: nn.Module) -> dict[str, object]:
    """Load a checkpoint into the model; the rest of its state is returned. Nothing in it is executed."""
    load_weights(model, path / "model.safetensors")
    return torch.load(path / "state.pt", weights_only=True, map_location="cpu")


def clear(folder: Path) -> None:
    """Remove all checkpoints: the run is finished and its weights lie beside them."""
    for path in [*folder.glob("checkpoint-*"), *folder.glob(".partial-*")]:
        shutil.rmtree(path, ignore_errors=True)


def to_cpu(state: object) -> object:
    """Return nested optimizer state with all tensors copied to the CPU."""
    if isinstance(state, Tensor):
        return state.detach().cpu().clone()
    if isinstance(state, dict):
        return {key: to_cpu(value) for key, value in state.items()}
    return [to_cpu(value) for value in state] if isinstance(state, list) else state


def _sync(folder: Path) -> None:
    """Ask the disk to hold the files before the rename makes them count."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _cannot_write(path: Path, error: Exception) -> UserError:
    return UserError(
        f"cannot write {path}: {error}. Free space or point RGBD_RESULTS elsewhere; earlier checkpoints are intact"
    )
