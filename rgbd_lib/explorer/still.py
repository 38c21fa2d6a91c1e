"""The explorer's message as a still figure, for paper and for pages without a kernel."""

from collections.abc import Sequence

from matplotlib.patches import Patch

from rgbd_lib.explorer import views
from rgbd_lib.explorer.source import Source
from rgbd_lib.plots.scenes import sheet as pictures
from rgbd_lib.plots.style import Figure, use_style

COLUMNS = {"truth": views.labelled, "prediction": views.overlay, "mistakes": views.error}


def sheet(source: Source, methods: Sequence[str], scene: int, light: int) -> Figure:
    """Show truth, prediction and mistakes of methods on one stored image, a row per method."""
    store, named = source.store, []
    for name in methods:
        seen = source.see(name, scene, light)
        for view, draw in COLUMNS.items():
            choice = views.Choice(view, 0.75, frozenset(), store.background)
            title = view if view == "truth" else f"{store.methods[name].title}: {view}"
            named.append((title, views.paint(seen.picture.photo, draw(seen.picture, choice))))
    drawing, _ = pictures(named, columns=len(COLUMNS))
    with use_style():
        handles = [Patch(color=[c / 255 for c in colour], label=text) for text, colour in views.ERRORS]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)
        width, height = drawing.get_size_inches()
        drawing.set_size_inches(width, height + 0.25)
    return Figure(drawing, caption(source, methods, scene, light), alt(source, methods))


def caption(source: Source, methods: Sequence[str], scene: int, light: int) -> str:
    """Return what is shown, and of what data and runs."""
    store = source.store
    scores = ", ".join(f"{store.methods[m].title} {100 * store.miou(m, scene, light):.0f} %" for m in methods)
    kind = "synthetic data" if store.synthetic else store.data
    return (
        f"Scene {store.scenes[scene].name} under {store.lightings[light]}: truth, prediction, and wrong pixels by kind "
        f"of mistake. Image mIoU: {scores} ({kind}, profile {store.profile}, seed {store.seed})."
    )


def alt(source: Source, methods: Sequence[str]) -> str:
    """Return what is seen."""
    titles = " and ".join(source.store.methods[m].title for m in methods)
    return f"A row of three pictures for each of {titles}: the labelled photograph, the prediction over it, its errors."
