"""Methods beside each other: quality with intervals, classes, cost, ranks."""

import matplotlib
import numpy as np
import pandas as pd

from rgbd_lib import methods, statistics, tables
from rgbd_lib.errors import UserError
from rgbd_lib.metrics import miou
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title

POINTS = "mIoU (%)"
REFERENCES = ("rgb", "depth")


def methods_ranked(profile: str) -> Figure:
    """Mean mIoU over the eight lightings, one row per method, with the unimodal baselines as lines."""
    table = tables.read(profile, "methods").set_index("method")
    runs = tables.main(profile, "runs")
    order = list(table.sort_values("miou_mean").index)
    drawing, axes = new(0.32 * len(order) + 1.2)
    for y, name in enumerate(order):
        row = table.loc[name]
        axes.plot(
            [100 * row.miou_low, 100 * row.miou_high],
            [y, y],
            color=color(name),
            lw=2.5,
            solid_capstyle="butt",
        )
        axes.plot(100 * row.miou_mean, y, marker(name), color=color(name), ms=8, mec="white", mew=0.8)
        dots = 100 * runs[runs.method == name].miou_mean
        axes.plot(dots, np.full(len(dots), y), ".", color=color(name), alpha=0.35, ms=5)
    for name in (r for r in REFERENCES if r in table.index):
        x = 100 * table.loc[name].miou_mean
        axes.axvline(x, color=color(name), lw=1, ls="--")
        axes.text(x, len(order) - 0.4, f" {title(name)}", color=color(name), fontsize=8, va="bottom")
    axes.set(
        yticks=range(len(order)),
        yticklabels=[title(n) for n in order],
        xlabel=f"{POINTS}, mean over eight lightings",
    )
    axes.set_ylim(-0.6, len(order) + 0.2)
    best, worst = title(order[-1]), title(order[0])
    return Figure(
        drawing,
        "mIoU of every method over all eight lightings. "
        + source(table, "Bars: 95 % intervals; faint dots: single runs."),
        f"Methods in order of mIoU with intervals; {best} is highest, {worst} lowest; dashed: one modality alone.",
    )


def per_class(profile: str) -> Figure:
    """IoU of every class and method as a map; classes that only one modality can tell stand out."""
    table = tables.main(profile, "classes")
    wide = 100 * table.pivot_table(
        index="class_id", columns="method", values="iou", aggfunc="mean", dropna=False
    )
    wide = wide[ordered(list(wide.columns))]
    names = table.drop_duplicates("class_id").set_index("class_id")["class"]
    drawing, axes = new(0.24 * len(wide) + 1.8)
    shades = matplotlib.colormaps["cividis"].with_extremes(bad="#dddddd")
    image = axes.imshow(wide, cmap=shades, vmin=0, vmax=100, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(wide.shape[1]), [title(m) for m in wide], rotation=55, ha="right", fontsize=8)
    axes.set_yticks(range(len(wide)), [names[k] for k in wide.index], fontsize=8)
    axes.grid(False)
    drawing.colorbar(image, ax=axes, label="IoU (%), all lightings together", shrink=0.6)
    return Figure(
        drawing,
        "IoU of every class. " + source(table, "Grey: the class does not occur in the test scenes."),
        "A map of classes by methods; brighter is better. Rows where single-modality columns are dark need both modalities.",
    )


def cost(profile: str) -> Figure:
    """Quality against parameters and against the work of one prediction."""
    table = tables.read(profile, "methods")
    drawing, both = new(3.6, ncols=2, sharey=True)
    for axes, (x, label, scale) in zip(
        both,
        (
            ("parameters", "parameters (million)", 1e-6),
            ("multiply_adds", "multiply-adds per image (million)", 1e-6),
        ),
        strict=True,
    ):
        for row in table.itertuples():
            at = getattr(row, x) * scale
            axes.errorbar(
                at,
                100 * row.miou_mean,
                [
                    [100 * max(0.0, row.miou_mean - row.miou_low)],
                    [100 * max(0.0, row.miou_high - row.miou_mean)],
                ],
                fmt=marker(row.method),
                color=color(row.method),
                ms=7,
                elinewidth=0.8,
                label=title(row.method),
            )
        axes.set(xlabel=label, ylim=(0, None))
        axes.set_xlim(0, None)
    both[0].set_ylabel(POINTS)
    drawing.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    drawing.set_size_inches(drawing.get_size_inches()[0], 3.6 + 0.2 * int(np.ceil(len(table) / 4)))
    return Figure(
        drawing,
        "Quality against parameters, and against the multiply-adds of one prediction at the profile's size. "
        + source(table, "Bars: 95 % intervals."),
        "Two scatter plots of mIoU: against millions of parameters, and against millions of multiply-adds.",
    )


def critical_difference(profile: str) -> Figure:
    """Mean ranks over lightings and seeds, with the difference that chance would seldom exceed."""
    results = tables.load(profile)
    names = [n for n in ordered(list(results.matrices)) if methods.get(n).family != "control"]
    blocks = [results.matrices[n].sum(1) for n in names]  # seeds, lightings, K, K
    common = min(len(b) for b in blocks)
    values = np.stack([miou(b[:common], results.background).ravel() for b in blocks], axis=1)
    if values.shape[1] < 3:
        raise UserError("ranks need three methods or more")
    ranking = statistics.friedman(values, names)
    ranks = pd.Series(dict(zip(names, ranking.mean_ranks, strict=True))).sort_values()
    drawing, axes = new(0.3 * len(ranks) + 1.3)
    for y, (name, rank) in enumerate(ranks[::-1].items()):
        axes.plot(rank, y, marker(name), color=color(name), ms=8)
        axes.plot([rank, rank + ranking.critical_difference], [y, y], color=color(name), lw=1, alpha=0.6)
    axes.set(
        yticks=range(len(ranks)),
        yticklabels=[title(n) for n in ranks.index[::-1]],
        xlabel="mean rank (1 = best)",
    )
    axes.set_xlim(0.5, None)
    meta = tables.read(profile, "methods")
    return Figure(
        drawing,
        f"Mean ranks over {len(values)} lighting-seed blocks; lines reach as far as the critical difference "
        f"({ranking.critical_difference:.1f}). Blocks share scenes, so this is a description, not a test. "
        + source(meta),
        f"Mean ranks of {len(ranks)} methods; {title(ranks.index[0])} has the lowest, that is best, rank.",
    )
