"""The figures of a method card: one run, looked at from all sides."""

from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.patches import Patch

from rgbd_lib import lesson, metrics, statistics
from rgbd_lib.conditions import lightings
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.lesson import Look
from rgbd_lib.palette import IGNORED, class_colours
from rgbd_lib.plots.style import Figure, color, marker, new, title, use_style
from rgbd_lib.runs import Record

MISSING = tuple(
    v / 255 for v in IGNORED
)  # depth that was not measured; no value of the colour map comes near it
ERRORS = ListedColormap(["#e6e6e6", "#b2182b", "#ff00ff"])  # right, wrong, without a label


def about(record: Record) -> str:
    """Return the end of a caption: data, profile, seed."""
    info, chosen = record.info, record.info["parameters"]
    kind = "Synthetic data" if info["data"]["synthetic"] else f"Data: {info['data']['name']}"
    return f"{kind}, profile {chosen['profile']}, seed {chosen['seed']}, {len(record.scores().scenes)} test scenes."


@use_style()
def learning_curve(record: Record) -> Figure:
    """Loss and validation score of one run over its epochs."""
    name, history = record.info["parameters"]["method"], record.history
    drawing, (left, right) = new(3.0, ncols=2)
    epochs, best = history.epoch + 1, record.info["validation"]["best_epoch"]
    left.plot(epochs, history.loss, color=color(name))
    left.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.plot(epochs, 100 * history.val_miou, color=color(name))
    right.plot(epochs[best], 100 * history.val_miou[best], marker(name), color=color(name), ms=9)
    right.set(xlabel="epoch", ylabel="validation mIoU (%)", ylim=(0, None))
    return Figure(
        drawing,
        f"Training of {title(name)}; the marked epoch's weights are the ones tested. {about(record)}",
        f"Training loss and validation mIoU over {len(history)} epochs; the best epoch is number {best + 1}.",
    )


@use_style()
def by_lighting(record: Record) -> Figure:
    """Test mIoU under each lighting, with intervals over scenes."""
    name, scores = record.info["parameters"]["method"], record.scores()
    metric = partial(metrics.miou, background=scores.background)
    found = [
        statistics.interval(scores.matrices[None, :, [c]], metric) for c in range(len(scores.conditions))
    ]
    drawing, axes = new(3.2)
    for x, one in enumerate(found):
        axes.plot([x, x], [100 * one.low, 100 * one.high], color=color(name), lw=2.5, solid_capstyle="butt")
        axes.plot(x, 100 * one.mean, marker(name), color=color(name), ms=9, mec="white")
    mean = 100 * np.mean([one.mean for one in found])
    axes.axhline(mean, color="#888888", lw=1, ls="--")
    axes.text(len(found) - 0.85, mean, f"mean {mean:.1f}", color="#555555", fontsize=8, va="bottom")
    axes.set_xlim(-0.5, len(found) - 0.3)
    axes.set(xticks=range(len(found)), xticklabels=scores.conditions, ylabel="mIoU (%)", ylim=(0, None))
    order = np.argsort([one.mean for one in found])
    return Figure(
        drawing,
        f"mIoU of {title(name)} under each lighting. {about(record)} Bars: 95 % intervals over scenes.",
        f"mIoU per lighting with intervals: highest under {scores.conditions[order[-1]]}, "
        f"lowest under {scores.conditions[order[0]]}.",
    )


