"""Figures of published numbers. They are hollow, ours are filled, and the two never share an axis of scores."""

from collections.abc import Sequence

import matplotlib.axes
import numpy as np
import pandas as pd

from rgbd_lib import literature
from rgbd_lib.plots.lessons_study import POINTS, VARIANTS, tail
from rgbd_lib.plots.style import Figure, color, marker, new, title, use_style
from rgbd_lib.statistics import Interval, Results

MARKS = {
    "none": "o", "input": "s", "concatenation": "s", "sum": "D", "gate": "^", "alignment": "p", "attention": "v",
    "exchange": "d", "residual blocks": "h", "distillation": "P", "other": "x",
}  # fmt: skip
TINTS = dict(zip(MARKS, ("#000000", "#51A6FF", "#0357F5", "#6F7F70", "#FB7A27", "#8A6D00", "#BB5CBD", "#2B8847",
                         "#7A4A2A", "#481245", "#888888"), strict=True))  # fmt: skip
PLACE_TEXT = {"early": "early", "middle": "middle", "late": "late", "all": "all stages"}
FAMILY_TEXT = {"gate": "self-attention"}  # as CEN's table calls its gates
GAIN = "points of mIoU over RGB alone"
PROTOCOL = "Published, single runs, the epoch chosen on the test images"


