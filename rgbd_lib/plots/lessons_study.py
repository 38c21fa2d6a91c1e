"""Figures of numbers for the chapters on the seed study's methods: options, lights, places, severities.

Rows and lines may be registered methods or names of variants; a method keeps its colour, variants get their own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rgbd_lib import methods, statistics
from rgbd_lib.plots.style import Figure, color, marker, new, title, use_style
from rgbd_lib.runs import Record
from rgbd_lib.statistics import Results

POINTS = "mIoU (%)"
VARIANTS = ("#0B6E69", "#C1440E", "#6A4C93", "#8A6D00", "#3D5A80", "#B5446E", "#4F772D", "#7F7F7F")
MARKS = "oDvPpXh<"  # a star would be too small beside the others
REPLICATES = 1000
AGREEMENT = {"both": "#3B7D4F", "RGB only": "#D9A441", "depth only": "#4C78A8", "neither": "#C9C9C9"}


def look_of(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each row: the registry's, or one of the variants' in their order."""
    registered = methods.names()
    variants = [n for n in names if n not in registered]
    own = {n: (VARIANTS[i % len(VARIANTS)], MARKS[i % len(MARKS)]) for i, n in enumerate(variants)}
    return {n: own.get(n) or (color(n), marker(n)) for n in names}


def label(name: str) -> str:
    """Return a method's title, or the variant's own name."""
    return title(name) if name in methods.names() else name


def tail(results: Results, bars: str = "") -> str:
    """Return the end of a caption: data, profile, seeds, and what the bars mean."""
    few, many = (end(len(m) for m in results.matrices.values()) for end in (min, max))
    data = "Synthetic data" if results.synthetic else f"Data: {results.data}"
    scenes = next(iter(results.matrices.values())).shape[1]
    runs = f"{few} to {many} seeds" if few < many else f"{many} seeds"
    if many == 1:
        runs = "1 seed, so intervals know nothing of how much runs differ"
    return f"{data}, profile {results.profile}, {scenes} test scenes, {runs}. {bars}".strip()


@use_style()
def intervals(results: Results, over: str = "mean", what: str = "lightings") -> Figure:
    """One row per method or variant: its score with the 95 % interval, single runs as dots."""
    names = list(results.matrices)
    styles, measure = look_of(names), results.metric("miou")
    drawing, axes = new(0.36 * len(names) + 1.0)
    means = {}
    for y, name in enumerate(reversed(names)):
        found = statistics.interval(results.matrices[name], measure, REPLICATES, over=over)
        tint, mark = styles[name]
        means[name] = 100 * found.mean
        axes.plot([100 * found.low, 100 * found.high], [y, y], color=tint, lw=2.5, solid_capstyle="butt")
        axes.plot(100 * found.mean, y, mark, color=tint, ms=8, mec="white", mew=0.8, clip_on=False, zorder=4)
        runs = 100 * statistics.scores(results.matrices[name], measure, over)
        axes.plot(runs, np.full(len(runs), y), ".", color=tint, alpha=0.4, ms=5)
    axes.set(yticks=range(len(names)), yticklabels=[label(n) for n in reversed(names)])
    axes.set(xlabel=f"{POINTS}, {over} over {what}", xlim=(0, None), ylim=(-0.6, len(names) - 0.4))
    return Figure(
        drawing,
        f"mIoU of each row, {over} over {what}. " + tail(results, "Bars: 95 % intervals."),
        f"mIoU (%) with intervals, {over} over {what}: "
        + "; ".join(f"{label(n)} {means[n]:.1f}" for n in names)
        + ".",
    )


@use_style()
def differences(
    results: Results, pairs: Sequence[tuple[str, str]], over: str = "mean", what: str = "lightings"
) -> Figure:
    """One row per pair: the paired difference with its interval, and a line at zero."""
    drawing, axes = new(0.36 * len(pairs) + 1.0)
    styles = look_of([a for a, _ in pairs])
    axes.axvline(0, color="black", lw=1)
    for y, (a, b) in enumerate(reversed(pairs)):
        found = statistics.paired_difference(
            *results.paired(a, b), results.metric("miou"), REPLICATES, over=over
        )
        tint, mark = styles[a]
        axes.plot([100 * found.low, 100 * found.high], [y, y], color=tint, lw=2.5, solid_capstyle="butt")
        axes.plot(100 * found.mean, y, mark, color=tint, ms=8, mec="white", mew=0.8)
    rows = [f"{label(a)} − {label(b)}" for a, b in pairs]
    axes.set(yticks=range(len(pairs)), yticklabels=rows[::-1], ylim=(-0.6, len(pairs) - 0.4))
    reach = max(1.0, *np.abs(axes.get_xlim()))
    axes.set(xlabel=f"points of mIoU, {over} over {what}", xlim=(-reach, reach))
    return Figure(
        drawing,
        f"Paired differences, {over} over {what}; a bar that touches zero cannot tell the two apart. "
        + tail(results, "Bars: 95 % intervals."),
        f"Differences with intervals around a line at zero: {'; '.join(rows)}.",
    )


