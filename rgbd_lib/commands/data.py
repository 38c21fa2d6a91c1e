"""``rgbd data``: make, fetch and check data sets."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rgbd_lib.commands.data_synth import synth

app = typer.Typer(name="data", help="Make, fetch and check data sets.", no_args_is_help=True)
app.command()(synth)


@app.command()
def check(
    path: Annotated[
        str, typer.Argument(help="Folder or file: MM5, NYUv2, SUN RGB-D, FuseNet HDF5, or your own.")
    ],
    depth: Annotated[
        str | None, typer.Option(help="Depth to read, where there are several (MM5: D16, D_FocusN ..).")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Label set of MM5: 32 classes, or 9 kinds of object.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Read every file and report what it was taken for, what is in it and what is wrong; exit code 2 on errors."""
    from rgbd_lib.datasets.check import check as look
    from rgbd_lib.datasets.check_text import text
    from rgbd_lib.datasets.open import open_dataset

    options = {name: value for name, value in (("depth", depth), ("labels", labels)) if value is not None}
    report = look(open_dataset(path, **options), progress=not as_json)
    typer.echo(json.dumps(report.as_dict(), indent=1) if as_json else text(report))
    if report.errors:
        raise typer.Exit(2)


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(help="mm5, the one data set that can be fetched without an account.")
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to unpack into; default data/<name>.")] = None,
) -> None:
    """Fetch a data set and unpack it; a broken transfer is continued, a finished one is kept."""
    from rgbd_lib.datasets.download import download as fetch

    folder = fetch(name, out)
    typer.echo(f"{folder}: unpacked. Look at it with `rgbd data check {folder}`")
