"""One scene as the rig would deliver it: eight colour pictures, depth, labels and the truth behind them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rgbd_lib.datasets.synthetic import lights, sensor
from rgbd_lib.datasets.synthetic.design import Plan, endless
from rgbd_lib.datasets.synthetic.render import Linear, render
from rgbd_lib.datasets.synthetic.scenes import Scene, assemble, generator


@dataclass(frozen=True)
class Capture:
    """A scene under all lightings."""

    rgb: np.ndarray  # 8,H,W,3 uint8, R G B
    depth: np.ndarray  # H,W uint16, millimetres, 0 = missing
    valid: np.ndarray  # H,W bool
    label: np.ndarray  # H,W uint8 class ids
    instance: np.ndarray  # H,W uint8, counted within the class from 1, 0 = background
    truth: dict  # the scene's record: plan, camera, objects


def render_scene(plan: Plan, seed: int = 0, size: tuple[int, int] = (480, 640)) -> tuple[Scene, Linear]:
    """Return a scene and its linear light: any lighting, mixture or dimmer position is one sum away."""
    scene = assemble(plan, seed, size)
    return scene, render(scene)


def photograph(
    scene: Scene, linear: Linear, light: lights.Lighting, *, noise_seed: int = 0, power: float = 1.0
) -> np.ndarray:
    """Return the H,W,3 uint8 picture of a rendered scene under any lighting."""
    rng = generator(scene.seed, "photo", scene.plan.scene, noise_seed)
    return sensor.photograph(linear.radiance(light), light, rng, power)


def capture(plan: Plan, seed: int, size: tuple[int, int]) -> Capture:
    """Return everything that the rig records of one scene."""
    scene, linear = render_scene(plan, seed, size)
    power = lights.drift(seed, plan.day)
    rgb = np.stack(
        [
            sensor.photograph(
                linear.radiance(light), light, generator(seed, "noise", plan.scene, k), float(power[k])
            )
            for k, light in enumerate(lights.LIGHTINGS)
        ]
    )
    depth = sensor.measure_depth(scene, linear, generator(seed, "depth", plan.scene))
    classes = np.array([*scene.classes, 0], np.uint8)
    instances = np.array([*scene.instances, 0], np.uint8)
    label, instance = classes[linear.owner], instances[linear.owner]
    return Capture(rgb, depth, depth > 0, label, instance, truth(scene, linear, power))


def truth(scene: Scene, linear: Linear, power: np.ndarray) -> dict:
    """Return what is known of a scene: enough to check every picture of it."""
    plan, camera = scene.plan, scene.camera
    f, cx, cy = camera.intrinsics
    pixels = np.bincount(linear.owner[linear.owner >= 0], minlength=len(scene.classes))
    return {
        "id": plan.scene, "run": plan.run, "day": plan.day, "split": plan.split,
        "camera": {
            "origin": [round(float(v), 6) for v in camera.origin],
            "axes": [[round(float(v), 6) for v in row] for row in camera.axes],
            "focal": f, "centre": [cx, cy],
        },
        "lamp_power": [round(float(v), 4) for v in power],
        "mirror": scene.glass is not None, "lamp_visible": scene.bulb is not None,
        "objects": [{**r, "pixels": int(n)} for r, n in zip(scene.records, pixels, strict=True)],
    }  # fmt: skip


class SyntheticScenes:
    """An endless stream of captures, made when asked for: ``SyntheticScenes(seed)[i]`` touches no disk."""

    def __init__(self, seed: int, size: tuple[int, int] = (240, 320)) -> None:
        self.seed, self.size = seed, size
        self._made = lru_cache(maxsize=4)(self._make)

    def __getitem__(self, index: int) -> Capture:
        if index < 0:
            raise IndexError(f"scene {index}: an endless stream has no end to count back from")
        return self._made(index)

    def _make(self, index: int) -> Capture:
        return capture(endless(index, self.seed), self.seed, self.size)