@use_style()
def by_condition(results: Results, conditions: Sequence[str], xlabel: str) -> Figure:
    """mIoU of each row under every condition, with intervals: lights, severities, missing sensors."""
    styles, measure = look_of(list(results.matrices)), results.metric("miou")
    drawing, axes = new(3.6)
    x = np.arange(len(conditions))
    spread = np.linspace(-0.18, 0.18, len(styles)) if len(styles) > 1 else [0.0]
    seen = []
    for offset, (name, matrices) in zip(spread, results.matrices.items(), strict=True):
        found = [statistics.interval(matrices[:, :, [k]], measure, REPLICATES // 2) for k in x]
        mean, low, high = (
            100 * np.array([getattr(f, part) for f in found]) for part in ("mean", "low", "high")
        )
        tint, mark = styles[name]
        axes.vlines(x + offset, low, high, color=tint, lw=1.6, alpha=0.6)
        style = {"color": tint, "lw": 0.9, "ms": 6, "mec": "white", "clip_on": False}  # whole at 0, too
        axes.plot(x + offset, mean, f"{mark}-", label=label(name), **style)
        seen.append(f"{label(name)} from {mean.min():.1f} to {mean.max():.1f}")
    axes.set(xlabel=xlabel, ylabel=POINTS, ylim=(0, None))
    axes.set_xticks(x, [c.removeprefix("light ") for c in conditions], fontsize=8)
    axes.grid(axis="x", visible=False)
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        f"mIoU by {xlabel}. " + tail(results, "Lines: 95 % intervals."),
        f"mIoU (%) over {len(conditions)} conditions ({xlabel}): {'; '.join(seen)}.",
    )


@use_style()
def sweep(series: Mapping[str, Results], places: Sequence[str]) -> Figure:
    """mIoU against the place where two sensors meet, one line per way of testing."""
    drawing, axes = new(3.6)
    x = np.arange(len(places))
    for i, (name, results) in enumerate(series.items()):
        found = [statistics.interval(results.matrices[p], results.metric("miou"), REPLICATES) for p in places]
        mean, low, high = (
            100 * np.array([getattr(f, part) for f in found]) for part in ("mean", "low", "high")
        )
        tint = ("#0357F5", "#C1440E", "#6A4C93")[i % 3]
        axes.fill_between(x, low, high, color=tint, alpha=0.15, lw=0)
        axes.plot(x, mean, f"{'so^'[i % 3]}-", color=tint, lw=1.5, ms=7, mec="white", label=name)
    axes.set(xlabel="place where the two sensors meet", ylabel=POINTS, ylim=(0, None))
    axes.set_xticks(x, [label(p) for p in places])
    axes.legend(loc="lower left", fontsize=8)
    last = list(series.values())[-1]
    return Figure(
        drawing,
        f"mIoU by the place of the meeting, from the input to the class scores: {', '.join(series)}. "
        + tail(last, "Bands: 95 % intervals."),
        f"{' and '.join(series)}: mIoU with a band for {len(places)} places from {places[0]} to {places[-1]}.",
    )


@use_style()
def lines(
    panels: Mapping[str, pd.DataFrame],
    *,
    xlabel: str,
    ylabel: str,
    caption: str,
    alt: str,
    reference: tuple[float, str] | None = None,
    top: float | None = None,
    bottom: float | None = 0,
) -> Figure:
    """One panel per table: a line for each column over the rows, with an optional dashed line to compare with."""
    drawing, row = new(3.2, ncols=len(panels), sharey=True, squeeze=False)
    for axes, (name, table) in zip(row[0], panels.items(), strict=True):
        for column, (tint, mark) in look_of([str(c) for c in table]).items():
            values = table[column].to_numpy(dtype=float)
            axes.plot(
                range(len(table)),
                values,
                f"{mark}-",
                color=tint,
                lw=1.3,
                ms=6,
                mec="white",
                label=label(column),
            )
        if reference:
            axes.axhline(reference[0], color="black", lw=1, ls="--", label=reference[1])
        axes.set_xticks(range(len(table)), [str(i).removeprefix("light ") for i in table.index], fontsize=8)
        axes.set(xlabel=xlabel, title=name if len(panels) > 1 else None, ylim=(bottom, top))
        axes.grid(axis="x", visible=False)
    row[0, 0].set_ylabel(ylabel)
    drawing.legend(*row[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return Figure(drawing, caption, alt)


def gates(panels: Mapping[str, pd.DataFrame], start: float, origin: str) -> Figure:
    """Depth's gate under the eight lights, one line per scale; dashed where training began."""
    return lines(
        panels,
        xlabel="lighting",
        ylabel="depth's gate",
        reference=(start, "at the start of training"),
        top=1.0,
        caption=f"How much depth counts under each lighting, mean over the test scenes, at four scales. {origin}",
        alt=f"Depth's gate between 0 and 1 over eight lightings, four lines for four scales: {', '.join(panels)}.",
    )


@use_style()
def agreement(table: pd.DataFrame, origin: str) -> Figure:
    """Shares of object pixels that both experts have right, one alone, or neither; the vote as a marker."""
    drawing, axes = new(3.4)
    x, floor = np.arange(len(table)), np.zeros(len(table))
    for name, tint in AGREEMENT.items():
        axes.bar(x, 100 * table[name], bottom=floor, color=tint, width=0.7, label=name)
        floor = floor + 100 * table[name].to_numpy()
    axes.plot(x, 100 * table["vote"], "D", color="black", ms=7, mec="white", label="the vote")
    axes.set(xlabel="lighting", ylabel="object pixels (%)", ylim=(0, 100))
    axes.set_xticks(x, [str(i).removeprefix("light ") for i in table.index])
    axes.grid(axis="x", visible=False)
    drawing.legend(loc="outside lower center", ncols=5, fontsize=8)
    return Figure(
        drawing,
        f"Who is right about the objects. Always picking the right expert would lose only the grey part. {origin}",
        "Stacked bars per lighting: both right, RGB only, depth only, neither; a marker shows the vote's share.",
    )


@use_style()
def bars(table: pd.DataFrame, *, ylabel: str, caption: str, alt: str, log: bool = False) -> Figure:
    """Grouped bars: rows of the table along the axis, one bar per column."""
    drawing, axes = new(3.2)
    x, width = np.arange(len(table)), 0.8 / table.shape[1]
    for i, (column, (tint, _)) in enumerate(look_of([str(c) for c in table]).items()):
        at = x + (i - (table.shape[1] - 1) / 2) * width
        drawn = axes.bar(at, table[column], width=0.92 * width, color=tint, label=label(column))
        axes.bar_label(drawn, fmt=lambda v: f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}", fontsize=7)
    axes.set(ylabel=ylabel, yscale="log" if log else "linear")
    axes.set_xticks(x, [str(i) for i in table.index])
    axes.grid(axis="x", visible=False)
    if table.shape[1] > 1:
        drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(drawing, caption, alt)


@use_style()
def learning(found: Mapping[str, Record]) -> Figure:
    """Validation mIoU per epoch of a few runs: does the budget end before the learning does?"""
    drawing, axes = new(3.2)
    for name, (tint, mark) in look_of(list(found)).items():
        history = found[name].history
        axes.plot(
            history.epoch + 1, 100 * history.val_miou, f"{mark}-", color=tint, ms=4, lw=1.3, label=label(name)
        )
    axes.set(xlabel="epoch", ylabel="validation mIoU (%)", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    info = next(iter(found.values())).info
    data = "Synthetic data" if info["data"]["synthetic"] else f"Data: {info['data']['name']}"
    return Figure(
        drawing,
        "Validation mIoU during training; a line that still climbs at its end was stopped by the budget. "
        f"{data}, profile {info['parameters']['profile']}, one run each.",
        f"Validation mIoU over epochs for {', '.join(label(n) for n in found)}.",
    )
