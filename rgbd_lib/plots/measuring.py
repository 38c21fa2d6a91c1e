"""Figures about scores: deliberate mistakes, what a modality can know, calibration, luck."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from rgbd_lib import metrics, mistakes, statistics
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.datasets.synthetic.classes import CEILINGS, GROUPS
from rgbd_lib.evaluation import Scores
from rgbd_lib.headline import floor
from rgbd_lib.palette import class_colours
from rgbd_lib.plots.scenes import sheet, synthetic
from rgbd_lib.plots.style import Figure, color, marker, new, title, use_style
from rgbd_lib.statistics import Results

INKS = {
    "strict mIoU": ("#000000", "o", "-"),
    "forgiving mIoU": ("#AB1902", "s", "--"),
    "pixel accuracy": ("#51A6FF", "^", ":"),
    "boundary IoU": ("#2B8847", "D", "-."),
}


def mistaken(label: np.ndarray, data: Dataset) -> Figure:
    """Show deliberate mistakes on one label, each with its scores."""
    paint, pictures = class_colours(), []
    for name, spoil in mistakes.MISTAKES.items():
        prediction = spoil(label)
        score = mistakes.scorecard(label, prediction, len(data.classes))
        strict, forgiving, pixels, _ = (100 * v for v in score.values())
        text = f"{name}\nstrict {strict:.0f}   forgiving {forgiving:.0f}   pixels {pixels:.0f}"
        pictures.append((text, paint[prediction]))
    drawing, _ = sheet(pictures, columns=3)
    width, height = drawing.get_size_inches()
    drawing.set_size_inches(width, height + 0.35)
    return Figure(
        drawing,
        "One label and five wrong predictions, with three scores (%) each; black is background. "
        + synthetic(data),
        f"Six label maps: {', '.join(mistakes.MISTAKES)}. The forgiving score is 100 for the objects that are too "
        "large and for the map that is painted full.",
    )


def growth(label: np.ndarray, data: Dataset, reach: int = 8) -> Figure:
    """Draw how each score answers to objects that are predicted too large or too small."""
    steps = np.arange(-reach // 2, reach + 1)
    scores = pd.DataFrame(
        [mistakes.scorecard(label, mistakes.grown(label, int(n)), len(data.classes)) for n in steps]
    )
    with use_style():
        drawing, axes = new(3.2)
        for name, (ink, mark, style) in INKS.items():
            axes.plot(steps, 100 * scores[name], style, marker=mark, color=ink, ms=5, label=name)
        axes.set(xlabel="pixels by which every object is too large", ylabel="score (%)", ylim=(0, 105))
        drawing.legend(loc="outside right upper", fontsize=9)
    return Figure(
        drawing,
        "One label whose objects are grown over the background, or shrunk; everything else is right. "
        + synthetic(data),
        "Four curves over the growth in pixels: strict and boundary scores fall to both sides of zero; the forgiving "
        "score falls only where objects shrink and stays at 100 where they grow; pixel accuracy falls more slowly on "
        "both sides.",
    )


def within(matrices: np.ndarray, ids: Sequence[int]) -> float:
    """Return the mean IoU among some classes alone: of pixels that are theirs and called one of theirs."""
    total = np.asarray(matrices).sum(tuple(range(np.ndim(matrices) - 2)))
    return float(metrics.miou(total[np.ix_(ids, ids)], background=None))


def knowable(results: Results, names: Sequence[str], groups: Sequence[str]) -> Figure:
    """Draw how well classes of a group are told apart, beside the best that each modality allows."""
    with use_style():
        drawing, axes = new(max(0.5, 0.15 * len(names)) * len(groups) + 1.0)
        spread = (
            np.linspace(0.22, -0.22, len(names)) if len(names) < 4 else np.linspace(0.36, -0.36, len(names))
        )
        half = 0.11 if len(names) < 4 else 0.04
        fused = set(names) - {"rgb", "depth"}
        for y, group in enumerate(reversed(groups)):
            for shift, name in zip(spread, names, strict=True):
                top = 100 * CEILINGS[group]["both" if name not in ("rgb", "depth") else name]
                axes.plot([top, top], [y + shift - half, y + shift + half], color=color(name), lw=2.5)
                value = 100 * within(results.matrices[name], GROUPS[group])
                axes.plot(value, y + shift, marker(name), color=color(name), ms=7, mec="white", mew=0.6)
                axes.plot([0, top], [y + shift, y + shift], color=color(name), lw=0.8, alpha=0.5)
            if fused:
                one = 100 * max(CEILINGS[group][sensor] for sensor in ("rgb", "depth"))
                axes.plot([one, one], [y - 0.45, y + 0.45], color="#444444", lw=1.2, ls="--")
        axes.set(yticks=range(len(groups)), yticklabels=list(groups)[::-1], xlim=(0, 104))
        axes.set_xlabel("mean IoU within the group (%)")
        handles = [axes.plot([], [], marker(n), color=color(n), label=title(n))[0] for n in names]
        handles.append(axes.plot([], [], "|", color="#444444", ms=10, mew=2.5, label="best possible")[0])
        if fused:
            handles.append(axes.plot([], [], color="#444444", ls="--", label="best with one sensor")[0])
        drawing.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5), fontsize=8)
    kind = "synthetic data" if results.synthetic else f"data {results.data}"
    return Figure(
        drawing,
        "How well the classes of a group are told apart where an object of the group was found (marks), and the best "
        f"that each sensor allows (bars). Profile {results.profile}, {kind}, all lightings.",
        f"Marks of {' and '.join(title(n) for n in names)} for groups of classes, each on a thin line that ends at the "
        "best possible value.",
    )


def reliability(scores: Scores, conditions: Sequence[str], about: str) -> Figure:
    """Draw accuracy against confidence on objects, one panel per condition."""
    with use_style():
        drawing, grid = new(3.4, ncols=len(conditions), sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, conditions, strict=True):
            count, confidence, right = scores.reliability[scores.conditions.index(name), 1].T
            used = count > 0
            gap = np.abs(confidence - right).sum() / count.sum()
            axes.plot([0, 100], [0, 100], color="#888888", lw=1, ls="--")
            size = 12 + 160 * count[used] / count.max()
            axes.scatter(
                100 * confidence[used] / count[used], 100 * right[used] / count[used], size, color="black"
            )
            axes.set_title(f"{name}: gap {100 * gap:.0f} points", fontsize=10)
            axes.set(xlabel="confidence (%)", xlim=(0, 102), ylim=(0, 102), aspect="equal")
        grid[0, 0].set_ylabel("pixels that are right (%)")
    return Figure(
        drawing,
        f"Reliability on object pixels; larger dots hold more pixels, below the line is too sure of itself. {about}",
        f"Scatter plots of accuracy against confidence under {', '.join(conditions)}, with the diagonal on which a "
        "network knows how often it is right.",
    )


def reruns(table: pd.DataFrame, first: pd.DataFrame) -> Figure:
    """Draw the seed study's published table with the first run of the row that was trained twice."""
    with use_style():
        drawing, axes = new(3.6)
        for name in table:
            style = dict(color=color(name), marker=marker(name), ms=6, lw=1.0)
            axes.plot(table.index, table[name], label=title(name), **style)
        style = dict(color=color("attention"), ls="--", lw=1.6, marker="o", mfc="white", ms=7)
        axes.plot(first.index, first.attention, label="Attention fusion, first run", **style)
        axes.vlines(first.index, first.attention, table.attention, color=color("attention"), lw=4, alpha=0.18)
        axes.set(xlabel="lighting", ylabel="published mIoU (%)", ylim=(0, 100), xticks=table.index)
        drawing.legend(loc="outside right upper", fontsize=8)
    move = (table.attention - first.attention).abs().max()
    return Figure(
        drawing,
        "Published mIoU of the seed study on MM5 (its protocol: best of 300 epochs on the test scenes, forgiving "
        "metric, one run per cell). Dashed: the same code, trained once before.",
        f"Six lines over eight lightings that cross often. The two runs of attention fusion differ by up to {move:.0f} "
        "points at one lighting.",
    )