@use_style()
def class_iou(record: Record) -> Figure:
    """Test IoU of every class over all lightings, best first; classes that no test scene shows are named."""
    name, scores = record.info["parameters"]["method"], record.scores()
    classes = record.info["data"]["classes"]
    scenes = (scores.matrices[:, 0].sum(-1) > 0).sum(0)
    iou = 100 * metrics.iou(scores.matrices.sum((0, 1)))
    shown = [k for k in np.argsort(-np.nan_to_num(iou, nan=-1), kind="stable") if scenes[k]]
    drawing, axes = new(0.21 * len(shown) + 0.9)
    rows = range(len(shown))
    axes.barh(rows, iou[shown], color=color(name), height=0.7)
    for y, k in zip(rows, shown, strict=True):
        axes.text(iou[k] + 0.7, y, f"{iou[k]:.0f}", va="center", fontsize=8)
    labels = [f"{classes[k]} ({scenes[k]})" for k in shown]
    axes.set_yticks(rows, labels, fontsize=8)
    axes.set(xlabel="IoU (%), all lightings together", xlim=(0, 105), ylim=(len(shown) - 0.4, -0.6))
    axes.grid(axis="y", visible=False)
    absent = [classes[k] for k in range(len(classes)) if not scenes[k]]
    never = f" In no test scene: {', '.join(absent)}." if absent else ""
    return Figure(
        drawing,
        f"IoU of every class, in brackets the test scenes that show it. {about(record)}{never}",
        f"Bars of IoU for {len(shown)} classes; best {classes[shown[0]]}, worst {classes[shown[-1]]}.",
    )


# -- one scene ------------------------------------------------------------------------------------


def good_and_bad(record: Record) -> tuple[Look, Look]:
    """Return the scene of median score under the run's best and under its worst lighting."""
    scores = record.scores()
    by_scene = metrics.miou(scores.matrices.sum(1), scores.background)
    scene = int(np.argsort(by_scene, kind="stable")[len(by_scene) // 2])
    order = np.argsort(scores.table().miou, kind="stable")
    conditions = lightings(record.run.material())
    best, worst = (lesson.look(record, scene, [conditions[order.iloc[i]]]) for i in (-1, 0))
    return best, worst


@use_style()
def examples(record: Record, looks: Sequence[Look]) -> Figure:
    """What goes in, what should come out, what does, and where it is wrong; one row per lighting."""
    colours, names = class_colours(), record.info["data"]["classes"]
    drawing, grid = new(1.15 * len(looks) + 0.6, nrows=len(looks), ncols=5, squeeze=False)
    depth_range = np.nanpercentile(looks[0].depth, (1, 99))
    for row, look in zip(grid, looks, strict=True):
        label, found = look.label, look.prediction[0]
        wrong = np.where(label == IGNORE, 2, (label != found).astype(int))
        row[0].imshow(look.rgb[0])
        depth = row[1].imshow(look.depth[0], cmap=depth_map(), vmin=depth_range[0], vmax=depth_range[1])
        row[2].imshow(colours[label])
        row[3].imshow(colours[found])
        row[4].imshow(wrong, cmap=ERRORS, vmin=0, vmax=2, interpolation="nearest")
        row[4].set_xlabel(f"{np.mean(wrong[label != IGNORE] == 1):.1%} wrong", fontsize=8)
        row[0].set_ylabel(look.conditions[0])
    bare(grid)
    unit = "depth (m)" if record.run.material().metric else "depth (level)"
    for axes, text in zip(grid[0], ("RGB", "depth", "truth", "prediction", "wrong pixels"), strict=True):
        axes.set_title(text, fontsize=10)
    drawing.colorbar(depth, ax=list(grid.flat), shrink=0.7, pad=0.01, label=unit).ax.tick_params(labelsize=7)
    seen = np.unique([*looks[0].label.flat, *(k for look in looks for k in look.prediction.flat)])
    legend = [Patch(color=colours[k] / 255, label="no label" if k == IGNORE else names[k]) for k in seen]
    legend.append(Patch(color=MISSING, label="depth missing"))
    drawing.legend(handles=legend, loc="outside lower center", ncols=7, fontsize=7)
    lights = " and ".join(look.conditions[0] for look in looks)
    return Figure(
        drawing,
        f"The test scene of median score under {lights}. {about(record)}",
        f"Colour image, depth, truth, prediction and wrong pixels of one scene under {lights}.",
    )


def depth_map() -> Colormap:
    """Return a perceptually even colour map that shows missing measurements in a colour of their own."""
    return matplotlib.colormaps["cividis_r"].with_extremes(bad=MISSING)


def bare(grid: np.ndarray) -> None:
    """Leave pictures without axes."""
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(False)
        axes.spines[:].set_visible(False)
