"""Figuregraphs: lightings, depth with its holes, labels, objects, and what a model made of a scene."""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch

from rgbd_lib.datasets.base import IGNORE, Dataset
from rgbd_lib.inference import overlay
from rgbd_lib.lesson import Look
from rgbd_lib.palette import IGNORED, class_colours
from rgbd_lib.plots.style import Figure, new, use_style

UNKNOWN = tuple(v / 255 for v in IGNORED)  # nothing is known here: no measurement, no label
DEPTHS = plt.get_cmap("cividis_r").with_extremes(bad=UNKNOWN)  # near is bright
ERRORS = {
    "right": "#f2f2f2",
    "object missed": "#0357F5",
    "background painted": "#FB7A27",
    "wrong class": "#AB1902",
}


def synthetic(data: Dataset) -> str:
    """Return the words that a caption owes its reader."""
    return "Synthetic data." if data.synthetic else f"Data: {data.name}."


def sheet(named: Iterable[tuple[str, np.ndarray]], columns: int = 4) -> tuple[Drawing, list[Axes]]:
    """Return pictures side by side with their names above, and the axes to draw on."""
    pictures = list(named)
    first = pictures[0][1]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height = rows * (8.6 / columns * first.shape[0] / first.shape[1] + 0.28)
    with use_style():
        drawing, grid = new(height, nrows=rows, ncols=columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for axes, (name, picture) in zip(grid.flat, pictures, strict=False):
            axes.imshow(picture, interpolation="nearest" if picture.shape[1] < 200 else "antialiased")
            axes.set_title(name, fontsize=9)
    return drawing, list(grid.flat)[: len(pictures)]


def lightings(data: Dataset, scene: str) -> Figure:
    """Show one scene under every lighting."""
    pictures = {f"light {n}": data.read_rgb(scene, n) for n in data.lightings}
    means = {name: p.mean() / 255 for name, p in pictures.items()}
    dark, bright = min(means, key=means.get), max(means, key=means.get)
    return Figure(
        sheet(pictures.items())[0],
        f"Scene {scene} under {len(pictures)} lightings; nothing but the light has changed. {synthetic(data)}",
        f"{len(pictures)} photographs of the same objects; {dark} is nearly black, {bright} is the brightest.",
    )


def side_by_side(data: Dataset, which: Sequence[str], names: Sequence[str], lighting: int = 3) -> Figure:
    """Show several scenes under one lighting."""
    pictures = [(name, data.read_rgb(scene, lighting)) for name, scene in zip(names, which, strict=True)]
    return Figure(
        sheet(pictures, columns=len(pictures))[0],
        f"Scenes {', '.join(which)}, captured one after the other, under light {lighting}. {synthetic(data)}",
        f"{len(which)} photographs beside each other: {', '.join(names)}.",
    )


def depth(data: Dataset, scene: str) -> Figure:
    """Show a scene's colour and its depth in metres, holes in a colour of their own."""
    frame = data.read(scene, data.lightings[min(2, len(data.lightings) - 1)])
    unit = data.depth_kind.to_metres
    values = np.where(frame.valid, frame.depth * (unit or 1 / 255), np.nan)
    missing = 1 - frame.valid.mean()
    drawing, panels = sheet([("colour", frame.rgb), ("depth", frame.rgb)], columns=2)
    with use_style():
        draw_depth(drawing, panels[1], values, "depth (m)" if unit else "depth (level / 255, not metres)")
    return Figure(
        drawing,
        f"Scene {scene}: colour, and depth from the time-of-flight camera; {100 * missing:.1f} % of the pixels "
        f"have no measurement. {synthetic(data)}",
        "Left a photograph, right the same view as depth: near objects bright, the far backdrop dark, missing "
        "pixels magenta along a band at grazing angle and beside objects.",
    )


def draw_depth(drawing: Drawing, axes: Axes, values: np.ndarray, label: str = "depth (m)") -> None:
    """Draw depth (NaN = missing) with its colour bar and the key of the holes."""
    axes.clear()
    axes.axis("off")
    image = axes.imshow(values, cmap=DEPTHS, interpolation="nearest")
    drawing.colorbar(image, ax=axes, label=label, shrink=0.75)
    axes.legend(
        handles=[Patch(color=UNKNOWN, label="no measurement")], loc="lower left", frameon=True, fontsize=8
    )
    axes.set_title("depth", fontsize=9)


def labelled(data: Dataset, scene: str, lighting: int | None = None) -> Figure:
    """Show a scene, its label as an overlay, and the names of the classes in it."""
    frame = data.read(scene, lighting or data.lightings[min(2, len(data.lightings) - 1)])
    painted = overlay(frame.rgb, frame.label, data.background)
    drawing, _ = sheet([("what the camera sees", frame.rgb), ("what is to be found", painted)], columns=2)
    found = [int(k) for k in np.unique(frame.label) if k != data.background]
    with use_style():
        legend(drawing, found, data.classes)
    names = ", ".join(name_of(k, data.classes) for k in found)
    return Figure(
        drawing,
        f"Scene {scene} and its label: one class per pixel. {synthetic(data)}",
        f"A photograph beside the same one with objects painted over by class: {names}.",
    )


def name_of(class_id: int, classes: Sequence[str]) -> str:
    """Return a class's name."""
    return "ignored" if class_id == IGNORE else classes[class_id]


def legend(drawing: Drawing, ids: Sequence[int], classes: Sequence[str], columns: int = 6) -> None:
    """Write the classes' names and colours under a drawing."""
    patches = [Patch(color=class_colours()[k] / 255, label=name_of(k, classes)) for k in ids]
    rows = -(-len(patches) // columns)
    drawing.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=8)
    width, height = drawing.get_size_inches()
    drawing.set_size_inches(width, height + 0.25 * rows)


def specimens(data: Dataset, found: pd.DataFrame, lighting: int) -> Figure:
    """Show the most whole object of each class in ``found`` (of survey.objects): colour above, relief below."""
    chosen = [whole(part) for _, part in found.groupby("class_id")]
    with use_style():
        drawing, grid = new(8.6 / max(len(chosen), 4) * 1.75, nrows=2, ncols=len(chosen), squeeze=False)
        for column, one in zip(grid.T, chosen, strict=True):
            frame = data.read(one["scene"], lighting)
            window = around(one["box"], frame.label.shape)
            mm = np.where(frame.valid, frame.depth * (data.depth_kind.to_metres or 1) * 1000.0, np.nan)
            front = np.nanpercentile(mm[one["box"]][frame.label[one["box"]] == one["class_id"]], 2)
            column[0].imshow(frame.rgb[window])
            column[0].set_title(one["class"], fontsize=9)
            relief = mm[window] - front
            image = column[1].imshow(relief, cmap=DEPTHS, vmin=0, vmax=40, interpolation="nearest")
            for axes in column:
                axes.axis("off")
        drawing.colorbar(image, ax=grid[1].tolist(), label="mm behind\nits front", shrink=0.8, extend="both")
    names = ", ".join(one["class"] for one in chosen)
    return Figure(
        drawing,
        f"One object of each class in colour (light {lighting}) and in depth; magenta: no measurement. "
        f"{synthetic(data)}",
        f"Crops of {names}: above in colour, below in depth. Domes darken from their middle to their rim; "
        "a fake is one flat patch.",
    )


def whole(found: pd.DataFrame) -> dict[str, object]:
    """Return the object whose box is most nearly square: the one that least is in front of."""
    shape = [(b[0].stop - b[0].start, b[1].stop - b[1].start) for b in found.box]
    score = [min(h, w) / max(h, w) * min(h * w, 2500) for h, w in shape]
    return found.iloc[int(np.argmax(score))].to_dict()


def around(box: tuple[slice, slice], shape: tuple[int, int], margin: int = 8) -> tuple[slice, slice]:
    """Return a square window about a box, moved to lie inside the image."""
    side = min(max(s.stop - s.start for s in box) + 2 * margin, *shape)
    starts = [
        int(np.clip((s.start + s.stop - side) // 2, 0, size - side))
        for s, size in zip(box, shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def errors(label: np.ndarray, prediction: np.ndarray, background: int | None = 0) -> np.ndarray:
    """Return H,W: 0 right, 1 object missed, 2 background painted, 3 wrong class, 4 ignored."""
    kind = np.where(prediction == background, 1, np.where(label == background, 2, 3))
    return np.where(label == IGNORE, 4, np.where(prediction == label, 0, kind)).astype(np.uint8)


def predictions(
    look: Look,
    classes: Sequence[str],
    conditions: Sequence[str] | None = None,
    background: int | None = 0,
    origin: str = "",
) -> Figure:
    """Show what a model saw, what it said and where it was wrong, one row per condition."""
    chosen = [look.conditions.index(name) for name in conditions or look.conditions]
    paint = class_colours()
    table = np.array(
        [[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in ERRORS.values()] + [IGNORED], np.uint8
    )
    pictures, shares = [], []
    for i in chosen:
        wrong = errors(look.label, look.prediction[i], background)
        shares.append(float((wrong[wrong < 4] > 0).mean()))
        pictures += [
            (look.conditions[i], look.rgb[i]),
            ("label", paint[look.label]),
            ("prediction", paint[look.prediction[i]]),
            (f"{100 * shares[-1]:.1f} % of pixels wrong", table[wrong]),
        ]
    drawing, _ = sheet(pictures, columns=4)
    patches = [Patch(facecolor=c, edgecolor="#999999", label=n) for n, c in ERRORS.items()]
    with use_style():
        drawing.legend(handles=patches, loc="outside lower center", ncols=4, fontsize=8)
        width, height = drawing.get_size_inches()
        drawing.set_size_inches(width, height + 0.25)
    present = ", ".join(name_of(int(k), classes) for k in np.unique(look.label) if k != background)
    worst = look.conditions[chosen[int(np.argmax(shares))]]
    return Figure(
        drawing,
        f"Colour, label, prediction and errors of one test scene (in it: {present}). {origin}".rstrip(),
        f"A row for each of {len(chosen)} conditions: photograph, label, prediction, and a map of errors; most "
        f"pixels are wrong under {worst}.",
    )


def maps(named: Sequence[tuple[str, np.ndarray]], label: str, caption: str, alt: str) -> Figure:
    """Show maps of one quantity (NaN = missing) side by side on one colour scale."""
    low, high = (f([f(values) for _, values in named]) for f in (np.nanmin, np.nanmax))
    drawing, panels = sheet(named, columns=len(named))
    with use_style():
        for axes, (name, values) in zip(panels, named, strict=True):
            axes.clear()
            axes.axis("off")
            axes.set_title(name, fontsize=9)
            image = axes.imshow(values, cmap=DEPTHS, vmin=low, vmax=high, interpolation="nearest")
        drawing.colorbar(image, ax=panels, label=label, shrink=0.75)
    return Figure(drawing, caption, alt)


def question(data: Dataset, scene: str, lights: Sequence[int] = (3, 1, 5)) -> Figure:
    """Show one scene under a few lightings, its depth, and what is to be found."""
    frame = data.read(scene, lights[0])
    pictures = [(f"colour, light {n}", data.read_rgb(scene, n)) for n in lights]
    pictures += [("depth, any light", frame.rgb), ("what is to be found", class_colours()[frame.label])]
    drawing, panels = sheet(pictures, columns=len(pictures))
    values = np.where(frame.valid, frame.depth.astype(float), np.nan)
    panels[-2].clear()
    panels[-2].axis("off")
    panels[-2].set_title("depth, any light", fontsize=9)
    panels[-2].imshow(values, cmap=DEPTHS, interpolation="nearest")
    return Figure(
        drawing,
        f"One scene: what two sensors deliver, and the class of every pixel (near is bright, magenta: no "
        f"measurement). {synthetic(data)}",
        f"Photographs of one scene under lights {', '.join(map(str, lights))}, the last nearly white; the same depth "
        "image for all; and a map of classes.",
    )
