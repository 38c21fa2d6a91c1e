"""What a method costs and whether its confidence can be believed."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rgbd_lib import trust
from rgbd_lib.evaluation import Scores
from rgbd_lib.plots.lessons_study import POINTS, label, look_of
from rgbd_lib.plots.style import Figure, new, use_style

PRICES = {
    "parameters": ("parameters (million)", 1e-6),
    "multiply_adds": ("multiply-adds per image (million)", 1e-6),
    "training_bytes": ("memory of a training step (MB)", 2.0**-20),
    "p50_ms": ("latency of one image (ms)", 1.0),
}
LIGHTS = plt.get_cmap("plasma")


def mean_level(order: Mapping[str, float]) -> dict[str, tuple]:
    """Return a colour per lighting, from the darkest to the brightest."""
    ranked = sorted(order, key=order.get)
    return {name: LIGHTS(0.9 * i / max(1, len(ranked) - 1)) for i, name in enumerate(ranked)}


@use_style()
def prices(table: pd.DataFrame, origin: str) -> Figure:
    """mIoU with its interval against each price that the table holds; a mark per method."""
    found = [name for name in PRICES if name in table]
    drawing, grid = new(
        2.7 * -(-len(found) // 2) + 0.8, nrows=-(-len(found) // 2), ncols=2, sharey=True, squeeze=False
    )
    for axes, price in zip(grid.flat, found, strict=False):
        text, scale = PRICES[price]
        for name, (tint, mark) in look_of(list(table.index)).items():
            row, at = table.loc[name], table.loc[name, price] * scale
            axes.vlines(at, 100 * row.low, 100 * row.high, color=tint, lw=1.2, alpha=0.6)
            axes.plot(at, 100 * row.miou, mark, color=tint, ms=8, mec="white", label=label(name))
        axes.set(xlabel=text, xlim=(0, None), ylim=(0, None))
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(POINTS)
    drawing.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        f"mIoU, mean over lightings, against what it costs; up and to the left is better. {origin} "
        "Lines: 95 % intervals.",
        f"{len(found)} scatter plots of mIoU against {', '.join(PRICES[p][0] for p in found)}, for "
        f"{', '.join(label(n) for n in table.index)}.",
    )


@use_style()
def reliability(found: Mapping[str, Scores], brightness: Mapping[str, float], origin: str) -> Figure:
    """Accuracy against confidence on objects, a panel per method, a line per lighting from dark to bright."""
    drawing, grid = new(
        4.2, nrows=2, ncols=len(found), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1)
    )
    tints = mean_level(brightness)
    for (above, below), (name, scores) in zip(grid.T, found.items(), strict=True):
        above.plot([0, 100], [0, 100], color="#888888", lw=1, ls="--")
        centres = 100 * (np.arange(scores.reliability.shape[2]) + 0.5) / scores.reliability.shape[2]
        for light, tint in tints.items():
            count, sure, right = scores.reliability[scores.conditions.index(light), 1].T
            used = count > 0
            above.plot(
                100 * sure[used] / count[used],
                100 * right[used] / count[used],
                ".-",
                color=tint,
                lw=1.1,
                label=light,
            )
            below.step(centres, 100 * count / count.sum(), where="mid", color=tint, lw=1.1)
        above.set(title=label(name), xlim=(0, 101), ylim=(0, 101))
        below.set(xlabel="confidence (%)", ylim=(0, None))
    grid[0, 0].set_ylabel("right (%)")
    grid[1, 0].set_ylabel("pixels (%)")
    drawing.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=8,
        fontsize=8,
        handlelength=1.2,
        columnspacing=1.0,
    )
    return Figure(
        drawing,
        "Reliability on object pixels, a line per lighting from dark (violet) to bright (yellow); below the diagonal a "
        f"network is too sure of itself. Below: where its pixels are. {origin}",
        f"For {', '.join(label(n) for n in found)}: share of right pixels against confidence under {len(tints)} lightings, "
        "with the diagonal; under each panel the distribution of confidence.",
    )


@use_style()
def risk_coverage(found: Mapping[str, Scores], conditions: tuple[str, ...], origin: str) -> Figure:
    """Error among the most confident object pixels, a panel per condition, a line per method."""
    drawing, row = new(3.4, ncols=len(conditions), sharey=True, squeeze=False)
    for axes, condition in zip(row[0], conditions, strict=True):
        for name, (tint, mark) in look_of(list(found)).items():
            curve = trust.risk_coverage(found[name], condition)
            axes.plot(
                100 * curve.coverage,
                100 * curve.risk,
                f"{mark}-",
                color=tint,
                ms=4,
                lw=1.2,
                label=label(name),
            )
        axes.set(title=condition, xlabel="object pixels kept, surest first (%)", xlim=(0, 101), ylim=(0, 101))
    row[0, 0].set_ylabel("wrong among them (%)")
    drawing.legend(*row[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "How many pixels are wrong if only the surest are kept; a network that knows what it does not know starts low and "
        f"rises to the right. {origin}",
        f"Curves of error over the share of pixels kept, for {', '.join(label(n) for n in found)} under "
        f"{' and '.join(conditions)}.",
    )
