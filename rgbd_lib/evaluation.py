"""Scoring a trained model: for every test scene and condition one confusion matrix, so that no later question
(any subset of classes, any interval) needs the model again."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from rgbd_lib import metrics
from rgbd_lib.calibration import Calibration
from rgbd_lib.conditions import Condition, Stage, conditions_of
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.errors import UserError
from rgbd_lib.machine import Machine
from rgbd_lib.material import Material
from rgbd_lib.methods import Output
from rgbd_lib.metrics import confusions
from rgbd_lib.progress import Progress

# Times eight lightings: about a training batch on a processor; a GPU is asked for more, it has to be told less often.
SCENES_AT_ONCE = {"cuda": 8}
Votes = Callable[[Output], Mapping[str, Tensor]]  # which logits of an answer are scored, by name


def result(output: Output) -> dict[str, Tensor]:
    """Return what a model answers in the end."""
    return {"": output.logits}


@dataclass(frozen=True)
class Scores:
    """Counts per scene and condition; every score but the calibration's can be computed anew from them."""

    scenes: tuple[str, ...]
    conditions: tuple[str, ...]
    background: int | None
    matrices: np.ndarray  # S,C,K,K int32, rows are the truth
    boundary: np.ndarray  # S,C,D,3,K int32: pixels of the contour band in both, in truth, in prediction
    reliability: np.ndarray  # C,2,bins,3: over all pixels / over objects; pixels, confidence, correct
    trust: np.ndarray  # C,T: the calibration scores named in ``trust_names``
    trust_names: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per condition with every score, over all scenes."""
        rows = []
        for c, name in enumerate(self.conditions):
            matrix, band = self.matrices[:, c].sum(0), self.boundary[:, c].sum(0)
            row = {
                "condition": name,
                "miou": metrics.miou(matrix),
                "miou_foreground": metrics.miou(matrix, self.background, include_background=False),
                "mean_accuracy": metrics.mean_accuracy(matrix),
                "pixel_accuracy": metrics.pixel_accuracy(matrix),
                "boundary_iou": metrics.nanmean(metrics.boundary_iou(band)[-1]),
                "forgiving_miou": metrics.forgiving_miou(matrix, self.background or 0),
                "classes": int(metrics.counted(matrix)),
            }
            rows.append(row | dict(zip(self.trust_names, self.trust[c], strict=True)))
        return pd.DataFrame(rows)

    def save(self, path: Path) -> None:
        """Write all counts as one compressed file, whole or not at all."""
        partial = path.with_suffix(".partial.npz")
        try:
            np.savez_compressed(
                partial, **vars(self) | {"background": -1 if self.background is None else self.background}
            )
            os.replace(partial, path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise UserError(f"cannot write {path}: {error}") from error

    @classmethod
    def load(cls, path: Path) -> "Scores":
        """Read what ``save`` wrote."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                values = dict(stored)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}); delete it and evaluate again") from error
        background = int(values.pop("background"))
        names = {key: tuple(map(str, values.pop(key))) for key in ("scenes", "conditions", "trust_names")}
        return cls(background=None if background < 0 else background, **names, **values)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    material: Material,
    machine: Machine,
    *,
    conditions: str | Sequence[Condition] = "lightings",
    split: str = "test",
    quiet: bool = False,
) -> Scores:
    """Count hits and misses of every scene of a split under every condition."""
    todo = conditions_of(conditions, material) if isinstance(conditions, str) else tuple(conditions)
    positions = material.splits[split]
    model.eval()
    trust = [Calibration(background=material.dataset.background) for _ in todo]
    progress = Progress(len(positions), f"evaluate {split}", quiet=quiet)
    stage, parts = Stage(material, split, machine.device), []
    for chosen in portions(positions, machine):
        parts.append(count(model, stage, machine, chosen, todo, trust))
        for _ in chosen:
            progress.step()
    progress.close()
    matrices, boundary = (np.concatenate(part) for part in zip(*parts, strict=True))
    summaries = [one.summary() for one in trust]
    return Scores(
        scenes=tuple(material.cache.scenes[i] for i in positions),
        conditions=tuple(c.name for c in todo),
        background=material.dataset.background,
        matrices=matrices,
        boundary=boundary,
        reliability=np.array([[one.reliability(), one.reliability(foreground=True)] for one in trust]),
        trust=np.array([list(s.values()) for s in summaries]),
        trust_names=tuple(summaries[0]),
    )


def portions(positions: np.ndarray, machine: Machine) -> Iterator[np.ndarray]:
    """Yield the scenes as many at a time as suits the machine."""
    step = SCENES_AT_ONCE.get(machine.kind, 2)
    return (positions[start : start + step] for start in range(0, len(positions), step))


