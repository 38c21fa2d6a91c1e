"""Pictures that follow a slider, with a still picture where no kernel runs.

A slider changes the bytes of one picture; nothing is drawn in an output area. A page without a kernel (a code
host, a site, paper) shows the still picture of the same output instead.
"""

from collections.abc import Sequence

import cv2
import ipywidgets
import numpy as np

from rgbd_lib.datasets import resize
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.inference import overlay
from rgbd_lib.profiles import WHOLE

WIDTH = 480  # pixels of the live picture
STILL = (4, 2)  # lightings x scenes of the still one


class Browser:
    """Scenes x lightings with the label painted over them at any opacity."""

    def __init__(self, data: Dataset, scenes: Sequence[str], width: int = WIDTH) -> None:
        self.scenes, self.lightings, self.background = tuple(scenes), data.lightings, data.background
        frames = [data.read(scene, data.lightings[0]) for scene in self.scenes]
        height, full = frames[0].label.shape
        size = (round(width * height / full), width)
        self.label = np.stack([resize.nearest(f.label, size, WHOLE) for f in frames])
        self.rgb = np.stack(
            [[resize.colour(data.read_rgb(s, n), size, WHOLE) for n in data.lightings] for s in self.scenes]
        )
        columns, rows = (min(a, b) for a, b in zip(STILL, self.rgb.shape[1::-1], strict=True))
        self.alt = (
            f"{rows} of {len(self.scenes)} scenes under {columns} of {len(self.lightings)} lightings, with their "
            "labels painted over."
        )

    def picture(self, scene: int, lighting: int, opacity: float) -> np.ndarray:
        """Return H,W,3 of the ``scene``-th scene under the ``lighting``-th lighting."""
        return overlay(self.rgb[scene, lighting], self.label[scene], self.background, opacity)

    def still(self) -> np.ndarray:
        """Return a few scenes (rows) under a few lightings (columns, by their numbers) at half size."""
        columns = np.linspace(0, len(self.lightings) - 1, min(STILL[0], len(self.lightings))).astype(int)
        rows = [
            np.concatenate(
                [lettered(self.picture(s, n, 0.5)[::2, ::2], self.lightings[n]) for n in columns], axis=1
            )
            for s in range(min(STILL[1], len(self.scenes)))
        ]
        return np.concatenate(rows)

    def widget(self) -> ipywidgets.Widget:
        """Return three sliders above the picture they change."""
        scene, light = chooser("scene", self.scenes), chooser("lighting", self.lightings)
        opacity = ipywidgets.FloatSlider(0.4, min=0, max=1, step=0.05, description="labels")
        image = ipywidgets.Image(
            value=encoded(self.picture(0, 0, 0.4)), format="jpeg", width=self.rgb.shape[3]
        )

        def show(_: object) -> None:
            image.value = encoded(self.picture(scene.value, light.value, opacity.value))

        for slider in (scene, light, opacity):
            slider.observe(show, names="value")
        return ipywidgets.VBox([ipywidgets.HBox([scene, light, opacity]), image])

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """Show the sliders where there is a kernel, the still picture elsewhere."""
        bundle = dict(self.widget()._repr_mimebundle_())
        bundle |= {"image/jpeg": encoded(self.still()), "text/plain": self.alt}
        return bundle, {"image/jpeg": {"alt": self.alt}}


def chooser(name: str, values: Sequence[object]) -> ipywidgets.SelectionSlider:
    """Return a slider that shows values and holds their positions."""
    options = [(str(value), i) for i, value in enumerate(values)]
    return ipywidgets.SelectionSlider(options=options, description=name)


def lettered(picture: np.ndarray, lighting: int) -> np.ndarray:
    """Return a picture with the number of its lighting in the corner, readable on any ground."""
    drawn = np.ascontiguousarray(picture)
    for colour, thick in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(
            drawn, f"light {lighting}", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thick, cv2.LINE_AA
        )
    return drawn


def encoded(picture: np.ndarray) -> bytes:
    """Return H,W,3 uint8 as JPEG."""
    return cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
