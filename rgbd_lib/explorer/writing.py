"""Making stored predictions from finished runs: the same runs give the same bytes."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from rgbd_lib import machine, metrics
from rgbd_lib import methods as registry
from rgbd_lib.conditions import Condition, Stage, lightings
from rgbd_lib.datasets import resize
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.datasets.batches import normalise
from rgbd_lib.errors import UserError
from rgbd_lib.explorer import store
from rgbd_lib.material import Material
from rgbd_lib.profiles import WHOLE
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.records import newest, plain
from rgbd_lib.runs import Record, records

SCENES = 12
PHOTO_PIXELS = 96_000  # of one stored photograph; larger ones are made smaller
MAP_PIXELS = 20_000  # of one stored map
STEPS = 20  # confidence is kept in twentieths: finer steps are noise that costs three times the space
QUALITY = 80


@dataclass(frozen=True)
class Chosen:
    """What is written: scenes of the material that all runs share, at two sizes."""

    material: Material
    positions: np.ndarray  # in the cache
    size: tuple[int, int]
    photo_size: tuple[int, int]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Return the lightings."""
        return lightings(self.material)


def write(
    profile: str,
    folder: Path | None = None,
    *,
    methods: Sequence[str] | None = None,
    scenes: int = SCENES,
    found: Iterable[Record] | None = None,
) -> Path:
    """Write the predictions of a profile's finished runs (default: of all methods) and return their folder.

    The folder is replaced as a whole when everything is written. By default what it has of methods of which no run is
    here stays.
    """
    folder = Path(folder) if folder else store.place(profile)
    runs = comparable(profile, methods, records() if found is None else found)
    chosen = choose(runs[0].run.material(), scenes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".explorer-") as made:
        target = Path(made) / "new"
        target.mkdir()
        scene_rows = [write_scene(target, n, chosen) for n in range(len(chosen.positions))]
        method_rows = [write_method(target, record, chosen) for record in runs]
        index = about(runs[0], chosen) | {"scenes": scene_rows, "methods": method_rows}
        if methods is None:
            index["methods"] = in_order(method_rows + take_over(folder, index, target))
        (target / store.INDEX).write_text(compact(index), encoding="utf-8")
        store.load(target)  # what would not be read back must not replace what could
        if folder.exists():
            os.replace(folder, Path(made) / "old")
        shutil.move(target, folder)
    store.sheet.cache_clear()
    return folder


def take_over(old: Path, index: Mapping[str, object], target: Path) -> list[dict[str, object]]:
    """Copy what a folder has of methods that the new index lacks, on the same scenes; return their rows."""
    try:
        store.load(old)
    except UserError:  # nothing there, or nothing that can be used
        return []
    before = json.loads((old / store.INDEX).read_text(encoding="utf-8"))
    other = [p for p in before if p != "methods" and before[p] != json.loads(json.dumps(index.get(p)))]
    if other:
        print(f"{old}: {len(before['methods'])} methods make room, stored with other {', '.join(other)}")
        return []
    made = {row["name"] for row in index["methods"]}
    rows = [row for row in before["methods"] if row["name"] not in made and row["name"] in registry.names()]
    for row in rows:
        for kind in ("map", "sure"):
            for number in range(len(before["scenes"])):
                name = f"{kind}-{row['name']}-{number:02d}.png"
                shutil.copyfile(old / name, target / name)
    return rows