@torch.inference_mode()
def matrices(
    model: nn.Module,
    material: Material,
    machine: Machine,
    *,
    conditions: str | Sequence[Condition] = "lightings",
    votes: Votes = result,
) -> dict[str, np.ndarray]:
    """Return only the confusion matrices (S,C,K,K int32) of each vote of a model, from one look at the test scenes."""
    todo = conditions_of(conditions, material) if isinstance(conditions, str) else tuple(conditions)
    positions, stage = material.splits["test"], Stage(material, "test", machine.device)
    model.eval()
    parts: dict[str, list[Tensor]] = {}
    for chosen in portions(positions, machine):
        counted: dict[str, list[Tensor]] = {}
        for sample, found in answers(model, stage, machine, chosen, todo, votes):
            for name, logits in found.items():
                counts = confusions(sample.label, logits.argmax(1), material.classes)
                counted.setdefault(name, []).append(counts.unflatten(0, (len(chosen), -1)))
        for name, counts in counted.items():
            parts.setdefault(name, []).append(torch.cat(counts, dim=1))
    return {name: torch.cat(found).cpu().numpy().astype(np.int32) for name, found in parts.items()}


def count(
    model: nn.Module,
    stage: Stage,
    machine: Machine,
    positions: np.ndarray,
    todo: Sequence[Condition],
    trust: Sequence[Calibration],
) -> tuple[np.ndarray, np.ndarray]:
    """Return matrices and boundary counts of some scenes, axes S,C first; calibration goes into ``trust``."""
    results: list[tuple[Tensor, ...]] = []
    waiting = iter(trust)
    for sample, found in answers(model, stage, machine, positions, todo):
        (logits,) = found.values()
        predicted, classes = logits.argmax(1), stage.material.classes
        counts = (
            confusions(sample.label, predicted, classes),
            metrics.boundary_counts(sample.label, predicted, classes),
        )
        results.append(tuple(c.unflatten(0, (len(positions), -1)) for c in counts))
        copies = len(logits) // len(positions)
        for c in range(copies):
            next(waiting).update(logits[c::copies], sample.label[c::copies])
    return tuple(torch.cat(part, dim=1).cpu().numpy().astype(np.int32) for part in zip(*results, strict=True))


def answers(
    model: nn.Module,
    stage: Stage,
    machine: Machine,
    positions: np.ndarray,
    todo: Sequence[Condition],
    votes: Votes = result,
) -> Iterator[tuple[Sample, dict[str, Tensor]]]:
    """Yield inputs and logits of some scenes, conditions in order, a group at a time; rows are scene by scene.

    Eight lightings share one depth, which is encoded once where the method allows; with the camera off they share
    everything, and are one picture.
    """
    for group in depth_groups(todo):
        sample, copies = stage.before(positions, group), len(group)
        rgb, depth = stage.after(group, sample, *normalise(sample, stage.material.stats))
        step = copies if copies > 1 and alike(rgb, copies) and alike(depth, copies) else 1
        with machine.autocast(), shared_depth(model, copies // step):
            found = votes(model(rgb[::step], depth[::step]))
        yield sample, {name: repeat(logits.float(), step) for name, logits in found.items()}


def alike(rows: Tensor, copies: int) -> bool:
    """Whether each scene's copies in a batch are the same picture."""
    rows = rows.unflatten(0, (-1, copies))
    return torch.equal(rows, rows[:, :1].expand_as(rows))


def depth_groups(todo: Sequence[Condition]) -> list[tuple[Condition, ...]]:
    """Cut conditions, in order, into runs that leave depth alone (one shared depth) and single others."""
    groups: list[list[Condition]] = []
    for condition in todo:
        if groups and condition.keeps_depth and groups[-1][-1].keeps_depth and len(groups[-1]) < 8:
            groups[-1].append(condition)
        else:
            groups.append([condition])
    return [tuple(group) for group in groups]


@contextmanager
def shared_depth(model: nn.Module, copies: int) -> Iterator[None]:
    """Let a model's ``depth_encoder`` look once at each depth image that ``copies`` rows of a batch share."""
    encoder = getattr(model, "depth_encoder", None)
    if encoder is None or copies == 1:
        yield
        return
    before = encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0][::copies],))
    after = encoder.register_forward_hook(lambda _, __, maps: repeat(maps, copies))
    try:
        yield
    finally:
        before.remove()
        after.remove()


def repeat(maps: object, copies: int) -> object:
    """Return each row of the encoder's maps ``copies`` times."""
    if isinstance(maps, Tensor):
        return maps.repeat_interleave(copies, dim=0) if copies > 1 else maps
    return [repeat(part, copies) for part in maps]
