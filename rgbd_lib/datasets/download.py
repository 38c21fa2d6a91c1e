"""Fetching a data set: resumable, verified against what was recorded the first time, unpacked with suspicion."""

import hashlib
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rgbd_lib import paths
from rgbd_lib.datasets import unpack
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError, unknown
from rgbd_lib.progress import Progress

BASE = "https://figshare.com/ndownloader/files"
ATTEMPTS = 5
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """What can be fetched: number of the file at figshare, name on disk, what to say about it."""

    file: str
    archive: str
    about: str


SOURCES: dict[str, Source] = {
    "mm5": Source(
        file="55555457",  # MM5_ALIGNED in the version of August 2025
        archive="MM5_ALIGNED.zip",
        about="MM5 (doi 10.6084/m9.figshare.28722164) is for non-commercial use; cite Information Fusion 126, 103516",
    ),
}


def download(
    name: str, out: Path | None = None, *, base: str = BASE, wait: float = 2.0, quiet: bool = False
) -> Path:
    """Fetch and unpack a data set into a folder and return it; what is there already is kept.

    ``base`` is the address in front of the file number. ``wait`` seconds pass before the second attempt, twice
    as many before every further one.
    """
    if name not in SOURCES:
        raise unknown("data set to download", name, SOURCES)
    source = SOURCES[name]
    out = paths.home() / "data" / name if out is None else Path(out)
    archive = out / source.archive
    found = _found(out)
    if found == name:
        return out
    if found:
        raise UserError(f"{out} already holds the data set {found}; choose another folder with --out")
    if not quiet:
        print(source.about)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not archive.exists():
            _fetch(f"{base}/{source.file}", archive, wait, quiet)
        _verify(archive, quiet)
        unpack.unpack(archive, out, quiet)
    except OSError as error:
        raise UserError(f"{error.filename or out} cannot be written: {error.strerror or error}") from error
    return out


def _found(out: Path) -> str:
    """Return the name of the data set that a folder holds, or nothing."""
    try:
        return open_dataset(out).name
    except UserError:
        return ""


def _fetch(url: str, archive: Path, wait: float, quiet: bool) -> None:
    """Download to a partial file beside the archive, going on where an earlier attempt ended."""
    part = archive.with_name(f"{archive.name}.partial")
    for attempt in range(ATTEMPTS):
        try:
            _transfer(url, part, quiet)
            part.replace(archive)
            return
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                raise UserError(
                    f"{url} answers {error.code} {error.reason}. {_by_hand(url, archive)}"
                ) from error
            reason = getattr(error, "reason", None) or error
            if attempt == ATTEMPTS - 1 or isinstance(
                reason, socket.gaierror
            ):  # no network: waiting does not help
                got = part.stat().st_size if part.exists() else 0
                raise UserError(
                    f"{url} cannot be fetched ({reason}); {got:,} bytes are kept and the same command goes on from there. "
                    f"{_by_hand(url, archive)}"
                ) from error
            time.sleep(wait * 2**attempt)


def _by_hand(url: str, archive: Path) -> str:
    return f"By hand: open {url} in a browser, save the file as {archive} and run the same command again"


def _transfer(url: str, part: Path, quiet: bool) -> None:
    """Fetch what is missing of a file; the server must know that it is still the same file."""
    memo = part.with_name(f"{part.name}.json")
    tag = _load(memo).get("tag", "")
    have = part.stat().st_size if part.exists() and tag else 0
    headers = {"User-Agent": "rgbd-lib"} | ({"Range": f"bytes={have}-", "If-Range": tag} if have else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.unlink(missing_ok=True)  # longer than the file: not a part of it
        raise ConnectionError("the partial file did not fit and was deleted") from error
    with answer:
        span = answer.headers.get("Content-Range", "")
        if answer.status != 206:
            have = 0
        elif not span.startswith(f"bytes {have}-"):
            raise ConnectionError(f"asked for the bytes from {have} on, got {span or 'others'}")
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        memo.write_text(json.dumps({"tag": "" if tag.startswith("W/") else tag}))
        with part.open("ab" if have else "wb") as file:
            _copy(answer, file, have, total, quiet)
    size = part.stat().st_size
    if total is not None and size != total:
        raise ConnectionError(f"ended after {size:,} of {total:,} bytes")
    memo.unlink()


def _copy(
    answer: http.client.HTTPResponse, file: BinaryIO, have: int, total: int | None, quiet: bool
) -> None:
    bar = Progress((total or 0) >> 20, "download (MB)", done=have >> 20, quiet=quiet)
    done = have
    try:
        while data := answer.read1(_CHUNK):
            file.write(data)
            for _ in range((done + len(data) >> 20) - (done >> 20)):
                bar.step()
            done += len(data)
    finally:
        bar.close()


def _verify(archive: Path, quiet: bool) -> None:
    """Compare with the size and checksum of the first download; the first time, record them."""
    record = archive.with_name(f"{archive.name}.json")
    with archive.open("rb") as file:
        found = {"size": archive.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    known = _load(record)
    if not known:
        record.write_text(json.dumps(found, indent=1) + "\n")
        if not quiet:
            print(f"{archive}: {found['size']:,} bytes, sha256 {found['sha256']} (recorded in {record.name})")
        return
    for key, value in found.items():
        if known.get(key) != value:
            raise UserError(
                f"{archive} has {key} {value}, but {record.name} recorded {known.get(key)}. Delete the archive to fetch it "
                f"again, or {record.name} to accept the new file"
            )


def _load(path: Path) -> dict:
    """Return a JSON object, empty where there is none."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
