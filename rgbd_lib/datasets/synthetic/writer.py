"""The data set on disk, in the layout of MM5_ALIGNED: resumable, by any number of processes, always the same bytes.

Every file is written under a temporary name and then renamed, a scene's record last of all: a scene with a record is
whole. `synthetic.json` claims the folder before the first scene and says at the end that nothing is missing.
"""

import contextlib
import csv
import io
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from rgbd_lib.datasets.synthetic import products
from rgbd_lib.datasets.synthetic.capture import Capture, capture
from rgbd_lib.datasets.synthetic.classes import CLASSES, COLOURS, KIND_OF
from rgbd_lib.datasets.synthetic.design import Plan, design
from rgbd_lib.errors import UserError

VERSION = "1"
"""Enters synthetic.json; raise it with every change that alters a byte of the output."""

FOLDERS = (
    *(f"RGB{k}" for k in range(1, 9)),
    *("D16", "D", "D_FocusN", "ANNO_CLASS", "ANNO_INST", "ANNO_VIS_CLASS"),
)
RECORDS = "records.partial"  # one file per finished scene, until all are gathered in scenes.jsonl
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # noise does not compress: a higher level costs time and saves nothing


def write(
    out: Path,
    *,
    scenes: int = 324,
    size: tuple[int, int] = (480, 640),
    seed: int = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the synthetic MM5 to a folder and return it; what is there already is kept.

    ``size`` is rows, columns. ``jobs`` is the number of processes (default: one per core); the bytes do not depend on
    it. A folder made with other parameters, or by something else, raises UserError.
    """
    out = Path(out)
    _check(scenes, size, seed, jobs)
    identity = {"synthetic": True, "generator": "rgbd_lib.datasets.synthetic", "version": VERSION, "seed": seed,
                "scenes": scenes, "size": list(size)}  # fmt: skip
    finished = _claim(out, identity)
    plans = design(scenes, seed)
    missing = [p for p in plans if not _whole(out, p.scene, finished)]
    if finished and not missing:
        return out
    for folder in (*FOLDERS, RECORDS):
        (out / folder).mkdir(exist_ok=True)
    if finished:  # files were deleted from a finished set: its gathered records still hold
        _scatter(out, {p.scene for p in missing})
    _save_json(out / "synthetic.json", {**identity, "complete": False})
    _make(out, missing, len(plans), seed, size, jobs or os.cpu_count() or 1, progress)
    _finish(out, plans, identity)
    return out


def _check(scenes: int, size: tuple[int, int], seed: int, jobs: int | None) -> None:
    if scenes < 1:
        raise UserError(f"cannot write {scenes} scenes: ask for 1 or more (MM5 has 324)")
    if min(size) < 24 or max(size) > 4096:
        raise UserError(
            f"image size {size[0]}x{size[1]} is out of range: rows and columns from 24 to 4096, as 480x640"
        )
    if seed < 0:
        raise UserError(f"seed {seed} is negative: use 0 or more")
    if jobs is not None and jobs < 1:
        raise UserError(f"cannot work with {jobs} processes: use 1 or more")


def _claim(out: Path, identity: dict) -> bool:
    """Return whether the folder is finished; refuse one that is not ours or was made differently."""
    marker = out / "synthetic.json"
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: choose a folder for the synthetic data")
    if not marker.exists():
        if out.exists() and any(p.name != ".gitkeep" and ".partial" not in p.name for p in out.iterdir()):
            raise UserError(f"{out} is not empty and has no synthetic.json: choose another folder with --out")
        out.mkdir(parents=True, exist_ok=True)
        _save_json(marker, {**identity, "complete": False})
        return False
    try:
        found = json.loads(marker.read_text())
        differs = [k for k in identity if found.get(k) != identity[k]]
    except (json.JSONDecodeError, AttributeError, UnicodeDecodeError):
        raise UserError(f"{marker} cannot be read: delete {out} and make the data again") from None
    if differs:
        k = differs[0]
        raise UserError(
            f"{out} was made with {k} {found.get(k)}, not {identity[k]}: choose another folder with --out, or delete it"
        )
    return bool(found.get("complete"))


def _whole(out: Path, scene: int, finished: bool) -> bool:
    if not finished and not (out / RECORDS / f"{scene}.json").exists():
        return False
    return all((out / folder / f"{scene}.png").exists() for folder in FOLDERS)


def _make(
    out: Path, plans: list[Plan], total: int, seed: int, size: tuple[int, int], jobs: int, progress: bool
) -> None:
    with tqdm(
        total=total,
        initial=total - len(plans),
        desc=f"scenes in {out.name}",
        unit="scene",
        disable=not progress,
    ) as bar:
        for _ in _run(out, plans, seed, size, min(jobs, len(plans))):
            bar.update()


def _run(out: Path, plans: list[Plan], seed: int, size: tuple[int, int], jobs: int) -> Iterator[None]:
    if jobs <= 1:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for plan in plans:
                yield write_scene(out, plan, seed, size)
        finally:
            cv2.setNumThreads(threads)
        return
    # fresh processes: a forked one inherits the locks of threads that it does not have
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        waiting = [pool.submit(write_scene, out, plan, seed, size) for plan in plans]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_scene(out: Path, plan: Plan, seed: int, size: tuple[int, int]) -> None:
    """Render one scene and write its fourteen files, then its record."""
    made = capture(plan, seed, size)
    for folder, picture in pictures(made).items():
        ok, data = cv2.imencode(".png", picture, PNG)
        assert ok
        _save(out / folder / f"{plan.scene}.png", data.tobytes())
    _save_json(out / RECORDS / f"{plan.scene}.json", made.truth)


def pictures(made: Capture) -> dict[str, np.ndarray]:
    """Return folder -> picture as OpenCV writes it (colour in B, G, R order)."""
    colour = {f"RGB{k + 1}": rgb[..., ::-1] for k, rgb in enumerate(made.rgb)}
    return {
        **colour,
        "D16": made.depth,
        "D": products.plain(made.depth),
        "D_FocusN": products.focus_n(made.depth),
        "ANNO_CLASS": made.label,
        "ANNO_INST": made.instance,
        "ANNO_VIS_CLASS": COLOURS[made.label][..., ::-1],
    }


def _finish(out: Path, plans: list[Plan], identity: dict) -> None:
    records = [json.loads((out / RECORDS / f"{p.scene}.json").read_text()) for p in plans]
    _save(out / "scenes.jsonl", "".join(json.dumps(r) + "\n" for r in records).encode())
    for name, split in (("train_dataset.csv", "train"), ("eval_dataset.csv", "eval")):
        _save(out / name, _table([p for p in plans if p.split == split], records))
    mapping = ["ID,Label Name", *(f"{k},{CLASSES[k]}" for k in range(1, len(CLASSES)))]
    _save(out / "label_mapping.csv", ("\n".join(mapping) + "\n").encode())
    _save(out / "classes.txt", ("\n".join(CLASSES[1:]) + "\n").encode())
    runs: dict[str, list[int]] = {}
    for p in plans:
        runs.setdefault(str(p.run), []).append(p.scene)
    note = "Rendered stand-in for MM5; never report numbers on it as MM5 results."
    _save_json(out / "synthetic.json", {**identity, "complete": True, "note": note, "runs": runs})
    for p in plans:
        (out / RECORDS / f"{p.scene}.json").unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a second process is still gathering the same records
        (out / RECORDS).rmdir()


def _scatter(out: Path, missing: set[int]) -> None:
    for line in (out / "scenes.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["id"] not in missing:
            _save_json(out / RECORDS / f"{record['id']}.json", record)


def _table(plans: list[Plan], records: list[dict]) -> bytes:
    """Return a split in MM5's columns; Subcategory lists the things in the scene, the most frequent first."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["ID", "Sequence", "Category", "Subcategory", "Challenges", "Category_Subcategory"])
    for p in plans:
        names = Counter(_subcategory(c) for c in p.classes)
        things = ",".join(name for name, _ in names.most_common())
        category = (
            "Tableware"
            if all(KIND_OF[c] in ("cup", "bowl", "kettle", "mirror") for c in p.classes)
            else "Food"
        )
        states = {"Bad", "Fake", "Half", "Peel"} & {w for c in p.classes for w in CLASSES[c].split()}
        challenges = ",".join(sorted(states) + (["Mirror"] if records[p.scene - 1]["mirror"] else []))
        sequence = p.scene + (282 if p.scene <= 108 else 286)
        table.writerow([p.scene, sequence, category, things, challenges, f"{category}_{things}"])
    return text.getvalue().encode()


def _subcategory(class_id: int) -> str:
    return " ".join(w for w in CLASSES[class_id].split() if w not in ("Bad", "Fake", "Hot", "Cold", "Red"))


def _save_json(path: Path, content: dict) -> None:
    _save(path, (json.dumps(content) + "\n").encode())


def _save(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial{os.getpid()}")
    partial.write_bytes(data)
    os.replace(partial, path)
