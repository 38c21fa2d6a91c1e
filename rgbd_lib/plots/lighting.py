"""What the light does: the seed study's four figures, with intervals and whole axes."""

import numpy as np
import pandas as pd

from rgbd_lib import methods, tables
from rgbd_lib.errors import UserError
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title


def by_light(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows of the mixed-light runs, and their mean mIoU (%) as methods x lightings."""
    table = tables.read(profile, "lightings")
    table = table[table.variant.isna() & (table.trained_on == "mixed")]
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
    drawing.colorbar(image, ax=axes, label="points of mIoU over RGB only", shrink=0.8)
    return Figure(
        drawing,
        "Difference to the RGB baseline under each lighting, in points of mIoU. " + source(table),
        "A map of lightings by methods: orange where a method is better than RGB alone, purple where it is worse.",
    )


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
