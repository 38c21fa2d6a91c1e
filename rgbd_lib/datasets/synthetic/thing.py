"""What objects and furniture are made of: solids with materials, and the ellipsoids that stand for their shadow."""

from dataclasses import dataclass, field

import numpy as np

from rgbd_lib.datasets.synthetic.materials import Material
from rgbd_lib.datasets.synthetic.shapes import Pose, Solid

Rng = np.random.Generator


@dataclass(frozen=True)
class Part:
    """A solid with its material."""

    solid: Solid
    material: Material


@dataclass
class Thing:
    """An object: its parts, and the ellipsoids (unit balls under a pose) that cast its shadow."""

    parts: list[Part] = field(default_factory=list)
    shades: list[tuple[Pose, int | None]] = field(default_factory=list)  # with the part it stands for, or all

    def add(self, solid: Solid, material: Material, shade: bool = False) -> None:
        """Add a part; with shade it also casts the shadow of its own ellipsoid."""
        if shade:
            self.shades.append((solid.pose, len(self.parts)))
        self.parts.append(Part(solid, material))

    def cast(self, pose: Pose, radii: tuple[float, float, float], centre: tuple = (0, 0, 0)) -> None:
        """Let an ellipsoid in the pose's coordinates cast a shadow for the whole thing."""
        self.shades.append((pose.then(np.diag(radii), centre), None))


def vary(rng: Rng, colour: tuple[float, float, float], spread: float = 0.10) -> np.ndarray:
    """Return a colour a little off, brighter or darker."""
    return np.array(colour) * rng.uniform(1 - spread, 1 + spread, 3) * rng.uniform(0.92, 1.08)
