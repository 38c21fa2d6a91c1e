"""A Sphinx extension: HTML inside what a notebook's cell has printed as Markdown becomes visible text.

Chapters may use HTML, they are part of the project. Outputs may hold names from data, such as ``<script>``.
"""

from html import unescape

from docutils import nodes
from sphinx.application import Sphinx


def inert(app: Sphinx, document: nodes.document) -> None:
    """Replace raw HTML in Markdown outputs by its own text; HTML outputs have been reduced before."""
    for output in document.findall(lambda node: getattr(node, "get", {}.get)("mime_type") == "text/markdown"):
        for raw in list(output.findall(nodes.raw)):
            raw.replace_self(nodes.Text(unescape(raw.astext())))  # the parser escapes some tags, not all


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.connect("doctree-read", inert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
