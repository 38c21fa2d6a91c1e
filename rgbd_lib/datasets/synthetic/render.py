"""From a scene to what each fixture alone would show.

Per fixture there is one diffuse image (to be multiplied by the albedo) and one specular image; a lighting is a
weighted sum of them. A mirror is one bounce: its glass shows what a camera behind it sees.
"""

from dataclasses import dataclass

import numpy as np

from rgbd_lib.datasets.synthetic.camera import Camera
from rgbd_lib.datasets.synthetic.lights import BOUNCE, FIXTURES, SKY, Lighting
from rgbd_lib.datasets.synthetic.scenes import Scene
from rgbd_lib.datasets.synthetic.shading import shade
from rgbd_lib.datasets.synthetic.surface import Surface, surfaces

BOUNCED = np.array([0.06, 0.30, 0.09], np.float32)  # what the cloth sends back up of white light
REFLECTED = np.float32(0.86)


@dataclass
class Linear:
    """A scene in white light, fixture by fixture: radiance = sum of colour * (albedo * diffuse + specular)."""

    surface: Surface
    diffuse: np.ndarray  # F,h,w
    specular: np.ndarray  # F,h,w
    owner: np.ndarray  # h,w int16: object index, -1 = background
    seen_z: np.ndarray  # z-depth with the mirror's reflection in it: how far light travels

    def radiance(self, light: Lighting) -> np.ndarray:
        """Return the linear image 3,h,w under a lighting."""
        colours = light.colours.astype(np.float32).copy()
        colours[BOUNCE] += BOUNCED * (colours[SKY] * 0.8 + colours[2:].sum(axis=0) * 0.5)
        out = np.empty_like(self.surface.albedo)
        # sums fixture by fixture instead of one matrix product: the same bytes on any number of threads
        for channel in range(3):
            lit = np.zeros_like(self.seen_z)
            shine = np.zeros_like(self.seen_z)
            for f in np.flatnonzero(colours[:, channel]):
                lit += colours[f, channel] * self.diffuse[f]
                shine += colours[f, channel] * self.specular[f]
            lit *= self.surface.albedo[channel]
            np.add(lit, shine, out=out[channel])
        return out


def render(scene: Scene) -> Linear:
    """Return the scene in white light, fixture by fixture."""
    camera = scene.camera
    surface = surfaces(scene, camera)
    diffuse, specular = shade(scene, surface, camera)
    owner = np.where(surface.part >= 0, scene.owner[surface.part], -1).astype(np.int16)
    seen = surface.z
    if scene.glass is not None and (surface.part == scene.glass).any():
        seen = surface.z.copy()
        _reflect(scene, camera, surface, diffuse, specular, seen)
    return Linear(surface, diffuse, specular, owner, seen)


def _reflect(
    scene: Scene,
    camera: Camera,
    surface: Surface,
    diffuse: np.ndarray,
    specular: np.ndarray,
    seen: np.ndarray,
) -> None:
    """Replace the glass by what it reflects, in place."""
    glass = surface.part == scene.glass
    rows, columns = np.flatnonzero(glass.any(axis=1)), np.flatnonzero(glass.any(axis=0))
    region = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = glass[region]
    pose = scene.parts[scene.glass].solid.pose
    normal = -pose.linear[:, 1]
    point = pose.centre + 0.004 * normal
    behind = camera.reflected(point, normal)
    image = surfaces(scene, behind, region, near=float(surface.z[glass].max()), without=scene.glass)
    d, s = shade(scene, image, behind)
    for f in range(len(FIXTURES)):
        diffuse[f][region][inside] = d[f][inside]
        specular[f][region][inside] = s[f][inside] * REFLECTED
    for channel in range(3):
        surface.albedo[channel][region][inside] = image.albedo[channel][inside] * REFLECTED
    seen[region][inside] = image.z[inside]
