"""Fit the camera's 48 curve numbers to MM5's published means and deviations, and print them as a table.

Run it again after any change to geometry, materials or lamps; paste the table into datasets/synthetic/lights.py.
y = clip(gain * x ^ gamma, 0, 1) per lighting and channel; gamma is bounded and the mean counts four times, because free
exponents match the deviations exactly but turn green grapes orange.
"""

import numpy as np
from scipy.optimize import least_squares

from rgbd_lib.datasets.synthetic import lights
from rgbd_lib.datasets.synthetic.capture import render_scene
from rgbd_lib.datasets.synthetic.design import design
from rgbd_lib.datasets.synthetic.sensor import blurred

SCENES, SIZE, MEAN_WEIGHT = 40, (96, 128), 4.0
GAMMA = {3: (0.5, 0.9), 5: (0.5, 1.0)}  # well exposed: a natural picture before an exact deviation
OTHERS = (0.5, 1.4)


def samples() -> np.ndarray:
    """Return linear values, lighting x channel x pixels, of scenes spread over all capture days."""
    plans = design(324, seed=0)[:: 324 // SCENES]
    columns = []
    for plan in plans:
        _, linear = render_scene(plan, 0, SIZE)
        power = lights.drift(0, plan.day)
        columns.append([blurred(linear.radiance(x)) * power[k] for k, x in enumerate(lights.LIGHTINGS)])
    return np.concatenate([np.asarray(c).reshape(8, 3, -1) for c in columns], axis=2)


def fit(values: np.ndarray, mean: float, std: float, gammas: tuple[float, float]) -> tuple[float, float]:
    """Return gain and gamma of one channel."""

    def miss(theta: np.ndarray) -> list[float]:
        y = np.clip(np.exp(theta[0]) * values ** theta[1], 0, 1)
        return [MEAN_WEIGHT * (y.mean() - mean), y.std() - std]

    best = None
    for gamma in np.linspace(*gammas, 5)[1:-1]:
        start = np.log(mean / max((values**gamma).mean(), 1e-6))
        found = least_squares(miss, [start, gamma], bounds=([-12, gammas[0]], [12, gammas[1]]))
        if best is None or found.cost < best.cost:
            best = found
    return float(np.exp(best.x[0])), float(best.x[1])


if __name__ == "__main__":
    x = samples()
    print("CURVES = np.array(\n    [")
    for k in range(8):
        pairs = [fit(x[k, c], *lights.PUBLISHED[k, :, c], GAMMA.get(k + 1, OTHERS)) for c in range(3)]
        print("        [" + ", ".join(f"[{a:.4f}, {g:.4f}]" for a, g in pairs) + "],")
        y = [np.clip(a * x[k, c] ** g, 0, 1) for c, (a, g) in enumerate(pairs)]
        means, stds = " ".join(f"{v.mean():.3f}" for v in y), " ".join(f"{v.std():.3f}" for v in y)
        print(f"        # means {means}, deviations {stds}")
    print("    ]\n)")