@use_style()
def by_year(table: pd.DataFrame, dataset: str = "NYUv2") -> Figure:
    """Raw published scores against the year: what most surveys show."""
    rows = table[(table.dataset == dataset) & table.kind.eq("own") & table.year.notna()]
    drawing, axes = new(4.4)
    draw = np.random.default_rng(0)  # spreads rows of one year
    for family, mark in MARKS.items():
        for many, face in (("yes", "none"), ("no", TINTS[family])):
            some = rows[(rows.family == family) & (rows.multi_scale_eval.eq("yes") == (many == "yes"))]
            x = some.year + draw.uniform(-0.3, 0.3, len(some))
            face = face if mark != "x" else TINTS[family]
            axes.scatter(x, some.miou, marker=mark, s=36, facecolor=face, edgecolor=TINTS[family] if mark != "x" else None,
                         lw=1.1, label=family if many == "no" else None)  # fmt: skip
    axes.set(xlabel="year", ylabel=f"published {POINTS}, {dataset}", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    drawing.legend(loc="outside right upper", title="fusion", fontsize=8)
    return Figure(
        drawing,
        f"Published mIoU on {dataset} against the year, as the methods' own papers print it. Hollow: flips or several "
        "scales at test time. Dots are spread sideways within a year. Backbones, pre-training and resolution differ from "
        "dot to dot, so heights cannot be ranked.",
        "A cloud of markers that rises with the years; networks with colour alone lie among the highest.",
    )


@use_style()
def family_gains(table: pd.DataFrame, results: Results) -> Figure:
    """Gain over the same table's RGB row: published left by family, ours right by method."""
    rows = literature.gains(table)
    order = list(rows.groupby("family").gain.mean().sort_values().index)
    own = literature.gain_intervals(results)
    names = sorted((n for n in own if n != "depth"), key=lambda n: own[n].mean)
    drawing, (left, right) = new(0.3 * max(len(order), len(names)) + 2.2, ncols=2)
    studies = sorted(rows.study.unique())
    for i, study in enumerate(studies):
        some = rows[rows.study == study]
        y = [order.index(f) + 0.5 * (i / max(1, len(studies) - 1) - 0.5) for f in some.family]
        left.plot(some.gain, y, "o", mfc="none", mec=VARIANTS[i], ms=6, label=study)
    named = ["vote only" if f == "none" else f for f in order]
    left.set(yticks=range(len(order)), yticklabels=named, xlabel=GAIN, title="published")
    for y, name in enumerate(names):
        bar(right, own[name], y, color(name), marker(name))
    right.set(
        yticks=range(len(names)), yticklabels=[title(n) for n in names], xlabel=GAIN, title="here, synthetic"
    )
    for axes in (left, right):
        axes.axvline(0, color="black", lw=1)
    drawing.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return Figure(
        drawing,
        f"Gain over RGB alone with the same backbone and recipe. Left: {PROTOCOL}; one circle per row of the papers' "
        f"tables, NYUv2 and SUN RGB-D. Right: {tail(results, 'Bars: 95 % intervals.')} The two axes are not to be compared.",
        "Left hollow circles by fusion family, most right of zero; right our methods with intervals around zero.",
    )


def bar(axes: matplotlib.axes.Axes, found: Interval, y: float, tint: str, mark: str) -> None:
    """Draw one of our differences, in points, with its interval."""
    axes.plot([100 * found.low, 100 * found.high], [y, y], color=tint, lw=2.5, solid_capstyle="butt")
    axes.plot(100 * found.mean, y, mark, color=tint, ms=7, mec="white", mew=0.8)


def widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Return limits of an axis of differences that do not blow up hundredths of a point."""
    return min(limits[0], -0.5), max(limits[1], 0.5)


@use_style()
def places(table: pd.DataFrame, results: Results) -> Figure:
    """Early, middle, late or everywhere: CEN's comparison left and middle, our concatenation right."""
    rows = literature.by_place(table)
    drawing, panels = new(3.5, ncols=3)
    x = range(len(literature.PLACES))
    for axes, (setting, text) in zip(panels, literature.SETTINGS.items(), strict=False):
        for family, some in rows[rows.setting == setting].groupby("family"):
            points = some.set_index("place").gain.reindex(literature.PLACES)
            axes.plot(
                x,
                points,
                MARKS[family] + "--",
                color=TINTS[family],
                mfc="white",
                lw=1,
                label=FAMILY_TEXT.get(family, family),
            )
        axes.set(title=f"published:\n{text}", ylim=(0, 4.4))
    own = literature.gain_intervals(results)
    for i, place in enumerate(literature.PLACES):
        found = own[f"concat {place}"]
        panels[2].plot(
            [i, i], [100 * found.low, 100 * found.high], color=color("concat"), lw=2.5, solid_capstyle="butt"
        )
        panels[2].plot(i, 100 * found.mean, marker("concat"), color=color("concat"), ms=8, mec="white")
    panels[2].set(title="here, synthetic:\nconcatenation")
    panels[2].axhline(0, color="black", lw=1)
    panels[2].set_ylim(*widened(panels[2].get_ylim()))
    for axes in panels:
        axes.set_xticks(x, [PLACE_TEXT[p] for p in literature.PLACES], rotation=25, ha="right")
        axes.set_xlim(-0.5, len(x) - 0.5)
    panels[0].set_ylabel(GAIN)
    drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return Figure(
        drawing,
        "Where to fuse. Left and middle: Wang et al. 2020, comparison of fusion methods, NYUv2, ResNet-101, one scale, "
        f"single runs. Right: our shared network, ensemble. {tail(results, 'Bars: 95 % intervals.')}",
        "Two panels of dashed lines with hollow markers over four places; right four filled markers with intervals.",
    )


@use_style()
def stages(table: pd.DataFrame, results: Results) -> Figure:
    """FuseNet's sparse and dense sums: published over the number of stages, ours by variant."""
    published = literature.stages(table)
    drawing, (left, right) = new(3.3, ncols=2)
    for kind, tint, text in (("SF", VARIANTS[0], "sparse, SFk"), ("DF", VARIANTS[1], "dense, DFk")):
        left.plot(published.index, published[kind], "D--", color=tint, mfc="white", label=text)
    left.set(xlabel="k: stages with sums", ylabel=GAIN, ylim=(0, None), xticks=list(published.index))
    left.set_title("published")
    left.legend(fontsize=8)
    own = literature.gain_intervals(results)
    own = {name: own[name] for name in sorted(own, key=lambda n: (n[0] != "S", n))}
    for y, (name, found) in enumerate(reversed(own.items())):
        bar(right, found, y, VARIANTS[1] if name.startswith("DF") else VARIANTS[0], "D")
    right.set_xlim(*widened(right.get_xlim()))
    right.axvline(0, color="black", lw=1)
    right.set(yticks=range(len(own)), yticklabels=[*reversed(own)], xlabel=GAIN, title="here, synthetic")
    right.set_ylim(-0.6, len(own) - 0.4)
    return Figure(
        drawing,
        "Sparse and dense sums. Left: Hazirbas et al. 2016, table 2, SUN RGB-D, 37 classes, 224 x 224, one scale, single "
        f"runs. Right: our ResNet18-UNet with the same plus signs. {tail(results, 'Bars: 95 % intervals.')}",
        "Left two dashed lines: sparse rises, dense falls with k; right a row per variant with an interval.",
    )


@use_style()
def parameters(table: pd.DataFrame, cost: pd.DataFrame, results: Results) -> Figure:
    """Gain against how many times the baseline's parameters: published left, ours right."""
    rows = literature.gains(table).dropna(subset=["ratio"])
    drawing, (left, right) = new(4.0, ncols=2)
    for i, (study, some) in enumerate(rows.groupby("study")):
        left.plot(some.ratio, some.gain, "o", mfc="none", mec=VARIANTS[i], ms=6, label=study)
    own, base = literature.gain_intervals(results), cost.parameters
    for name in (n for n in own if n in base.index):
        x, found = base[name] / base["rgb"], own[name]
        right.plot([x, x], [100 * found.low, 100 * found.high], color=color(name), lw=1.5)
        right.plot(x, 100 * found.mean, marker(name), color=color(name), ms=7, mec="white", label=title(name))
    for axes, text in ((left, "published"), (right, "here, synthetic")):
        axes.axhline(0, color="black", lw=1)
        axes.set(xlabel="parameters / parameters of RGB alone", title=text)
    left.set_ylabel(GAIN)
    left.legend(fontsize=7, loc="upper right")
    drawing.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return Figure(
        drawing,
        f"What parameters buy. Left: {PROTOCOL}; rows whose paper or code gives both counts. Right: "
        f"{tail(results, 'Bars: 95 % intervals.')}",
        "Two scatter plots of gain against the ratio of parameters; no rising trend is needed for a gain.",
    )


@use_style()
def gaps(table: pd.DataFrame) -> Figure:
    """What was claimed first, and what somebody else got or listed later."""
    rows = literature.reruns(table)
    drawing, axes = new(0.27 * len(rows) + 1.3)
    for y, row in enumerate(rows[::-1].itertuples()):
        axes.plot([row.claimed, row.miou], [y, y], color="#999999", lw=1.2, zorder=1)
        axes.plot(row.claimed, y, "|", color="black", ms=11, mew=2)
        axes.plot(
            row.miou, y, "o", mfc="white", mec=VARIANTS[0] if row.kind == "rerun" else VARIANTS[1], mew=1.5
        )
        axes.text(
            1.02,
            y,
            f"{row.gap:+.1f}".replace("-", "−"),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
    names = [f"{r.method}, {r.backbone}, {r.dataset}" for r in rows.itertuples()]
    axes.set(yticks=range(len(rows)), xlabel=f"published {POINTS}", ylim=(-0.7, len(rows) - 0.3))
    axes.set_yticklabels(names[::-1], fontsize=8)
    for tint, text in ((VARIANTS[0], "run again"), (VARIANTS[1], "listed by another paper")):
        axes.plot([], [], "o", mfc="white", mec=tint, mew=1.5, label=text)
    axes.plot([], [], "|", color="black", ms=11, mew=2, label="claimed first")
    drawing.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return Figure(
        drawing,
        "The reproduction gap: published mIoU (bar) and what others got with the same name (circle), difference in points "
        "at the right. Sources are named row by row in results/literature.csv; issue threads report failures more often "
        "than successes.",
        f"Dumbbells; gaps from {rows.gap.min():+.1f} to {rows.gap.max():+.1f} points.",
    )


@use_style()
def conclusions(found: pd.DataFrame, sources: Sequence[Results]) -> Figure:
    """Each conclusion: the published difference left, ours with its interval right."""
    drawing, (left, right) = new(0.34 * len(found) + 1.5, ncols=2, sharey=True)
    for y, row in enumerate(found[::-1].itertuples()):
        tint = color("fusenet" if row.paper == "FuseNet" else "cen")
        left.plot(row.published, y, "D", mfc="white", mec=tint, mew=1.5, ms=7)
        bar(right, Interval(row.here / 100, row.low / 100, row.high / 100, row.seeds, 0), y, tint, "D")
    left.set(yticks=range(len(found)), ylim=(-0.6, len(found) - 0.4), title="published")
    left.set_yticklabels([f"{r.paper}: {r.claim}" for r in found[::-1].itertuples()], fontsize=8)
    right.set_title("here, synthetic")
    right.set_xlim(*widened(right.get_xlim()))
    for axes in (left, right):
        axes.axvline(0, color="black", lw=1)
        axes.set_xlabel("points of mIoU")
    return Figure(
        drawing,
        "Do conclusions survive a change of protocol? Left: differences in the papers' own tables (Hazirbas et al. 2016, "
        "table 2, SUN RGB-D; Wang et al. 2020, NYUv2), single runs without intervals. Right: the same comparison on one "
        f"backbone. {tail(sources[0], 'Bars: 95 % intervals.')} Rows of variants: profile {sources[-1].profile}.",
        "Rows of conclusions; left hollow diamonds right of zero, right filled diamonds with intervals.",
    )
