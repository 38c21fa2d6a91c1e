"""``rgbd site``: the whole book as pages that open without a server."""

from pathlib import Path
from typing import Annotated

import typer


def site(
    out: Annotated[Path, typer.Option(help="Folder to write; an older site in it is replaced.")] = Path(
        "site"
    ),
) -> None:
    """Make the book's pages from the notebooks as they are; nothing is executed, nothing is fetched."""
    from rgbd_lib.website import build

    made = build(out)
    for note in made.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{made.folder / 'index.html'}: open it in a browser ({made.size() / 1e6:.1f} MB)")
