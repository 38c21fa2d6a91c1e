"""What a surface does with light, painted from coordinates that stick to the object.

A material is a function (local position 3,n; face n; normal 3,n) -> Paint. Colours are linear albedos, R G B.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

CELLS = 32


class Paint(NamedTuple):
    """Surface properties of n points; scalars stand for all of them."""

    albedo: np.ndarray  # 3,n
    gloss: np.ndarray | float = 0.04  # strength of the highlight
    sharp: float = 40.0  # Blinn-Phong exponent of the highlight
    mirror: np.ndarray | float = 0.0  # share of the surroundings that a polished surface shows
    bump: np.ndarray | None = None  # 3,n added to the normal
    ao: np.ndarray | float = 1.0  # how much of the ambient light gets there (insides of cups)


Material = Callable[[np.ndarray, np.ndarray, np.ndarray], Paint]


@cache
def _volume() -> np.ndarray:
    """Return a tileable random volume and its three slopes: 4,C,C,C."""
    value = np.random.default_rng(20240817).standard_normal((CELLS,) * 3).astype(np.float32)
    slopes = [(np.roll(value, -1, a) - np.roll(value, 1, a)) / 2 for a in range(3)]
    return np.stack([value, *slopes])


def _sample(p: np.ndarray, channels: slice) -> np.ndarray:
    """Return the volume at p (3,n, in cells) by trilinear interpolation."""
    floor = np.floor(p)
    w = (p - floor).astype(np.float32)
    w = w * w * (3 - 2 * w)
    i = floor.astype(np.int64) % CELLS
    j = (i + 1) % CELLS
    flat = _volume()[channels].reshape(-1, CELLS**3)
    out = 0.0
    for bits in range(8):
        index, weight = 0, 1.0
        for axis in range(3):
            up = bits >> axis & 1
            index = index * CELLS + (j if up else i)[axis]
            weight = weight * (w[axis] if up else 1 - w[axis])
        out = out + flat[:, index] * weight
    return out


def noise(p: np.ndarray, frequency: float, offset: float = 0.0, octaves: int = 1) -> np.ndarray:
    """Return smooth noise of about unit deviation at p (3,n)."""
    total = sum(
        _sample(p * (frequency * 2**k) + (offset + 7.3 * k), slice(0, 1))[0] / 2**k for k in range(octaves)
    )
    return total * np.float32(1.6)


def bumps(p: np.ndarray, frequency: float, depth: float, offset: float = 0.0) -> np.ndarray:
    """Return what to add to a normal for a rough skin: minus the slope of the noise."""
    return _sample(p * frequency + offset, slice(1, 4)) * np.float32(-depth)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return a smooth step from 0 at low to 1 at high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blend(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return a where weight is 0 and b where it is 1; colours (3,) or (3,n)."""
    a, b = (np.asarray(c, np.float32).reshape(3, -1) for c in (a, b))
    return a + (b - a) * weight


def plain(
    colour: tuple[float, float, float], gloss: float = 0.04, sharp: float = 40.0, mirror: float = 0.0
) -> Material:
    """Return a material of one colour."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        albedo = np.repeat(np.asarray(colour, np.float32)[:, None], local.shape[1], axis=1)
        return Paint(albedo, gloss, sharp, mirror)

    return paint


def citrus(colour: np.ndarray, offset: float, tip: np.ndarray, gloss: float = 0.30) -> Material:
    """Return the pored skin of a lemon or mandarin, shading to another colour at the stem end."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        albedo = blend(colour, tip, ramp(local[2], 0.82, 1.08) * 0.8)
        albedo = albedo * (1 + 0.07 * noise(local, 2.2, offset) + 0.03 * noise(local, 9, offset))
        return Paint(albedo, gloss, 34.0, 0.04, bumps(local, 22.0, 0.07, offset))

    return paint


