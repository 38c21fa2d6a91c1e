"""The texts of the book laid out for Sphinx: links to pages instead of files, outputs that need no kernel.

A file of the project that a text links to (a method, a test, a folder of the library) becomes a page of its own,
so that the site needs nothing outside itself.
"""

import ast
import os
import re
import shutil
from pathlib import Path

import nbformat

from rgbd_lib.errors import UserError
from rgbd_lib.website import links, outputs

PICTURES = (".png", ".jpg", ".jpeg", ".svg", ".gif")
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".json": "json",
    ".md": "markdown",
    ".sh": "bash",
    ".js": "javascript",
}
TEXT = re.compile(r"\.(md|ipynb)$")
LEFT_OUT = "#left-out"  # where a link leads that is about to become plain text
UNLINKED = re.compile(rf"!?\[([^\[\]]*)\]\({LEFT_OUT}\)")
LARGEST = 300_000  # bytes of a file that is shown as a page; larger ones are data
NAVIGATION = {
    "The book": r"notebooks/\d\d_",
    "Explanations": r"docs/(?!log)|results/|notebooks/(?!\d\d_)",
    "Log": r"docs/log",
}
ASIDE = "---\norphan: true\nnosearch: true\n---\n"  # a page that is reached by links alone


class Staging:
    """One book being laid out: from the project ``root`` into ``folder``, with notes on what was left out."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root.resolve(), folder
        self.notes: list[str] = []
        self.pages = {document.resolve(): self.staged(document) for document in links.documents(root)}
        self.done: set[Path] = set()  # files that have become pages because a text links to them

    def staged(self, document: Path) -> Path:
        """Return where a text of the book lies; the README is the first page."""
        inside = document.resolve().relative_to(self.root)
        return self.folder / ("index.md" if str(inside) == "README.md" else inside)

    def write(self) -> None:
        """Lay out all texts, and everything that they link to."""
        if self.root / "README.md" not in self.pages:
            raise UserError(f"{self.root} holds no README.md; start in the folder of the project")
        for document, page in self.pages.items():
            page.parent.mkdir(parents=True, exist_ok=True)
            if document.suffix == ".ipynb":
                self.chapter(document, page)
            else:
                page.write_text(self.linked(document, document.read_text(encoding="utf-8")), encoding="utf-8")
        with (self.folder / "index.md").open("a", encoding="utf-8") as first:
            first.write(self.navigation())

    def chapter(self, document: Path, page: Path) -> None:
        """Lay out an executed notebook; nothing is executed."""
        notebook = nbformat.read(document, 4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        if not any(cell.get("outputs") or cell.get("execution_count") for cell in code):
            self.note(f"{document.name}: never executed, shown without outputs")
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = self.linked(document, cell.source)
        outputs.still(
            notebook,
            page.parent / "pictures",
            document.stem,
            lambda text: self.linked(document, text, parsed=False),
            self.note,
        )
        nbformat.write(notebook, page)

    def note(self, text: str) -> None:
        """Remember what a person should know about the site, once."""
        if text not in self.notes:
            self.notes.append(text)

    def linked(self, document: Path, text: str, parsed: bool = True) -> str:
        """Return Markdown whose links lead to pages; ``parsed`` is false where Sphinx takes targets as they are."""
        pictures = links.pictures(text)

        def change(target: str) -> str:
            if not links.local(target):
                return target
            file, heading = links.place(document, target)
            page = self.page(file, embedded=target in pictures)
            if page is None:
                self.note(f"{document.relative_to(self.root)}: no page for the link to {target}")
                return LEFT_OUT
            name = os.path.relpath(page, self.pages[document.resolve()].parent)
            return (name if parsed else TEXT.sub(".html", name)) + (heading and f"#{heading}")

        return UNLINKED.sub(r"\1", links.rewritten(text, change))

    def page(self, file: Path, embedded: bool) -> Path | None:
        """Return what a file of the project becomes, made now if need be; None where there is nothing to show."""
        if file in self.pages:
            return self.pages[file]
        if not file.exists() or not file.is_relative_to(self.root):
            return None
        inside = file.relative_to(self.root)
        if embedded:
            return copied(file, self.folder / inside)
        page = self.folder / "source" / (inside / "index.md" if file.is_dir() else f"{inside}.md")
        if page not in self.done:
            self.done.add(page)
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(f"{ASIDE}# `{inside}`\n\n{self.content(file, page)}", encoding="utf-8")
        return page

    def content(self, file: Path, page: Path) -> str:
        """Return the text of a page that shows a folder, a picture or the source of a file."""
        if file.is_dir():
            return self.listing(file, page)
        if file.suffix in PICTURES:
            picture = copied(file, self.folder / file.relative_to(self.root))
            return f"![{outputs.escaped(file.stem)}]({os.path.relpath(picture, page.parent)})\n"
        if file.stat().st_size > LARGEST or b"\0" in file.read_bytes():
            return f"Data, {file.stat().st_size:,} bytes: look at it in the project itself.\n"
        return fenced(file.read_text(encoding="utf-8", errors="replace"), LANGUAGES.get(file.suffix, "text"))

    def listing(self, folder: Path, page: Path) -> str:
        """Return what is in a folder: each file of Python with the first sentence that it says of itself."""
        lines = []
        for file in sorted(folder.glob("[!_.]*")):
            if file.suffix == ".py":
                target = os.path.relpath(self.page(file, embedded=False), page.parent)
                lines.append(f"- [`{file.name}`]({target}): {outputs.escaped(summary(file))}")
        return "\n".join(lines) + "\n"

    def navigation(self) -> str:
        """Return the tables of contents of the first page, which the side bar of every page shows."""
        names = [page.relative_to(self.folder).as_posix() for page in self.pages.values()]
        parts = []
        for caption, pattern in NAVIGATION.items():
            listed = "\n".join(TEXT.sub("", name) for name in names if re.match(pattern, name))
            if listed:
                parts.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n")
        return "\n\n" + "\n".join(parts)


def copied(file: Path, target: Path) -> Path:
    """Copy a file, and its folder if need be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)
    return target


def fenced(text: str, language: str) -> str:
    """Return a block of code with line numbers, whatever backticks are in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{{code-block}} {language}\n:linenos:\n\n{text}\n{fence}\n"


def summary(file: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0]
