"""A data set decoded once, at the training size, in memory-mapped arrays.

Decoding a scene's PNG files takes longer than a training step's whole share of data preparation, and gives
the same pixels every epoch. Here they are read once; later epochs, runs and processes map the same pages.

A cache folder is named by what is in it: content of the source files, size, crop, scenes, and the code of
the reader. It appears by one rename when it is complete, so what can be seen is whole, whenever a build was
killed.
"""

import json
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from rgbd_lib import paths
from rgbd_lib.datasets import fingerprint, resize
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.datasets.resize import Crop
from rgbd_lib.errors import UserError
from rgbd_lib.identity import digest
from rgbd_lib.progress import Progress

_FORMAT = 1  # raise it when the layout of the arrays changes
_DTYPES = {"rgb": np.uint8, "depth": np.uint16, "valid": np.bool_, "label": np.uint8}


@dataclass(frozen=True, eq=False)
class Cache:
    """Scenes as arrays. The first axis is the position of a scene in ``scenes``.

    ``rgb`` is scene-major because a build can then append scene by scene with plain writes (a full disk is an
    error, not a crash of the memory map) and one image is one contiguous block for the gather either way.
    """

    rgb: np.ndarray  # S,L,H,W,3 uint8
    depth: np.ndarray  # S,H,W uint16, counts in dataset.depth_kind, 0 = missing
    valid: np.ndarray  # S,H,W bool
    label: np.ndarray  # S,H,W uint8
    scenes: tuple[str, ...]
    lightings: tuple[int, ...]
    identity: str  # of the source data: equal content on two machines gives equal strings
    dataset: Dataset  # what the arrays mean: classes, background, depth_kind, split(), ...
    size: tuple[int, int]  # H, W
    crop: Crop  # top, left, bottom, right of the frame that was kept, 0..1
    folder: Path
    _position: dict[str, int] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._position.update({scene: i for i, scene in enumerate(self.scenes)})

    @property
    def to_raw(self) -> float:
        """Return raw units per count: metres, or levels of 0..1 where depth is not metric."""
        metres = self.dataset.depth_kind.to_metres
        return 1 / 255 if metres is None else metres

    def index(self, scene_ids: Sequence[str]) -> np.ndarray:
        """Return the positions of scenes, in the order asked for."""
        missing = [scene for scene in scene_ids if scene not in self._position]
        if missing:
            raise UserError(
                f"{self.dataset.name}: scene '{missing[0]}' is not among the {len(self.scenes)} cached "
                f"scenes ('{self.scenes[0]}' to '{self.scenes[-1]}')"
            )
        return np.array([self._position[scene] for scene in scene_ids], dtype=np.int64)


def open_cache(
    dataset: Dataset,
    size: tuple[int, int],
    crop: Crop = (0.0, 0.0, 1.0, 1.0),
    folder: Path | None = None,
    scenes: Sequence[str] | None = None,
    progress: bool = True,
) -> Cache:
    """Return the data set at size H,W, decoding it if no cache of the same content is there.

    Caches live in ``folder``, else in the folder that RGBD_CACHE names, else in the project's ``.cache``.
    """
    size, crop = _checked(size, crop)
    scenes = tuple(dict.fromkeys(dataset.scenes if scenes is None else scenes))  # each once
    _check_scenes(dataset, scenes)
    folder = Path(folder or paths.cache())
    stem = "".join(c if c.isalnum() or c in "-_" else "_" for c in dataset.name)
    place = digest(str(Path(dataset.root).resolve()), length=8)
    memo = folder / f"{stem}-{place}.hashes.json"

    before = fingerprint.signatures(dataset)
    _make_folder(folder)
    identity = fingerprint.identity(dataset, before, memo)
    view = digest([size, crop, scenes, place, fingerprint.declared(dataset), sorted(before)])
    key = digest([_FORMAT, identity, fingerprint.code(type(dataset).__module__), view], length=16)
    home = folder / f"{stem}-{size[0]}x{size[1]}-{key}"
    meta = {"view": view, "identity": identity, "shapes": _shapes(dataset, scenes, size)}
    if not _is_whole(home, meta):
        with _locked(home, progress):
            if not _is_whole(home, meta):
                _build(home, dataset, scenes, size, crop, meta, progress)
                if fingerprint.signatures(dataset) != before:
                    shutil.rmtree(home)
                    raise UserError(f"{dataset.root}: files changed while they were read. Run it again")
                _remove_outdated(home, view)
    arrays = {name: np.load(home / f"{name}.npy", mmap_mode="r") for name in _DTYPES}
    return Cache(
        **arrays,
        scenes=scenes,
        lightings=tuple(dataset.lightings),
        identity=identity,
        dataset=dataset,
        size=size,
        crop=crop,
        folder=home,
    )


def _checked(size: Sequence[int], crop: Sequence[float]) -> tuple[tuple[int, int], Crop]:
    """Return size and crop as plain tuples, or say what is wrong with them."""
    size, crop = tuple(map(int, size)), tuple(map(float, crop))
    if len(size) != 2 or min(size) < 1:
        raise UserError(f"size {size} is not height,width in pixels, for example 240,320")
    if len(crop) != 4 or not (0 <= crop[0] < crop[2] <= 1 and 0 <= crop[1] < crop[3] <= 1):
        raise UserError(f"crop {crop} is not top,left,bottom,right between 0 and 1, for example 0.3,0,0.9,1")
    return size, crop


