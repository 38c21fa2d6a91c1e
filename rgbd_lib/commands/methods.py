"""``rgbd methods``: what can be compared, and what it costs."""

from typing import Annotated

import typer


def methods(
    classes: Annotated[int, typer.Option(min=1, help="Number of classes of the task.")] = 32,
    width: Annotated[float, typer.Option(min=0.01, help="Factor on all channel counts.")] = 1.0,
) -> None:
    """List every fusion method: name, title, paper, parameters, multiply-adds at 224x224, where it fuses."""
    from rgbd_lib.methods import get, names
    from rgbd_lib.methods.cost import multiply_adds, outline, parameters

    rows = [("name", "title", "paper", "parameters", "mult-adds", "fuses")]
    for name in names():
        info, model = get(name), outline(name, classes, width=width)
        cost = f"{multiply_adds(model) / 1e9:.2f} G"
        rows.append((name, info.title, info.paper, f"{parameters(model):,}", cost, info.fuses))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            text.rjust(w) if i in (3, 4) else text.ljust(w)
            for i, (text, w) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
    typer.echo(f"{classes} classes, width {width:g}, one image of 224x224; a multiply-add counts once")