def lucky(leads: np.ndarray, seen: float, methods: int) -> Figure:
    """Draw how far the best of equal methods gets ahead by luck, and what a table showed."""
    share = float((leads >= seen).mean())
    with use_style():
        drawing, axes = new(2.8)
        axes.hist(
            leads,
            bins=np.arange(0, leads.max() + 1, 1),
            color="#bbbbbb",
            weights=np.full(len(leads), 100 / len(leads)),
        )
        axes.axvline(seen, color="#AB1902", lw=2)
        axes.text(seen, axes.get_ylim()[1], " published", color="#AB1902", va="top", fontsize=9)
        axes.set(xlabel="best minus worst mean (points)", ylabel="imagined tables (%)", xlim=(0, None))
    return Figure(
        drawing,
        f"{methods} copies of one method compete: the lead of the best over the worst in {len(leads)} imagined tables; "
        f"in {100 * share:.0f} % of them it is {seen:.1f} points or more.",
        f"Histogram of leads that arise by luck alone, and a line at the published lead of {seen:.1f} points.",
    )


def headline(results: Results, names: Sequence[str]) -> Figure:
    """Draw every method's mean over the lightings with its interval, and its worst lighting."""
    measure = results.metric("miou")
    with use_style():
        drawing, axes = new(0.34 * len(names) + 1.2)
        for y, name in enumerate(reversed(names)):
            mean = statistics.interval(results.matrices[name], measure, 500)
            worst = 100 * statistics.scores(results.matrices[name], measure, "worst").mean()
            ink, mark = color(name), marker(name)
            axes.plot([worst, 100 * mean.mean], [y, y], color=ink, lw=0.8, ls=":")
            axes.plot([100 * mean.low, 100 * mean.high], [y, y], color=ink, lw=3, solid_capstyle="butt")
            axes.plot(100 * mean.mean, y, mark, color=ink, ms=9, mec="white", mew=0.8)
            axes.plot(worst, y, mark, color=ink, mfc="white", ms=7)
            if name in ("rgb", "depth"):
                axes.axvline(100 * mean.mean, color=ink, lw=0.8, ls="--")
        axes.axvspan(0, 100 * floor(results), color="#eeeeee", lw=0)
        axes.set(yticks=range(len(names)), yticklabels=[title(n) for n in reversed(names)])
        axes.set(xlabel="mIoU (%)", xlim=(0, None), ylim=(-0.6, len(names) - 0.4))
        key = [
            axes.plot([], [], "o", color="#444444", ms=9, label="mean over the lightings, 95 % interval")[0],
            axes.plot([], [], "o", color="#444444", mfc="white", ms=7, label="its worst lighting")[0],
            axes.plot([], [], "--", color="#444444", lw=0.8, label="one sensor alone")[0],
            Patch(color="#eeeeee", label="no more than all background"),
        ]
        drawing.legend(handles=key, loc="outside lower center", ncols=2, fontsize=8)
    data = "Synthetic data" if results.synthetic else f"Data: {results.data}"
    seeds, scenes = results.matrices[names[0]].shape[:2]
    scores = {n: statistics.scores(results.matrices[n], measure).mean() for n in names}
    return Figure(
        drawing,
        f"mIoU of every method. {data}, profile {results.profile}, {seeds} seed{'s' * (seeds > 1)}, {scenes} test scenes.",
        f"{len(names)} methods, each with its mean over the lightings and its worst lighting; the highest mean is that "
        f"of {title(max(scores, key=scores.get))}, the lowest that of {title(min(scores, key=scores.get))}.",
    )
