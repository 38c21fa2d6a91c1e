"""What the light does: the seed study's four figures, with intervals and whole axes."""

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from rgbd_lib import examples, methods, tables
from rgbd_lib.errors import UserError
from rgbd_lib.plots import examples as pictures
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title

SAME = "#FF2D55"  # frames a test under the light of the training


def by_light(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows of the mixed-light runs, and their mean mIoU (%) as methods x lightings."""
    table = tables.main(profile, "lightings")
    if table.empty:
        raise UserError(f"profile '{profile}' has no run trained on mixed light")
    wide = 100 * table.pivot_table(index="method", columns="condition", values="miou", aggfunc="mean")
    return table, wide.loc[[n for n in ordered(list(wide.index)) if methods.get(n).family != "control"]]


def improvement(profile: str) -> Figure:
    """Each method minus the RGB baseline under each lighting, in points."""
    table, wide = by_light(profile)
    if "rgb" not in wide.index or len(wide) < 2:
        raise UserError("the improvement over RGB needs a run of rgb and one of another method")
    change = (wide - wide.loc["rgb"]).drop(index="rgb").T
    limit = max(1.0, np.abs(change.to_numpy()).max())
    drawing, axes = new(0.42 * len(change) + 1.7)
    image = axes.imshow(change, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    for (y, x), value in np.ndenumerate(change.to_numpy()):
        strong = abs(value) > 0.65 * limit
        axes.text(
            x,
            y,
            f"{value:+.1f}".replace("-", "−"),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if strong else "black",
        )
    axes.set_xticks(range(change.shape[1]), [title(m) for m in change], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(change)), change.index)
    axes.grid(False)
    with_thumbnails(axes, profile, list(change.index))
    drawing.colorbar(image, ax=axes, label="points of mIoU over RGB only", shrink=0.8)
    return Figure(
        drawing,
        "Difference to the RGB baseline under each lighting, in points of mIoU. " + source(table),
        "A map of lightings by methods: orange where a method is better than RGB alone, purple where it is worse.",
    )


def with_thumbnails(axes: Axes, profile: str, conditions: list[str]) -> None:
    """Show beside each row what its light does to a scene, where one is stored."""
    try:
        found = examples.load(profile)
    except UserError:
        return
    axes.tick_params(axis="y", pad=68, length=0)
    pictures.strip(axes, found, conditions)


def matrix(profile: str) -> Figure:
    """Trained under one light, tested under each: a panel per method."""
    table = tables.read(profile, "lightings")
    single = table[table.variant.isna() & table.trained_on.astype(str).str.fullmatch(r"\d+")]
    if single.empty:
        raise UserError("no run was trained on one lighting; `rgbd study --lightings 1..8` makes them")
    names = ordered(list(single.method))
    tests = list(dict.fromkeys(single.condition))
    trained = sorted(single.trained_on.astype(int).unique())
    top, columns = 100 * single.miou.max(), min(3, math.isqrt(len(names) - 1) + 1)  # as square as may be
    rows = -(-len(names) // columns)
    drawing, grid = new(2.6 * rows + 0.5, nrows=rows, ncols=columns, squeeze=False, sharex=True, sharey=True)
    for axes, name in zip(grid.flat, names, strict=False):
        own = single[single.method == name].assign(trained_on=single.trained_on.astype(int))
        wide = 100 * own.pivot_table(index="trained_on", columns="condition", values="miou", aggfunc="mean")
        image = cells(axes, wide.reindex(index=trained, columns=tests), top)
        axes.set_title(title(name), fontsize=9)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    drawing.supxlabel("light of the test", fontsize=9)
    drawing.supylabel("light of the training", fontsize=9)
    drawing.colorbar(image, ax=list(grid.flat), label="mIoU (%)", shrink=0.7)
    return Figure(
        drawing,
        "mIoU (%) of training under one light (rows) and testing under each (columns); framed: the same light. "
        + source(single),
        f"A grid of trained by tested lightings for {', '.join(title(n) for n in names)}; brighter is better.",
    )


def cells(axes: Axes, wide: pd.DataFrame, top: float) -> AxesImage:
    """Draw one grid of numbers; a frame where training and test have the same light."""
    shades = matplotlib.colormaps["cividis"].with_extremes(bad="#dddddd")
    image = axes.imshow(wide, cmap=shades, vmin=0, vmax=top, aspect="auto")
    for (y, x), value in np.ndenumerate(wide.to_numpy()):
        if not np.isnan(value):
            tint = "white" if value < 0.55 * top else "black"
            axes.text(x, y, f"{value:.0f}", ha="center", va="center", fontsize=7, color=tint)
        if wide.columns[x] == f"light {wide.index[y]}":
            axes.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=SAME, lw=1.5))
    axes.set_xticks(range(wide.shape[1]), [c.removeprefix("light ") for c in wide], fontsize=8)
    axes.set_yticks(range(len(wide)), wide.index, fontsize=8)
    axes.tick_params(labelbottom=True)
    axes.grid(False)
    return image


def grouped_bars(profile: str) -> Figure:
    """mIoU under each lighting, one marker per method, lines between single runs."""
    table, wide = by_light(profile)
    drawing, axes = new(4.6)
    spread = np.linspace(-0.36, 0.36, len(wide))
    for offset, name in zip(spread, wide.index, strict=True):
        at = np.arange(wide.shape[1]) + offset
        axes.bar(at, wide.loc[name], width=0.72 / len(wide), color=color(name), label=title(name))
        runs = 100 * table[table.method == name].pivot_table(index="seed", columns="condition", values="miou")
        if len(runs) > 1:
            half = 1.96 * runs.std(ddof=1) / np.sqrt(len(runs))
            axes.errorbar(at, wide.loc[name], half, fmt="none", ecolor="black", elinewidth=0.7)
    axes.set(xticks=range(wide.shape[1]), xticklabels=wide.columns, ylabel="mIoU (%)", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "mIoU under each lighting, trained on all of them. "
        + source(table, "Bars start at 0; lines: ±1.96 standard errors over seeds."),
        "Grouped bars of mIoU for eight lightings, one bar per method.",
    )


def summary(profile: str) -> Figure:
    """Mean over lightings with the range from the worst to the best lighting."""
    table, wide = by_light(profile)
    drawing, axes = new(0.34 * len(wide) + 1.0)
    for y, name in enumerate(wide.index[::-1]):
        row = wide.loc[name]
        axes.plot([row.min(), row.max()], [y, y], color=color(name), lw=2)
        axes.plot([row.min(), row.max()], [y, y], "|", color=color(name), ms=9)
        axes.plot(row.mean(), y, marker(name), color=color(name), ms=8)
        axes.text(
            row.max() + 0.02 * wide.to_numpy().max(),
            y,
            f"{row.mean():.1f}   worst: {row.idxmin()}",
            va="center",
            fontsize=8,
        )
    axes.set(
        yticks=range(len(wide)),
        yticklabels=[title(n) for n in wide.index[::-1]],
        xlabel="mIoU (%)",
        xlim=(0, 1.18 * wide.to_numpy().max()),
    )
    return Figure(
        drawing,
        "Mean over the eight lightings (marker) and range from the worst to the best (line). "
        + source(table),
        "One line per method from its worst to its best lighting with the mean marked.",
    )


def radar(profile: str) -> Figure:
    """The seed study's radar chart with an axis that starts at zero: areas still mislead, so prefer the others."""
    table, wide = by_light(profile)
    drawing, axes = new(5.6, width=7.0, subplot_kw={"projection": "polar"})
    angle = np.linspace(0, 2 * np.pi, wide.shape[1], endpoint=False)
    for name in wide.index:
        values = wide.loc[name].to_numpy()
        axes.plot(
            [*angle, angle[0]],
            [*values, values[0]],
            color=color(name),
            marker=marker(name),
            ms=4,
            lw=1.2,
            label=title(name),
        )
    axes.set_xticks(angle, wide.columns)
    axes.set_ylim(0, None)
    axes.set_rlabel_position(11)
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "The seed study's radar chart, with the radius starting at 0 (mIoU in %). " + source(table),
        "Eight spokes, one per lighting; one closed line per method.",
    )
