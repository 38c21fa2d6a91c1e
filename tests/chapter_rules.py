"""What can be measured of a good chapter: each rule yields one sentence for every place that breaks it."""

import ast
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from rgbd_lib.normalise import normalise

LINES = 15  # of a code cell
BYTES = 1_000_000  # of a file with its outputs
BEFORE_A_PICTURE = 10  # lines of code, without parameters and imports
EXERCISES = (3, 5)
LITERALS = (ast.Constant, ast.List, ast.Dict, ast.Tuple, ast.UnaryOp)
# a path from a root folder or a drive; addresses, HTML tags and fractions have something else before the first slash
ABSOLUTE = re.compile(
    r"(?:^|(?<=[\s\"'`(=:]))(?:/[A-Za-z][\w.+-]*/[\w.+-]+|[A-Za-z]:\\\\?\w)|~/\w", re.MULTILINE
)
STAMP = re.compile(r"\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d")
SHOWS = r"(show|Markdown|print|display)\(|\w+$"  # the last statement of a cell that must have an output
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:href|src)=\"([^\"]+)\"")

Faults = Iterator[str]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def numbered_outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
    for number, cell in enumerate(code_cells(notebook), start=1):
        yield from ((number, cell, output) for output in cell.outputs)


def texts(notebook: NotebookNode) -> Iterator[str]:
    """Yield everything a reader can read: sources, and outputs that are no pictures."""
    for cell in notebook.cells:
        yield cell.source
    for _, _, output in numbered_outputs(notebook):
        yield output.get("text", "")
        yield from (str(v) for kind, v in output.get("data", {}).items() if not kind.startswith("image/"))
        yield json.dumps(output.get("metadata", {}))


# -- what the author wrote ------------------------------------------------------------------------


def parameters(notebook: NotebookNode, path: Path) -> Faults:
    """Exactly one tagged cell; in it nothing but ``name = literal  # why``."""
    tagged = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", ())]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells tagged 'parameters'"
    for cell in tagged:
        for line in cell.source.splitlines():
            if "#" not in line:
                yield f"parameter without a comment: {line}"
        for statement in ast.parse(cell.source).body:
            if not isinstance(statement, ast.Assign) or not isinstance(statement.value, LITERALS):
                yield f"not a literal: {ast.unparse(statement)}"


def short_cells(notebook: NotebookNode, path: Path) -> Faults:
    for number, cell in enumerate(code_cells(notebook), start=1):
        if (length := len(cell.source.splitlines())) > LINES:
            yield f"code cell [{number}] has {length} lines"


def no_definitions(notebook: NotebookNode, path: Path) -> Faults:
    """What is worth a name is worth a test, and lives in the library."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield f"code cell [{number}] defines {node.name}"
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                yield f"code cell [{number}] names a lambda"


def question(notebook: NotebookNode, path: Path) -> Faults:
    """The first cell is the title, with the chapter's number, and asks."""
    first, number = notebook.cells[0], path.stem.split("_")[0]
    title = first.source.splitlines()[0]
    if first.cell_type != "markdown" or not title.startswith("# "):
        yield "does not begin with a title"
    if number.isdigit() and not title.startswith(f"# {number} "):
        yield f"the title does not begin with {number}: {title}"
    if "?" not in first.source:
        yield "the first cell asks nothing"
    if re.findall(r"(?m)^# ", prose(notebook)[2:]):
        yield "more than one title"


def parts(notebook: NotebookNode, path: Path) -> Faults:
    """Exercises are numbered from 1; the last section says where to go next."""
    sections = re.split(r"(?m)^## ", prose(notebook))[1:]
    found = {s.splitlines()[0].strip(): s for s in sections}
    numbers = [int(n) for n in re.findall(r"(?m)^\*\*(\d+)\. ", found.get("Exercises", ""))]
    if not EXERCISES[0] <= len(numbers) <= EXERCISES[1] or numbers != list(range(1, len(numbers) + 1)):
        yield f"exercises are numbered {numbers}; {EXERCISES[0]} to {EXERCISES[1]} are asked for"
    if "<details>" not in found.get("Exercises", ""):
        yield "no exercise has a hidden hint"
    if not sections or list(found)[-1] != "Where to go next":
        yield "the last section is not 'Where to go next'"


