"""Unpacking an archive that somebody else made.

A member may be a plain file or a folder, and must land below the target. Everything is unpacked into a hidden
folder first: what appears under its own name is whole.
"""

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from rgbd_lib.errors import UserError
from rgbd_lib.progress import Progress


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    size: int
    plain: bool  # neither a link nor a device
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, out: Path, quiet: bool = False) -> None:
    """Unpack a zip or tar archive below a folder; nothing is written if one member is suspicious."""
    with _members(archive) as members:
        places = [_place(archive, member) for member in members]
        if len(set(map(str, places))) < len(places):
            raise UserError(f"{archive} holds the same path twice and is not unpacked; fetch it again")
        need, free = sum(member.size for member in members), shutil.disk_usage(out).free
        if need > free:
            raise UserError(
                f"{archive} needs {need / 2**30:.1f} GB unpacked, but {out} has {free / 2**30:.1f} GB free"
            )
        partial = out / ".unpacking.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            _write(archive, members, places, partial, quiet)
            for entry in partial.iterdir():
                _move(entry, out / entry.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _write(
    archive: Path, members: list[Member], places: list[PurePosixPath], folder: Path, quiet: bool
) -> None:
    bar = Progress(len(members), "unpack", quiet=quiet)
    folder.mkdir()
    for member, place in zip(members, places, strict=True):
        target = folder / place
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source, target.open("xb") as file:  # type: ignore[union-attr]
                shutil.copyfileobj(source, file, 1 << 20)
        except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
            raise UserError(
                f"{archive} is damaged at {member.name}: {error}. Delete it and fetch it again"
            ) from error
        if target.stat().st_size != member.size:
            raise UserError(f"{archive} is damaged: {member.name} ends early. Delete it and fetch it again")
        bar.step()
    bar.close()


def _move(source: Path, target: Path) -> None:
    """Move into place; a folder that is there already is filled up."""
    if source.is_dir() and target.is_dir():
        for entry in source.iterdir():
            _move(entry, target / entry.name)
    else:
        os.replace(source, target)


@contextmanager
def _members(archive: Path) -> Iterator[list[Member]]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                yield [_zip_member(opened, info) for info in opened.infolist() if not info.is_dir()]
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as opened:
                yield [_tar_member(opened, info) for info in opened.getmembers() if not info.isdir()]
        else:
            start = archive.read_bytes()[:8] if archive.stat().st_size < 1 << 20 else b""
            hint = " (it looks like a web page)" if start.lstrip().startswith(b"<") else ""
            raise UserError(
                f"{archive} is neither a zip nor a tar archive{hint}. Delete it and fetch it again"
            )
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise UserError(f"{archive} is damaged: {error}. Delete it and fetch it again") from error


def _zip_member(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(
        info.external_attr >> 16
    )  # 0 where the archive was made on a system without such kinds
    return Member(info.filename, info.file_size, kind in (0, stat.S_IFREG), lambda: opened.open(info))


def _tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    return Member(info.name, info.size, info.isreg(), lambda: opened.extractfile(info))


def _place(archive: Path, member: Member) -> PurePosixPath:
    """Return where a member goes, relative to the target; refuse whatever could lead elsewhere."""
    name = member.name.replace("\\", "/")
    place = PurePosixPath(name)
    drive = len(name) > 1 and name[1] == ":"
    if place.is_absolute() or drive or ".." in place.parts or "\0" in name or not place.parts:
        raise UserError(
            f"{archive} holds the path '{member.name}', which leads out of the folder; it is not unpacked"
        )
    if not member.plain:
        raise UserError(f"{archive} holds '{member.name}', which is a link or a device; it is not unpacked")
    return place
