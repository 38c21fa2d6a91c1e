"""What a run learns from and is judged on: cached arrays, scene positions of each split, statistics."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rgbd_lib import paths
from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.datasets.batches import Statistics, statistics
from rgbd_lib.datasets.cache import Cache, open_cache
from rgbd_lib.datasets.lighting import parse
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError
from rgbd_lib.recipe import Recipe

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Material:
    """Data, ready for training: nothing here depends on the method."""

    dataset: Dataset
    cache: Cache
    splits: dict[str, np.ndarray]  # positions in the cache
    lightings: tuple[int, ...]  # positions of the lightings trained on
    stats: Statistics  # of the training split alone

    @property
    def classes(self) -> int:
        """Return the number of classes, background included."""
        return len(self.dataset.classes)

    @cached_property
    def class_counts(self) -> np.ndarray:
        """Return how many training pixels each class has."""
        label = self.cache.label[self.splits["train"]]
        return np.bincount(label.ravel(), minlength=256)[: self.classes]

    @property
    def metric(self) -> bool:
        """Whether depth is a length."""
        return self.dataset.depth_kind.to_metres is not None

    @cached_property
    def depth_range(self) -> float | None:
        """Return the span of valid training depth where depth is an encoding; None where it is in metres."""
        if self.metric:
            return None
        train = self.splits["train"]
        seen = self.cache.depth[train][self.cache.valid[train]]
        return float(seen.max() - seen.min()) * self.cache.to_raw if seen.size else 0.0


def prepare(
    data: str, recipe: Recipe, lighting: str = "mixed", split: str = "grouped", progress: bool = True
) -> Material:
    """Open the data, decode what is not yet in the cache and check it before any training."""
    dataset = open_dataset(paths.data(data))
    scenes = {name: thin(dataset.split(name, split), name, dataset, recipe.scenes) for name in SPLITS}
    for name, ids in scenes.items():
        if not len(ids):
            raise UserError(
                f"split '{name}' ({split}) of {dataset.root} is empty; see `rgbd data check {dataset.root}`"
            )
    wanted = [scene for ids in scenes.values() for scene in ids]
    cache = open_cache(dataset, recipe.size, recipe.crop, scenes=wanted, progress=progress)
    splits = {name: cache.index(ids) for name, ids in scenes.items()}
    check_labels(cache, len(dataset.classes))
    lights = parse(lighting, dataset.lightings)
    return Material(dataset, cache, splits, lights, statistics(cache, splits["train"]))


def thin(ids: Sequence[str], split: str, dataset: Dataset, total: int | None) -> Sequence[str]:
    """Keep a split's share of ``total`` scenes, evenly spaced so that all capture runs stay represented."""
    if total is None or total >= len(dataset.scenes):
        return ids
    keep = max(1, round(len(ids) * total / len(dataset.scenes)))
    return [ids[i] for i in np.linspace(0, len(ids) - 1, keep).round().astype(int)]


def check_labels(cache: Cache, classes: int) -> None:
    """Refuse labels outside the classes, naming the scene."""
    for scene, label in zip(cache.scenes, cache.label, strict=True):
        top = int(np.where(label == IGNORE, 0, label).max())
        if top >= classes:
            raise UserError(
                f"scene {scene} holds label {top}, but there are {classes} classes (0..{classes - 1}, {IGNORE} = ignore); "
                "check the label offset and the class list with `rgbd data check`"
            )
