"""Look at every file of a data set before an hour of training does."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from rgbd_lib.datasets import images, splits
from rgbd_lib.datasets.base import IGNORE, Dataset, Frame
from rgbd_lib.datasets.indoor import white_border
from rgbd_lib.errors import UserError
from rgbd_lib.progress import Progress

KINDS = ("official", "grouped")
SPLITS = ("train", "val", "test")
_LEVELS = 65536
_PLAUSIBLE = (0.1, 20.0)  # metres; a median outside speaks for a wrong factor
_QUANTILES = {"min": 0.0, "p1": 0.01, "median": 0.5, "p99": 0.99, "max": 1.0}


@dataclass
class Report:
    """What was found. ``errors`` must be mended; ``notes`` are worth a look."""

    path: str
    decision: str
    name: str
    synthetic: bool
    scenes: int
    runs: int
    lightings: tuple[int, ...]
    folders: dict[str, int]  # sub-folder -> image files in it
    stored: dict[str, dict[str, int]] = field(default_factory=dict)  # part -> "480x640 8-bit colour" -> files
    classes: list[dict[str, object]] = field(default_factory=list)  # id, name, scenes, pixels (share)
    void: float = 0.0  # share of ignored pixels
    depth: dict[str, object] = field(default_factory=dict)  # unit, quantiles, missing (share), worst scene
    colour: dict[int, dict[str, list[float]]] = field(
        default_factory=dict
    )  # lighting -> mean, std of R, G, B
    splits: dict[str, dict[str, object]] = field(default_factory=dict)  # kind -> sizes, lacking, leakage
    notes: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values for JSON."""
        return asdict(self)


@dataclass
class _Seen:
    """What one scene adds up to."""

    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stored: list[tuple[str, str]] = field(default_factory=list)
    labels: np.ndarray | None = None  # 256 counts
    depth: np.ndarray | None = None  # counts of valid values
    missing: float = 0.0
    colour: dict[int, np.ndarray] = field(default_factory=dict)  # lighting -> (n, sum, sum of squares) x 3


def check(dataset: Dataset, progress: bool = True) -> Report:
    """Read every frame under every lighting and report; nothing but the paths of bad files stops at a file."""
    report = Report(
        path=str(dataset.root),
        decision=getattr(dataset, "decision", ""),
        name=dataset.name,
        synthetic=dataset.synthetic,
        scenes=len(dataset.scenes),
        runs=0,
        lightings=tuple(dataset.lightings),
        folders=folders(Path(dataset.root)),
    )
    seen: dict[str, _Seen] = {}
    bar = Progress(len(dataset.scenes), "reading", quiet=not progress)
    with ThreadPoolExecutor(2) as pool:
        for scene, one in zip(
            dataset.scenes, pool.map(lambda s: _look(dataset, s), dataset.scenes), strict=True
        ):
            seen[scene] = one
            bar.step()
    bar.close()
    _add_files(report, seen)
    _add_labels(report, dataset, seen)
    _add_depth(report, dataset, seen)
    _add_colour(report, seen)
    _add_splits(report, dataset, seen)
    report.notes = [*_skipped(dataset), *getattr(dataset, "notes", ()), *report.notes]
    return report


def folders(root: Path, most: int = 30) -> dict[str, int]:
    """Return folder -> number of image files in it; with many folders, those at the top and all below them."""
    found: Counter[str] = Counter()
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        count = sum(os.path.splitext(name)[1].lower() in images.EXTENSIONS for name in names)
        if count:
            found[Path(place).relative_to(root).as_posix()] = count
    if len(found) <= most:
        return dict(found)
    top: Counter[str] = Counter()
    for name, count in found.items():
        top[name.split("/")[0]] += count
    return dict(top)


def _look(dataset: Dataset, scene: str) -> _Seen:
    """Read everything of one scene; what cannot be read is an error in the result."""
    seen = _Seen()
    frame: Frame | None = None
    for number, lighting in enumerate(dataset.lightings):
        try:
            if number == 0:
                frame = dataset.read(scene, lighting)
            rgb = frame.rgb if number == 0 and frame else dataset.read_rgb(scene, lighting)
        except UserError as error:
            seen.errors.append(str(error))
            continue
        if frame is not None and rgb.shape != frame.rgb.shape:
            sizes = [f"{a.shape[0]}x{a.shape[1]}" for a in (rgb, frame.rgb)]
            seen.errors.append(
                f"scene {scene}: lighting {lighting} is {sizes[0]}, lighting {dataset.lightings[0]} {sizes[1]}"
            )
        seen.colour[lighting] = _moments(rgb)
    seen.stored = list(_headers(dataset, scene))
    if frame is not None:
        _measure(dataset, scene, frame, seen)
    return seen


def _measure(dataset: Dataset, scene: str, frame: Frame, seen: _Seen) -> None:
    seen.labels = np.bincount(frame.label.ravel(), minlength=256)
    over = np.flatnonzero(seen.labels[len(dataset.classes) : IGNORE])
    if over.size:
        seen.errors.append(
            f"scene {scene} holds label {over[0] + len(dataset.classes)}, there are {len(dataset.classes)} classes"
        )
    values = frame.depth[frame.valid]
    seen.depth = np.bincount(values, minlength=_LEVELS)
    seen.missing = 1 - frame.valid.mean()
    if not values.size:
        seen.notes.append(f"scene {scene}: no depth was measured at all")
    elif values.min() == values.max():
        seen.notes.append(f"scene {scene}: depth is {values[0]} everywhere, so it says nothing")
    elif seen.missing > 0.5:
        seen.notes.append(f"scene {scene}: depth is missing on {seen.missing:.0%} of the pixels")
    border = white_border(frame.rgb)
    if border.any() and (frame.label[border] != IGNORE).any():
        seen.notes.append(
            f"scene {scene}: a white frame around the colour image is labelled; make it void (label.border)"
        )


