"""What a page without a kernel shows of an executed notebook: pictures with their alt text, tables, text.

Outputs may hold names from data, so that nothing in them may act on the page: HTML is reduced to tables and text
formatting, scripts and widgets go.
"""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import bleach
from nbformat import NotebookNode
from nbformat.v4 import new_output

PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
TEXTS = ("text/html", "text/markdown", "text/latex", "text/plain")  # the first there is, is shown
WIDGET = "application/vnd.jupyter.widget-view+json"
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # what Markdown could take for a sign
RULE = re.compile(r"(?<=\n\n)(?:[-*_] ?){3,}\n(?=\n)")  # Sphinx knows no rule inside a cell's output
HIDDEN = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
TABLE = ["table", "caption", "colgroup", "col", "thead", "tbody", "tfoot", "tr", "th", "td"]
FORMAT = [
    "a",
    "b",
    "br",
    "code",
    "details",
    "div",
    "em",
    "h3",
    "h4",
    "hr",
    "i",
    "li",
    "ol",
    "p",
    "pre",
    "small",
]
TAGS = frozenset([*TABLE, *FORMAT, "span", "strong", "sub", "summary", "sup", "ul"])
ATTRIBUTES = {"*": ["class", "title"], "a": ["href"], "td": ["colspan", "rowspan"]}
ATTRIBUTES["th"] = [*ATTRIBUTES["td"], "scope"]


def still(
    notebook: NotebookNode, folder: Path, stem: str, links: Callable[[str], str], note: Callable[[str], None]
) -> None:
    """Replace a notebook's outputs by ones that need no kernel; pictures become files in ``folder``."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.setdefault("language_info", {"name": "python", "pygments_lexer": "ipython3"})
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        shown = []
        for output in cell.get("outputs", ()):
            name = f"{stem}-{number:02d}-{len(shown)}"
            shown += static(output, folder / name, links, note)
        cell.outputs = shown


def static(
    output: NotebookNode, file: Path, links: Callable[[str], str], note: Callable[[str], None]
) -> Iterator[NotebookNode]:
    """Yield one output as a page shows it, or nothing where only a kernel could show it."""
    if "data" not in output:
        yield output  # printed text, or the error of a cell that failed: both are shown as text
        return
    kind = next((kind for kind in PICTURES if kind in output.data), None)
    if kind:
        alt = output.metadata.get(kind, {}).get("alt", "")
        if not alt:
            note(f"{file.name}: a picture without alt text")
        saved = save(output.data[kind], kind, file)
        yield displayed("text/markdown", f"![{escaped(alt)}]({saved.parent.name}/{saved.name})")
    elif WIDGET not in output.data:
        kind = next((kind for kind in TEXTS if kind in output.data), None)
        if kind:
            text = "".join(output.data[kind])
            change = {"text/html": safe, "text/markdown": lambda markdown: links(RULE.sub("", markdown))}.get(
                kind, str
            )
            yield displayed(kind, change(text))


def displayed(kind: str, text: str) -> NotebookNode:
    """Return an output with one representation."""
    return new_output("display_data", {kind: text})


def save(content: str, kind: str, file: Path) -> Path:
    """Write a picture of a notebook into a file."""
    path = file.with_name(f"{file.name}.{PICTURES[kind]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(content)
    path.write_bytes(content.encode() if kind == "image/svg+xml" else base64.b64decode(content))
    return path


def escaped(text: str) -> str:
    """Return text that Markdown reads as nothing but text."""
    return PUNCTUATION.sub(r"\\\1", " ".join(text.split()))


def safe(html: str) -> str:
    """Return HTML reduced to tables and text formatting: no scripts, styles, frames, handlers, outside pictures."""
    return bleach.clean(HIDDEN.sub("", html), TAGS, ATTRIBUTES, protocols=["http", "https"], strip=True)