def _check_scenes(dataset: Dataset, scenes: tuple[str, ...]) -> None:
    """Refuse what would make an empty cache, or one with scenes that are not there."""
    if not scenes:
        raise UserError(f"{dataset.root}: no scenes to decode")
    unknown = set(scenes) - set(dataset.scenes)
    if unknown:
        raise UserError(f"{dataset.root}: no scene '{min(unknown)}'; it has {len(dataset.scenes)} scenes")


def _shapes(dataset: Dataset, scenes: tuple[str, ...], size: tuple[int, int]) -> dict[str, list[int]]:
    plane = [len(scenes), *size]
    return {name: plane for name in _DTYPES} | {"rgb": [len(scenes), len(dataset.lightings), *size, 3]}


def _bytes(shapes: dict[str, list[int]]) -> dict[str, int]:
    return {name: int(np.prod(shape)) * np.dtype(_DTYPES[name]).itemsize for name, shape in shapes.items()}


def _is_whole(home: Path, meta: dict) -> bool:
    """Tell whether a cache is there with the arrays it should have (a damaged one is built again)."""
    try:
        stored = json.loads((home / "cache.json").read_text())
        sizes = {name: (home / f"{name}.npy").stat().st_size for name in _DTYPES}
    except (OSError, ValueError):
        return False
    return stored == meta and all(sizes[name] > size for name, size in _bytes(meta["shapes"]).items())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError, need: int = 0) -> UserError:
    room = f" with {need / 2**20:.0f} MB free" if need else ""
    return UserError(
        f"{folder}: the cache cannot be written ({error.strerror or error}). "
        f"Set RGBD_CACHE to a folder{room} that can be written"
    )


class _locked:
    """Hold the right to build one cache; the lock belongs to the process and dies with it."""

    def __init__(self, home: Path, progress: bool) -> None:
        self.home, self.progress = home, progress
        self.lock = FileLock(home.with_name(f"{home.name}.lock"))

    def __enter__(self) -> None:
        try:
            try:
                self.lock.acquire(timeout=1)
            except Timeout:
                if self.progress:
                    print(f"another process is decoding into {self.home}; waiting for it")
                self.lock.acquire()
        except OSError as error:
            raise _cannot_write(self.home.parent, error) from error

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def _build(
    home: Path,
    dataset: Dataset,
    scenes: tuple[str, ...],
    size: tuple[int, int],
    crop: Crop,
    meta: dict,
    progress: bool,
) -> None:
    """Decode everything into a partial folder beside ``home``, then rename it."""
    partial = home.with_name(f"{home.name}.partial")
    need = sum(_bytes(meta["shapes"]).values())
    try:
        for leftover in (partial, home):
            if leftover.exists():
                shutil.rmtree(leftover)
        free = shutil.disk_usage(home.parent).free
        if free < need:
            raise OSError(f"{free / 2**20:.0f} MB free")
        partial.mkdir()
        frames = _decode(dataset, scenes, size, crop)
        bar = Progress(len(scenes), f"decoding {dataset.name}", quiet=not progress)
        _write(partial, bar.over(frames), meta["shapes"])
        (partial / "cache.json").write_text(json.dumps(meta))
        partial.rename(home)
    except OSError as error:
        raise _cannot_write(home.parent, error, need) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, frames: Iterator[dict[str, np.ndarray]], shapes: dict[str, list[int]]) -> None:
    """Append scene after scene to one .npy file per array."""
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.npy").open("wb")) for name in _DTYPES}
        for name, file in files.items():
            header = {
                "descr": np.dtype(_DTYPES[name]).str,
                "fortran_order": False,
                "shape": tuple(shapes[name]),
            }
            np.lib.format.write_array_header_1_0(file, header)
        for arrays in frames:
            for name, file in files.items():
                file.write(np.ascontiguousarray(arrays[name], _DTYPES[name]).data)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())


def _decode(
    dataset: Dataset, scenes: tuple[str, ...], size: tuple[int, int], crop: Crop
) -> Iterator[dict[str, np.ndarray]]:
    """Decode scenes in order, a few ahead on threads (OpenCV works without the interpreter's lock)."""

    def scene_arrays(scene: str) -> dict[str, np.ndarray]:
        first, *others = dataset.lightings
        frame = resize.frame(dataset.read(scene, first), size, crop)
        rgb = [frame.rgb, *(resize.colour(dataset.read_rgb(scene, light), size, crop) for light in others)]
        return {"rgb": np.stack(rgb), "depth": frame.depth, "valid": frame.valid, "label": frame.label}

    threads = fingerprint.workers()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque = deque()
        try:
            for scene in scenes:
                waiting.append(pool.submit(scene_arrays, scene))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _remove_outdated(home: Path, view: str) -> None:
    """Delete caches of the same view whose source has changed since; whoever maps one keeps its pages."""
    for meta in home.parent.glob(f"{home.name.rsplit('-', 1)[0]}-*/cache.json"):
        try:
            outdated = meta.parent != home and json.loads(meta.read_text()).get("view") == view
        except (OSError, ValueError):
            continue
        if outdated:
            shutil.rmtree(meta.parent, ignore_errors=True)
