"""The files of a folder by scene, and lists of scenes in text files."""

import os
from collections.abc import Container, Mapping
from itertools import combinations
from pathlib import Path, PurePosixPath

from rgbd_lib.datasets.images import EXTENSIONS
from rgbd_lib.errors import UserError


def scene_files(folder: Path) -> dict[str, Path]:
    """Return scene -> file; the name without its ending is the scene."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error
    files: dict[str, Path] = {}
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in EXTENSIONS or name.startswith("."):
            continue
        if stem in files:
            raise UserError(
                f"{folder}: scene '{stem}' is there twice, {files[stem].name} and {name}; remove one"
            )
        files[stem] = folder / name
    if not files:
        what = f"{len(names)} files with other endings" if names else "it is empty"
        raise UserError(f"{folder} holds no image ({what}); known endings are {', '.join(EXTENSIONS)}")
    return files


def official(
    root: Path, lists: Mapping[str, str], known: Container[str], skipped: Container[str]
) -> dict[str, tuple[str, ...]]:
    """Return split -> scenes for the list files that are there; scenes that had to be skipped are left out."""
    found = {
        name: _read(root / file, known, skipped) for name, file in lists.items() if (root / file).is_file()
    }
    for (a, ours), (b, theirs) in combinations(found.items(), 2):
        both = set(ours) & set(theirs)
        if both:
            raise UserError(
                f"{root}: scene '{min(both)}' is in {lists[a]} and in {lists[b]} ({len(both)} such scenes); a scene may "
                "be in one split only"
            )
    return found


def _read(path: Path, known: Container[str], skipped: Container[str]) -> tuple[str, ...]:
    """Read one scene per line: a name, or a path of one of its files; # starts a comment."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    scenes: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        text = line.split("#")[0].strip().strip("\"'")
        if not text:
            continue
        file = PurePosixPath(text.replace("\\", "/")).name
        stem, ending = os.path.splitext(file)
        scene = stem if ending.lower() in EXTENSIONS else file
        if scene in scenes:
            raise UserError(
                f"{path} line {number}: scene '{scene}' is listed twice (first in line {scenes[scene]})"
            )
        if scene not in known and scene not in skipped:
            raise UserError(f"{path} line {number}: no scene '{scene}' in the folders beside it")
        scenes[scene] = number
    if not scenes:
        raise UserError(f"{path} names no scene; write one per line, or delete the file to have a split made")
    return tuple(scene for scene in scenes if scene in known)
