"""Asking the trained models themselves: dimmed light, a sensor that is off, and what a method looks at."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rgbd_lib import corruptions, lesson, machine, paths
from rgbd_lib.conditions import Condition, Stage
from rgbd_lib.datasets import resize
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.datasets.synthetic import LIGHTINGS, photograph
from rgbd_lib.dimmer import NOISE
from rgbd_lib.errors import UserError
from rgbd_lib.explorer.store import Picture, Store
from rgbd_lib.lesson import Look
from rgbd_lib.material import Material
from rgbd_lib.runs import Record


@dataclass(frozen=True)
class Lamp:
    """What is changed about a stored image; as it stands: nothing."""

    stops: float = 0.0  # halvings of the light
    camera: bool = True  # whether it delivers
    depth: bool = True


AS_STORED = Lamp()


class Live:
    """The models of a store's runs, as far as their weights are on this machine."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.photo = lru_cache(maxsize=64)(self._photo)
        self.model = lru_cache(maxsize=8)(self._model)
        self.has = lru_cache(maxsize=None)(self._has)

    def _has(self, method: str) -> bool:
        """Whether a method can be asked: its run is here with its weights, and so is the data as it was then."""
        folder = self.folder(method)
        if not ((folder / "run.json").exists() and (folder / "best.safetensors").exists()):
            return False
        record = self.record(method)
        if not paths.data(record.info["data"]["path"]).exists():
            return False
        try:
            return record.run.material().cache.identity == record.info["data"]["identity"]
        except UserError:  # incomplete, or of another kind: what is stored can be looked at all the same
            return False

    def folder(self, method: str) -> Path:
        """Return where the run is or would be; the name was checked when the index was read."""
        return paths.results() / "runs" / self.store.methods[method].run

    def record(self, method: str) -> Record:
        """Return a method's run."""
        return Record(self.folder(method))

    @cached_property
    def material(self) -> Material:
        """Return the data that the runs share."""
        return next(self.record(m) for m in self.store.methods if self.has(m)).run.material()

    @cached_property
    def stage(self) -> Stage:
        """Return the test scenes."""
        return Stage(self.material, "test", "cpu")

    @cached_property
    def dims(self) -> bool:
        """Whether the light can be changed: only scenes of this renderer can be lit anew."""
        try:
            return self.stage.darkroom is not None
        except UserError:
            return False

    def position(self, scene: int) -> int:
        """Return where a scene of the store is in the cache."""
        return int(self.material.cache.index([self.store.scenes[scene].name])[0])

    def _photo(self, scene: int, light: int, stops: float) -> np.ndarray:
        """Return the whole photograph of a scene with its lamps dimmed."""
        rendered, linear, power = self.stage.darkroom.rendered(self.position(scene))
        number = self.material.dataset.lightings[light] - 1
        lamps = LIGHTINGS[number].dimmed(stops)
        return photograph(rendered, linear, lamps, noise_seed=NOISE, power=float(power[number]))

    def sample(self, scene: int, light: int, lamp: Lamp) -> tuple[Sample, np.ndarray | None]:
        """Return the image as a network gets it before normalising, and the dimmed photograph if there is one."""
        position = self.position(scene)
        condition = Condition("live", light)
        sample = self.stage.before(np.array([position]), [condition])
        photo = self.photo(scene, light, lamp.stops) if lamp.stops else None
        if photo is not None:
            cache = self.material.cache
            small = resize.colour(photo, cache.size, cache.crop)
            sample = replace(sample, rgb=torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255)
        for name in [n for n, works in (("rgb_off", lamp.camera), ("depth_off", lamp.depth)) if not works]:
            sample = self.stage.spoil(Condition(name, light, corruptions.Setting(name, 1)), sample)
        return sample, photo

    @torch.inference_mode()
    def look(self, method: str, sample: Sample, explain: bool = False) -> Look:
        """Show a model one image."""
        record = self.record(method)
        with machine.choose("cpu", record.run.recipe.precision).autocast():
            output = self.model(method)(*normalise(sample, self.material.stats), explain=explain)
        confidence, found = output.logits.float().softmax(1).max(1)
        return Look(
            ("live",),
            lesson.colours(sample),
            lesson.metres(sample),
            sample.label[0].numpy().astype(np.uint8),
            found.numpy().astype(np.uint8),
            confidence.numpy(),
            output,
        )

    def picture(self, look: Look, photo: np.ndarray | None, stored: np.ndarray, camera: bool) -> Picture:
        """Return a look as the stored pictures are, at the network's size."""
        size = self.store.photo_size
        if not camera:
            stored = np.zeros_like(stored)
        elif photo is not None:
            stored = resize.colour(photo, size, self.material.cache.crop)
        return Picture(stored, look.label, look.depth[0], look.prediction[0], look.confidence[0])

    def explained(self, look: Look) -> Iterator[tuple[str, np.ndarray]]:
        """Yield names and maps h,w of what a method reports about an image."""
        from rgbd_lib.plots import explained

        for panel in explained.panels(look):
            if panel.light and panel.stage != "output":
                yield ", ".join(filter(None, (panel.group, panel.stage))), panel.values

    def _model(self, method: str) -> nn.Module:
        return self.record(method).model()
