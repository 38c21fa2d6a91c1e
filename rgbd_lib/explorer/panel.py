"""The explorer in a notebook: two methods' pictures, and the controls that change them."""

from collections.abc import Callable

import cv2
import ipywidgets as w
import numpy as np

from rgbd_lib.explorer import report, views
from rgbd_lib.explorer.live import AS_STORED, Lamp
from rgbd_lib.explorer.picture import Pointed
from rgbd_lib.explorer.source import Seen, Source
from rgbd_lib.explorer.store import Store
from rgbd_lib.widgets import encoded

EVERY = -1  # the entry "all classes"
NARROW = w.Layout(width="min(100%, 21rem)")
BOX = w.Layout(width="auto", margin="2px 1rem 2px 2px")
STEP = {"ArrowLeft": (0, -1), "ArrowRight": (0, 1), "ArrowUp": (-1, 0), "ArrowDown": (1, 0)}


class Explorer:
    """Scenes under all lightings, and what two methods made of them.

    Every control changes bytes of pictures that are there; nothing is drawn in an output area.
    """

    def __init__(self, store: Store, a: str = "", b: str = "") -> None:
        self.store, self.source = store, Source(store)
        self.names = list(store.methods)
        self._held, self._lit = False, None  # whether drawing waits; whose thumbnails are shown
        first = store.known(a) if a else self.names[0]
        second = store.known(b) if b else self.names[min(1, len(self.names) - 1)]
        self._build(first, second)
        self._connect()
        self.draw()

    # -- what there is ------------------------------------------------------------------------------

    def _build(self, first: str, second: str) -> None:
        titles = [(m.title, m.name) for m in self.store.methods.values()]
        scenes = [(f"scene {s.name}", i) for i, s in enumerate(self.store.scenes)]
        lights = [(name, i) for i, name in enumerate(self.store.lightings)]
        self.scene = control(w.Dropdown, "scene", options=scenes)
        self.light = control(w.Dropdown, "lighting", options=lights)
        self.view = control(w.Dropdown, "view", options=[*views.VIEWS])
        self.opacity = control(w.FloatSlider, "opacity", value=0.7, min=0, max=1, step=0.05)
        kinds = [("all classes", EVERY), *((name, i) for i, name in enumerate(self.store.classes))]
        self.classes = control(w.SelectMultiple, "classes", options=kinds, value=(EVERY,), rows=4)
        self.methods = [
            control(w.Dropdown, n, options=titles, value=v) for n, v in (("A", first), ("B", second))
        ]
        self.disagree = w.Button(description="most disagreement", layout=w.Layout(width="auto"))
        self.worst = w.Button(description="worst for A", layout=w.Layout(width="auto"))
        self.stops = control(w.FloatSlider, "dimmer", value=0, min=-2, max=8, step=0.5, readout_format="+.1f")
        self.camera, self.depth = (
            w.Checkbox(True, description=f"{name} on", indent=False, layout=BOX)
            for name in ("camera", "depth sensor")
        )
        self.inside = control(w.Dropdown, "inside of", options=[("nothing", "")])
        self.strip, self.pictures = Pointed(hovers=False), [Pointed(), Pointed()]
        self.pointed, self.key, self.scores, self.status = w.HTML(), w.HTML(), w.HTML(), w.HTML()
        self.captions = [w.HTML(), w.HTML()]

    def _connect(self) -> None:
        redrawn = (self.scene, self.light, self.view, self.opacity, self.classes, *self.methods)
        for one in (*redrawn, self.stops, self.camera, self.depth, self.inside):
            one.observe(lambda _: self.draw(), names="value")
        self.disagree.on_click(lambda _: self.jump(self.source.most_disagreement(*self.chosen())))
        self.worst.on_click(lambda _: self.jump(self.source.worst(self.chosen()[0])))
        self.strip.listen(self._pick_light, self._key)
        for picture in self.pictures:
            picture.listen(self._point, self._key)

    def widget(self) -> w.Widget:
        """Return everything laid out."""
        column = w.Layout(flex="1 1 20rem", min_width="16rem", padding="2px 6px 2px 0")
        shown = [
            w.VBox([m, p, c], layout=column)
            for m, p, c in zip(self.methods, self.pictures, self.captions, strict=True)
        ]
        rows = w.Layout(flex_flow="row wrap", align_items="flex-start")
        live = [self.stops, w.HBox([self.camera, self.depth]), self.inside, self.status]
        whole = w.VBox(
            [
                w.HBox([self.scene, self.light, self.view, self.opacity, self.classes], layout=rows),
                w.HBox([self.disagree, self.worst]),
                self.strip,
                w.HBox(shown, layout=rows),
                self.key,
                self.pointed,
                w.HBox(live, layout=rows),
                self.scores,
            ],
            layout=w.Layout(max_width="1000px"),
        )
        return whole.add_class("rgbd-explorer")  # where keys are ours: see picture.js

    # -- what happens -------------------------------------------------------------------------------

    def chosen(self) -> list[str]:
        """Return the names of A and B."""
        return [one.value for one in self.methods]

    def choice(self) -> views.Choice:
        """Return how pictures are shown now."""
        kinds = frozenset() if EVERY in self.classes.value else frozenset(self.classes.value)
        return views.Choice(self.view.value, self.opacity.value, kinds, self.store.background)

    def draw(self) -> None:
        """Show what the controls say."""
        if self._held:
            return
        able = self._offer()
        lamp = Lamp(self.stops.value, self.camera.value, self.depth.value) if able else AS_STORED
        where, inside = (self.scene.value, self.light.value), self.inside.value if able else ""
        self.seen = [self.source.see(name, *where, lamp, inside) for name in self.chosen()]
        for seen, picture, caption in zip(self.seen, self.pictures, self.captions, strict=True):
            picture.show(self._painted(seen), self._alt(seen))
            caption.value = report.caption(self.store, seen)
        if where != self._lit:
            self.strip.show(self.source.strip(*where), report.strip(self.store, where[1]))
            self._lit = where
        self.key.value = report.key(self.store, self.view.value, self.seen)
        self.scores.value = report.table(self.store, self.seen)
        self._name()

    def _painted(self, seen: Seen) -> np.ndarray:
        """Return the photograph with what the method reports of itself laid over it, or else with the view."""
        if seen.inside is not None:
            return views.paint(seen.picture.photo, views.inside(seen.inside))
        return views.paint(seen.picture.photo, views.VIEWS[self.view.value](seen.picture, self.choice()))

    def _alt(self, seen: Seen) -> str:
        scene, light = self.store.scenes[self.scene.value].name, self.store.lightings[self.light.value]
        shown = self.view.value if seen.inside is None else self.inside.value
        return f"{shown} of scene {scene}, {light}, by {self.store.methods[seen.method].title}"

    def _offer(self) -> bool:
        """Switch on what the runs on this machine allow, and say why not; return whether the models can be asked."""
        able = all(self.source.live.has(name) for name in self.chosen())
        for one in (self.camera, self.depth, self.inside):
            one.disabled = not able
        self.stops.disabled = not (able and self.source.live.dims)
        offered = [("nothing", ""), *((n, n) for n in (self.source.maps_of(self.chosen()) if able else []))]
        if tuple(offered) != tuple(self.inside.options):
            keep = self.inside.value if (self.inside.value,) * 2 in offered else ""
            self._quietly(
                lambda: (setattr(self.inside, "options", offered), setattr(self.inside, "value", keep))
            )
        self.status.value = report.ABSENT if not able else report.UNLIT if self.stops.disabled else ""
        return able

    def _quietly(self, change: Callable[[], object]) -> None:
        self._held = True
        try:
            change()
        finally:
            self._held = False

    def jump(self, where: tuple[int, int]) -> None:
        """Go to a scene and a lighting."""
        self._quietly(
            lambda: (setattr(self.scene, "value", where[0]), setattr(self.light, "value", where[1]))
        )
        self.draw()

    def _pick_light(self, x: float, y: float, clicked: bool) -> None:
        if clicked:
            self.light.value = min(int(x * len(self.store.lightings)), len(self.store.lightings) - 1)

    def _key(self, key: str, shift: bool) -> None:
        down, right = STEP.get(key, (0, 0))
        if shift:
            height, width = self.store.size
            x, y = self.pictures[0].point or (0.5, 0.5)
            self._point(
                float(np.clip(x + right / width, 0, 0.9999)), float(np.clip(y + down / height, 0, 0.9999))
            )
        else:
            self.jump(
                (
                    (self.scene.value + down) % len(self.store.scenes),
                    (self.light.value + right) % len(self.store.lightings),
                )
            )

    def _point(self, x: float, y: float, clicked: bool = False) -> None:
        for picture in self.pictures:
            picture.point = [x, y]
        self._name()

    def _name(self) -> None:
        self.pointed.value = report.named(self.store, self.seen, self.pictures[0].point)

    # -- where no kernel is ---------------------------------------------------------------------------

    def still(self) -> np.ndarray:
        """Return the strip of lightings above the two pictures."""
        strip = self.source.strip(self.scene.value, self.light.value)
        pair = np.concatenate([self._painted(seen) for seen in self.seen], axis=1)
        return np.concatenate([cv2.resize(strip, (pair.shape[1], strip.shape[0])), pair])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """Show the controls where there is a kernel, a still picture elsewhere."""
        alt = " / ".join(self._alt(seen) for seen in self.seen)
        bundle = dict(self.widget()._repr_mimebundle_())
        return bundle | {"image/jpeg": encoded(self.still()), "text/plain": alt}, {"image/jpeg": {"alt": alt}}


def control(kind: type[w.Widget], name: str, **traits: object) -> w.Widget:
    """Return a control with its name before it."""
    return kind(description=name, layout=NARROW, style={"description_width": "4.5rem"}, **traits)
