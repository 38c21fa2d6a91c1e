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


@app.command()
def evaluate(
    name: Name,
    checkpoint: Checkpoint,
    data: Annotated[
        Path, typer.Option(help="NYUv2 or SUN RGB-D in any layout that is known, or your own data.")
    ],
    protocol: Annotated[
        str, typer.Option(help="paper: its resizing and counting; ours: strict, with intervals.")
    ] = "paper",
    split: Annotated[str, typer.Option(help="test, val or train.")] = "test",
    scales: Annotated[
        str, typer.Option(help="Factors of the image size, summed; more than 1 is your choice.")
    ] = "1",
    flips: Annotated[bool, typer.Option("--flips", help="Add the scores of the mirrored image.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Also write the table as CSV.")] = None,
    pairs: Set = None,
) -> None:
    """Score an author's checkpoint on a data set, as its paper does or strictly."""
    from rgbd_lib import machine
    from rgbd_lib.datasets.open import open_dataset
    from rgbd_lib.papers import evaluate as scoring
    from rgbd_lib.papers import protocols
    from rgbd_lib.papers.official import load_official

    chosen, dataset = protocols.of(name, protocol), open_dataset(data)
    model = load_official(
        name, checkpoint, len(dataset.classes), **(dict(chosen.options) | parse_options(pairs))
    )
    found = scoring.evaluate(
        model, dataset, chosen, split=split, scales=parse_scales(scales), flips=flips,
        device=machine.choose(device).device, quiet=False,
    )  # fmt: skip
    table = found.table(strict=protocol == "ours")
    typer.echo(f"{name} on {dataset.decision}\n{len(found.scenes)} frames of {split}; {chosen.source}")
    typer.echo(table.to_string(index=False, float_format="%.4f"))
    if out:
        table.to_csv(out, index=False)


@app.command()
def presets() -> None:
    """List the papers' training recipes: name, network, budget and where the values stand."""
    from rgbd_lib.papers import recipes

    for name in recipes.names():
        preset = recipes.get(name)
        stages = " + ".join(map(str, preset.epochs))
        typer.echo(
            f"{name}  ({preset.network}, {stages} epochs, batch {preset.batch})\n    {preset.source}. {preset.notes}"
        )


@app.command()
def rooms(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    data: Annotated[Path, typer.Option(help="Scenes to take.")] = Path("data/mm5_synth"),
    scenes: Annotated[int, typer.Option(min=6)] = 24,
) -> None:
    """Write synthetic scenes in NYUv2's layout, for trying a recipe without the real data."""
    from rgbd_lib.datasets.open import open_dataset
    from rgbd_lib.papers import rooms_from_scenes

    typer.echo(rooms_from_scenes.write(open_dataset(data), out, scenes))


@app.command()
def train(
    preset: Annotated[str, typer.Option(help="A recipe; `rgbd papers presets` shows them.")],
    data: Annotated[str, typer.Option(help="NYUv2, SUN RGB-D, or what `rgbd papers rooms` wrote.")],
    profile: Annotated[
        str, typer.Option(help="Size and number of epochs; the schedule is run through as fast.")
    ] = "smoke",
    published: Annotated[bool, typer.Option("--published", help="The published number of epochs.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Checkpoint of this network to start from.")] = None,
    teacher: Annotated[Path | None, typer.Option(help="PrimKD's teacher; else it is trained first.")] = None,
    seed: int = 0,
    device: str = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder of the training.")] = None,
) -> None:
    """Train a published network by its paper's recipe; a stopped training goes on where it was."""
    from rgbd_lib.papers import train as training

    history = training.train(
        preset, data, profile=profile, seed=seed, published=published, weights=weights, teacher=teacher, device=device,
        folder=out,
    )  # fmt: skip
    history.to_csv((out or training.folder_of(preset, profile, seed)) / "history.csv", index=False)
    typer.echo(history.to_string(index=False))


@app.command()
def translate(
    inputs: Annotated[
        str, typer.Option(help="Two or more of shade, texture, depth, normal.")
    ] = "shade,texture",
    scenes: Annotated[
        int, typer.Option(min=2, help="Synthetic scenes for training, and as many for testing.")
    ] = 16,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    inception: Annotated[
        Path | None, typer.Option(help="Weights of torchvision's inception_v3 for FID and KID.")
    ] = None,
    seed: int = 0,
) -> None:
    """Train CEN's image translation, small, on synthetic renders, and print FID and KID of every output."""
    from rgbd_lib.papers import fid
    from rgbd_lib.papers import translate as translating

    kinds = inputs.split(",")
    generator, history = translating.train(kinds, scenes=scenes, epochs=epochs, seed=seed, quiet=False)
    network = fid.Inception(inception) if inception else None
    typer.echo(history.to_string(index=False))
    found = translating.score(generator, kinds, scenes=scenes, seed=seed + 1, network=network)
    typer.echo(found.to_string(index=False))


def parse_scales(text: str) -> tuple[float, ...]:
    """Return scales from "0.75,1,1.25"."""
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError:
        scales = ()
    if not scales or min(scales) <= 0:
        raise UserError(
            f"--scales {text}: positive numbers with commas between them are needed, like 0.75,1,1.25"
        )
    return scales


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
