"""One test scene as every method sees it, kept with the tables so that figures need neither data nor weights.

``results/<profile>/examples.npz`` holds the scene under all lightings as thumbnails, under a good and a bad one at
full size, its depth and label, and what every method answers there. It is made where data and weights are at hand
and left as it is where they are not.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from rgbd_lib import kept, lesson, methods, metrics, paths
from rgbd_lib.conditions import Condition, Stage, lightings
from rgbd_lib.errors import UserError
from rgbd_lib.records import key, newest, plain
from rgbd_lib.runs import Record, records

FILE = "examples.npz"
THUMBNAIL = 48  # rows of pixels
ABOUT = ("profile", "data", "synthetic", "seed")


@dataclass(frozen=True)
class Examples:
    """What figures show of one scene; ``good`` and ``bad`` are positions among ``conditions``."""

    about: dict[str, object]  # profile, data, synthetic, seed, scene, classes, conditions, good, bad
    thumbnails: np.ndarray  # C,h,w,3 uint8: every lighting
    rgb: np.ndarray  # 2,H,W,3 uint8: the good and the bad lighting
    depth: np.ndarray  # H,W float32, NaN where missing
    label: np.ndarray  # H,W uint8
    predictions: dict[str, np.ndarray]  # method -> 2,H,W uint8

    def save(self, path: Path) -> None:
        """Write everything as one compressed file."""
        arrays = {name: getattr(self, name) for name in ("thumbnails", "rgb", "label")}
        arrays |= {f"prediction/{name}": found for name, found in self.predictions.items()}
        depth = self.depth.astype(np.float16)  # millimetres at a table's distance; half the bytes
        with kept.replacing(path) as partial:
            np.savez_compressed(partial, about=json.dumps(self.about), depth=depth, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Examples":
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            values = dict(stored)
        names = [n for n in values if n.startswith("prediction/")]
        predictions = {n.removeprefix("prediction/"): values.pop(n) for n in names}
        about, depth = json.loads(str(values.pop("about"))), values.pop("depth").astype(np.float32)
        return cls(about=about, depth=depth, predictions=predictions, **values)


def load(profile: str) -> Examples:
    """Return a profile's stored scene."""
    path = paths.results() / profile / FILE
    if not path.exists():
        raise UserError(f"{path} does not exist; `rgbd study --profile {profile}` makes it where the data is")
    return Examples.load(path)


def write(profile: str) -> None:
    """Store one scene for a profile's plain runs; without data or weights what is there stays, and that is said."""
    chosen = newest(r for r in records() if r.info["parameters"]["profile"] == profile and plain(r))
    path = paths.results() / profile / FILE
    if not chosen:
        return
    try:
        found = collect(first_of_each(chosen), Examples.load(path) if path.exists() else None)
    except (UserError, OSError, BadZipFile) as error:
        print(f"no new {FILE}: {error}")
    else:
        found.save(path)


def first_of_each(found: Sequence[Record]) -> dict[str, Record]:
    """Return each method's run of the lowest seed."""
    by_seed = sorted(found, key=lambda r: -r.info["parameters"]["seed"])
    latest = {r.info["parameters"]["method"]: r for r in by_seed}
    names = dict.fromkeys(r.info["parameters"]["method"] for r in found)
    return {name: latest[name] for name in names}


def collect(found: dict[str, Record], before: Examples | None = None) -> Examples:
    """Show the scene of median score to every method, under the lightings that are best and worst for all.

    Where ``before`` has methods of which no run is here, its scene stays, and what they answered.
    """
    first = next(iter(found.values()))
    data = first.run.material()
    if data.cache.identity != first.info["data"]["identity"]:
        raise UserError(f"the data in {first.run.data} is not what the runs were made with")
    found = {name: r for name, r in found.items() if r.scores().scenes == first.scores().scenes}
    every, test = lightings(data), [data.cache.scenes[i] for i in data.splits["test"]]
    same = before and before.about["data"] == key(first)["data"] and before.about["scene"] in test
    if same and set(before.predictions) - set(found):
        scene, good, bad = test.index(before.about["scene"]), before.about["good"], before.about["bad"]
        others = before.predictions
    else:
        scene, good, bad = choose(found, data.dataset.background)
        others = {}
    looks = {name: lesson.look(r, scene, [every[good], every[bad]]) for name, r in found.items()}
    look = next(iter(looks.values()))
    about = {k: v for k, v in key(first).items() if k in ABOUT}
    about |= {"scene": test[scene], "classes": list(data.dataset.classes)}
    about |= {"conditions": [c.name for c in every], "good": good, "bad": bad}
    about |= {"metric": bool(data.metric)}
    answers = others | {name: one.prediction for name, one in looks.items()}
    predictions = {name: answers[name] for name in methods.names() if name in answers}
    return Examples(about, thumbnails(first, scene, every), look.rgb, look.depth[0], look.label, predictions)


def choose(found: dict[str, Record], background: int | None) -> tuple[int, int, int]:
    """Return the test scene of median score over all methods, and the best and the worst lighting."""
    matrices = sum(r.scores().matrices for r in found.values())  # S,C,K,K
    by_scene = metrics.miou(matrices.sum(1), background)
    order = np.argsort(metrics.miou(matrices.sum(0), background), kind="stable")
    return int(np.argsort(by_scene, kind="stable")[len(by_scene) // 2]), int(order[-1]), int(order[0])


def thumbnails(record: Record, scene: int, conditions: Sequence[Condition]) -> np.ndarray:
    """Return a scene under conditions as C,h,w,3 uint8, every few pixels averaged."""
    data = record.run.material()
    position = data.splits["test"][scene : scene + 1]
    sample = Stage(data, "test", "cpu").before(position, conditions)
    step = max(1, sample.rgb.shape[-2] // THUMBNAIL)
    height, width = (n // step * step for n in sample.rgb.shape[-2:])
    blocks = sample.rgb[..., :height, :width].unflatten(-1, (-1, step)).unflatten(-3, (-1, step))
    small = blocks.mean((-3, -1)).permute(0, 2, 3, 1)
    return (255 * small).round().byte().numpy()
