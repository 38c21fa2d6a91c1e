"""Where MM5 keeps what: folders per lighting, depth product and label, and the mark of synthetic data."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rgbd_lib.errors import UserError

SPELLINGS = {"D16": ("D16", "D_16")}


def root(path: Path) -> Path | None:
    """Return the folder that holds ANNO_CLASS and RGB folders: this one, or one up to two levels down."""
    below = (folder for pattern in ("*/", "*/*/") for folder in sorted(path.glob(pattern)))
    for folder in (path, *below):
        hidden = any(
            part.startswith(".") for part in folder.relative_to(path).parts
        )  # half-unpacked archives
        if not hidden and (folder / "ANNO_CLASS").is_dir() and lightings(folder):
            return folder
    return None


def lightings(root: Path) -> tuple[int, ...]:
    """Return the numbers of the RGB folders."""
    return tuple(n for n in range(1, 9) if (root / f"RGB{n}").is_dir())


def stems(folder: Path) -> frozenset[str]:
    """Return the numbers that have a PNG file."""
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error
    return frozenset(name[:-4] for name in names if name.endswith(".png") and name[:-4].isdigit())


def find(root: Path, name: str) -> Path | None:
    """Return a folder under any of its spellings."""
    spellings = SPELLINGS.get(name, (name,))
    return next((root / spelling for spelling in spellings if (root / spelling).is_dir()), None)


def depth_folder(root: Path, name: str, known: Iterable[str]) -> Path:
    """Return the folder of a depth product, or say which ones there are."""
    folder = find(root, name)
    if folder is None:
        there = ", ".join(other for other in known if find(root, other))
        raise UserError(f"{root} has no depth folder {name}; there is {there or 'no other either'}")
    return folder


def made(root: Path) -> dict[str, object] | None:
    """Return what synthetic.json says, or None where the data are real."""
    path = root / "synthetic.json"
    if not path.exists():
        return None
    try:
        made = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); make the data again with `rgbd data synth`"
        ) from error
    if not isinstance(made, dict):
        raise UserError(f"{path} holds no JSON object; make the data again with `rgbd data synth`")
    if made.get("complete") is False:
        raise UserError(
            f"{root} is not finished; run `rgbd data synth --out {root}` again, which continues it"
        )
    return made


def recorded_runs(made: Mapping[str, object]) -> dict[str, str]:
    """Return scene -> capture run as the generator recorded them: {run: [scenes]}."""
    runs = made.get("runs")
    if not isinstance(runs, dict) or not all(isinstance(scenes, list) for scenes in runs.values()):
        return {}
    return {str(scene): run for run, scenes in runs.items() for scene in scenes}
