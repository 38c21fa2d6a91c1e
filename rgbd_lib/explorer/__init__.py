"""The explorer: look at what methods made of a scene, in a notebook or on a page without a kernel.

``show(...)`` is the notebook's. ``store.write(profile)`` stores small predictions of finished runs,
``page.write(store, folder)`` makes a page of them that opens from a disk.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rgbd_lib.explorer.panel import Explorer
    from rgbd_lib.explorer.store import Store


def show(predictions: "Store | Path | str | None" = None, a: str = "", b: str = "") -> "Explorer":
    """Return the explorer of a store, a folder, a profile's name, or of the largest profile that has one."""
    from rgbd_lib.explorer import panel, store

    if predictions is None:
        predictions = store.latest() or store.place("quick")
    elif isinstance(predictions, str):
        predictions = store.place(predictions)
    found = store.load(predictions) if isinstance(predictions, Path) else predictions
    return panel.Explorer(found, a, b)


def ready(profile: str, methods: Sequence[str]) -> "Store":
    """Return stored predictions of at least this profile that have these methods; runs that lack are made now."""
    from rgbd_lib import lesson
    from rgbd_lib.explorer import store

    folder = store.latest(least=profile)
    if folder and set(methods) <= set((found := store.load(folder)).methods):
        return found
    runs = [lesson.run(name, profile) for name in methods]
    return store.load(store.write(profile, found=runs))
