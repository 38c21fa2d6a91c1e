"""How training went."""

from rgbd_lib import tables
from rgbd_lib.plots.style import Figure, color, new, ordered, source, title


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
