"""Charts of a data set: histograms per lighting, classes, exposure, cues, splits."""

import numpy as np
import pandas as pd

from rgbd_lib.datasets.base import Dataset
from rgbd_lib.datasets.synthetic.classes import CEILINGS
from rgbd_lib.errors import UserError
from rgbd_lib.palette import class_colours
from rgbd_lib.plots.scenes import synthetic
from rgbd_lib.plots.style import Figure, color, marker, new, use_style
from rgbd_lib.survey import Lights, moments

CHANNELS = {"R": "#c8262c", "G": "#2f8f3a", "B": "#2458c5"}
SPLITS = {"train": "#d9d9d9", "val": "#7aa6d8", "test": "#0b2e6f"}
BOTH = "mid"  # the method whose colour stands for "both sensors" in charts about knowledge


def histograms(found: Lights, published: np.ndarray, data: Dataset) -> Figure:
    """Draw levels of each channel under each lighting, with measured and published means."""
    mean, _ = moments(found.histograms)
    columns = 4
    rows = -(-len(found.lightings) // columns)
    with use_style():
        drawing, grid = new(1.75 * rows + 0.4, nrows=rows, ncols=columns, sharex=True, squeeze=False)
        for i, number in enumerate(found.lightings):
            axes = grid.flat[i]
            for k, (channel, ink) in enumerate(CHANNELS.items()):
                counts = found.histograms[i, k].reshape(32, 8).sum(1)
                axes.stairs(
                    100 * counts / counts.sum(), np.linspace(0, 1, 33), color=ink, lw=1.2, label=channel
                )
                axes.plot(mean[i, k], 101 - 9 * k, "v", color=ink, ms=6, clip_on=False)
                axes.plot(published[i, 0, k], 101 - 9 * k, "o", mfc="none", mec=ink, ms=7, clip_on=False)
            axes.set_title(f"light {number}", fontsize=9)
            axes.set(xlim=(0, 1), ylim=(0, 105))
        for axes in grid[:, 0]:
            axes.set_ylabel("pixels (%)")
        for axes in grid[-1]:
            axes.set_xlabel("level (0 to 1)")
        handles, names = grid.flat[0].get_legend_handles_labels()
        point = dict(marker="v", color="#444444", ls="")
        handles += [grid.flat[0].plot([], [], **point)[0]]
        handles += [grid.flat[0].plot([], [], "o", mfc="none", mec="#444444")[0]]
        names += ["mean here", "mean published for MM5"]
        drawing.legend(handles, names, loc="outside lower center", ncols=5, fontsize=8)
    far = np.abs(mean - published[:, 0]).max()
    return Figure(
        drawing,
        f"Levels of the three channels under each lighting, {found.scenes} scenes; triangles: means here, circles: "
        f"means published with MM5 (largest distance {far:.2f}). {synthetic(data)}",
        "Small histograms of red, green and blue, one per lighting: in dark light all channels crowd at the left "
        "end, in light 5 at the right end; filled and open marks lie close together.",
    )


def exposure(found: Lights, data: Dataset) -> Figure:
    """Draw how many object pixels each lighting loses to darkness or to a full sensor."""
    with use_style():
        drawing, axes = new(2.7)
        at = np.arange(len(found.lightings))
        axes.bar(at, 100 * found.dark, color="#333333", label="too dark: all channels below 12 of 255")
        axes.bar(
            at,
            100 * found.clipped,
            bottom=100 * found.dark,
            color="#f0b323",
            hatch="//",
            edgecolor="white",
            label="too bright: two channels or more at their end",
        )
        axes.set(xticks=at, xticklabels=[f"light {n}" for n in found.lightings], ylim=(0, 100))
        axes.set_ylabel("object pixels (%)")
        axes.grid(axis="x", visible=False)
        axes.legend(fontsize=8, loc="upper right")
    worst = found.lightings[int(np.argmax(found.dark + found.clipped))]
    return Figure(
        drawing,
        f"Object pixels without usable colour, {found.scenes} scenes. {synthetic(data)}",
        f"Stacked bars per lighting: pixels that are too dark or too bright; most are lost under light {worst}.",
    )


def class_bars(table: pd.DataFrame, data: Dataset, where: str) -> Figure:
    """Draw how often classes occur, how many pixels they have and how much of their depth is missing."""
    shown = table[(table.class_id != data.background) & (table.scenes > 0)][::-1]
    rest = table[table.class_id == data.background]
    ink = class_colours()[shown.class_id] / 255
    panels = (
        ("scenes", 1, "scenes that hold it"),
        ("share", 100, "pixels (%)"),
        ("missing", 100, "its pixels\nwithout depth (%)"),
    )
    with use_style():
        drawing, grid = new(0.2 * len(shown) + 0.9, ncols=3, sharey=True)
        for axes, (column, factor, label) in zip(grid, panels, strict=True):
            axes.barh(range(len(shown)), factor * shown[column], color=ink, edgecolor="#555555", lw=0.4)
            axes.set(xlabel=label, xlim=(0, None))
            axes.grid(axis="y", visible=False)
        grid[0].set_yticks(range(len(shown)), shown["class"], fontsize=8)
        grid[0].set_ylim(-0.6, len(shown) - 0.4)
    background = (
        f"; background, left out, has {100 * rest.share.sum():.0f} % of the pixels" if len(rest) else ""
    )
    most = shown.loc[shown.share.idxmax(), "class"]
    return Figure(
        drawing,
        f"Classes in {where}{background}. {synthetic(data)}",
        f"Three bar charts with one bar per class: scenes, pixels (most for {most}), and missing depth.",
    )


def cues(found: pd.DataFrame, data: Dataset) -> Figure:
    """Draw objects (of survey.objects) by colour and relief, one panel per lighting."""
    marks = dict(zip(sorted(found.class_id.unique()), "os^DvP", strict=False))
    with use_style():
        lights = found.groupby("lighting", sort=False)
        drawing, grid = new(3.2, ncols=len(lights), sharey=True, sharex=True, squeeze=False)
        for axes, (number, table) in zip(grid.flat, lights, strict=True):
            for k, part in table.groupby("class_id"):
                style = {"color": class_colours()[k] / 255, "mec": "#333333", "mew": 0.5, "ms": 6}
                axes.plot(part.red - part.green, part.relief, marks[k], label=data.classes[k], **style)
            axes.set_title(f"light {number}", fontsize=10)
            axes.set(xlabel="colour: red − green (level)", ylim=(0, None))
        grid[0, 0].set_ylabel("relief: range of depth (mm)")
        drawing.legend(
            *grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8
        )
    return Figure(
        drawing,
        "Every mark is one object, under two or more lights: with the light its colour moves, its relief does not. "
        + synthetic(data),
        "Scatter plots of relief against colour, one per lighting: four groups in the corners of a square. From plot "
        "to plot they move sideways, never up or down.",
    )


def certainty(spots: pd.DataFrame, relief: pd.DataFrame, data: Dataset) -> Figure:
    """Draw how surely colour tells sound from bad, and depth real from fake, under each lighting."""
    if spots.empty or relief.empty:
        raise UserError(
            f"{data.root}: no two scenes show a pair of classes large enough to compare; use more scenes"
        )
    panels = (
        (spots, "rgb", "colour: dark spots, sound or bad?"),
        (relief, "depth", "depth: relief, real or fake?"),
    )
    with use_style():
        drawing, grid = new(3.0, ncols=2, sharey=True)
        for axes, (table, sensor, title) in zip(grid, panels, strict=True):
            for style, (pair, part) in zip(("-", "--", ":", "-."), table.groupby("pair"), strict=False):
                axes.plot(
                    part.lighting, 100 * part.sure, style, marker="o", ms=4, color=color(sensor), label=pair
                )
            axes.axhline(50, color="#AB1902", lw=1)
            axes.set_title(title, fontsize=10)
            axes.set(xlabel="lighting", xticks=data.lightings, ylim=(0, 104))
            axes.legend(fontsize=8, loc="lower right", frameon=True)
        grid[0].text(data.lightings[0], 44, "chance", color="#AB1902", fontsize=8)
        grid[0].set_ylabel("pairs of objects\nin the right order (%)")
    least = spots.groupby("lighting").sure.mean().idxmin()
    return Figure(
        drawing,
        f"How often one simple cue orders a pair of objects of two classes rightly ({spots.objects.max()} objects or "
        f"fewer per pair of classes); least sure by colour under light {least}. {synthetic(data)}",
        f"Two line charts over eight lightings: by spots in colour the pairs are told apart least under light {least}; "
        "by relief in depth the lines are level.",
    )


def ceilings() -> Figure:
    """Draw the best mean IoU that each modality allows, by construction of the synthetic classes."""
    names = sorted(CEILINGS, key=lambda n: (CEILINGS[n]["both"], CEILINGS[n]["rgb"], CEILINGS[n]["depth"]))
    rows = {
        "rgb": (0.24, "rgb", "RGB alone"),
        "depth": (0.0, "depth", "depth alone"),
        "both": (-0.24, BOTH, "both together"),
    }
    with use_style():
        drawing, axes = new(0.4 * len(names) + 1.0)
        for modality, (shift, style, label) in rows.items():
            y = np.arange(len(names)) + shift
            at = [100 * CEILINGS[n][modality] for n in names]
            axes.hlines(y, 0, at, color=color(style), lw=1.4)
            axes.plot(at, y, marker(style), color=color(style), ms=7, label=label)
        axes.set(yticks=range(len(names)), yticklabels=names, xlim=(0, 104))
        axes.set_xlabel("best possible mean IoU of the group (%)")
        drawing.legend(loc="outside upper center", ncols=3, fontsize=8)
    return Figure(
        drawing,
        "What is knowable: the best mean IoU over each group of classes, on object interiors, by construction of "
        "the synthetic data.",
        "For each group of classes three values: the best score from RGB alone, from depth alone and from both. The "
        "squares need both; hot and cold cups stay at a third.",
    )


def splits(data: Dataset, kinds: tuple[str, ...] = ("official", "grouped")) -> Figure:
    """Draw to which part each scene belongs, in the order of capture, with the borders of capture runs."""
    place = {scene: i for i, scene in enumerate(data.scenes)}
    runs = [data.groups.get(scene) for scene in data.scenes]
    borders = [i - 0.5 for i in range(1, len(runs)) if runs[i] != runs[i - 1]]
    with use_style():
        drawing, grid = new(0.75 * len(kinds) + 0.7, nrows=len(kinds), sharex=True, squeeze=False)
        for axes, kind in zip(grid.flat, kinds, strict=True):
            for name, ink in SPLITS.items():
                at = [place[s] for s in data.split(name, kind)]
                axes.bar(at, 1, width=1.0, color=ink, label=name)
            axes.vlines(borders, -0.25, 0, color="#888888", lw=0.7)
            axes.set(ylim=(-0.3, 1), xlim=(-0.5, len(runs) - 0.5), yticks=[])
            axes.set_ylabel(kind, rotation=0, ha="right", va="center")
            axes.grid(False)
            axes.spines["left"].set_visible(False)
        grid.flat[-1].set_xlabel("scenes in the order of capture; ticks: a new capture run begins")
        drawing.legend(
            *grid.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8
        )
    return Figure(
        drawing,
        f"Which scenes are trained on and which are tested, for {len(kinds)} ways to split. {synthetic(data)}",
        "Two rows of thin bars, one per scene. In the official row test scenes stand alone between training scenes; "
        "in the grouped row they come in whole blocks.",
    )
