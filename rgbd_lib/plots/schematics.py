"""Schematics of the networks, all drawn alike: one method, many of them small, or the network that all share."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from rgbd_lib.methods.encoder import STAGES, channels
from rgbd_lib.plots.plans import Plan, describe, plan
from rgbd_lib.plots.sketch import SCORES, WIDTHS, Sketch
from rgbd_lib.plots.style import Figure, color, new, title, use_style

LINES = "Lines: black RGB, grey depth, coloured both."
KEY = LINES + " Fractions: size of the maps."


def draw(name: str) -> Figure:
    """Draw a registered method."""
    with use_style():
        drawing, axes = new(4.5)
        axes.axis("off")
        sketch = Sketch(axes, plan(name), color(name))
        sketch.all()
        axes.set_title(title(name), loc="left", fontweight="bold", color=color(name))
        notes(axes, sketch.plan)
    return Figure(drawing, f"{title(name)}. {sketch.plan.words} {KEY}", describe(name))


def gallery(names: Sequence[str], columns: int = 4) -> Figure:
    """Draw several methods small, side by side."""
    rows = -(-len(names) // columns)
    with use_style():
        drawing, grid = new(1.45 * rows, nrows=rows, ncols=columns, squeeze=False)
        for axes in grid.flat:
            axes.axis("off")
        for axes, name in zip(grid.flat, names, strict=False):
            Sketch(axes, plan(name), color(name), small=True).all()
            axes.set_title(title(name), fontsize=9, color=color(name), fontweight="bold")
    listed = "; ".join(f"{title(name)}: {plan(name).words}" for name in names)
    return Figure(
        drawing, f"{len(names)} ways to use two sensors. Circles: where features meet. {LINES}", listed
    )


def anatomy() -> Figure:
    """Draw the U-Net that all methods share, with the names and channels of its parts."""
    with use_style():
        drawing, axes = new(4.5)
        axes.axis("off")
        sketch = Sketch(axes, plan("rgb"), color("mid"))
        sketch.all()
        for s, (stage, count) in enumerate(zip(STAGES, channels(), strict=True)):
            axes.text(-1.0, -s, f"{stage}: {count} channels", ha="right", va="center", fontsize=8)
        for row, (part, count) in enumerate((("up1", 64), ("up2", 64), ("up3", 128), ("up4", 256))):
            x = sketch.decoder_x + WIDTHS[row] + 0.15
            axes.text(x, -row, f"{part}: doubles the size, {count} channels", va="center", fontsize=8)
        axes.text(sketch.decoder_x + 0.95, SCORES, "one score per class and pixel", va="center", fontsize=8)
        axes.text(sketch.fused_x + 0.1, -0.92, "skip", fontsize=8, ha="center", va="bottom")
        axes.set_xlim(-4.2, 7.6)
    return Figure(
        drawing,
        "The ResNet18-UNet that all methods share (channels at width 1). The map at 1/2 is no skip.",
        "An encoder of five stages from 1/2 to 1/32 of the image's size, and a decoder back to full size; "
        "three horizontal lines, the skips, join them at 1/4, 1/8 and 1/16.",
    )


def notes(axes: Axes, what: Plan) -> None:
    """Write the formula and its words beside and under the drawing."""
    axes.text(0.5, -0.02, what.words, transform=axes.transAxes, ha="center", va="top", fontsize=9)
    if what.formula:
        axes.text(1.0, 1.02, what.formula, transform=axes.transAxes, ha="right", va="bottom", fontsize=11)
