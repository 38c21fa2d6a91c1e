"""What the author of a notebook wrote: cells, parameters, imports. Read as JSON, because most notebooks are only
looked at to see that nothing changed, and the notebook packages take seconds to import."""

import ast
import json
from collections.abc import Mapping
from pathlib import Path

from rgbd_lib.errors import UserError


def cells(path: Path) -> list[dict]:
    """Return all cells, their text as one string."""
    if not path.exists():
        raise UserError(f"no notebook {path}; the project's are in {path.parent}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no notebook of format 4 ({error}); open and save it in JupyterLab"
        ) from error
    return [cell | {"source": "".join(cell["source"])} for cell in found]


def sources(path: Path) -> list[str]:
    """Return the text of all cells, without what execution added."""
    return [cell["source"] for cell in cells(path)]


def code(path: Path) -> ast.Module:
    """Return the code of a notebook, without lines that only IPython understands."""
    lines = [line for c in cells(path) if c["cell_type"] == "code" for line in c["source"].splitlines()]
    return parsed("\n".join(line for line in lines if not line.lstrip().startswith(("%", "!"))), path.name)


def parameters_of(path: Path) -> dict[str, object]:
    """Return what a notebook can be told, with its own values: the literals of the cell tagged ``parameters``."""
    tagged = [c["source"] for c in cells(path) if "parameters" in c["metadata"].get("tags", ())]
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in parsed("\n".join(tagged), path.name).body
        if isinstance(statement, ast.Assign)
    }


def check_parameters(path: Path, parameters: Mapping[str, object]) -> None:
    """Refuse names that the notebook's parameters cell does not have, and values that JSON cannot hold."""
    known = sorted(parameters_of(path))
    if wrong := sorted(set(parameters) - set(known)):
        raise UserError(
            f"{path.name} has no parameter {', '.join(wrong)}; it has {', '.join(known) or 'none'}"
        )
    for name, value in parameters.items():
        if json.loads(json.dumps(value, default=lambda _: None)) != value:
            raise UserError(
                f"{path.name}: parameter {name}={value!r} must be a number, text, list or dict of these"
            )


def parsed(text: str, name: str) -> ast.Module:
    """Return the syntax tree of a notebook's code."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise UserError(f"{name} does not parse: {error.msg}: {(error.text or '').strip()}") from error
