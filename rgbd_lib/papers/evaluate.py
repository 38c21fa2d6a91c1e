"""Score a published network on a data set: as its paper does, or strictly, with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from rgbd_lib import metrics, statistics
from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.errors import UserError
from rgbd_lib.papers.protocols import CROPS, Protocol, score
from rgbd_lib.progress import Progress


@dataclass(frozen=True)
class Evaluation:
    """One confusion matrix per scene for the network's scores ("all") and for each branch's."""

    scenes: tuple[str, ...]
    matrices: dict[str, np.ndarray]  # name -> S,K,K, rows are the truth

    def table(self, strict: bool) -> pd.DataFrame:
        """Return scores (0..1) by output; ``strict`` leaves out what the truth lacks and adds a 95 % interval."""
        rule = strict_scores if strict else paper_scores
        return pd.DataFrame([{"output": name} | rule(m) for name, m in self.matrices.items()])


def paper_scores(matrices: np.ndarray) -> dict[str, float]:
    """Return the papers' three numbers: a class that is predicted but never true counts as 0 in mIoU."""
    total = matrices.sum(0).astype(np.float64)
    hit, truth, predicted = np.diag(total), total.sum(1), total.sum(0)
    with np.errstate(invalid="ignore"):
        accuracy, iou = hit / truth, hit / (truth + predicted - hit)
    return {
        "pixel_accuracy": float(hit.sum() / max(total.sum(), 1)),
        "mean_accuracy": float(metrics.nanmean(accuracy)),
        "miou": float(metrics.nanmean(iou)),
    }


def strict_scores(matrices: np.ndarray) -> dict[str, float]:
    """Return mean and interval over scenes of the classes that the truth contains."""
    total = matrices.sum(0)
    found = statistics.interval(matrices[None, :, None], lambda m: metrics.miou(m, None))
    return {
        "pixel_accuracy": float(metrics.pixel_accuracy(total)),
        "mean_accuracy": float(metrics.mean_accuracy(total, None)),
        "miou": found.mean,
        "miou_low": found.low,
        "miou_high": found.high,
    }


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    dataset: Dataset,
    protocol: Protocol,
    *,
    split: str = "test",
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    device: str = "cpu",
    quiet: bool = True,
) -> Evaluation:
    """Score every frame of a split under the data set's first lighting; the model is put into evaluation mode."""
    scenes, classes = dataset.split(split), len(dataset.classes)
    if not scenes:
        raise UserError(f"split '{split}' of {dataset.root} is empty; see `rgbd data check {dataset.root}`")
    model = model.eval().to(device)
    progress = Progress(len(scenes), f"{split} of {dataset.name}", quiet=quiet)
    found: dict[str, list[np.ndarray]] = {}
    for scene in scenes:
        frame = dataset.read(scene, dataset.lightings[0])
        rgb, depth, resized = protocol.prepare(dataset, scene, frame)
        label = frame.label if protocol.keeps_label else resized
        scores = score(
            protocol, model, rgb.to(device), depth.to(device), label.shape,
            scales=scales, flips=flips, crop=CROPS.get(classes, CROPS[40]),
        )  # fmt: skip
        for name, values in scores.items():
            found.setdefault(name, []).append(count(label, values.cpu(), dataset, classes))
        progress.step()
    progress.close()
    return Evaluation(tuple(scenes), {name: np.stack(rows) for name, rows in found.items()})


def count(label: np.ndarray, values: torch.Tensor, dataset: Dataset, classes: int) -> np.ndarray:
    """Return the confusion matrix of one frame; labels beyond the classes are left out, as the papers do."""
    if len(values) != classes:
        raise UserError(
            f"the network scores {len(values)} classes and {dataset.root} has {classes}; "
            "build it with --classes of the data it was trained on"
        )
    truth = torch.from_numpy(label.astype(np.int64))
    truth = truth.masked_fill(truth >= classes, IGNORE)
    return metrics.confusion(truth, values.argmax(0), classes).numpy()
