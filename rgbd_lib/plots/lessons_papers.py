"""Figures of the chapters on FuseNet, channel exchanging, GeminiFusion and PrimKD."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.patches import ConnectionPatch

from rgbd_lib.lesson import Look
from rgbd_lib.methods.cen_theory import gamma_zero_probability
from rgbd_lib.methods.parallel import own_part
from rgbd_lib.plots.card import bare
from rgbd_lib.plots.lessons_study import POINTS, VARIANTS, label, look_of
from rgbd_lib.plots.style import WIDTH, Figure, new, use_style

RGB, DEPTH, BOTH = "#C1440E", "#4C78A8", "#2B8847"
FLOOR = 1e-5  # what is smaller is drawn here, on an axis that has no zero
HELD = np.logspace(-2, 1, 200)


@use_style()
def attraction(simulated: Mapping[float, float], measured: pd.DataFrame | None, origin: str) -> Figure:
    """Theorem 1: the formula as a line, its simulation as dots, our training as crosses."""
    drawing, axes = new(3.4)
    axes.plot(HELD, gamma_zero_probability(torch.tensor(HELD), 1.0), color=BOTH, lw=2, label="formula")
    axes.plot(
        list(simulated), list(simulated.values()), "o", color="black", mfc="none", ms=7, label="simulated"
    )
    if measured is not None:
        axes.plot(
            measured.ratio, measured.held, "X", color=RGB, ms=8, mec="white", label="measured in our training"
        )
    axes.set(xscale="log", ylim=(-0.03, 1.03))
    axes.set(xlabel="λ divided by the size of the task's gradient", ylabel="chance that 0 holds γ")
    axes.legend(loc="upper left")
    return Figure(
        drawing,
        f"How likely a scale is held at zero: theorem 1, its simulation, and slopes of a real training. {origin}",
        "A rising S-shaped curve over the ratio of penalty to gradient; circles lie on it, crosses are measured.",
    )


@use_style()
def descents(ways: Mapping[str, object]) -> Figure:
    """Scales going down the slope from several starts: a panel per case, arrays steps+1,starts."""
    drawing, row = new(2.9, ncols=len(ways), sharey=True, squeeze=False)
    for axes, (name, way) in zip(row[0], ways.items(), strict=True):
        axes.axhline(0, color="black", lw=1)
        way = np.asarray(way)
        axes.plot(way, color=BOTH, lw=0.9, alpha=0.6)
        reach = 1.5 * np.abs(way[0]).max()
        axes.set(title=name, xlabel="step", ylim=(-reach, reach))
    row[0, 0].set_ylabel("γ")
    return Figure(
        drawing,
        "Simulated: scales under the penalty, each with a pull of its own from the task; zero holds some of them.",
        f"Lines from several starts that fall to zero and stay, or pass it: {'; '.join(ways)}.",
    )


@use_style()
def channel_scales(
    panels: Mapping[str, np.ndarray], threshold: float, origin: str, count: int = 128
) -> Figure:
    """|γ| of both modalities (M,C), channel by channel, with the halves that the penalty asks for."""
    drawing, column = new(2.3 * len(panels) + 0.4, nrows=len(panels), sharex=True, squeeze=False)
    for axes, (name, scales) in zip(column[:, 0], panels.items(), strict=True):
        shown = min(count, scales.shape[1])
        for m, (values, tint, mark) in enumerate(zip(scales, (RGB, DEPTH), "ov", strict=True)):
            part = own_part(scales.shape[1], m, len(scales))
            axes.axvspan(part.start - 0.5, min(part.stop, shown) - 0.5, color=tint, alpha=0.08, lw=0)
            lines = axes.plot(
                np.maximum(np.abs(values[:shown]), FLOOR), mark, color=tint, ms=4, label=("RGB", "depth")[m]
            )
            lines[0].set_clip_on(False)
        axes.axhline(threshold, color="black", lw=1, ls="--", label="θ")
        axes.set(
            yscale="log",
            ylabel="|γ|",
            title=name,
            ylim=(FLOOR, max(0.3, 2 * np.abs(scales).max())),
            xlim=(-0.5, shown - 0.5),
        )
    column[-1, 0].set_xlabel("channel")
    handles = column[0, 0].get_legend_handles_labels()
    drawing.legend(*handles, loc="outside lower center", ncols=3)
    return Figure(
        drawing,
        "Scales after training; shaded: the half in which the penalty acts on RGB (left) and on depth (right). "
        f"Below θ a channel is replaced, where exchange is on. {origin}",
        f"Scales over channels on a logarithmic axis with a dashed threshold: {'; '.join(panels)}.",
    )


@use_style()
def scale_ways(panels: Mapping[str, Sequence[Mapping]], threshold: float, caption: str) -> Figure:
    """Scales as training goes on, one line per channel, from the rows of the small demonstration."""
    drawing, row = new(3.0, ncols=len(panels), sharey=True, squeeze=False)
    for axes, (name, rows) in zip(row[0], panels.items(), strict=True):
        steps, ways = [r["step"] for r in rows], np.stack([r["rgb"] for r in rows])
        axes.plot(steps, np.maximum(ways, FLOOR), color=RGB, lw=0.7, alpha=0.45)
        axes.axhline(threshold, color="black", lw=1, ls="--")
        axes.set(yscale="log", xlabel="step", title=name, ylim=(FLOOR, None))
    row[0, 0].set_ylabel("|γ| of RGB's channels")
    return Figure(
        drawing,
        caption,
        f"Lines of scales over training steps that fall through a dashed threshold or stay above: {'; '.join(panels)}.",
    )


@use_style()
def channel_groups(look: Look, point: str, origin: str) -> Figure:
    """Mean maps of three groups of channels before the exchange; arrows show what replaces what."""
    maps = look.output.explain[f"{point}/maps"].float().numpy()  # B,M,G,H,W
    sizes = group_sizes(look.output.explain[f"{point}/replaced"].numpy())
    titles = [f"{name}\n({n} channels)" for name, n in zip(GROUPS, sizes, strict=True)]
    height, width = maps.shape[-2:]
    lights = len(look.conditions)
    drawing, grid = new(
        2 * lights * WIDTH / 4 * height / width + 1.0, nrows=2 * lights, ncols=4, squeeze=False
    )
    bare(grid)
    for light, m in np.ndindex(lights, 2):
        row = grid[2 * light + m]
        row[0].imshow(look.rgb[light] if m == 0 else look.depth[light], cmap="cividis_r")
        row[0].set_ylabel(f"{look.conditions[light]}\n{('RGB', 'depth')[m]}", fontsize=9)
        for g, axes in enumerate(row[1:]):
            if not sizes[g]:
                axes.text(
                    0.5, 0.5, "no channel", ha="center", va="center", transform=axes.transAxes, fontsize=8
                )
                continue
            values = maps[light, m, g]
            reach = max(float(np.abs(maps[light, :, g]).max()), 1e-9)
            axes.imshow(values, cmap="PuOr_r", vmin=-reach, vmax=reach, interpolation="nearest")
            text = f"{values.min():.3f} to {values.max():.3f}".replace("-", "−")
            axes.set_xlabel(text, fontsize=7, labelpad=1, loc="left")
            if g == m:
                axes.spines[:].set(visible=True, color=(RGB, DEPTH)[m], linewidth=2.5)
                given(drawing, grid[2 * light + 1 - m, g + 1], axes, (DEPTH, RGB)[m])
    for axes, name in zip(grid[0], ("what comes in", *titles), strict=True):
        axes.set_title(name, fontsize=9)
    return Figure(
        drawing,
        f"Maps at {point} before the exchange, mean over each group of channels; framed maps are thrown away and "
        f"replaced along the arrow. Below each: its range; both sensors share a scale in every group. {origin}",
        "Rows RGB and depth, three columns of maps for three groups of channels, with arrows from kept to replaced.",
    )


GROUPS = ("RGB gives up", "depth gives up", "both keep")


def group_sizes(replaced: np.ndarray) -> tuple[int, int, int]:
    """Return how many channels RGB alone gives up, depth alone, and nobody, from masks M,C."""
    rgb, depth = replaced.astype(bool)
    return int((rgb & ~depth).sum()), int((depth & ~rgb).sum()), int((~rgb & ~depth).sum())


def given(drawing: object, source: object, target: object, tint: str) -> None:
    """Draw an arrow from the map that is kept to the one that it replaces."""
    down = source.get_subplotspec().rowspan.start < target.get_subplotspec().rowspan.start
    ends = ((0.5, 0.12), (0.5, 0.88)) if down else ((0.5, 0.88), (0.5, 0.12))
    drawing.add_artist(
        ConnectionPatch(
            *ends,
            "axes fraction",
            "axes fraction",
            axesA=source,
            axesB=target,
            arrowstyle="-|>",
            color=tint,
            lw=2,
        )
    )


@use_style()
def branch_scores(panels: Mapping[str, pd.DataFrame], caption: str) -> Figure:
    """Rows of networks, three markers each: RGB's branch, depth's branch, their ensemble; a panel per table."""
    first = next(iter(panels.values()))
    drawing, row = new(0.36 * len(first) + 1.2, ncols=len(panels), sharey=True, squeeze=False)
    for axes, (name, table) in zip(row[0], panels.items(), strict=True):
        y = np.arange(len(table))[::-1]
        apart = (0.15, -0.15, 0.0)  # equal scores must not hide each other
        for column, tint, mark, step in zip(table, (RGB, DEPTH, "black"), "ovD", apart, strict=True):
            axes.plot(table[column], y + step, mark, color=tint, ms=7, mec="white", label=column)
        axes.set(yticks=y, yticklabels=[label(str(n)) for n in table.index], xlim=(0, None), title=name)
        axes.set(xlabel=POINTS, ylim=(-0.6, len(table) - 0.4))
    drawing.legend(*row[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Figure(
        drawing,
        caption,
        f"Rows {', '.join(map(str, first.index))}; markers for RGB, depth and ensemble in panels {'; '.join(panels)}.",
    )


@use_style()
def growth(work: pd.DataFrame, origin: str) -> Figure:
    """Work against the number of pixels on two logarithmic axes; the slope of each line stands beside its name."""
    drawing, axes = new(3.4)
    for column, tint, mark in zip(work, VARIANTS, "ovDP", strict=False):
        slope = np.polyfit(np.log(work.index[-3:]), np.log(work[column].iloc[-3:]), 1)[0]
        axes.plot(
            work.index,
            work[column],
            f"{mark}-",
            color=tint,
            mec="white",
            label=f"{column}: slope {slope:.2f}",
        )
    axes.set(xscale="log", yscale="log", xlabel="pixels of the map", ylabel="multiply-adds")
    axes.legend()
    return Figure(
        drawing,
        f"Work of one fusion block against the size of the map; slope 1 is linear, 2 is quadratic. {origin}",
        f"Straight lines on logarithmic axes for {', '.join(work)}; the steepest rises with the square of the pixels.",
    )


@use_style()
def heat(table: pd.DataFrame, *, xlabel: str, ylabel: str, unit: str, caption: str, alt: str) -> Figure:
    """A table as coloured cells with their numbers, 0 to 1."""
    drawing, axes = new(0.42 * len(table) + 0.9, width=0.7 * table.shape[1] + 2.2)
    drawn = axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(table.to_numpy(dtype=float)):
        axes.text(
            x,
            y,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value < 0.6 else "black",
        )
    axes.set_xticks(range(table.shape[1]), list(map(str, table)))
    axes.set_yticks(range(len(table)), list(map(str, table.index)))
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(False)
    drawing.colorbar(drawn, label=unit)
    return Figure(drawing, caption, alt)


@use_style()
def published(
    series: Mapping[str, Sequence[float]], places: Sequence[str], caption: str, alt: str, bottom: float = 0
) -> Figure:
    """Published scores against a place or a variant; the axis begins at ``bottom``."""
    drawing, axes = new(2.9)
    for name, (tint, mark) in look_of(list(series)).items():
        values = series[name]
        axes.plot(range(len(values)), values, f"{mark}-", color=tint, ms=7, mec="white", label=label(name))
    axes.set_xticks(range(len(places)), places)
    axes.set(ylabel=POINTS, ylim=(bottom, None))
    drawing.legend(loc="outside lower center", ncols=4)
    return Figure(drawing, caption, alt)