def links(notebook: NotebookNode, path: Path) -> Faults:
    """Whatever a text or an output points to inside the project is there."""
    outputs = [str(o.get("data", {}).get("text/markdown", "")) for _, _, o in numbered_outputs(notebook)]
    for target in {a or b for a, b in LINK.findall("\n".join([prose(notebook), *outputs]))}:
        file = target.split("#")[0]
        if "://" not in target and file and not (path.parent / file).exists():
            yield f"dead link {target}"


# -- what execution left --------------------------------------------------------------------------


def executed(notebook: NotebookNode, path: Path) -> Faults:
    """All cells, in order; one whose end shows something has an output."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"executed in the order {counts}"
    for number, cell in enumerate(code_cells(notebook), start=1):
        last = ast.unparse(ast.parse(cell.source).body[-1:])
        if re.match(SHOWS, last) and not cell.outputs:
            yield f"code cell [{number}] shows nothing: {last[:60]}"


def clean_outputs(notebook: NotebookNode, path: Path) -> Faults:
    """No error, no warning, no state of a widget; text only where the cell itself prints."""
    if "widgets" in notebook.metadata:
        yield "the state of a widget is stored"
    for number, cell, output in numbered_outputs(notebook):
        if output.output_type == "error":
            yield f"code cell [{number}] failed: {output.ename}"
        if output.output_type == "stream" and (output.name != "stdout" or "print(" not in cell.source):
            yield f"code cell [{number}] {output.name}: {output.text.strip()[:80]}"
        if any("widget" in kind for kind in output.get("data", {})):
            yield f"code cell [{number}] stores the view of a widget"


def alt_text(notebook: NotebookNode, path: Path) -> Faults:
    """Every picture says in words what is seen; markdown pictures too."""
    for number, _, output in numbered_outputs(notebook):
        for kind in output.get("data", {}):
            alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
            if kind.startswith("image/") and len(alt.split()) < 4:
                yield f"code cell [{number}]: {kind} with the alt text {alt!r}"
    if "![](" in prose(notebook):
        yield "a picture in the text has no alt text"


def early_picture(notebook: NotebookNode, path: Path) -> Faults:
    """A picture comes before the tenth line of code that is neither parameter nor import."""
    before = 0
    for cell in code_cells(notebook):
        body = [] if "parameters" in cell.metadata.get("tags", ()) else ast.parse(cell.source).body
        work = [s for s in body if not isinstance(s, ast.Import | ast.ImportFrom)]
        lengths = [statement.end_lineno - statement.lineno + 1 for statement in work]
        if any(kind.startswith("image/") for o in cell.outputs for kind in o.get("data", {})):
            before += sum(lengths[:-1])
            break
        before += sum(lengths)
    if before >= BEFORE_A_PICTURE:
        yield f"{before} lines of code before the first picture"


def one_place(notebook: NotebookNode, path: Path) -> Faults:
    """No folder of one machine, no moment of one day, and nothing else that two executions differ in."""
    for text in texts(notebook):
        yield from (f"absolute path: {found.group()}" for found in ABSOLUTE.finditer(text))
        yield from (f"time stamp: {found.group()}" for found in STAMP.finditer(text))
    if normalise(deepcopy(notebook)) != notebook:
        yield "not as `rgbd_lib.notebooks.execute` leaves a notebook: ids, metadata or counts of another editor"


def small(notebook: NotebookNode, path: Path) -> Faults:
    if (size := path.stat().st_size) >= BYTES:
        yield f"{size / 1e6:.2f} MB"


SOURCE = (parameters, short_cells, no_definitions, question, links)
BOOK = (parts,)  # a card, one of many, has no exercises
CARD = (executed, clean_outputs, alt_text, one_place, small)
OUTPUT = (*CARD, early_picture)


def faults(path: Path, *rules) -> list[str]:
    """Return what is wrong with a notebook."""
    notebook = nbformat.read(path, 4)
    return [f"{path.name}: {fault}" for rule in rules for fault in rule(notebook, path)]
