"""The command line: ``python -m rgbd_lib`` or ``rgbd``."""

import sys

import typer

from rgbd_lib.commands import data, explorer, methods, papers, site, study, train
from rgbd_lib.errors import UserError

app = typer.Typer(
    name="rgbd",
    help="RGB-D fusion for semantic segmentation: make data, train and compare methods, write the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keep every command a subcommand, whatever their number."""


COMMANDS = (
    methods.methods,
    train.train,
    train.evaluate,
    train.predict,
    study.study,
    study.report,
    explorer.explorer,
    site.site,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(data.app)
app.add_typer(papers.app)


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
