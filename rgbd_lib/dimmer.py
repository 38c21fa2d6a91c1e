"""A dimmer for synthetic scenes: the lamps of one lighting, turned down stop by stop.

The eight lightings differ in colour and direction as well as in strength. Here only the strength changes, so that a
score becomes a curve over exposure. The camera keeps its gain and its noise; depth and labels are those of the data.
"""

import json
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from rgbd_lib import paths
from rgbd_lib.datasets import resize
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.datasets.synthetic import LIGHTINGS, VERSION, Plan, design, photograph, render_scene
from rgbd_lib.datasets.synthetic.lights import drift
from rgbd_lib.errors import UserError
from rgbd_lib.material import Material

# Halvings of the light; below 0 it is brighter than the data's.
STOPS = (-2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 6.0, 8.0)
NOISE = 1  # seed of the noise: another than the data's own photographs have


def name(stop: float) -> str:
    """Return what a position of the dimmer is called, as an exposure: "+2 stops", "0 stops", "−4 stops"."""
    return f"{-stop:+g} stops".replace("-", "−") if stop else "0 stops"


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


class Darkroom:
    """Photographs of a material's scenes at any exposure; a scene is rendered once, its pictures stay on disk."""

    def __init__(self, material: Material) -> None:
        self.material = material
        self.plans, self.seed, self.size = plans_of(material.dataset)
        self.folder = paths.cache() / f"{material.cache.folder.name}-dimmed"
        self.rendered = lru_cache(maxsize=1)(self._rendered)  # dozens of megabytes each

    def picture(self, position: int, lighting: int, stop: float) -> np.ndarray:
        """Return a scene of the cache under one of its lightings (0-based), dimmed, H,W,3 uint8 at the cache's size."""
        number, scene = self.material.dataset.lightings[lighting], self.material.cache.scenes[position]
        path = self.folder / f"scene{int(scene)}-light{number}{stop:+g}-noise{NOISE}.npy"
        if not path.exists():
            keep(path, self.develop(position, number, stop))
        return np.load(path, allow_pickle=False)

    def develop(self, position: int, number: int, stop: float) -> np.ndarray:
        """Photograph a scene anew."""
        scene, linear, power = self.rendered(position)
        lamps = LIGHTINGS[number - 1].dimmed(stop)
        photo = photograph(scene, linear, lamps, noise_seed=NOISE, power=float(power[number - 1]))
        return resize.colour(photo, self.material.cache.size, self.material.cache.crop)

    def _rendered(self, position: int) -> tuple:
        plan = self.plans[int(self.material.cache.scenes[position]) - 1]
        return *render_scene(plan, self.seed, self.size), drift(self.seed, plan.day)


def keep(path: Path, array: np.ndarray) -> None:
    """Write an array whole or not at all; two processes may write the same one."""
    partial = path.with_name(f"{path.stem}-{os.getpid()}.partial.npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(partial, array)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write {path}: {error}. Point RGBD_CACHE at a folder with room") from error
