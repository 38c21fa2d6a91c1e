"""What a model is tested under: a lighting, and possibly a failing sensor."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from rgbd_lib import corruptions, dimmer
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import Store, store
from rgbd_lib.errors import unknown
from rgbd_lib.material import Material

REFERENCE = 3  # MM5's best-exposed lighting; corruptions are added to it
UNTOUCHED = corruptions.Setting("clean", 0)


@dataclass(frozen=True)
class Condition:
    """One way in which the test scenes are shown."""

    name: str  # "light 3" or "holes 5"; in tables and figures
    lighting: int  # position among the data set's lightings
    setting: corruptions.Setting = UNTOUCHED
    stop: float | None = None  # of the dimmer: halvings of that lighting; None is the data's own photograph

    @property
    def untouched(self) -> bool:
        """Whether the data is shown as it is."""
        return self.setting == UNTOUCHED and self.stop is None

    @property
    def keeps_depth(self) -> bool:
        """Whether the depth image is the same as under the other lightings."""
        return self.setting.keeps_depth


def lightings(material: Material) -> tuple[Condition, ...]:
    """Return one condition per lighting, nothing else changed."""
    return tuple(Condition(f"light {n}", i) for i, n in enumerate(material.dataset.lightings))


def suite(material: Material) -> tuple[Condition, ...]:
    """Return the default corruptions and missing sensors, on the reference lighting."""
    light = reference(material)
    return tuple(Condition(s.name, light, s) for s in corruptions.suite(material.metric))


def every(material: Material) -> tuple[Condition, ...]:
    """Return all corruptions at all severities, on the reference lighting."""
    light = reference(material)
    return tuple(Condition(s.name, light, s) for s in corruptions.every(material.metric))


def missing(material: Material) -> tuple[Condition, ...]:
    """Return every lighting with the depth sensor off and with the camera off."""
    numbers = list(enumerate(material.dataset.lightings))
    return tuple(
        Condition(f"light {n}, {name}", i, corruptions.Setting(name, 1))
        for name in ("depth_off", "rgb_off")
        for i, n in numbers
    )


def dimmed(material: Material) -> tuple[Condition, ...]:
    """Return the reference lighting at every exposure of the dimmer; only synthetic scenes can be lit anew."""
    light = reference(material)
    return tuple(Condition(dimmer.name(stop), light, stop=stop) for stop in dimmer.STOPS)


SETS = {"lightings": lightings, "suite": suite, "every": every, "missing": missing, "dimmed": dimmed}


def conditions_of(name: str, material: Material) -> tuple[Condition, ...]:
    """Return the conditions of a named set."""
    if name not in SETS:
        raise unknown("set of conditions", name, SETS)
    return SETS[name](material)


def reference(material: Material) -> int:
    """Return the position of the reference lighting, or of the first where the data has no such number."""
    available = material.dataset.lightings
    return available.index(REFERENCE) if REFERENCE in available else 0


class Stage:
    """Shows the scenes of a split under conditions: rows are scene by scene, in the conditions' order."""

    def __init__(self, material: Material, split: str, device: str) -> None:
        self.material = material
        self.store: Store = store(material.cache, device)
        positions = material.splits[split]
        others = positions[corruptions.partners(len(positions))] if len(positions) > 1 else positions
        self.other = dict(zip(positions.tolist(), others.tolist(), strict=True))

    @cached_property
    def darkroom(self) -> dimmer.Darkroom:
        """Return where the test scenes are photographed anew."""
        return dimmer.Darkroom(self.material)

    def before(self, positions: np.ndarray, group: Sequence[Condition]) -> Sample:
        """Return raw samples of all scenes under all conditions of a group."""
        scenes = np.repeat(positions, len(group))
        lights = np.tile([c.lighting for c in group], len(positions))
        sample = self.store.gather(scenes, lights)
        if all(c.untouched for c in group):
            return sample
        sample = Sample(**{f.name: getattr(sample, f.name).clone() for f in fields(Sample)})
        for c, condition in enumerate(group):
            rows = slice(c, None, len(group))
            part = self.spoil(
                condition, Sample(**{name: value[rows] for name, value in vars(sample).items()})
            )
            for name in ("rgb", "depth", "valid"):
                getattr(sample, name)[rows] = getattr(part, name)
        return sample

    def spoil(self, condition: Condition, sample: Sample) -> Sample:
        """Return one condition's rows as its sensor would deliver them."""
        if condition.stop is not None:
            sample = self.dim(condition, sample)
        other = None
        if condition.setting.needs_other:
            positions = np.array([self.other[p] for p in sample.scene.tolist()])
            other = self.store.gather(positions, np.full(len(positions), condition.lighting))
        changed = condition.setting.apply_raw(
            sample, self.names(sample), other=other, depth_range=self.material.depth_range
        )
        return replace(sample, rgb=changed.rgb, depth=changed.depth, valid=changed.valid)

    def dim(self, condition: Condition, sample: Sample) -> Sample:
        """Return rows with the photographs that a dimmed light gives."""
        photos = [self.darkroom.picture(p, condition.lighting, condition.stop) for p in sample.scene.tolist()]
        rgb = torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255
        return replace(sample, rgb=rgb.to(sample.rgb.device))

    def after(
        self, group: Sequence[Condition], sample: Sample, rgb: Tensor, depth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Apply what only makes sense on normalised inputs."""
        for c, condition in enumerate(group):
            if condition.setting.info is not None and condition.setting.info.stage == "normalised":
                rows = slice(c, None, len(group))
                changed = condition.setting.apply_normalised(rgb[rows], depth[rows], self.names(sample)[rows])
                rgb, depth = rgb.clone(), depth.clone()
                rgb[rows], depth[rows] = changed
        return rgb, depth

    def names(self, sample: Sample) -> list[str]:
        """Return the scene id of each row."""
        return [self.material.cache.scenes[i] for i in sample.scene.tolist()]
