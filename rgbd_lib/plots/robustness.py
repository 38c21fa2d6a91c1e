"""What is left when the test is not like the training: other light, less light, worse sensors, one sensor."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from rgbd_lib import corruptions, robustness, statistics
from rgbd_lib.plots.lessons_study import POINTS, REPLICATES, label, look_of, tail
from rgbd_lib.plots.style import Figure, new, use_style
from rgbd_lib.robustness import Layout
from rgbd_lib.statistics import Interval, Results

TRAINED = "#FF2D55"
BLIND = {"rgb": "depth", "depth": "rgb"}  # a broken sensor, and the baseline that does not have it
SENSORS = {"both": "", "depth off": "//", "camera off": ".."}


def points(results: Results, name: str) -> np.ndarray:
    """Return a row's mIoU (%) under every condition, mean over seeds."""
    return 100 * results.metric("miou")(results.matrices[name].sum(1)).mean(0)


def under(results: Results, name: str, place: int) -> Interval:
    """Return a row's mIoU under one condition with its interval."""
    return statistics.interval(results.matrices[name][:, :, [place]], results.metric("miou"), REPLICATES)


def whiskers(found: Sequence[Interval]) -> np.ndarray:
    """Return how far intervals reach below and above their means, in points."""
    return 100 * np.array([[max(0, f.mean - f.low) for f in found], [max(0, f.high - f.mean) for f in found]])


# -- other light ----------------------------------------------------------------------------------


@use_style()
def transfer(results: Results, lightings: Sequence[int], method: str) -> Figure:
    """A row per light trained on, a column per light of the test; a frame where the two are the same."""
    rows, names = list(results.matrices), [f"light {n}" for n in lightings]
    values = np.stack([points(results, row) for row in rows])
    drawing, axes = new(0.42 * len(rows) + 1.2)
    image = axes.imshow(values, cmap="cividis", vmin=0, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        tint = "white" if value < 0.55 * values.max() else "black"
        axes.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=9, color=tint)
        if rows[y] == names[x]:
            axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=TRAINED, lw=2))
    axes.set_xticks(range(len(names)), [str(n) for n in lightings])
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="light of the test", ylabel="light of the training")
    axes.grid(False)
    drawing.colorbar(image, ax=axes, label=POINTS, shrink=0.9)
    return Figure(
        drawing,
        f"{label(method)}: mIoU (%) by the light of training (rows) and of the test (columns); framed: the same light. "
        + tail(results),
        f"A grid of numbers, brighter is better: rows {', '.join(rows)}, a column for each of {len(names)} test lights.",
    )


@use_style()
def left_out(mixed: Results, without: Mapping[int, Results], lightings: Sequence[int]) -> Figure:
    """mIoU under a light that training never showed, beside the model that has seen it (dashed)."""
    names = list(mixed.matrices)
    styles, width = look_of(names), 0.8 / len(names)
    drawing, axes = new(3.4)
    for i, name in enumerate(names):
        at = np.arange(len(without)) + (i - (len(names) - 1) / 2) * width
        places = [list(lightings).index(light) for light in without]
        found = [under(r, name, p) for r, p in zip(without.values(), places, strict=True)]
        height = [100 * f.mean for f in found]
        axes.bar(at, height, 0.88 * width, color=styles[name][0], alpha=0.85, label=label(name))
        axes.errorbar(at, height, whiskers(found), fmt="none", ecolor="#777777", elinewidth=1.2)
        seen = points(mixed, name)[places]
        axes.hlines(seen, at - 0.47 * width, at + 0.47 * width, color=TRAINED, lw=2, ls=(0, (2, 1)))
    axes.plot([], [], color=TRAINED, lw=2, ls=(0, (2, 1)), label="the same method, trained on all lights")
    axes.set_xticks(range(len(without)), [f"light {light}" for light in without])
    axes.set(xlabel="light that was left out of training and tested", ylabel=POINTS, ylim=(0, None))
    axes.grid(axis="x", visible=False)
    drawing.legend(loc="outside lower center", ncols=3, fontsize=8)
    return Figure(
        drawing,
        "mIoU under a light left out of training; dashed: the same method trained on all lights. "
        + tail(mixed, "Grey lines: 95 % intervals."),
        f"Bars of {', '.join(label(n) for n in names)} for {len(without)} unseen lights, each with a dashed line for the "
        "model that has seen that light.",
    )


# -- less light -----------------------------------------------------------------------------------


@use_style()
def exposure(results: Results, stops: Sequence[float]) -> Figure:
    """mIoU against exposure, a line with a band per row."""
    drawing, axes = new(3.6)
    x = -np.array(stops)
    for name, (tint, mark) in look_of(list(results.matrices)).items():
        found = [under(results, name, k) for k in range(len(x))]
        low, high = (100 * np.array([getattr(f, part) for f in found]) for part in ("low", "high"))
        axes.fill_between(x, low, high, color=tint, alpha=0.13, lw=0)
        axes.plot(
            x, points(results, name), f"{mark}-", color=tint, lw=1.4, ms=6, mec="white", label=label(name)
        )
    axes.axvline(0, color="#999999", lw=1, ls=":")
    axes.set(xlabel="exposure (stops; 0 is the light of the data)", ylabel=POINTS, ylim=(0, None))
    axes.invert_xaxis()
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "mIoU of the mixed-light models while the lamps of one lighting are dimmed, over-exposed at the left. "
        + tail(results, "Bands: 95 % intervals."),
        f"Lines of {', '.join(label(n) for n in results.matrices)} from bright to dark.",
    )