def cut_citrus(skin: Material, flesh: np.ndarray, slices: int, offset: float) -> Material:
    """Return citrus skin with a cut face: rind, white pith, and segments parted by membranes."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        outside = skin(local, face, normal)
        x, y = local[0], local[1]
        rho = np.sqrt(x * x + y * y)
        angle = (np.arctan2(y, x) / (2 * np.pi) * slices + offset) % 1.0
        wall = np.minimum(angle, 1 - angle) * rho * 2 * np.pi / slices
        pith = np.maximum(ramp(rho, 0.76, 0.82), 1 - ramp(wall, 0.012, 0.045))
        pith = np.maximum(pith, 1 - ramp(rho, 0.06, 0.13))
        juicy = np.asarray(flesh, np.float32)[:, None] * (1 + 0.16 * noise(local, 9, offset))
        inner = blend(juicy, np.array([0.66, 0.76, 0.60]), pith)
        inner = blend(inner, np.array(skin(local * 0, face, normal).albedo), ramp(rho, 0.91, 0.95))
        cut = (face != 0).astype(np.float32)
        return Paint(
            blend(outside.albedo, inner, cut),
            outside.gloss * (1 - cut) + 0.22 * cut * (1 - pith),
            34.0,
            0.0,
            outside.bump * (1 - cut) + bumps(local, 18.0, 0.12) * cut * (1 - pith),
        )

    return paint


def peel(skin: Material) -> Material:
    """Return mandarin peel: skin outside, pale pith inside and on the torn edge."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        out = skin(local, face, normal)
        pale = (face != 0).astype(np.float32)
        pith = np.array([0.62, 0.54, 0.34])[:, None] * (1 + 0.10 * noise(local, 7))
        return out._replace(albedo=blend(out.albedo, pith, pale), gloss=out.gloss * (1 - pale))

    return paint


def apple(colour: np.ndarray, blush: np.ndarray, offset: float, streaks: float) -> Material:
    """Return apple skin: streaks from pole to pole, pale dots, brown where the stem sits."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        x, y, z = local
        rho = np.sqrt(x * x + y * y)
        direction = np.stack([x, y, 0.12 * z]) / (rho + 0.05)
        streak = noise(direction, 4.0, offset, octaves=2) * 0.35 + 0.6 * noise(local, 1.1, offset + 3)
        albedo = blend(colour, blush, streaks * ramp(streak, 0.0, 1.8))
        dots = ramp(noise(local, 15, offset + 11), 1.6, 2.3)
        albedo = blend(albedo, np.array([0.80, 0.70, 0.40]), 0.35 * dots)
        albedo = blend(albedo, np.array([0.30, 0.24, 0.07]), (1 - ramp(rho, 0.05, 0.34)) * (z > 0) * 0.8)
        return Paint(albedo, 0.55, 70.0, 0.10, bumps(local, 2.0, 0.02, offset))

    return paint


def pear(colour: np.ndarray, offset: float) -> Material:
    """Return pear skin: freckles everywhere, russet around the stem."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        albedo = blend(colour, np.array([0.52, 0.36, 0.07]), 0.5 * ramp(noise(local, 1.3, offset), 0.2, 2.0))
        freckle = ramp(noise(local, 17, offset + 5), 0.8, 1.7)
        albedo = blend(albedo, np.array([0.27, 0.18, 0.04]), 0.4 * freckle)
        albedo = blend(albedo, np.array([0.33, 0.20, 0.06]), 0.7 * ramp(local[2], 0.72, 1.0))
        return Paint(albedo, 0.22, 26.0, 0.03, bumps(local, 6.0, 0.03, offset))

    return paint


