"""What a data set is, as a short string: a hash over the content of its files and what it declares."""

import hashlib
import inspect
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from rgbd_lib import identity as identities
from rgbd_lib.datasets.base import Dataset
from rgbd_lib.errors import UserError

Signature = tuple[int, int, int]  # size, mtime and ctime in nanoseconds

# A file that changes twice within the clock's tick keeps its signature. Digests of files younger than
# this are used once and not remembered.
_SETTLED_NS = 2_000_000_000


def workers() -> int:
    """Return how many threads may decode or hash: the cores this process may use, at most 8."""
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return min(8, len(mine))


def signatures(dataset: Dataset) -> dict[str, Signature]:
    """Return size and times of every file of the data set, by its path relative to the root."""
    root = os.path.join(os.path.abspath(dataset.root), "")
    found = {}
    for path in map(os.path.abspath, dataset.files()):
        name = path[len(root) :] if path.startswith(root) else os.path.relpath(path, root)
        try:
            stat = os.stat(path)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        found[name.replace(os.sep, "/")] = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    return found


def identity(dataset: Dataset, found: dict[str, Signature], memo: Path) -> str:
    """Hash the content of the files and the declared meaning; equal on every machine with equal data.

    Digests are remembered in ``memo`` by size and times, so only the first call reads the files.
    """
    known = _read_memo(memo)
    stale = [name for name, signature in found.items() if known.get(name, [None])[0] != list(signature)]
    if stale:
        with ThreadPoolExecutor(workers()) as pool:
            contents = pool.map(lambda name: _content(Path(dataset.root, name)), stale)
            fresh = {
                name: [list(found[name]), content] for name, content in zip(stale, contents, strict=True)
            }
        known |= fresh
        _write_memo(memo, {name: known[name] for name in found})
    contents = sorted((name, known[name][1]) for name in found)
    return identities.digest([declared(dataset), contents], length=32)


def declared(dataset: Dataset) -> list:
    """Return what the data set says about the meaning of its files."""
    kind = asdict(dataset.depth_kind)
    return [dataset.name, dataset.synthetic, dataset.classes, dataset.background, dataset.lightings, kind]


def code(reader: str) -> str:
    """Hash the statements that turn files into arrays: a mended reader reads anew, a mended comment does not.

    ``reader`` is the module of a data set's class. For one outside this package its text is taken instead.
    """
    rules = ["rgbd_lib.datasets.resize"]
    if reader.startswith("rgbd_lib."):
        return identities.code([reader, *rules])
    try:
        text = inspect.getsource(sys.modules[reader])
    except (OSError, TypeError):  # typed into a notebook
        text = ""
    return identities.digest([identities.code(rules), text])


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _read_memo(memo: Path) -> dict[str, list]:
    """Return what is remembered; a memo that is missing or broken remembers nothing."""
    try:
        known = json.loads(memo.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_memo(memo: Path, known: dict[str, list]) -> None:
    """Remember the digests of settled files; where nothing can be written the next call hashes again."""
    limit = time.time_ns() - _SETTLED_NS
    settled = {name: entry for name, entry in known.items() if max(entry[0][1:]) < limit}
    scratch = memo.with_name(f"{memo.name}.{os.getpid()}")
    try:
        scratch.write_text(json.dumps(settled))
        scratch.replace(memo)
    except OSError:
        scratch.unlink(missing_ok=True)
