"""Drawing whatever a method says about what it looked at, without knowing the method.

A method fills ``Output.explain`` with tensors. Their shapes tell what they are: B,..,H,W are maps of the scene,
B,heads,H,W,h,w is attention (drawn: where the middle of the scene looks, mean over heads, as a multiple of an even
look), a few numbers are numbers, and everything else is a table of the model's own, drawn as one.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from rgbd_lib.lesson import Look
from rgbd_lib.plots.card import bare
from rgbd_lib.plots.style import Figure, new, use_style

STAGE = re.compile(r"stem|layer\d(?:\.\d)?|\d+$")  # the part of a name that says how deep in the network
FEW = 8  # numbers that are read rather than drawn
COLUMNS = 5


@dataclass(frozen=True)
class Panel:
    """One picture of one tensor."""

    group: str  # what it shows: "confidence"
    stage: str  # where in the network: "layer2"
    light: str  # under which lighting; "" for what does not depend on the image
    values: np.ndarray  # H,W


def panels(look: Look) -> Iterator[Panel]:
    """Yield all that can be drawn of one look: the prediction's confidence, then what the method explains."""
    light = look.conditions[0]
    yield Panel("score of the predicted class", "output", light, look.confidence[0])
    for name, tensor in look.output.explain.items():
        stage = (STAGE.search(name) or [""])[0]
        group = STAGE.sub("", name, count=1).strip("/_.").replace("_", " ") or name
        if numbers_only(tensor):
            continue
        for suffix, values in drawable(tensor):
            if tensor.ndim < 4:
                yield Panel(f"{group}{suffix}", stage, "", values)
            elif values.any():  # a part that does not occur in this picture is reported as zeros
                yield Panel(f"{group}{suffix}", stage, light, values)


def numbers_only(tensor: Tensor) -> bool:
    """Whether a tensor of a single image is better read than drawn."""
    return tensor.numel() <= (1 if tensor.ndim >= 4 else FEW)


def drawable(tensor: Tensor) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what to add to the name, and an array H,W, for each picture in a tensor of a single image."""
    values = tensor.detach().float().cpu().numpy()
    if values.ndim == 6:
        heads = values[0].mean(0)
        middle = heads[heads.shape[0] // 2, heads.shape[1] // 2]
        yield ", from the middle", middle * middle.size
    elif values.ndim >= 4:
        maps = values[0].reshape(-1, *values.shape[-2:])
        if len(maps) > FEW:
            yield ", mean", maps.mean(0)
        else:
            for index, one in zip(np.ndindex(values.shape[1:-2]), maps, strict=True):
                yield "" if len(maps) == 1 else " " + "·".join(str(i + 1) for i in index), one
    else:
        yield "", values.reshape(-1, values.shape[-1])


@use_style()
def looked_at(looks: Sequence[Look]) -> Figure:
    """Draw every map that the method offers: one row per quantity and lighting, columns go into the network."""
    rows = arranged([panel for look in looks for panel in panels(look)])
    columns = max(map(len, rows.values()))
    drawing, grid = new(1.15 * len(rows) + 0.4, nrows=len(rows), ncols=columns, squeeze=False)
    bare(grid)
    for axes_row, ((group, light), found) in zip(grid, rows.items(), strict=True):
        every = [panel.values for (name, _), row in rows.items() if name == group for panel in row]
        low, high = min(float(v.min()) for v in every), max(float(v.max()) for v in every)
        limits = {"vmin": low, "vmax": high if high > low else low + 1}
        for axes, panel in zip(axes_row, found, strict=False):
            shape = "equal" if panel.light else "auto"
            picture = axes.imshow(panel.values, cmap="magma", aspect=shape, interpolation="nearest", **limits)
            axes.set_title(panel.stage if light or not panel.light else panel.light, fontsize=8)
        axes_row[0].set_ylabel("\n".join([*textwrap.wrap(group, 16), *filter(None, [light])]), fontsize=7)
        drawing.colorbar(picture, ax=list(axes_row), shrink=0.8, pad=0.01).ax.tick_params(labelsize=7)
    lights, groups = " and ".join(look.conditions[0] for look in looks), dict.fromkeys(g for g, _ in rows)
    return Figure(
        drawing,
        f"What the method reports about this scene under {lights}: {', '.join(groups)}. One scale per quantity.",
        f"Maps of {', '.join(groups)}; columns from early to late in the network, rows by lighting.",
    )


def arranged(found: Sequence[Panel]) -> dict[tuple[str, str], list[Panel]]:
    """Return rows by quantity and lighting; a quantity with one map per lighting takes one row for all of them."""
    rows: dict[tuple[str, str], list[Panel]] = {}
    for group in dict.fromkeys(panel.group for panel in found):
        members = [panel for panel in found if panel.group == group]
        lights = dict.fromkeys(panel.light for panel in members)
        by_light = [[panel for panel in members if panel.light == light] for light in lights]
        if len(by_light[0]) == 1:
            rows[group, ""] = [row[0] for row in by_light]
        else:
            rows |= {(group, light): chosen(row) for light, row in zip(lights, by_light, strict=True)}
    return rows


def chosen(panels: list[Panel]) -> list[Panel]:
    """Return the stages that are drawn: all, or a few evenly spaced ones; the model's own appear once."""
    panels = list({panel.stage: panel for panel in panels}.values())
    if len(panels) <= COLUMNS:
        return panels
    return [panels[i] for i in np.linspace(0, len(panels) - 1, COLUMNS).round().astype(int)]


def numbers(looks: Sequence[Look]) -> pd.DataFrame:
    """Return what a method says in a few numbers, one column per lighting; empty where it says nothing so."""
    return pd.DataFrame(
        {
            look.conditions[0]: {
                name: ", ".join(f"{v:.3f}" for v in tensor.flatten().tolist())
                for name, tensor in look.output.explain.items()
                if numbers_only(tensor)
            }
            for look in looks
        }
    )
