"""Outlines of the turned shapes, in units of their own size; each is computed once per process."""

from collections.abc import Callable
from functools import cache

import numpy as np

from rgbd_lib.datasets.synthetic.shapes import Profile, rotation

POLES = np.linspace(0, np.pi, 1500)


def _ellipse(z: np.ndarray, half: float, radius: float, centre: float = 0.0) -> np.ndarray:
    return radius * np.sqrt(np.maximum(1 - ((z - centre) / half) ** 2, 0))


def _from_poles(width: Callable[[np.ndarray], np.ndarray], low: float = -1.0, high: float = 1.0) -> Profile:
    """Return r = sin(polar angle) * width(u) at height u in -1..1: round at both poles whatever the width."""
    u = -np.cos(POLES)
    return Profile.of(low + (u + 1) / 2 * (high - low), np.sin(POLES) * width(u))


def _ring(z: np.ndarray, large: float, small: float, flat: float) -> np.ndarray:
    return np.sqrt(np.maximum(small**2 - (z / flat) ** 2, 0))


def dimpled(large: float, small: float, flat: float, taper: float) -> Profile:
    """Return a ring whose hole is closed: a fruit with a dimple at both poles, wider above by taper."""
    half = small * flat

    def outer(z: np.ndarray) -> np.ndarray:
        return (large + _ring(z, large, small, flat)) * (1 + taper * z)

    def inner(z: np.ndarray) -> np.ndarray:
        return np.maximum(large - _ring(z, large, small, flat), 0) * (1 + taper * z)

    return Profile.of(np.array([-half, half]), outer, inner)


@cache
def lemon() -> Profile:
    """Return an ellipse with a nipple at each end; the larger one at +1.05."""

    def outer(z: np.ndarray) -> np.ndarray:
        tips = _ellipse(z, 0.22, 0.17, 0.83) ** 2 + _ellipse(z, 0.16, 0.15, -0.84) ** 2
        return np.sqrt(_ellipse(z, 0.93, 0.70) ** 2 + tips)

    return Profile.of(np.array([-1.0, 1.05]), outer)


@cache
def mandarin() -> Profile:
    """Return a flattened ball with shallow dimples, radius 1."""
    return dimpled(0.16, 0.84, 0.98, 0.02)


@cache
def apple() -> Profile:
    """Return an apple of radius 1 with a deep dimple at the stem, narrower below."""
    return dimpled(0.36, 0.64, 1.38, 0.10)


@cache
def pear() -> Profile:
    """Return a pear of half height 1: wide below, a neck above."""
    return _from_poles(
        lambda u: 0.50 - 0.21 * np.tanh((u - 0.28) / 0.42) + 0.05 * np.exp(-((u + 0.3) ** 2) / 0.1)
    )


@cache
def onion() -> Profile:
    """Return a bulb with a drawn-out neck above and a short root below."""

    def outer(z: np.ndarray) -> np.ndarray:
        bulb = _ellipse(z, 0.84, 1.0)
        neck = np.where(z > 0.3, 0.085 + 0.50 * np.exp(-np.maximum(z - 0.55, 0) / 0.115), 0)
        root = np.where(z < -0.6, 0.14, 0)
        return np.where(z > 0.55, np.maximum(np.minimum(neck, 1.0), bulb * 0.98), np.maximum(bulb, root))

    return Profile.of(np.array([-0.90, 1.16]), outer)


@cache
def carrot() -> Profile:
    """Return a taper from the tip at -1 to a rounded crown at 1; radius 1 is 0.2 of the half length."""

    def outer(z: np.ndarray) -> np.ndarray:
        body = ((z + 1.0) / 2).clip(0, 1) ** 0.55 * (1 + 0.012 * np.sin(23 * z) + 0.010 * np.sin(41 * z + 1))
        return body * np.sqrt(np.clip(1 - (np.maximum(z - 0.86, 0) / 0.14) ** 2, 0, 1))

    return Profile.of(np.array([-1.0, 1.0]), outer)


