"""``rgbd data synth``: write the synthetic MM5."""

import re
from pathlib import Path
from typing import Annotated

import typer

from rgbd_lib.errors import UserError


def synth(
    out: Annotated[Path, typer.Option(help="Folder to write; a partly written one is continued.")] = Path(
        "data/mm5_synth"
    ),
    scenes: Annotated[int, typer.Option(help="Number of scenes; MM5 has 324, split 248 to 76.")] = 324,
    size: Annotated[str, typer.Option(help="Image size, ROWSxCOLUMNS.")] = "480x640",
    seed: Annotated[int, typer.Option(help="Other seeds make other scenes of the same kind.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(help="Processes; default one per core. Same bytes for any.")
    ] = None,
) -> None:
    """Render the synthetic MM5: 8 lightings, depth and labels in MM5's own layout (1.5 GB at full size)."""
    from rgbd_lib.datasets.synthetic import write

    folder = write(out, scenes=scenes, size=parse_size(size), seed=seed, jobs=jobs)
    typer.echo(f"{folder}: {scenes} synthetic scenes, complete")


def parse_size(text: str) -> tuple[int, int]:
    """Return rows and columns of a size such as 480x640."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if not match:
        raise UserError(f"cannot read the size '{text}': write rows x columns, such as 480x640")
    return int(match[1]), int(match[2])
