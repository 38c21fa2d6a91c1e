"""Where the explorer's pictures come from: the store as it is, or the live models once something is changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from rgbd_lib import metrics
from rgbd_lib.explorer import views
from rgbd_lib.explorer.live import AS_STORED, Lamp, Live
from rgbd_lib.explorer.store import Picture, Store

THUMB = 120  # pixels: width of a lighting's thumbnail
KEPT = 32  # answers: opacity, view and classes change without asking a model or reading a file again
FRAME, BLACK, WHITE = (253, 231, 55), (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Seen:
    """A method's answer to one image, and its scores."""

    method: str
    picture: Picture
    iou: dict[int, float]
    live: bool
    inside: np.ndarray | None = None

    @property
    def miou(self) -> float:
        """Return the mean over the classes of the truth."""
        return sum(self.iou.values()) / len(self.iou) if self.iou else float("nan")


class Source:
    """Pictures of a store's scenes, stored or live."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.live = Live(store)
        self.strip = lru_cache(maxsize=64)(self._strip)
        self._answer = lru_cache(maxsize=KEPT)(self._asked)
        self._maps_of = lru_cache(maxsize=64)(self._reported)

    def see(self, method: str, scene: int, light: int, lamp: Lamp = AS_STORED, inside: str = "") -> Seen:
        """Return a method's answer; from the store where nothing is changed and nothing more is asked."""
        return self._answer(method, scene, light, lamp, inside)

    def _asked(self, method: str, scene: int, light: int, lamp: Lamp, inside: str) -> Seen:
        if not self.live.has(method) or (lamp == AS_STORED and not inside):
            picture = self.store.picture(method, scene, light)
            return Seen(method, picture, dict(self.store.iou(method, scene, light)), live=False)
        sample, photo = self.live.sample(scene, light, lamp)
        look = self.live.look(method, sample, explain=bool(inside))
        picture = self.live.picture(look, photo, self.store.photos(scene)[light], lamp.camera)
        maps = dict(self.live.explained(look)) if inside else {}
        return Seen(method, picture, self.scores(picture), True, maps.get(inside))

    def scores(self, picture: Picture) -> dict[int, float]:
        """Return the IoU of the classes in the truth."""
        pair = (torch.from_numpy(a[None].copy()) for a in (picture.truth, picture.prediction))
        found = metrics.iou(metrics.confusions(*pair, len(self.store.classes)).numpy())[0]
        return {k: float(v) for k, v in enumerate(found) if v == v}

    def maps_of(self, chosen: Sequence[str]) -> list[str]:
        """Return the names of the maps that these methods report about an image."""
        return list(dict.fromkeys(name for method in chosen for name in self._maps_of(method)))

    def _reported(self, method: str) -> tuple[str, ...]:
        sample, _ = self.live.sample(0, 0, AS_STORED)
        return tuple(name for name, _ in self.live.explained(self.live.look(method, sample, explain=True)))

    def most_disagreement(self, a: str, b: str) -> tuple[int, int]:
        """Return the scene and lighting of which two methods call most pixels differently; the first of equals."""
        share = [
            views.disagreement(self.store.maps(a, s), self.store.maps(b, s))
            for s in range(len(self.store.scenes))
        ]
        return position(np.array(share))

    def worst(self, method: str) -> tuple[int, int]:
        """Return the scene and lighting of a method's lowest image mIoU; the first of equals."""
        scenes, lights = range(len(self.store.scenes)), range(len(self.store.lightings))
        return position(-np.array([[self.store.miou(method, s, n) for n in lights] for s in scenes]))

    def _strip(self, scene: int, light: int) -> np.ndarray:
        """Return thumbnails of all lightings side by side, the shown one framed."""
        photos = self.store.photos(scene)
        size = (THUMB, max(1, round(THUMB * photos.shape[1] / photos.shape[2])))
        tiles = [cv2.resize(photo, size, interpolation=cv2.INTER_AREA) for photo in photos]
        for tile, name in zip(tiles, self.store.lightings, strict=True):
            for colour, thick in ((BLACK, 3), (WHITE, 1)):  # readable on any photograph
                cv2.putText(tile, name, (6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, thick, cv2.LINE_AA)
        height, width = tiles[light].shape[:2]
        cv2.rectangle(tiles[light], (1, 1), (width - 2, height - 2), FRAME, 3)
        return np.concatenate(tiles, axis=1)


def position(values: np.ndarray) -> tuple[int, int]:
    """Return where the largest value is; NaN counts as the smallest."""
    row, column = np.unravel_index(np.argmax(np.where(np.isnan(values), -np.inf, values)), values.shape)
    return int(row), int(column)
