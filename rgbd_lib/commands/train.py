"""``rgbd train``, ``rgbd evaluate`` and ``rgbd predict``."""

from pathlib import Path
from typing import Annotated

import typer

from rgbd_lib.errors import UserError

Method = Annotated[str, typer.Option(help="A fusion method; `rgbd methods` lists them.")]
ProfileName = Annotated[
    str, typer.Option("--profile", help="Budget: smoke, quick, laptop, overnight, full or frame.")
]
Seed = Annotated[int, typer.Option(help="Seed of initialisation, batches and augmentation.")]
Lighting = Annotated[str, typer.Option(help="Trained on: mixed, one (3), several (1,3) or all-but-3.")]
Data = Annotated[
    str, typer.Option(help="Folder of the data set, in any layout that `rgbd data check` knows.")
]
Split = Annotated[str, typer.Option(help="grouped (by capture run) or official.")]
Init = Annotated[str, typer.Option(help="random, imagenet, or a file of ResNet18 weights.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="key=value, repeatable: a training setting (lr=1e-3) or method.key (method.fuse_at=...).",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
DATA = "data/mm5_synth"


def make_run(
    method: str,
    profile: str,
    seed: int,
    lighting: str,
    data: str,
    split: str,
    init: str,
    pairs: list[str] | None,
) -> object:
    """Return the Run that the command line describes."""
    from rgbd_lib.recipe import Recipe, parse_value
    from rgbd_lib.runs import Run

    options, settings = {}, {}
    for pair in pairs or ():
        key, found, value = pair.partition("=")
        if not found:
            raise UserError(f"--set {pair}: a key=value pair is needed, like --set lr=1e-3")
        if key.startswith("method."):
            options[key.removeprefix("method.")] = parse_value(value)
        else:
            settings[key] = value
    recipe = Recipe.of(profile, settings)  # typed: "0.3" and 0.3 are one run
    settings = {key: getattr(recipe, key) for key in settings}
    return Run(method, profile, seed, lighting, data, split, init, options, settings)


def train(
    method: Method,
    profile: ProfileName = "quick",
    seed: Seed = 0,
    lighting: Lighting = "mixed",
    data: Data = DATA,
    split: Split = "grouped",
    init: Init = "random",
    pairs: Set = None,
    device: Device = "auto",
    tensorboard: Annotated[
        bool, typer.Option(help="Write curves for TensorBoard into the run's folder.")
    ] = False,
) -> None:
    """Train one method and score it on the test scenes; a run that was stopped goes on, a finished one is shown."""
    from rgbd_lib import distributed, runs

    run = make_run(method, profile, seed, lighting, data, split, init, pairs)
    record = runs.train(run, device=device, tensorboard=tensorboard)
    if distributed.rank() == 0:
        runs.evaluate(run, "lightings", weights="last", device=device)
        runs.evaluate(run, "lightings", device=device)
        show(record)
    distributed.wait()


def evaluate(
    method: Method,
    profile: ProfileName = "quick",
    seed: Seed = 0,
    lighting: Lighting = "mixed",
    data: Data = DATA,
    split: Split = "grouped",
    init: Init = "random",
    pairs: Set = None,
    device: Device = "auto",
    conditions: Annotated[
        str, typer.Option(help="lightings, suite (corruptions), missing (sensors off), dimmed or every.")
    ] = "lightings",
    weights: Annotated[str, typer.Option(help="best (on validation) or last.")] = "best",
) -> None:
    """Score a trained run under some conditions and print one line for each."""
    from rgbd_lib import runs

    run = make_run(method, profile, seed, lighting, data, split, init, pairs)
    show(runs.evaluate(run, conditions, weights=weights, device=device), conditions, weights)


def show(record: object, conditions: str = "lightings", weights: str = "best") -> None:
    """Print a record's validation scores and its test scores per condition."""
    scores = record.scores(conditions, weights)
    valid, cost = record.info["validation"], record.info["cost"]
    name = record.info["data"]["name"]
    typer.echo(f"{record.folder.name}  ({name}{', synthetic' if record.info['data']['synthetic'] else ''})")
    typer.echo(
        f"  validation mIoU {valid['best']:.4f} (best, epoch {valid['best_epoch']}), {valid['last']:.4f} (last)"
    )
    typer.echo(
        f"  {cost['parameters']:,} parameters, {cost['train_seconds']:.0f} s, {cost['images_per_second']:.1f} images/s,"
        f" peak {cost['peak_memory_mb']} MB, {cost['device']}"
    )
    table = scores.table()[
        ["condition", "miou", "miou_foreground", "pixel_accuracy", "boundary_iou", "ece", "classes"]
    ]
    mean = table.mean(numeric_only=True).to_dict() | {"condition": "mean", "classes": table.classes.min()}
    table.loc[len(table)] = mean
    typer.echo(table.to_string(index=False, float_format=lambda value: f"{value:.4f}"))


def predict(
    run: Annotated[Path, typer.Option(help="Folder of a finished run, e.g. results/runs/se-0123456789ab.")],
    rgb: Annotated[Path, typer.Option(help="Colour image.")],
    depth: Annotated[
        Path, typer.Option(help="Depth image, in the unit of the data the run was trained on; 0 = missing.")
    ],
    out: Annotated[Path, typer.Option(help="Where to write the overlay (PNG).")] = Path("overlay.png"),
    size: Annotated[
        str, typer.Option(help="Size at which the network looks, HxW; default: the training size.")
    ] = "",
    repeat: Annotated[int, typer.Option(help="Predict this often and print the latency.")] = 1,
) -> None:
    """Predict one pair of files and write the classes drawn over the colour image."""
    from rgbd_lib import inference

    found = inference.predict_files(run, rgb, depth, out, size=size, repeat=repeat)
    typer.echo(f"{out}: {', '.join(f'{name} {share:.1%}' for name, share in found.shares.items())}")
    typer.echo(
        f"latency at {found.size[0]}x{found.size[1]}: p50 {found.p50:.0f} ms, p95 {found.p95:.0f} ms ({repeat} runs)"
    )
