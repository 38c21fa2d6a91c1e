"""Links of the book: which there are in a text, where they lead, and which lead nowhere."""

import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import nbformat
from markdown_it import MarkdownIt

DOCUMENTS = ("README.md", "notebooks/*.ipynb", "docs/*.md", "results/README.md")
UNFINISHED = (
    ".partial.ipynb",
    ".failed.ipynb",
)  # what a running or failed execution leaves beside a notebook
INLINE = re.compile(r"(?P<before>\]\()(?P<target>[^()\s]+)(?=[)\s])")
LABELLED = re.compile(r"(?P<before>^\[[^\]\n]+\]:[ \t]*)(?P<target>\S+)", re.MULTILINE)
EXTERNAL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")


@cache
def parser() -> MarkdownIt:
    """Return what decides which brackets are a link and which are code or mathematics."""
    return MarkdownIt("commonmark").enable("table")


def documents(root: Path) -> list[Path]:
    """Return the texts of the book: README, chapters, docs and the explanation of the tables."""
    found = (path for pattern in DOCUMENTS for path in sorted(root.glob(pattern)))
    return [path for path in found if not path.name.endswith(UNFINISHED)]


def texts(document: Path) -> list[str]:
    """Return the Markdown of a document; of a notebook, that of its cells and its outputs."""
    if document.suffix != ".ipynb":
        return [document.read_text(encoding="utf-8")]
    cells = nbformat.read(document, 4).cells
    outputs = (output for cell in cells for output in cell.get("outputs", ()))
    shown = (output.get("data", {}).get("text/markdown") for output in outputs)
    return [
        *(c.source for c in cells if c.cell_type == "markdown"),
        *("".join(text) for text in shown if text),
    ]


def targets(text: str) -> list[str]:
    """Return where the links and images of a Markdown text lead, in order, each once."""
    tokens = (t for block in parser().parse(text) for t in (block.children or ()))
    found = (t.attrGet("href") if t.type == "link_open" else t.attrGet("src") for t in tokens)
    return list(dict.fromkeys(target for target in found if target))


def pictures(text: str) -> set[str]:
    """Return the targets that are shown in place."""
    tokens = (t for block in parser().parse(text) for t in (block.children or ()))
    return {t.attrGet("src") for t in tokens if t.type == "image"}


def rewritten(text: str, change: Callable[[str], str]) -> str:
    """Return a Markdown text with every target of a link or image changed; code that looks like one stays."""
    known = set(targets(text))

    def replace(match: re.Match) -> str:
        target = match["target"].strip("<>")
        is_link = parser().normalizeLink(target) in known
        return match["before"] + (change(target) if is_link else match["target"])

    return LABELLED.sub(replace, INLINE.sub(replace, text))


def local(target: str) -> bool:
    """Whether a target is a file of the project, and neither elsewhere nor a place on the same page."""
    return not EXTERNAL.match(target) and not target.startswith(("#", "/"))


def place(document: Path, target: str) -> tuple[Path, str]:
    """Return the file that a local target means, and the heading in it."""
    path, _, heading = target.partition("#")
    return (document.parent / unquote(path)).resolve(), heading


def slugs(document: Path) -> set[str]:
    """Return the names under which the headings of a document can be linked."""
    blocks = [block for text in texts(document) for block in parser().parse(text)]
    headings = (b.content for a, b in pairwise(blocks) if a.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(root: Path) -> list[str]:
    """Return 'document: target' of every link of the book that leads to nothing; empty is as it should be."""
    return [f"{d.relative_to(root)}: {target}" for d in documents(root) for target in dead(root.resolve(), d)]


def dead(root: Path, document: Path) -> Iterator[str]:
    """Yield the targets in a document that are no file of the project, or no heading in one."""
    for target in dict.fromkeys(t for text in texts(document) for t in targets(text)):
        if target.startswith("#"):
            file, heading = document, target[1:]
        elif local(target):
            file, heading = place(document, target)
        else:
            continue
        inside = file.exists() and file.resolve().is_relative_to(root)
        if not inside or not has(file, heading):
            yield target


def has(file: Path, heading: str) -> bool:
    """Whether a text of the book has a heading; in other files nothing is looked up."""
    return not heading or file.suffix not in (".md", ".ipynb") or heading in slugs(file)
