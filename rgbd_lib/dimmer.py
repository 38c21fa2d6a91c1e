"""A dimmer for synthetic test scenes: the lamps of one lighting, turned down stop by stop.

The eight lightings differ in colour and direction as well as in strength. Here only the strength changes, so that a
score becomes a curve over exposure. The camera keeps its gain and its noise; depth and labels are those of the data.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from rgbd_lib import machine, metrics
from rgbd_lib.conditions import reference
from rgbd_lib.datasets import resize
from rgbd_lib.datasets.base import Dataset, Sample
from rgbd_lib.datasets.batches import normalise, store
from rgbd_lib.datasets.synthetic import LIGHTINGS, VERSION, Plan, design, photograph, render_scene
from rgbd_lib.datasets.synthetic.lights import drift
from rgbd_lib.errors import UserError
from rgbd_lib.lesson import Look, colours, metres
from rgbd_lib.material import Material
from rgbd_lib.runs import Record
from rgbd_lib.statistics import Results

STOPS = (
    -2.0,
    -1.0,
    0.0,
    1.0,
    2.0,
    4.0,
    6.0,
    8.0,
)  # halvings of the light; below 0 it is brighter than the data's
NOISE = 1  # seed of the noise: another than the data's own photographs have


@dataclass(frozen=True)
class Dimmed:
    """Test scenes photographed at several exposures; the rows of ``sample`` are scene by scene."""

    material: Material
    lighting: int  # of the data set: whose lamps are dimmed
    stops: tuple[float, ...]
    sample: Sample  # raw

    @property
    def names(self) -> tuple[str, ...]:
        """Return the exposures as names of conditions: "−2", "0", "+4" stops of dimming."""
        return tuple(f"{-stop:+g}".replace("-", "−") if stop else "0" for stop in self.stops)

    @property
    def luminance(self) -> np.ndarray:
        """Return the mean level of the photographs, 0..1, at each exposure."""
        return self.sample.rgb.mean((1, 2, 3)).view(-1, len(self.stops)).mean(0).numpy()

    def scene(self, number: int) -> Sample:
        """Return one scene at all exposures, counted from 0."""
        rows = slice(number * len(self.stops), (number + 1) * len(self.stops))
        return Sample(**{name: value[rows] for name, value in vars(self.sample).items()})

    def __len__(self) -> int:
        return len(self.sample.scene) // len(self.stops)


def plans_of(data: Dataset) -> tuple[list[Plan], int, tuple[int, int]]:
    """Return the plan of every scene of synthetic data, its seed and the size of its photographs."""
    marker = data.root / "synthetic.json"
    if not marker.exists():
        raise UserError(
            f"{data.root} has no synthetic.json: only scenes that this project rendered can be lit anew. "
            "Make them with `rgbd data synth`"
        )
    known = json.loads(marker.read_text(encoding="utf-8"))
    if known.get("version") != VERSION or "seed" not in known:
        raise UserError(
            f"{data.root} was made by version {known.get('version')} of the renderer, this is {VERSION}: the same "
            "scenes cannot be lit anew. Make the data again with `rgbd data synth --out FOLDER`"
        )
    return design(known["scenes"], known["seed"]), known["seed"], tuple(known["size"])


def dim(material: Material, stops: Sequence[float] = STOPS, scenes: int = 12) -> Dimmed:
    """Photograph the first test scenes under the reference lighting, dimmed by ``stops``."""
    plans, seed, size = plans_of(material.dataset)
    cache, at = material.cache, reference(material)
    number = material.dataset.lightings[at]
    positions, light = material.splits["test"][:scenes], LIGHTINGS[number - 1]
    pictures = []
    for position in positions:
        plan = plans[int(cache.scenes[position]) - 1]
        scene, linear = render_scene(plan, seed, size)
        power = float(drift(seed, plan.day)[number - 1])
        for stop in stops:
            picture = photograph(scene, linear, light.dimmed(stop), noise_seed=NOISE, power=power)
            pictures.append(resize.colour(picture, cache.size, cache.crop))
    rows = np.repeat(positions, len(stops))
    sample = store(cache, "cpu").gather(rows, np.full(len(rows), at))
    rgb = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return Dimmed(material, number, tuple(map(float, stops)), replace(sample, rgb=rgb))


@torch.inference_mode()
def look(record: Record, dimmed: Dimmed, scene: int = 0) -> Look:
    """Show a trained model one scene at every exposure."""
    check(record, dimmed)
    sample = dimmed.scene(scene)
    with machine.choose("cpu", record.run.recipe.precision).autocast():
        output = record.model()(*normalise(sample, dimmed.material.stats), explain=True)
    confidence, prediction = output.logits.float().softmax(1).max(1)
    return Look(
        tuple(f"{name} stops" for name in dimmed.names),
        colours(sample),
        metres(sample),
        sample.label[0].numpy().astype(np.uint8),
        prediction.numpy().astype(np.uint8),
        confidence.numpy(),
        output,
    )


@torch.inference_mode()
def evaluate(records: Mapping[str, Sequence[Record]], dimmed: Dimmed) -> Results:
    """Score runs, one or more seeds under each name, at every exposure: the conditions of the result."""
    found: dict[str, list[np.ndarray]] = {}
    for name, runs in records.items():
        for record in runs:
            check(record, dimmed)
            model, chosen = record.model(), machine.choose("cpu", record.run.recipe.precision)
            parts = []
            for number in range(len(dimmed)):
                sample = dimmed.scene(number)
                with chosen.autocast():
                    logits = model(*normalise(sample, dimmed.material.stats)).logits
                parts.append(metrics.confusions(sample.label, logits.argmax(1), dimmed.material.classes))
            found.setdefault(name, []).append(torch.stack(parts).numpy())  # scenes, exposures, K, K
    data, first = dimmed.material.dataset, next(iter(records.values()))[0]
    return Results(
        matrices={name: np.stack(arrays) for name, arrays in found.items()},
        profile=first.info["parameters"]["profile"],
        data=f"{data.name} {dimmed.material.cache.identity[:8]}",
        synthetic=data.synthetic,
        background=data.background,
        seeds={n: tuple(r.info["parameters"]["seed"] for r in runs) for n, runs in records.items()},
    )


def check(record: Record, dimmed: Dimmed) -> None:
    """Refuse a run that learned from other data or at another size."""
    cache = record.run.material().cache
    if (cache.identity, cache.size, cache.crop) != (
        dimmed.material.cache.identity,
        dimmed.material.cache.size,
        dimmed.material.cache.crop,
    ):
        raise UserError(
            f"{record.info['parameters']['method']} was trained on {cache.dataset.name} at {cache.size}, the dimmed "
            f"scenes are {dimmed.material.dataset.name} at {dimmed.material.cache.size}; dim those of the run itself"
        )
