"""What corruptions and missing sensors do to every method, drawn from the tables of the suite."""

import matplotlib
import numpy as np
import pandas as pd

from rgbd_lib import corruptions, methods, robustness, tables
from rgbd_lib.errors import UserError
from rgbd_lib.plots.robustness import expected
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title

POINTS = "mIoU (%)"
SCORES = {  # columns of robustness.csv, in the order of the overview
    "clean": "no corruption",
    "lightings": "mean over lightings",
    "worst": "worst lighting",
    "depth_off": "depth off",
    "rgb_off": "camera off",
    "suite": "mean of the suite",
}
CHANCES = np.linspace(0, 0.5, 26)
BASELINES = ("rgb", "depth")


def plain_rows(profile: str, name: str) -> pd.DataFrame:
    """Return a table's rows of plain runs on mixed light, without the controls."""
    table = tables.main(profile, name)
    table = table[[methods.get(n).family != "control" for n in table.method]]
    if table.empty:
        raise UserError(f"{name}.csv of profile '{profile}' has no plain run")
    return table


def overview(profile: str) -> Figure:
    """The closing table as a picture: one panel per score, one row per method, intervals; baselines as lines."""
    table = tables.read(profile, "robustness").set_index("method")
    order = ordered(list(table.index))[::-1]
    drawing, row = new(0.24 * len(order) + 1.3, ncols=len(SCORES), sharey=True, sharex=True)
    for axes, (score, text) in zip(row, SCORES.items(), strict=True):
        for y, name in enumerate(order):
            low, mean, high = (100 * table.loc[name, f"{score}{end}"] for end in ("_low", "", "_high"))
            axes.plot([low, high], [y, y], color=color(name), lw=2, solid_capstyle="butt")
            axes.plot(mean, y, marker(name), color=color(name), ms=6, mec="white", mew=0.6)
        for name in (n for n in BASELINES if n in table.index):
            axes.axvline(100 * table.loc[name, score], color=color(name), lw=0.9, ls="--", zorder=0)
        axes.set_title(text, fontsize=9)
    top = 100 * max(table[[f"{score}_high" for score in SCORES]].max().max(), table[list(SCORES)].max().max())
    row[0].set(xlim=(0, 1.06 * top), ylim=(-0.6, len(order) - 0.4))
    row[0].set_yticks(range(len(order)), [title(n) for n in order], fontsize=8)
    drawing.supxlabel(POINTS, fontsize=9)
    return Figure(
        drawing,
        "mIoU on clean images, over the lightings, without a sensor and over the suite of corruptions; dashed: RGB alone "
        f"(black) and depth alone (grey). {source(table.reset_index(), 'Bars: 95 % intervals.')}",
        f"Six panels of mIoU with intervals for {len(order)} methods: {', '.join(SCORES.values())}.",
    )


def every_condition(profile: str) -> Figure:
    """mIoU of every method under every condition of the suite as a map."""
    table = plain_rows(profile, "suite")
    names = list(dict.fromkeys(table.condition))
    wide = 100 * table.pivot_table(index="condition", columns="method", values="miou", aggfunc="mean")
    wide = wide.loc[names, ordered(list(wide.columns))]
    drawing, axes = new(0.17 * len(wide) + 1.7)
    image = axes.imshow(wide, cmap="cividis", vmin=0, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(wide.shape[1]), [title(m) for m in wide], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(wide)), [n.replace("_", " ") for n in names], fontsize=7)
    for y in block_ends(names):
        axes.axhline(y + 0.5, color="white", lw=1.5)
    axes.grid(False)
    drawing.colorbar(image, ax=axes, label=POINTS, shrink=0.5)
    return Figure(
        drawing,
        "mIoU under every condition of the suite, numbers are severities; light 3 where nothing else is said. "
        + source(table),
        f"A map of {len(names)} conditions by {wide.shape[1]} methods; brighter is better.",
    )


def block_ends(names: list[str]) -> list[int]:
    """Return after which conditions a corruption ends."""
    kinds = [n.rpartition(" ")[0] or n for n in names]
    return [i for i in range(len(kinds) - 1) if kinds[i] != kinds[i + 1]]


def retention(profile: str) -> Figure:
    """The share of the clean score that is left, when the camera's image suffers and when depth does."""
    table = tables.read(profile, "robustness").set_index("method")
    order = ordered(list(table.index))[::-1]
    drawing, axes = new(0.3 * len(order) + 1.3)
    places = {"retention_rgb": ("RGB corrupted", "o"), "retention_depth": ("depth corrupted", "D")}
    for y, name in enumerate(order):
        values = [100 * table.loc[name, column] for column in places]
        axes.plot(values, [y, y], color=color(name), lw=1.5, alpha=0.6)
        for (_, mark), value in zip(places.values(), values, strict=True):
            axes.plot(value, y, mark, color=color(name), ms=7, mec="white")
    for text, mark in places.values():
        axes.plot([], [], mark, color="#777777", ms=7, label=text)
    axes.axvline(100, color="#888888", lw=1, ls=":")
    axes.set_yticks(range(len(order)), [title(n) for n in order], fontsize=9)
    axes.set(xlabel="mIoU left (% of the clean score)", ylim=(-0.6, len(order) - 0.4))
    axes.set_xlim(0, 1.04 * 100 * max(1.0, table[list(places)].max().max()))
    drawing.legend(loc="outside lower center", ncols=2, fontsize=8)
    return Figure(
        drawing,
        "Retention: the share of the clean mIoU that is left, mean over severities, then over corruptions of one sensor. "
        "A poor score is easily kept: read it beside the absolute one. " + source(table.reset_index()),
        f"Two marks per method for {len(order)} methods: what is left when RGB is corrupted, and when depth is.",
    )


