"""MATLAB and HDF5 files: opened late, read in part, and every failure named with the file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from rgbd_lib.errors import UserError


@contextmanager
def hdf5(path: Path) -> Iterator[Any]:
    """Open an HDF5 file (also MATLAB v7.3) for reading; a damaged one raises UserError with its path.

    Opened for every read instead of kept open: a handle survives neither a fork nor a second process.
    """
    import h5py  # not needed by those who never open such a file

    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        raise UserError(
            f"{path} cannot be read as HDF5; it is truncated or no such file: copy it again"
        ) from error


def dataset(file: Any, key: str, path: Path) -> Any:
    """Return one data set of an open HDF5 file, or say what the file has instead."""
    import h5py

    found = file.get(key)
    if not isinstance(found, h5py.Dataset):
        raise UserError(f"{path} has no '{key}'; it has {', '.join(sorted(file)) or 'nothing'}")
    return found


def strings(file: Any, key: str) -> list[str] | None:
    """Return a MATLAB cell array of texts (references to code points), or None where the file has none."""
    cells = file.get(key)
    if cells is None or cells.dtype.kind != "O":
        return None
    return ["".join(map(chr, np.ravel(file[cell][()]))) for cell in np.ravel(cells[()])]


def load(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file before v7.3 (plain arrays, cells and structures)."""
    import scipy.io

    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        return scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)
    except NotImplementedError as error:
        raise UserError(f"{path} is MATLAB v7.3; save it again with -v7") from error
    except Exception as error:  # scipy lets through whatever a damaged byte led to
        raise UserError(f"{path} is no MATLAB file or damaged; copy it again") from error


def variable(path: Path, key: str) -> Any:
    """Return one variable of a MATLAB file before v7.3, or say what the file has instead."""
    found = load(path)
    if key not in found:
        names = ", ".join(sorted(name for name in found if not name.startswith("__"))) or "nothing"
        raise UserError(f"{path} has no '{key}'; it has {names}")
    return found[key]
