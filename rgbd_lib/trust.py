"""Does confidence follow knowledge? From stored reliability tables, and from a trained model's scores."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from rgbd_lib import evaluation, machine, probes
from rgbd_lib.calibration import Calibration, fit_temperature
from rgbd_lib.conditions import Condition, Stage, lightings, reference
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.evaluation import Scores
from rgbd_lib.runs import Record


def confident(scores: Scores, foreground: bool = True) -> pd.DataFrame:
    """Return per condition how sure a model is, how often it is right, and the gap; on objects by default."""
    count, sure, right = scores.reliability[:, int(foreground)].sum(1).T  # each: conditions
    table = pd.DataFrame({"confidence": sure / count, "right": right / count}, index=list(scores.conditions))
    return table.assign(gap=table.confidence - table.right)


def risk_coverage(scores: Scores, condition: str, foreground: bool = True) -> pd.DataFrame:
    """Return the share of wrong pixels among the most confident ones: coverage and risk, from sure to unsure."""
    bins = scores.reliability[scores.conditions.index(condition), int(foreground)][::-1]
    bins = bins[bins[:, 0] > 0]
    count, _, right = bins.cumsum(0).T
    return pd.DataFrame({"coverage": count / count[-1], "risk": 1 - right / count})


def under(record: Record, conditions: Sequence[Condition]) -> Scores:
    """Score a run on its test scenes under any conditions."""
    chosen = machine.choose("cpu", record.run.recipe.precision)
    return evaluation.evaluate(
        record.model(), record.run.material(), chosen, conditions=conditions, quiet=True
    )


@torch.inference_mode()
def answers(record: Record, split: str, conditions: Sequence[Condition]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield class scores C,K,H,W and labels C,H,W, scene by scene, a row per condition."""
    data, model = record.run.material(), record.model()
    stage, chosen = Stage(data, split, "cpu"), machine.choose("cpu", record.run.recipe.precision)
    for position in data.splits[split]:
        sample = stage.before(np.array([position]), conditions)
        with chosen.autocast():
            logits = model(*stage.after(conditions, sample, *normalise(sample, data.stats))).logits
        yield logits.float(), sample.label


def temperature(record: Record, conditions: Sequence[Condition] | None = None) -> float:
    """Fit one temperature on the validation scenes, under the reference light unless conditions say otherwise."""
    data = record.run.material()
    shown = conditions or [Condition("", reference(data))]
    logits, labels = zip(*answers(record, "val", shown), strict=True)
    return fit_temperature(torch.cat(logits), torch.cat(labels))


def calibration_error(record: Record, temperatures: Mapping[str, float]) -> pd.DataFrame:
    """Return the calibration error on the objects of the test scenes: a row per lighting, a column per temperature."""
    data = record.run.material()
    shown = lightings(data)
    streams = {
        name: [Calibration(background=data.dataset.background) for _ in shown] for name in temperatures
    }
    for logits, label in answers(record, "test", shown):
        for name, stream in streams.items():
            for c, one in enumerate(stream):
                one.update(logits[c : c + 1], label[c : c + 1], temperatures[name])
    errors = {name: [one.ece(foreground=True) for one in stream] for name, stream in streams.items()}
    return pd.DataFrame(errors, index=[c.name for c in shown])


# -- what fusions do while the light goes ----------------------------------------------------------


def depth_gate(record: Record, conditions: Sequence[Condition]) -> np.ndarray:
    """Return the gate of depth under each condition, mean over scales and test scenes, of a run that has gates B,2."""
    shown = probes.explained(record, conditions)
    return np.mean([values[:, 1] for name, values in shown.items() if name.endswith("gates")], axis=0)


def places_share(record: Record, conditions: Sequence[Condition]) -> np.ndarray:
    """Return the share of depth's places that attention looks at under each condition: exp(entropy) / places."""
    shares = []
    for shown in probes.walk(record, conditions):
        attention = shown.output.explain["attention"]  # B,heads,H,W,h,w
        looked_at = probes.places_looked_at(attention).mean(1)  # B
        shares.append((looked_at / attention[0, 0, 0, 0].numel()).numpy())
    return np.mean(shares, axis=0)
