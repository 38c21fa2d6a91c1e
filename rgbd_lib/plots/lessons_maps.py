"""Pictures of images, maps and small arrays for the chapters on the seed study's methods."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.lesson import Look
from rgbd_lib.palette import class_colours
from rgbd_lib.plots.card import about, bare, depth_map
from rgbd_lib.plots.style import WIDTH, Figure, new, title, use_style
from rgbd_lib.runs import Record

QUERY = "#ff2d55"
HALO = [withStroke(linewidth=2.5, foreground="white")]
RIGHT = np.array([[59, 125, 79], [217, 164, 65], [76, 120, 168], [200, 200, 200]], np.uint8)  # as in the bars


def grid(look: Look, rows: int, columns: int, extra: float = 0.5) -> tuple[object, np.ndarray]:
    """Return axes for a table of pictures of a scene's shape."""
    height, width = look.label.shape
    drawing, axes = new(
        rows * WIDTH / columns * height / width + extra, nrows=rows, ncols=columns, squeeze=False
    )
    bare(axes)
    return drawing, axes


@use_style()
def numbers(arrays: Mapping[str, object], caption: str, alt: str, digits: int = 2) -> Figure:
    """Small arrays with their numbers written into them; one colour scale for all."""
    found = {name: np.atleast_2d(np.asarray(a, dtype=float)) for name, a in arrays.items()}
    reach = max(1e-9, max(np.nanmax(np.abs(a)) for a in found.values()))
    widths = [max(a.shape[1] + 0.6, 0.14 * len(name)) for name, a in found.items()]
    cell = min(0.62, (WIDTH - 0.2) / sum(widths))
    tall = max(a.shape[0] for a in found.values())
    width = cell * sum(widths) + 0.2
    drawing, row = new(cell * tall + 0.55, width=width, ncols=len(found), squeeze=False, width_ratios=widths)
    bare(row)
    for axes, (name, values) in zip(row[0], found.items(), strict=True):
        axes.imshow(values, cmap="PuOr_r", vmin=-reach, vmax=reach)
        for (y, x), value in np.ndenumerate(values):
            tint = "white" if abs(value) > 0.65 * reach else "black"
            text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
            text = text.replace("-", "−")
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=tint)
        axes.set_title(name, fontsize=9)
        spare = (0.14 * len(name) - values.shape[1] - 0.6) / 2  # a long title must not make larger cells
        axes.set_xlim(-0.5 - max(0, spare), values.shape[1] - 0.5 + max(0, spare))
        axes.set_ylim(tall - 0.5, -0.5)
    return Figure(drawing, caption, alt)


@use_style()
def four_channels(look: Look, origin: str) -> Figure:
    """What early fusion is given: red, green, blue and depth as four grey images, one row per lighting."""
    drawing, axes = grid(look, len(look.conditions), 5)
    near, far = np.nanpercentile(look.depth[0], (1, 99))
    for row, rgb, depth, name in zip(axes, look.rgb, look.depth, look.conditions, strict=True):
        row[0].imshow(rgb)
        for k in range(3):
            row[k + 1].imshow(rgb[..., k], cmap="gray", vmin=0, vmax=255)
        row[4].imshow(depth, cmap=depth_map(), vmin=near, vmax=far)
        row[0].set_ylabel(name, fontsize=9)
    for one, name in zip(axes[0], ("what we see", "red", "green", "blue", "depth"), strict=True):
        one.set_title(name, fontsize=9)
    return Figure(
        drawing,
        f"One scene as the four channels that early fusion is given. Magenta: depth was not measured. {origin}",
        f"Rows {', '.join(look.conditions)}: three grey images that change with the light, and a depth image that does not.",
    )


