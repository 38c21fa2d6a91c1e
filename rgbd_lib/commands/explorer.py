"""``rgbd explorer``: stored predictions and the page that shows them."""

from pathlib import Path
from typing import Annotated

import typer


def explorer(
    profile: Annotated[str, typer.Option(help="Whose finished runs are shown.")] = "quick",
    page: Annotated[Path | None, typer.Option(help="Folder for the page; none: predictions only.")] = None,
) -> None:
    """Store small predictions of finished runs, and make the page that shows them without a server."""
    from rgbd_lib.explorer import page as pages
    from rgbd_lib.explorer import store

    folder = store.write(profile)
    size = sum(path.stat().st_size for path in folder.iterdir())
    typer.echo(f"{folder}: {size / 1e6:.1f} MB")
    if page is not None:
        typer.echo(f"{pages.write(folder, page)}: open it in a browser")
