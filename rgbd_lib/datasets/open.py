"""From a path to a data set: look at what is there, and say what it was taken for."""

import inspect
from importlib import import_module
from pathlib import Path

from rgbd_lib import paths
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.errors import UserError

READERS: tuple[str, ...] = (
    "folder",
    "mm5",
    "nyuv2",
    "fusenet_h5",
    "layouts",
    "sunrgbd",
)
"""Modules of this folder, asked in this order: ``detect(path)`` gives a reason or None, ``open`` the data set."""

LOOKED_FOR = (
    "a folder with dataset.toml (your own data), MM5 (RGB1.. and ANNO_CLASS), NYUv2 (.mat or a folder), SUN RGB-D, "
    "FuseNet HDF5"
)


def open_dataset(path: str | Path, **options: object) -> Dataset:
    """Open whatever lies at a path; ``decision`` of the result says in one sentence what it was taken for.

    Options go to the reader, for example ``depth="D_FocusN"`` or ``labels="9"`` for MM5. Nothing is decoded.
    """
    path = paths.data(path)
    try:
        if not path.exists():
            raise UserError(
                f"{path} does not exist. Make data with `rgbd data synth`, or point to a folder that is there"
            )
        for name in READERS:
            reader = import_module(f"rgbd_lib.datasets.{name}")
            if reader.detect(path):
                _check_options(name, reader.open, options)
                return reader.open(path, **options)
        raise UserError(_nothing(path))
    except OSError as error:
        raise UserError(f"{error.filename or path} cannot be read: {error.strerror or error}") from error


def _check_options(name: str, opener: object, options: dict[str, object]) -> None:
    known = [p for p in inspect.signature(opener).parameters if p != "path"]
    for option in options:
        if option not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UserError(f"data of the kind '{name}' has no option '{option}'; {takes}")


def _nothing(path: Path) -> str:
    """Say why nothing fits, with the nearest way out."""
    if path.is_file():
        return f"{path} is a file of no known kind. Looked for: {LOOKED_FOR}"
    there = sorted(entry.name for entry in path.iterdir())
    if not there:
        return f"{path} is an empty folder. Make data with `rgbd data synth`, or see docs/your_data.md"
    names = {name.casefold() for name in there}
    if names & {"rgb", "rgb1", "image", "images"} and "depth" in names:
        return f"{path} has {', '.join(there[:6])} but no dataset.toml to say what they mean; see docs/your_data.md"
    return f"{path} holds no data set that is known ({', '.join(there[:6])}). Looked for: {LOOKED_FOR}"