def _headers(dataset: Dataset, scene: str) -> Iterator[tuple[str, str]]:
    """Yield (part, what the file's header says) for readers that tell their files."""
    for part, path in dataset.paths(scene).items() if hasattr(dataset, "paths") else ():
        try:
            yield part, str(images.probe(path))
        except UserError:
            yield part, "unreadable"


def _moments(rgb: np.ndarray) -> np.ndarray:
    """Return count, sum and sum of squares per channel, exactly, from the histogram."""
    levels = np.arange(256.0)
    counts = [np.bincount(rgb[:, :, c].ravel(), minlength=256) for c in range(3)]
    return np.array([[n.sum(), n @ levels, n @ levels**2] for n in counts]).T


def _add_files(report: Report, seen: dict[str, _Seen]) -> None:
    stored: dict[str, Counter[str]] = {}
    for one in seen.values():
        report.errors += [error for error in one.errors if error not in report.errors]
        report.notes += one.notes
        for part, header in one.stored:
            stored.setdefault(part, Counter())[header] += 1
    report.stored = {part: dict(counts.most_common()) for part, counts in stored.items()}
    for part, counts in report.stored.items():
        if len(counts) > 1:
            report.notes.append(
                f"{part}: files differ ({', '.join(f'{n} x {header}' for header, n in counts.items())})"
            )


def _add_labels(report: Report, dataset: Dataset, seen: dict[str, _Seen]) -> None:
    counts = [one.labels for one in seen.values() if one.labels is not None]
    if not counts:
        return
    table = np.stack(counts)
    pixels = table.sum(0) / table.sum()
    report.void = float(pixels[IGNORE])
    for k, name in enumerate(dataset.classes):
        scenes = int((table[:, k] > 0).sum())
        report.classes.append({"id": k, "name": name, "scenes": scenes, "pixels": float(pixels[k])})
    absent = [row["name"] for row in report.classes if not row["scenes"]]
    if absent:
        report.notes.append(f"classes without a single pixel: {', '.join(map(str, absent))}")
    if report.void > 0.5:
        report.notes.append(f"{report.void:.0%} of the label pixels are void")


def _add_depth(report: Report, dataset: Dataset, seen: dict[str, _Seen]) -> None:
    with_depth = {scene: one for scene, one in seen.items() if one.depth is not None}
    if not with_depth:
        return
    total = sum(one.depth for one in with_depth.values())
    metres = dataset.depth_kind.to_metres
    worst = max(with_depth, key=lambda scene: with_depth[scene].missing)
    report.depth = {
        "unit": "level" if metres is None else "m",
        "missing": float(np.mean([one.missing for one in with_depth.values()])),
        "worst_scene": worst,
        "worst_missing": float(with_depth[worst].missing),
    }
    if not total.sum():
        return
    steps = np.cumsum(total)
    for name, q in _QUANTILES.items():
        level = np.searchsorted(steps, max(1, q * steps[-1]))
        report.depth[name] = float(level * (metres or 1))
    median = float(report.depth["median"])  # type: ignore[arg-type]
    if metres and not _PLAUSIBLE[0] <= median <= _PLAUSIBLE[1]:
        report.notes.append(f"median depth is {median:.3g} m; is the scale of {metres:g} m per count right?")


def _add_colour(report: Report, seen: dict[str, _Seen]) -> None:
    for lighting in report.lightings:
        moments = [one.colour[lighting] for one in seen.values() if lighting in one.colour]
        if moments:
            n, total, squares = np.sum(moments, axis=0)
            mean = total / n
            spread = np.sqrt(np.maximum(squares / n - mean**2, 0))
            report.colour[lighting] = {"mean": (mean / 255).tolist(), "std": (spread / 255).tolist()}


def _add_splits(report: Report, dataset: Dataset, seen: dict[str, _Seen]) -> None:
    content = {}
    for scene, one in seen.items():
        found = np.flatnonzero(one.labels[: len(dataset.classes)]) if one.labels is not None else ()
        content[scene] = frozenset(int(k) for k in found) - {dataset.background}
    for kind in KINDS:
        try:
            ids = {name: dataset.split(name, kind) for name in SPLITS}
            groups = dataset.groups
        except UserError as error:
            report.splits[kind] = {"missing": str(error)}
            continue
        report.runs = len(set(groups.values()))
        gaps = splits.gaps({name: scenes for name, scenes in ids.items() if scenes}, content)
        lacking = {name: [dataset.classes[k] for k in gap] for name, gap in gaps.items() if gap}
        leak = splits.leakage((*ids["train"], *ids["val"]), ids["test"], dataset.scenes, groups)
        report.splits[kind] = {
            "sizes": {name: len(scenes) for name, scenes in ids.items()},
            "lacking": lacking,
            "leakage": asdict(leak) | {"text": str(leak)},
        }
        report.notes += [f"split {name} ({kind}) has no scene" for name, scenes in ids.items() if not scenes]


def _skipped(dataset: Dataset) -> list[str]:
    skipped: dict[str, str] = getattr(dataset, "skipped", {})
    if not skipped:
        return []
    return [
        f"{len(skipped)} scenes are left out: {next(iter(skipped.values()))}"
        + (" .." if len(skipped) > 1 else "")
    ]