def in_order(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """Return methods in the order of figures."""
    return sorted(rows, key=lambda row: registry.names().index(row["name"]))


def comparable(profile: str, wanted: Sequence[str] | None, found: Iterable[Record]) -> list[Record]:
    """Return one plain run per method, all of one seed, that learned from the same data."""
    seed = profile_of(profile).seeds[0]
    runs = [r for r in newest(found) if plain(r) and matches(r, profile, seed)]
    runs = [r for r in runs if wanted is None or r.info["parameters"]["method"] in wanted]
    if not runs:
        raise UserError(
            f"no finished run of profile '{profile}' with seed {seed}; make them with `rgbd study --profile {profile}`"
        )
    latest = max(runs, key=lambda r: r.info["cost"]["finished"])
    return [r for r in runs if r.info["data"]["identity"] == latest.info["data"]["identity"]]


def matches(record: Record, profile: str, seed: int) -> bool:
    """Whether a record is of this profile and seed."""
    made = record.info["parameters"]
    return (made["profile"], made["seed"]) == (profile, seed)


def choose(material: Material, scenes: int) -> Chosen:
    """Return evenly spaced test scenes, so that all capture runs of the split are seen."""
    test = material.splits["test"]
    positions = test[np.linspace(0, len(test) - 1, min(scenes, len(test))).round().astype(int)]
    top, left, bottom, right = material.cache.crop
    full = material.dataset.read(material.cache.scenes[positions[0]], material.dataset.lightings[0]).label
    window = ((bottom - top) * full.shape[0], (right - left) * full.shape[1])
    return Chosen(material, positions, within(material.cache.size, MAP_PIXELS), within(window, PHOTO_PIXELS))


def within(size: Sequence[float], pixels: int) -> tuple[int, int]:
    """Return a size of the same shape with about so many pixels at most."""
    factor = min(1.0, (pixels / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def write_scene(folder: Path, number: int, chosen: Chosen) -> dict[str, object]:
    """Write what all methods share of a scene; return its row of the index."""
    cache, position = chosen.material.cache, chosen.positions[number]
    name = cache.scenes[position]
    photos = [
        resize.colour(chosen.material.dataset.read_rgb(name, light), chosen.photo_size, cache.crop)
        for light in cache.lightings
    ]
    save(
        folder / f"scene-{number:02d}-photo.jpg",
        np.concatenate(photos)[..., ::-1],
        cv2.IMWRITE_JPEG_QUALITY,
        QUALITY,
    )
    save(folder / f"scene-{number:02d}-truth.png", resize.nearest(cache.label[position], chosen.size, WHOLE))
    depth, valid = (resize.nearest(a[position], chosen.size, WHOLE) for a in (cache.depth, cache.valid))
    raw = depth * cache.to_raw
    near, far = (
        (float(f"{end:.4g}") for end in (raw[valid].min(), raw[valid].max())) if valid.any() else (0, 1)
    )
    share = np.clip((raw - near) / max(far - near, 1e-9), 0, 1)
    save(
        folder / f"scene-{number:02d}-depth.png",
        np.where(valid, 1 + np.round(254 * share), 0).astype(np.uint8),
    )
    return {"name": name, "near": near, "far": far}


def write_method(folder: Path, record: Record, chosen: Chosen) -> dict[str, object]:
    """Write a run's answers to all scenes; return its row of the index."""
    name = record.info["parameters"]["method"]
    scores = []
    for number, (found, confidence, iou) in enumerate(answers(record, chosen)):
        save(folder / f"map-{name}-{number:02d}.png", small(found, chosen.size))
        steps = np.round(small(confidence, chosen.size) * STEPS) * (255 / STEPS)
        save(folder / f"sure-{name}-{number:02d}.png", np.round(steps).astype(np.uint8))
        scores.append([{str(k): round(float(v), 4) for k, v in enumerate(i) if v == v} for i in iou])
    return {"name": name, "title": registry.get(name).title, "run": record.folder.name, "iou": scores}


@torch.inference_mode()
def answers(record: Record, chosen: Chosen) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield classes L,H,W, confidence L,H,W and IoU L,K of each scene, at the size at which it is scored."""
    material, todo = chosen.material, chosen.conditions
    stage, model = Stage(material, "test", "cpu"), record.model()
    for position in chosen.positions:
        sample = stage.before(np.array([position]), todo)
        with machine.choose("cpu", record.run.recipe.precision).autocast():
            logits = model(*normalise(sample, material.stats)).logits
        confidence, found = logits.float().softmax(1).max(1)
        matrices = metrics.confusions(sample.label, found, material.classes).numpy()
        yield found.to(torch.uint8).numpy(), confidence.numpy(), metrics.iou(matrices)


def small(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return L,H,W maps at the stored size, one below the other."""
    return np.concatenate([resize.nearest(one, size, WHOLE) for one in maps])


def about(record: Record, chosen: Chosen) -> dict[str, object]:
    """Return what the index says of all scenes and methods together."""
    data, made = chosen.material.dataset, record.info["parameters"]
    return {
        "format": store.FORMAT,
        "profile": made["profile"],
        "data": data.name,
        "synthetic": data.synthetic,
        "seed": made["seed"],
        "classes": list(data.classes),
        "background": data.background,
        "ignored": IGNORE,
        "lightings": [c.name for c in chosen.conditions],
        "unit": "m" if chosen.material.metric else "level / 255",
        "size": chosen.size,
        "photo": chosen.photo_size,
    }


def save(path: Path, image: np.ndarray, *options: int) -> None:
    """Write a picture; PNG as small as it gets."""
    if not cv2.imwrite(str(path), image, list(options) or [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise UserError(f"cannot write {path}: is the disk full?")


def compact(index: dict) -> str:
    """Return JSON with one line per entry and per scene of a method: readable, and small differences stay small."""
    plain = {k: v for k, v in index.items() if k != "methods"}
    lines = [f' "{k}": {json.dumps(v)},' for k, v in plain.items()]
    rows = []
    for one in index["methods"]:
        scores = ",\n   ".join(json.dumps(row, separators=(",", ":")) for row in one["iou"])
        head = json.dumps({k: v for k, v in one.items() if k != "iou"})[:-1]
        rows.append(f'  {head}, "iou": [\n   {scores}]}}')
    return "\n".join(["{", *lines, ' "methods": [', ",\n".join(rows), " ]", "}"]) + "\n"