def chance_of_failure(profile: str) -> Figure:
    """The score to be expected if each sensor fails with a chance p."""
    table = tables.read(profile, "robustness").set_index("method")
    names = [n for n in ordered(list(table.index)) if methods.get(n).family != "control"]
    parts = {n: [float(table.loc[n, c]) for c in ("clean", "depth_off", "rgb_off")] for n in names}
    curves = {n: [robustness.missing_expected(*three, p) for p in CHANCES] for n, three in parts.items()}
    return expected(pd.DataFrame(curves, index=CHANCES), source(table.reset_index()))


def dimmer(profile: str) -> Figure:
    """mIoU against exposure: a panel per fusion, over the two baselines it is made of."""
    table = tables.read(profile, "dimmed")
    table = table[[methods.get(n).family != "control" for n in table.method]]
    names = [n for n in ordered(list(dict.fromkeys(table.method))) if n not in BASELINES]
    rows = -(-len(names) // 4)
    drawing, grid = new(1.55 * rows + 0.8, nrows=rows, ncols=4, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        for shown in (*BASELINES, name):
            own, line = table[table.method == shown], "--" if shown in BASELINES else "-"
            axes.plot(own.exposure, 100 * own.miou, line, color=color(shown), lw=1.4)
            axes.fill_between(
                own.exposure, 100 * own.low, 100 * own.high, color=color(shown), alpha=0.15, lw=0
            )
        axes.axvline(0, color="#999999", lw=0.8, ls=":")
        axes.set_title(title(name), fontsize=9)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    bright, dark = table.exposure.max(), table.exposure.min()
    grid[0, 0].set(ylim=(0, None), xlim=(bright, dark), xticks=np.arange(bright, dark - 1, -2))
    drawing.supxlabel("exposure (stops; 0 is the light of the data, every stop down halves it)", fontsize=9)
    drawing.supylabel(POINTS, fontsize=9)
    return Figure(
        drawing,
        "mIoU while the lamps of one lighting are dimmed, over-exposed at the left of each panel; dashed: RGB alone "
        f"(black) and depth alone (grey). {source(table, 'Bands: 95 % intervals.')}",
        f"A panel for each of {', '.join(title(n) for n in names)}: its line from bright to dark, with the falling line of "
        "RGB alone and the level line of depth alone.",
    )


def reliance(profile: str) -> Figure:
    """How much fusions say they use depth, over the severity of three corruptions."""
    table = plain_rows(profile, "reliance")
    kinds, names = list(dict.fromkeys(table.corruption)), ordered(list(table.method))
    drawing, row = new(3.4, ncols=len(kinds), sharey=True, squeeze=False)
    for axes, kind in zip(row[0], kinds, strict=True):
        part = table[table.corruption == kind]
        for name in names:
            own = part[part.method == name]
            mean = own.groupby("severity").value.mean()
            text = f"{title(name)}: {own.measure.iloc[0]}"
            axes.plot(mean.index, mean, f"{marker(name)}-", color=color(name), ms=6, mec="white", label=text)
        touched = {"rgb": "RGB", "depth": "depth"}.get(corruptions.get(kind).touches, "both")
        axes.set_title(f"{kind.replace('_', ' ')} ({touched})", fontsize=9)
        axes.set(xlabel="severity, 0 is clean", ylim=(0, 1), xticks=mean.index)
    row[0, 0].set_ylabel("between 0 and 1")
    drawing.legend(*row[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return Figure(
        drawing,
        "What fusions say of depth while a sensor fails, mean over test scenes; a level line does not react. "
        "Different measures: only the slope of a line can be compared. " + source(table),
        f"Lines over severities 0 to 5 of {' and '.join(k.replace('_', ' ') for k in kinds)} for "
        f"{', '.join(title(n) for n in names)}.",
    )


def price(profile: str) -> Figure:
    """What training for bad sensors costs on clean images, and what it brings in the worst condition."""
    table = tables.read(profile, "hardening")
    wide = table.set_index(["method", "variant", "score"])[["difference", "low", "high"]] * 100
    drawing, axes = new(4.2)
    tints = dict(zip(dict.fromkeys(table.variant), matplotlib.colormaps["tab10"].colors, strict=False))
    for method, how in dict.fromkeys(zip(table.method, table.variant, strict=True)):
        x, y = (wide.loc[(method, how, score)] for score in ("clean", "worst_condition"))
        axes.plot([x.low, x.high], [y.difference] * 2, color=tints[how], lw=1.2, alpha=0.6)
        axes.plot([x.difference] * 2, [y.low, y.high], color=tints[how], lw=1.2, alpha=0.6)
        axes.plot(x.difference, y.difference, marker(method), color=tints[how], ms=8, mec="white")
        axes.annotate(
            title(method), (x.difference, y.difference), (6, 4), textcoords="offset points", fontsize=8
        )
    for how, tint in tints.items():
        axes.plot([], [], "o", color=tint, label=how)
    axes.margins(0.14)  # room for names
    axes.axhline(0, color="#888888", lw=1)
    axes.axvline(0, color="#888888", lw=1)
    axes.set(
        xlabel="clean mIoU, hardened − plain (points)", ylabel="worst condition, hardened − plain (points)"
    )
    drawing.legend(loc="outside lower center", ncols=3, fontsize=8)
    return Figure(
        drawing,
        "The price of training for bad sensors (left of 0) against its gain in the worst condition of the suite (above 0). "
        + source(table, "Lines: 95 % intervals of paired differences."),
        f"Scatter of {len(wide) // wide.index.get_level_values('score').nunique()} hardened trainings: change of clean "
        "mIoU across, change of mIoU in the worst condition upwards.",
    )
