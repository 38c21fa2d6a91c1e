"""How training went."""

from rgbd_lib import lengths, tables
from rgbd_lib.errors import UserError
from rgbd_lib.plots.style import Figure, color, marker, new, ordered, source, title, use_style

SMOOTH = 15  # epochs of a running mean: two lightings per validation scene make a rough curve


def curves(profile: str) -> Figure:
    """Validation mIoU per epoch: a line per method, the mean of its seeds, in a band from the lowest to the highest."""
    table = tables.main(profile, "history")
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
    """Scores of two lengths of training side by side, and the validation curves of the longer one."""
    table = lengths.table(profile)
    if table.empty:
        raise UserError(f"no stored profile trains like {profile} with fewer epochs")
    history = tables.main(profile, "history")
    drawing, (left, right) = new(4.6, ncols=2)
    names = ordered(list(table.index))
    both = (table.short_epochs.iloc[0], table.long_epochs.iloc[0])
    for i, name in enumerate(names):
        row = table.loc[name]
        spread = 1.03 ** (i - (len(names) - 1) / 2)  # on an axis of doublings
        for epochs, length in zip(both, ("short", "long"), strict=True):
            ends = [100 * row[f"{length}_low"], 100 * row[f"{length}_high"]]
            left.plot([spread * epochs] * 2, ends, color=color(name), lw=1.2, alpha=0.5)
        middle = [100 * row.short, 100 * row.long]
        at = [spread * epochs for epochs in both]
        left.plot(at, middle, f"{marker(name)}-", color=color(name), ms=6, label=title(name))
        runs = history[(history.method == name) & history.seed.isin(row.seeds)]
        mean = runs.groupby("epoch").val_miou.mean().rolling(SMOOTH, center=True, min_periods=1).mean()
        right.plot(mean.index + 1, 100 * mean, color=color(name), lw=1.5)
    left.set_xscale("log")
    left.set_xticks(both, [f"{n}" for n in both])
    left.minorticks_off()
    left.margins(x=0.15)
    left.set(xlabel="epochs trained", ylabel="test mIoU, mean over lightings (%)", ylim=(0, None))
    right.set(xlabel=f"epoch of {both[1]}", ylabel="validation mIoU (%)", ylim=(0, None))
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    counted = table.assign(seeds=table.seeds.map(len))
    return Figure(
        drawing,
        f"What longer training changes. Right: validation in the longer one, running mean of {SMOOTH} epochs, mean of "
        "seeds. " + source(counted, "Bars: 95 % intervals."),
        f"Left, a line per method from its score after {both[0]} epochs to that after {both[1]}; right, validation "
        "mIoU over the epochs of the longer training.",
    )