# -- worse sensors --------------------------------------------------------------------------------


@use_style()
def severities(results: Results, layout: Layout, families: Sequence[str], columns: int = 3) -> Figure:
    """mIoU over the severity of corruptions; dashed, the baseline that does not have the broken sensor."""
    rows = -(-len(families) // columns)
    drawing, grid = new(2.1 * rows + 0.6, nrows=rows, ncols=columns, sharey=True, squeeze=False)
    fusions = [n for n in results.matrices if n not in BLIND]
    styles = look_of([*fusions, *BLIND])
    for axes, family in zip(grid.flat, families, strict=False):
        spared = BLIND.get(corruptions.get(family).touches)
        for name in [*fusions, *([spared] if spared in results.matrices else [])]:
            at, values = robustness.curve(points(results, name), layout, family)
            tint, mark = styles[name]
            line = {"ls": "--", "lw": 1.2} if name == spared else {"marker": mark, "ms": 5, "lw": 1.3}
            axes.plot(at, values, color=tint, label=label(name), **line)
        axes.set_title(f"{family} ({corruptions.get(family).touches})", fontsize=9)
        axes.set(xticks=at)
    for axes in grid.flat[len(families) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel(POINTS)
    grid[0, 0].margins(y=0.05)
    grid[0, 0].set_ylim(0, None)
    found = {t: h for a in grid.flat for h, t in zip(*a.get_legend_handles_labels(), strict=True)}
    drawing.legend(
        found.values(), found, loc="outside lower center", ncols=4, fontsize=8, title="severity, 0 is clean"
    )
    return Figure(
        drawing,
        "mIoU over the severity of corruptions of one sensor, under the reference light. Dashed: the baseline without "
        "that sensor; a method below it would do better without the sensor too. " + tail(results),
        f"{len(families)} panels ({', '.join(families)}): falling lines of {', '.join(map(label, fusions))}, each with a "
        "level dashed line.",
    )


# -- one sensor -----------------------------------------------------------------------------------


@use_style()
def one_sensor(table: pd.DataFrame, origin: str) -> Figure:
    """mIoU with both sensors and with one switched off; dashed, the baselines that were trained for one."""
    names = [n for n in table.index if n not in BLIND]
    drawing, axes = new(3.5)
    styles, width = look_of([*names, *BLIND]), 0.26
    for k, (column, hatch) in enumerate(SENSORS.items()):
        at = np.arange(len(names)) + (k - 1) * width
        tints = [styles[n][0] for n in names]
        drawn = axes.bar(
            at,
            100 * table.loc[names, column],
            0.94 * width,
            color=tints,
            alpha=(1, 0.65, 0.65)[k],
            hatch=hatch,
            edgecolor="white",
        )
        axes.bar_label(drawn, fmt="%.1f", fontsize=6)
        axes.bar([0], [0], color="#777777", alpha=(1, 0.65, 0.65)[k], hatch=hatch, ec="white", label=column)
    for name in (n for n in BLIND if n in table.index):
        axes.axhline(100 * table.loc[name, "both"], color=styles[name][0], lw=1.3, ls="--", label=label(name))
    axes.set_xticks(range(len(names)), [label(n) for n in names])
    axes.set(ylabel=f"{POINTS}, mean over lightings", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    drawing.legend(loc="outside lower center", ncols=5, fontsize=8)
    return Figure(
        drawing,
        "mIoU with both sensors, without depth and without the camera; dashed: baselines trained for one sensor. "
        f"{origin}",
        f"Three bars for each of {', '.join(label(n) for n in names)}: both sensors, depth off, camera off; dashed lines "
        "for the single-sensor baselines.",
    )


@use_style()
def expected(table: pd.DataFrame, origin: str) -> Figure:
    """The score to be expected if each sensor fails with a chance p, one line per method."""
    drawing, axes = new(3.3)
    for name, (tint, mark) in look_of(list(table)).items():
        line = "--" if name in BLIND else "-"
        every = max(1, len(table) // 6)
        axes.plot(
            100 * table.index,
            100 * table[name],
            line,
            color=tint,
            marker=mark,
            markevery=every,
            label=label(name),
        )
    axes.set(xlabel="chance p of each sensor to fail (%)", ylabel=f"expected {POINTS}", ylim=(0, None))
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        f"E(p): the mIoU to be expected if each sensor fails with chance p and one of the two works. {origin}",
        f"Lines of expected mIoU falling with the chance of failure, for {', '.join(label(n) for n in table)}.",
    )
