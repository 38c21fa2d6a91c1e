"""Six fixtures, eight lightings mixed from them, the camera's answer to each, and everything in between.

Light is linear: the scene is shaded once per fixture in white light, and a lighting is a colour per fixture. What the
camera makes of the sum is a curve y = gain * x ^ gamma per channel; the 48 numbers are fitted to MM5's published
means and deviations (benchmarks/fit_lights.py) and frozen here.
"""

from dataclasses import dataclass, replace

import numpy as np

FIXTURES = ("sky", "bounce", "top", "left", "right", "front")
"""Ambient light from above and from the green cloth below, then four lamps."""

SKY, BOUNCE = 0, 1


@dataclass(frozen=True)
class Lamp:
    """A lamp: where it is, how soft its shadows are, how fast its light falls off (2 = a bare bulb)."""

    position: tuple[float, float, float]
    soft: float
    falloff: float = 2.0


LAMPS: dict[str, Lamp] = {
    "top": Lamp((-0.12, -0.15, 1.05), 0.30, 1.0),
    "left": Lamp((-0.46, 0.26, 0.22), 0.10, 1.5),
    "right": Lamp((0.62, -0.50, 0.55), 0.14, 2.0),
    "front": Lamp((-0.22, -0.62, 0.42), 0.16, 2.0),
}

PUBLISHED = np.array(
    [
        [[0.0708, 0.0295, 0.0018], [0.1444, 0.0423, 0.0059]],
        [[0.2124, 0.3087, 0.0465], [0.3003, 0.1489, 0.0835]],
        [[0.3417, 0.5695, 0.1798], [0.3306, 0.1710, 0.1324]],
        [[0.2229, 0.1605, 0.0175], [0.2691, 0.1742, 0.0576]],
        [[0.8941, 0.9480, 0.7214], [0.1662, 0.0929, 0.2307]],
        [[0.1201, 0.0495, 0.0482], [0.1945, 0.0621, 0.1120]],
        [[0.2319, 0.2119, 0.0134], [0.2669, 0.1510, 0.0387]],
        [[0.0937, 0.0832, 0.0104], [0.1726, 0.0500, 0.0162]],
    ]
)
"""Lighting x (mean, deviation) x R G B, range 0..1, as published with MM5 (there in B, G, R order)."""

# lighting x fixture x R G B, in the order of FIXTURES; "bounce" follows from the rest
_OFF = (0, 0, 0)
MIX = np.array(
    [
        [(0.05, 0.05, 0.05), _OFF, _OFF, _OFF, (0.1, 0.1, 0.1), (1.0, 1.0, 1.0)],
        [(0.13, 0.20, 0.20), _OFF, (0.05, 0.05, 0.05), _OFF, (1.0, 1.0, 1.0), (0.25, 0.25, 0.25)],
        [(0.30, 0.55, 0.55), _OFF, (1.1, 0.8, 0.8), _OFF, (0.15, 0.15, 0.15), (0.2, 0.2, 0.2)],
        [(0.10, 0.10, 0.10), _OFF, _OFF, (1.0, 1.0, 1.0), _OFF, (0.05, 0.05, 0.05)],
        [(0.70, 0.80, 0.75), _OFF, (0.7, 0.6, 0.6), (0.05, 0.05, 0.05), (0.3, 0.3, 0.3), (0.5, 0.5, 0.5)],
        [(0.05, 0.05, 0.03), _OFF, _OFF, _OFF, (0.1, 0.3, 0.9), (1.0, 0.6, 0.5)],
        [(0.25, 0.12, 0.12), _OFF, (0.6, 0.5, 0.5), (0.1, 0.1, 0.1), _OFF, (0.5, 0.5, 0.5)],
        [(0.20, 0.70, 0.60), _OFF, (0.05, 0.15, 0.1), _OFF, _OFF, (0.6, 0.15, 0.3)],
    ],
    np.float32,
)

CURVES = np.array(
    [
        [[0.7669, 0.9410], [0.2366, 1.2874], [0.0606, 1.4000]],
        [[8.4741, 1.4000], [0.8951, 0.7745], [0.8238, 1.2068]],
        [[2.9774, 0.9000], [1.5635, 0.9000], [1.2922, 0.8342]],
        [[13.0232, 1.4000], [1.1149, 1.2872], [0.9282, 1.4000]],
        [[11.7163, 1.0000], [1.6211, 0.5044], [8.0782, 1.0000]],
        [[0.9393, 0.8150], [0.5441, 1.4000], [1.2574, 1.4000]],
        [[7.5048, 1.4000], [1.4498, 1.4000], [0.4427, 1.4000]],
        [[1.1730, 0.9344], [0.4301, 1.0708], [0.2260, 1.1569]],
    ]
)

NOISE_GAIN = np.array([6.0, 1.5, 1.0, 2.0, 0.6, 4.0, 2.0, 5.0])
"""How much more noise variance than under lighting 3: the camera turns its gain up in the dark."""

DRIFT = np.array([0.35, 0.18, 0.05, 0.10, 0.05, 0.15, 0.10, 0.30])
"""Spread of the logarithm of lamp power from one capture day to the next."""


@dataclass(frozen=True)
class Lighting:
    """Colours per fixture (F,3), the curve per channel (3,) and the noise gain."""

    colours: np.ndarray
    gain: np.ndarray
    gamma: np.ndarray
    noise: float

    def dimmed(self, stops: float) -> "Lighting":
        """Return this lighting with all lamps darker by stops (each halves the light); noise stays."""
        return replace(self, colours=self.colours * np.float32(2.0**-stops))

    def mixed(self, other: "Lighting", share: float) -> "Lighting":
        """Return the light on the way to another lighting, 0 = this one, 1 = the other.

        Light is mixed linearly; gain and noise, which are factors, by their logarithms.
        """
        a, b = 1 - share, share
        return Lighting(
            a * self.colours + b * other.colours,
            self.gain**a * other.gain**b,
            a * self.gamma + b * other.gamma,
            self.noise**a * other.noise**b,
        )


def lighting(number: int) -> Lighting:
    """Return one of MM5's eight lightings, 1 to 8."""
    if not 1 <= number <= len(MIX):
        raise ValueError(f"no lighting {number}: there are 1 to {len(MIX)}")
    gain, gamma = CURVES[number - 1].T
    return Lighting(
        MIX[number - 1], gain.astype(np.float32), gamma.astype(np.float32), float(NOISE_GAIN[number - 1])
    )


LIGHTINGS: tuple[Lighting, ...] = tuple(lighting(k + 1) for k in range(len(MIX)))


def drift(seed: int, day: int) -> np.ndarray:
    """Return the factor of lamp power for each of the eight lightings on one capture day."""
    rng = np.random.default_rng([seed, 104, day])
    return np.exp(DRIFT * rng.standard_normal(len(DRIFT)).clip(-2, 2)).astype(np.float32)