def onion(colour: np.ndarray, dark: np.ndarray, offset: float) -> Material:
    """Return papery onion skin: meridians from root to neck, a straw-coloured neck."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        x, y, z = local
        rho = np.sqrt(x * x + y * y) + 0.03
        line = noise(np.stack([x / rho, y / rho, 0.05 * z]), 9.0, offset, octaves=2)
        albedo = blend(colour, dark, ramp(line, -0.6, 1.6) * 0.85)
        albedo = albedo * (1 + 0.10 * noise(local, 1.5, offset))
        albedo = blend(albedo, np.array([0.50, 0.34, 0.14]), ramp(z, 0.70, 0.95))
        return Paint(albedo, 0.40, 38.0, 0.06, bumps(np.stack([x / rho, y / rho, 0 * z]), 7.0, 0.06, offset))

    return paint


def carrot(colour: np.ndarray, offset: float) -> Material:
    """Return carrot skin: fine rings, darker grooves, greenish at the crown."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        z = local[2]
        rings = noise(np.stack([local[0] * 0.8, local[1] * 0.8, 14 * z]), 1.4, offset)
        albedo = np.asarray(colour, np.float32)[:, None] * (1 + 0.08 * noise(local, 3, offset))
        albedo = albedo * (1 - 0.32 * ramp(rings, 1.0, 1.9))
        albedo = blend(albedo, np.array([0.22, 0.26, 0.04]), ramp(z, 0.88, 0.99) * 0.8)
        bump = np.stack([0 * z, 0 * z, 0.05 * noise(np.stack([0 * z, 0 * z, z]), 22.0, offset)])
        return Paint(albedo, 0.16, 22.0, 0.02, bump)

    return paint


def berry(colour: np.ndarray, bloom: float, offset: float) -> Material:
    """Return a grape: glossy, lighter towards the rim where light passes through, with a waxy bloom."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        albedo = np.asarray(colour, np.float32)[:, None] * (1 + 0.10 * noise(local, 1.2, offset))
        albedo = blend(
            albedo, np.array([0.15, 0.24, 0.42]), bloom * ramp(noise(local, 1.6, offset + 2), -0.5, 1.8)
        )
        return Paint(albedo, 0.60, 75.0, 0.08, None)

    return paint


def glaze(colour: np.ndarray, band: np.ndarray, band_at: tuple[float, float]) -> Material:
    """Return glazed porcelain with one painted band outside and shade inside."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        z = local[2]
        on = ((z > band_at[0]) & (z < band_at[1]) & (face == 0)).astype(np.float32)
        inside = face == 1
        return Paint(
            blend(colour, band, on),
            0.65,
            120.0,
            0.10,
            None,
            np.where(inside, 0.35 + 0.55 * ramp(z, 0, 1), 1.0),
        )

    return paint


def steel(offset: float) -> Material:
    """Return brushed steel: little colour of its own, much of its surroundings."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        z = local[2]
        grain = bumps(np.stack([0 * z, 0 * z, z]), 60.0, 0.03, offset)
        albedo = np.repeat(np.array([[0.08], [0.19], [0.23]], np.float32), z.size, axis=1)
        return Paint(albedo, 0.9, 60.0, 0.55, grain)

    return paint


def wood(offset: float) -> Material:
    """Return a wooden frame with grain along its local coordinates."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        grain = noise(np.stack([local[0] * 6, local[1] * 30, local[2] * 30]), 1.3, offset, octaves=2)
        albedo = blend(np.array([0.165, 0.16, 0.095]), np.array([0.075, 0.07, 0.035]), ramp(grain, -0.6, 1.8))
        return Paint(albedo, 0.12, 20.0, 0.02)

    return paint


def mouldy(skin: Material, centres: np.ndarray, size: float, offset: float) -> Material:
    """Return a skin with rotten patches around the centres (3,k directions): colour only, same shape."""

    def paint(local: np.ndarray, face: np.ndarray, normal: np.ndarray) -> Paint:
        out = skin(local, face, normal)
        unit = local / (np.sqrt((local**2).sum(0)) + 1e-6)
        near = np.max(centres.T.astype(np.float32) @ unit, axis=0)
        edge = near + 0.10 * noise(local, 3.0, offset, octaves=2)
        rot = ramp(edge, 1 - size, 1 - 0.45 * size)
        fur = ramp(edge, 1 - 0.5 * size, 1 - 0.1 * size) * (
            0.6 + 0.4 * ramp(noise(local, 6, offset + 4), -1, 1)
        )
        albedo = blend(out.albedo, np.array([0.085, 0.055, 0.025]), 0.88 * rot)
        albedo = blend(albedo, np.array([0.20, 0.31, 0.29]), 0.75 * fur)
        return out._replace(albedo=albedo, gloss=out.gloss * (1 - 0.85 * rot), mirror=out.mirror * (1 - rot))

    return paint
