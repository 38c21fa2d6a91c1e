"""How training went."""

from rgbd_lib import tables
from rgbd_lib.plots.style import Figure, color, new, ordered, source, title


def curves(profile: str) -> Figure:
    """Validation mIoU per epoch, one line per run."""
    table = tables.read(profile, "history")
    table = table[table.variant.isna() & (table.trained_on == "mixed")]
    drawing, axes = new(4.4)
    for name in ordered(list(table.method)):
        for i, (_, run) in enumerate(table[table.method == name].groupby("seed")):
            axes.plot(
                run.epoch + 1,
                100 * run.val_miou,
                color=color(name),
                lw=1.3,
                alpha=0.8,
                label=None if i else title(name),
            )
    axes.set(xlabel="epoch", ylabel="validation mIoU (%)", ylim=(0, None))
    drawing.legend(loc="outside lower center", ncols=4, fontsize=8)
    return Figure(
        drawing,
        "Validation mIoU during training. A curve that still climbs at the end says that the budget was too small. "
        + source(table),
        "Curves of validation mIoU over epochs, one per run, coloured by method.",
    )
