"""How training went."""

from rgbd_lib import tables
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title, use_style

SMOOTH = 15  # epochs of a running mean: two lightings per validation scene make a rough curve


def curves(profile: str) -> Figure:
    """Validation mIoU per epoch: a line per method, the mean of its seeds, in a band from the lowest to the highest."""
    table = tables.read(profile, "history")
    table = table[table.variant.isna() & (table.trained_on == "mixed")]
    drawing, axes = new(4.4)
    for name in ordered(list(table.method)):
        runs = 100 * table[table.method == name].pivot(index="epoch", columns="seed", values="val_miou")
        epoch = runs.index + 1
        axes.fill_between(epoch, runs.min(axis=1), runs.max(axis=1), color=color(name), alpha=0.12, lw=0)
        axes.plot(epoch, runs.mean(axis=1), color=color(name), lw=1.3, label=title(name))
    axes.set(xlabel="epoch", ylabel="validation mIoU (%)", ylim=(0, None))
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "Validation mIoU during training, mean of the seeds. A curve that still climbs at the end says that the budget was "
        "too small. " + source(table, "Bands: lowest to highest seed."),
        "Curves of validation mIoU over epochs, one per method with a band over its seeds, coloured by method.",
    )


@use_style()
def budget(profile: str) -> Figure:
    """Scores of the plain length of training beside longer ones, and the validation curves of the longer ones."""
    table, history = tables.read(profile, "budget"), tables.read(profile, "history")
    drawing, (left, right) = new(4.6, ncols=2)
    names = ordered(list(table.method))
    spread = {
        name: 1.03 ** (i - (len(names) - 1) / 2) for i, name in enumerate(names)
    }  # on an axis of doublings
    for name in names:
        rows = table[table.method == name].sort_values("epochs")
        first = rows.iloc[0]
        points = [(first.plain_epochs, first.plain, first.plain_low, first.plain_high)]
        points += [(row.epochs, row.miou, row.miou_low, row.miou_high) for row in rows.itertuples()]
        x = [spread[name] * epochs for epochs, *_ in points]
        for at, (_, _, low, high) in zip(x, points, strict=True):
            left.plot([at, at], [100 * low, 100 * high], color=color(name), lw=1.2, alpha=0.5)
        left.plot(
            x, [100 * p[1] for p in points], f"{marker(name)}-", color=color(name), ms=6, label=title(name)
        )
        runs = history[(history.method == name) & (history.variant == f"epochs={rows.iloc[-1].epochs}")]
        mean = runs.groupby("epoch").val_miou.mean().rolling(SMOOTH, center=True, min_periods=1).mean()
        right.plot(mean.index + 1, 100 * mean, color=color(name), lw=1.5)
    lengths = sorted({*table.epochs, *table.plain_epochs})
    left.set_xscale("log")
    left.set_xticks(lengths, [f"{n}" for n in lengths])
    left.minorticks_off()
    left.margins(x=0.15)
    left.set(xlabel="epochs trained", ylabel="test mIoU, mean over lightings (%)", ylim=(0, None))
    right.set(xlabel=f"epoch of {lengths[-1]}", ylabel="validation mIoU (%)", ylim=(0, None))
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        f"What longer training changes. Right: validation while the longest runs train, running mean of {SMOOTH} epochs. "
        + source(table, "Bars: 95 % intervals."),
        f"Left, a line per method from its score after {lengths[0]} epochs to that after {lengths[-1]}; right, validation "
        "mIoU over the epochs of the longest runs.",
    )
