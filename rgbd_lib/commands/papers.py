"""``rgbd papers``: published networks, and their authors' checkpoints made safe and readable."""

from pathlib import Path
from typing import Annotated

import typer

from rgbd_lib.errors import UserError

app = typer.Typer(name="papers", help="The papers' own networks and published weights.", no_args_is_help=True)

Name = Annotated[str, typer.Option(help="A network; `rgbd papers list` shows them.")]
Checkpoint = Annotated[Path, typer.Option(help="The authors' file: .pth, .pth.tar, .pt or .safetensors.")]
Classes = Annotated[int, typer.Option(min=1, help="Number of classes it was trained with.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="key=value, repeatable: an option of the network (modalities=4, branch=mask)."
    ),
]


@app.command("list")
def list_networks(classes: Classes = 40) -> None:
    """List every published network: name, title, paper and number of parameters."""
    import torch

    from rgbd_lib.methods.cost import parameters
    from rgbd_lib.papers import build, get, names

    rows = [("name", "title", "paper", "parameters")]
    for name in names():
        with torch.device("meta"):
            count = parameters(build(name, classes))
        rows.append((name, get(name).title, get(name).paper, f"{count:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for *texts, count in rows:
        cells = [text.ljust(w) for text, w in zip(texts, widths, strict=False)]
        typer.echo("  ".join([*cells, count.rjust(widths[-1])]))


@app.command()
def convert(
    name: Name,
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Where to write the weights (.safetensors).")],
    classes: Classes = 40,
    pairs: Set = None,
) -> None:
    """Check an author's checkpoint against its network and write the weights as safetensors."""
    from rgbd_lib.checkpoint import save_weights
    from rgbd_lib.papers.official import load_official

    if out.suffix != ".safetensors":
        raise UserError(
            f"--out {out}: the weights are written as safetensors; let the name end in .safetensors"
        )
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    model = load_official(name, checkpoint, classes, **parse_options(pairs))
    save_weights(model, out)
    typer.echo(f"{out}: {len(model.state_dict())} tensors of {name}, all accounted for")


def parse_options(pairs: list[str] | None) -> dict[str, object]:
    """Return a network's options from key=value texts."""
    from rgbd_lib.recipe import parse_value

    options = {}
    for pair in pairs or ():
        key, found, value = pair.partition("=")
        if not found:
            raise UserError(f"--set {pair}: a key=value pair is needed, like --set modalities=4")
        options[key] = parse_value(value)
    return options