@use_style()
def under_lights(look: Look, record: Record, wanted: Sequence[int] | None = None) -> Figure:
    """One scene under several conditions: the photograph above what the model made of it; truth and depth last."""
    shown = list(range(len(look.conditions)) if wanted is None else wanted)
    half = -(-(len(shown) + 1) // 2)
    drawing, axes = grid(look, 4, half, 0.8)
    colours = class_colours()
    for place, i in enumerate(shown):
        row, column = 2 * (place // half), place % half
        axes[row, column].imshow(look.rgb[i])
        axes[row, column].set_title(look.conditions[i], fontsize=9)
        axes[row + 1, column].imshow(colours[look.prediction[i]])
    last = divmod(len(shown), half)
    axes[2 * last[0], last[1]].imshow(look.depth[0], cmap=depth_map())
    axes[2 * last[0], last[1]].set_title("depth; truth below", fontsize=9)
    axes[2 * last[0] + 1, last[1]].imshow(colours[look.label])
    for empty in range(len(shown) + 1, 2 * half):
        for row in (0, 1):
            axes[2 * (empty // half) + row, empty % half].set_visible(False)
    name = title(record.info["parameters"]["method"])
    return Figure(
        drawing,
        f"{name}: one test scene under {len(shown)} conditions; under each photograph what the model says. {about(record)}",
        f"Photographs of one scene under {len(shown)} conditions, each above the class map of {name}; truth last.",
    )


@use_style()
def compared(looks: Mapping[str, Look], origin: str) -> Figure:
    """What several models say of one scene: a row per condition, a column per model, truth last."""
    first = next(iter(looks.values()))
    drawing, axes = grid(first, len(first.conditions), len(looks) + 2)
    colours = class_colours()
    for i, row in enumerate(axes):
        row[0].imshow(first.rgb[i])
        row[0].set_ylabel(first.conditions[i], fontsize=9)
        for one, look in zip(row[1:-1], looks.values(), strict=True):
            one.imshow(colours[look.prediction[i]])
        row[-1].imshow(colours[first.label])
    for one, name in zip(axes[0], ("photograph", *looks, "truth"), strict=True):
        one.set_title(name, fontsize=9)
    return Figure(
        drawing,
        f"One test scene seen by {', '.join(looks)}; a row per condition. {origin}",
        f"Class maps of {', '.join(looks)} beside photograph and truth, for {', '.join(first.conditions)}.",
    )


@use_style()
def kernels(weight: object, record: Record, count: int = 10) -> Figure:
    """The first filters of a four-channel stem: a column per filter, a row per input channel."""
    weight = np.asarray(weight, dtype=float)
    strongest = np.argsort(-(weight**2).sum((1, 2, 3)), kind="stable")[:count]
    drawing, axes = new(WIDTH * 4 / count + 0.5, nrows=4, ncols=len(strongest), squeeze=False)
    bare(axes)
    for column, f in enumerate(strongest):
        reach = np.abs(weight[f]).max()
        for channel in range(4):
            axes[channel, column].imshow(weight[f, channel], cmap="PuOr_r", vmin=-reach, vmax=reach)
        axes[0, column].set_title(f"{f}", fontsize=8)
    for row, name in zip(axes, ("red", "green", "blue", "depth"), strict=True):
        row[0].set_ylabel(name, fontsize=9)
    return Figure(
        drawing,
        f"The {len(strongest)} strongest filters of the trained stem, each with one kernel per channel; orange is positive, "
        f"purple negative, every filter on its own scale. {about(record)}",
        f"Four rows of 7 by 7 kernels for red, green, blue and depth in {len(strongest)} columns of filters.",
    )


@use_style()
def maps(
    pictures: Mapping[str, object],
    *,
    caption: str,
    alt: str,
    columns: int = 4,
    limits: tuple[float, float] | None = None,
    unit: str = "",
) -> Figure:
    """Maps H,W as pictures on one colour scale with a bar; arrays H,W,3 as photographs."""
    found = {name: np.asarray(p) for name, p in pictures.items()}
    flat = [p[np.isfinite(p)] for p in found.values() if p.ndim == 2]
    limits = limits or (min(float(p.min()) for p in flat), max(float(p.max()) for p in flat))
    height, width = next(iter(found.values())).shape[:2]
    rows = -(-len(found) // columns)
    drawing, axes = new(
        rows * (WIDTH / columns * height / width + 0.25) + 0.5, nrows=rows, ncols=columns, squeeze=False
    )
    bare(axes)
    drawn = None
    for one, (name, picture) in zip(axes.flat, found.items(), strict=False):
        one.set_title(name, fontsize=9)
        if picture.ndim == 3:
            one.imshow(picture)
        else:
            drawn = one.imshow(
                picture, cmap="cividis", vmin=limits[0], vmax=limits[1], interpolation="nearest"
            )
    for one in axes.flat[len(found) :]:
        one.set_visible(False)
    if drawn is not None:
        drawing.colorbar(drawn, ax=list(axes.flat), label=unit, shrink=0.8, aspect=30)
    return Figure(drawing, caption, alt)


@use_style()
def who_is_right(look: Look, branches: Mapping[str, np.ndarray], origin: str) -> Figure:
    """Per pixel: both experts right, RGB alone, depth alone, or neither; photograph above, a column per lighting."""
    drawing, axes = grid(look, 2, len(look.conditions), 0.6)
    for column, (rgb, name) in enumerate(zip(look.rgb, look.conditions, strict=True)):
        sure = [branches[b][column] == look.label for b in ("rgb", "depth")]
        verdict = np.where(sure[0], np.where(sure[1], 0, 1), np.where(sure[1], 2, 3))
        axes[0, column].imshow(rgb)
        axes[0, column].set_title(name, fontsize=9)
        axes[1, column].imshow(RIGHT[verdict])
    return Figure(
        drawing,
        f"Who is right where: green both, yellow RGB alone, blue depth alone, grey neither. {origin}",
        f"Photographs under {len(look.conditions)} lightings above maps of which expert is right at each pixel.",
    )


@use_style()
def looked_at(
    look: Look,
    attention: np.ndarray,
    places: Sequence[tuple[int, int]],
    origin: str,
    *,
    asker: str = "photograph",
    asked: str = "depth map",
) -> Figure:
    """Where a few places of the photograph look in the depth map: attention C,H,W,h,w, a row per condition."""
    drawing, axes = grid(look, len(look.conditions), len(places) + 1, 0.6)
    height, width = look.label.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    cell = np.array([height, width]) / attention.shape[1:3]
    top = max(attention[i][p].max() for i in range(len(axes)) for p in places)
    for i, row in enumerate(axes):
        row[0].imshow(look.rgb[i])
        row[0].set_ylabel(look.conditions[i], fontsize=9)
        for k, place in enumerate(places):
            mark(row[0], place, cell, str(k + 1))
            drawn = row[k + 1].imshow(attention[i][place], cmap="cividis", vmin=0, vmax=top, extent=extent)
            mark(row[k + 1], place, cell, "")
            row[k + 1].set_title(f"where {k + 1} looks", fontsize=9)
    drawing.colorbar(drawn, ax=list(axes[:, -1]), label="attention", shrink=0.8)
    return Figure(
        drawing,
        f"Marked places of the {asker} ask; brighter places of the {asked} are looked at more. {origin}",
        f"A photograph with {len(places)} marked places, and for each a map of its attention over the {asked}.",
    )


def mark(axes: Axes, place: tuple[int, int], cell: np.ndarray, text: str) -> None:
    """Frame one token's part of the image."""
    y, x = np.array(place) * cell
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), cell[1], cell[0], fill=False, ec=QUERY, lw=1.6))
    middle = {"x": x + cell[1] / 2 - 0.5, "y": y + cell[0] / 2 - 0.5}
    axes.text(
        **middle,
        s=text,
        color=QUERY,
        fontsize=9,
        fontweight="bold",
        va="center",
        ha="center",
        path_effects=HALO,
    )


@use_style()
def token_grids(look: Look, sizes: Mapping[str, tuple[int, int]], origin: str) -> Figure:
    """What one token stands for at each scale: the photograph cut into the cells of each map."""
    drawing, axes = grid(look, 1, len(sizes), 0.5)
    height, width = look.label.shape
    for one, (name, (rows, columns)) in zip(axes[0], sizes.items(), strict=True):
        one.imshow(look.rgb[0])
        one.hlines(np.arange(1, rows) * height / rows - 0.5, -0.5, width - 0.5, color="white", lw=0.5)
        one.vlines(np.arange(1, columns) * width / columns - 0.5, -0.5, height - 0.5, color="white", lw=0.5)
        one.set_title(f"{name}: {rows} × {columns} = {rows * columns}", fontsize=9)
    return Figure(
        drawing,
        f"Tokens at {len(sizes)} scales: each cell of the grid is one that asks and can be asked. {origin}",
        f"The same photograph under grids of {', '.join(f'{r} by {c}' for r, c in sizes.values())} cells.",
    )


def rescaled(values: object) -> np.ndarray:
    """Return a map stretched to 0..1; a constant one becomes 0, and what is missing stays so."""
    values = np.asarray(values, dtype=float)
    measured = values[np.isfinite(values)]
    if not len(measured):
        return values
    return (values - measured.min()) / max(np.ptp(measured), 1e-12)


def painted(depth: object) -> np.ndarray:
    """Return a depth map H,W as a picture H,W,3, missing pixels in their own colour."""
    return (depth_map()(np.ma.masked_invalid(rescaled(depth)))[..., :3] * 255).astype(np.uint8)


def centres(label: np.ndarray, size: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Return the cells of a coarse map of ``size`` that lie in the middle of the largest objects of a label."""
    pieces = [piece for k in np.unique(label) if 0 < k < IGNORE for piece in connected(label == k)]
    found = []
    for piece in sorted(pieces, key=lambda one: -one.sum())[:count]:
        middle = np.argwhere(piece).mean(0) + 0.5
        if not piece[tuple(middle.astype(int))]:  # of a ring or a crescent: its thickest place
            inner = cv2.distanceTransform(np.pad(piece, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
            middle = np.array(np.unravel_index(inner.argmax(), inner.shape)) + 0.5
        found.append(tuple(int(v) for v in middle * np.array(size) / label.shape))
    return found


def connected(mask: np.ndarray) -> list[np.ndarray]:
    """Return every connected part of a mask as a mask of its own."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8))
    return [parts == part for part in range(1, count)]
