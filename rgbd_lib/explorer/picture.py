"""A picture in a notebook that can be pointed at and that listens to arrow keys."""

from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from rgbd_lib.widgets import encoded

HERE = Path(__file__).parent


class Pointed(anywidget.AnyWidget):
    """A JPEG; ``listen`` is told of hovering, clicks and keys.

    ipywidgets' own picture has no events. This one's module travels with the kernel's messages: nothing has to be
    installed in JupyterLab or Notebook.
    """

    _esm = (HERE / "picture.js").read_text(encoding="utf-8")
    _css = (HERE / "picture.css").read_text(encoding="utf-8")
    value = traitlets.Bytes().tag(sync=True)
    number = traitlets.Int(0).tag(
        sync=True
    )  # counts pictures, so that a late one is not shown over a newer one
    alt = traitlets.Unicode().tag(sync=True)
    point = traitlets.List(traitlets.Float()).tag(sync=True)  # x, y in 0..1, or nothing
    hovers = traitlets.Bool(True).tag(sync=True)  # whether pointing without a click is reported

    def show(self, picture: np.ndarray, alt: str) -> None:
        """Show H,W,3 uint8, and say what is seen to those who cannot see it."""
        with self.hold_sync():
            self.value, self.alt, self.number = encoded(picture), alt, self.number + 1

    def listen(
        self, pointed: Callable[[float, float, bool], None], pressed: Callable[[str, bool], None]
    ) -> None:
        """Call ``pointed(x, y, clicked)`` and ``pressed(key, shift)``."""

        def heard(_: object, message: dict, buffers: object) -> None:
            if message.get("kind") in ("hover", "click"):
                x, y = (min(max(float(v), 0.0), 1.0) for v in message["at"])
                pointed(x, y, message["kind"] == "click")
            elif message.get("kind") == "key":
                pressed(str(message["key"]), bool(message["shift"]))

        self.on_msg(heard)
