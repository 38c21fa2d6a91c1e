"""Executing notebooks so that a re-run of unchanged work changes no byte.

papermill does the work behind one function: parameters are checked against the notebook first (papermill would
only warn), the kernel is this very Python whatever kernelspecs the machine has, and the target appears only when
every cell has succeeded. A notebook that fails is left beside it as ``NAME.failed.ipynb``.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from rgbd_lib.errors import UserError
from rgbd_lib.normalise import normalise
from rgbd_lib.notebook_source import check_parameters

START_SECONDS = 300  # a kernel imports much, and the machine may be busy
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(UserError):
    """A cell that failed: which notebook, which cell, and its error."""

    def __init__(self, notebook: str, cell: str, error: str) -> None:
        super().__init__(notebook, cell, error)  # all three, so that it survives the way from a worker
        self.notebook, self.cell, self.error = notebook, cell, error

    def __str__(self) -> str:
        return f"{self.notebook}, {self.cell}: {self.error}"


class ThisPython(AsyncKernelManager):
    """A kernel in the interpreter that runs this code."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how to start it; other kernelspecs on the machine are not asked."""
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3 (ipykernel)",
            language="python",
            metadata={"supported_encryption": ["curve"]},
        )


def execute(
    source: Path,
    target: Path | None = None,
    parameters: Mapping[str, object] | None = None,
    *,
    cell_seconds: float | None = None,
) -> Path:
    """Execute a notebook into ``target`` and return it; without a target in place, with its own parameters."""
    source = Path(source).resolve()
    target = Path(target or source).resolve()
    parameters = dict(parameters or {})
    check_parameters(source, parameters)
    if target == source and parameters:
        raise UserError(f"{source.name}: other parameters than its own need another file to be written to")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, failed = (target.with_name(f"{target.stem}.{state}.ipynb") for state in ("partial", "failed"))
    at = Position()
    try:
        run(source, partial, parameters, at, cell_seconds)
        nbformat.write(normalise(nbformat.read(partial, 4)), partial)
    except BaseException as error:
        if partial.exists():
            os.replace(partial, failed)
        raise reason(source.name, at, error) from error
    os.replace(partial, target)
    failed.unlink(missing_ok=True)
    return target


class Position:
    """The code cell that is being executed."""

    def __init__(self) -> None:
        self.number, self.first_line = 0, ""

    def moved(self, cell: NotebookNode, cell_index: int) -> None:
        """Note that a cell begins; nbclient calls this for cells of text as well."""
        if cell.cell_type == "code":
            self.number += 1
            self.first_line = (cell.source.strip().splitlines() or [""])[0]

    def __str__(self) -> str:
        return f"cell [{self.number}] `{self.first_line}`" if self.number else "before the first cell"


def run(
    source: Path, target: Path, parameters: Mapping[str, object], at: Position, cell_seconds: float
) -> None:
    """Let papermill execute a notebook in a process of its own."""
    os.environ.pop("MPLBACKEND", None)  # "agg" in the parent would silently remove every figure
    papermill.execute_notebook(
        str(source),
        str(target),
        dict(parameters),
        kernel_name="python3",
        language="python",
        progress_bar=False,
        execution_timeout=cell_seconds,
        start_timeout=START_SECONDS,
        kernel_manager_class=ThisPython,
        config=Config({"KernelManager": {"transport_encryption": "auto"}}),
        coalesce_streams=True,
        resources={"metadata": {"path": str(source.parent)}},  # cwd= would move this process as well
        on_cell_start=at.moved,
    )


def reason(notebook: str, at: Position, error: BaseException) -> BaseException:
    """Return an error that names notebook and cell, or the error itself where no cell is to blame."""
    if isinstance(error, PapermillExecutionError):
        text = f"{error.ename}: {error.evalue}"
    elif isinstance(error, CellTimeoutError):
        text = "took longer than a cell may; --cell-minutes allows more"
    elif isinstance(error, DeadKernelError):
        text = "its process died: killed, or out of memory"
    else:
        return error
    return NotebookError(notebook, str(at), ESCAPES.sub("", text).strip().splitlines()[0])