@cache
def cup() -> Profile:
    """Return a mug of height 1, radius about 0.48, open above, with a wall of 0.045."""

    def outer(z: np.ndarray) -> np.ndarray:
        return 0.34 + 0.13 * np.sqrt(np.clip(z / 0.6, 0, 1)) + 0.02 * z

    def inner(z: np.ndarray) -> np.ndarray:
        return np.where(z > 0.07, outer(z) - 0.045, 0)

    return Profile.of(np.array([0.0, 1.0]), outer, inner)


@cache
def bowl() -> Profile:
    """Return a bowl of radius 1 and height 0.75 on a foot, with a thin wall."""

    def outer(z: np.ndarray) -> np.ndarray:
        return np.maximum(np.sqrt(np.clip(1 - (1 - z / 0.75) ** 2 * 0.86, 0, 1)), np.where(z < 0.06, 0.42, 0))

    def inner(z: np.ndarray) -> np.ndarray:
        return np.where(z > 0.10, np.sqrt(np.clip(1 - (1 - (z - 0.05) / 0.75) ** 2 * 0.86, 0, 1)) - 0.05, 0)

    return Profile.of(np.array([0.0, 0.75]), outer, inner)


@cache
def kettle() -> Profile:
    """Return a squat kettle body of radius 1 with a domed lid, height 1.45."""

    def outer(z: np.ndarray) -> np.ndarray:
        body = 1 - 0.42 * (np.clip(z, 0, 1.1) / 1.1) ** 2.2 - 0.10 * np.clip(1 - z / 0.12, 0, 1) ** 2
        lid = 0.54 * np.sqrt(np.clip(1 - ((z - 1.14) / 0.32) ** 2, 0, 1))
        return np.where(z < 1.10, body, np.where(z < 1.14, 0.60, lid))

    return Profile.of(np.array([0.0, 1.45]), outer)


@cache
def spout() -> Profile:
    """Return a hollow tapering tube along z from 0 to 1."""

    def outer(z: np.ndarray) -> np.ndarray:
        return 0.30 - 0.16 * z + 0.03 * np.clip((z - 0.9) / 0.1, 0, 1)

    return Profile.of(np.array([0.0, 1.0]), outer, lambda z: np.where(z > 0.5, outer(z) - 0.05, 0))


@cache
def ring(large: float, small: float) -> Profile:
    """Return a torus about z."""
    return Profile.of(
        np.array([-small, small]),
        lambda z: large + _ring(z, large, small, 1.0),
        lambda z: large - _ring(z, large, small, 1.0),
    )


@cache
def shell(thickness: float) -> Profile:
    """Return a hollow ball of radius 1, open above its upper 0.35: peel, before it is torn by planes."""

    def inner(z: np.ndarray) -> np.ndarray:
        return _ellipse(z, 1 - thickness, 1 - thickness)

    return Profile.of(np.array([-0.97, 0.35]), lambda z: _ellipse(z, 1.0, 1.0), inner)


@cache
def shade() -> Profile:
    """Return the hollow head of a desk lamp: open at 0, closed at 1."""

    def outer(z: np.ndarray) -> np.ndarray:
        return np.where(z < 0.72, 0.62 - 0.42 * z**1.5, 0.26 - 0.1 * np.clip(z - 0.9, 0, 1))

    return Profile.of(np.array([0.0, 1.0]), outer, lambda z: np.where(z < 0.6, outer(z) - 0.04, 0))


@cache
def stalk() -> Profile:
    """Return a thin rod from 0 to 1 of radius 1, thicker at its end."""
    return Profile.of(np.array([0.0, 1.0]), lambda z: 0.75 + 0.35 * z**3)


def lift(profile: Profile, linear: np.ndarray) -> float:
    """Return how high above the table the origin of a turned and stretched solid must be for it to touch."""
    down = -linear[2]
    z = np.linspace(profile.low, profile.high, profile.outer.size)
    return float(np.max(down[2] * z + np.hypot(down[0], down[1]) * np.sqrt(profile.outer)))


def tilted(rng: np.random.Generator, most: float) -> np.ndarray:
    """Return a random yaw followed by a tilt of at most this many radians in a random direction."""
    direction, angle, yaw = rng.uniform(0, 2 * np.pi), rng.uniform(0, most), rng.uniform(0, 2 * np.pi)
    return rotation("z", direction) @ rotation("x", angle) @ rotation("z", yaw)
