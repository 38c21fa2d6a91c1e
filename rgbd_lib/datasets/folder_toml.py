"""dataset.toml: what a stranger's files mean, checked key by key before any of them is read."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError, unknown

FILE = "dataset.toml"


@dataclass(frozen=True)
class Description:
    """The content of a dataset.toml, with defaults filled in."""

    path: Path
    name: str
    classes: tuple[str, ...]
    background: int | None
    synthetic: bool
    metres_per_count: float | None  # None: depth is an encoding without metres
    missing: tuple[int, ...]  # stored depth values that mean "nothing measured", besides 0
    offset: int  # stored label value of class 0; smaller ones are void
    ignore: tuple[int, ...]  # stored label values that are void
    border: int  # this many pixels at every edge are void
    run_pattern: re.Pattern[str] | None  # its first group names the capture run of a scene
    lists: dict[str, str]  # split -> file
    folders: dict[str, str]  # rgb, depth, label -> folder


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _counts(value: object) -> bool:
    return isinstance(value, list) and all(map(_count, value))


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _names(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2 and all(map(_text, value))


_Rule = tuple[Callable[[object], bool], str]  # what a value must fulfil, and how to say so

KEYS: dict[str, dict[str, _Rule]] = {
    "": {
        "name": (_text, 'a text such as "kitchen"'),
        "classes": (_names, 'a list of two or more names such as ["background", "cup"]'),
        "background": (_text, "the name of one of the classes"),
        "synthetic": (lambda value: isinstance(value, bool), "true or false"),
    },
    "depth": {
        "metres_per_count": (_positive, "a number above 0, such as 0.001 for millimetres"),
        "missing": (_counts, "a list of whole numbers such as [0, 65535]"),
    },
    "label": {
        "offset": (_count, "a whole number: the stored value of the first class, mostly 0 or 1"),
        "ignore": (_counts, "a list of whole numbers such as [255]"),
        "border": (_count, "a whole number of pixels"),
    },
    "splits": {
        "run_pattern": (_text, "a regular expression such as '(.*)_[0-9]+'"),
        **dict.fromkeys(("train", "val", "test"), (_text, 'a file name such as "train.txt"')),
    },
    "folders": dict.fromkeys(("rgb", "depth", "label"), (_text, "the name of a folder")),
}


def read(path: Path) -> Description:
    """Read and check a dataset.toml; the first thing that does not fit raises UserError."""
    table = _parse(path)
    root = {key: value for key, value in table.items() if key not in KEYS}
    for section, rules in KEYS.items():
        given = table.get(section, {}) if section else root
        if not isinstance(given, dict):
            raise UserError(
                f"{path}: '{section}' is {given!r}; it must be a section [{section}] with keys below it"
            )
        for key, value in given.items():
            where = f"{section}.{key}" if section else key
            if key not in rules:
                raise UserError(f"{path}: {unknown('key', where, _known(section))}")
            fits, wanted = rules[key]
            if not fits(value):
                raise UserError(f"{path}: {where} = {value!r}, but it must be {wanted}")
    for key in ("name", "classes"):
        if key not in root:
            raise UserError(f"{path}: the key '{key}' is missing; it is {KEYS[''][key][1]}")
    depth, label, split = table.get("depth", {}), table.get("label", {}), table.get("splits", {})
    classes = tuple(name.strip() for name in root["classes"])
    return Description(
        path=path,
        name=root["name"].strip(),
        classes=_unique(path, classes),
        background=_background(path, root.get("background"), classes),
        synthetic=root.get("synthetic", False),
        metres_per_count=depth.get("metres_per_count"),
        missing=tuple(depth.get("missing", [0, 65535])),
        offset=label.get("offset", 0),
        ignore=tuple(label.get("ignore", [IGNORE])),
        border=label.get("border", 0),
        run_pattern=_pattern(path, split.get("run_pattern")),
        lists={name: split.get(name, f"{name}.txt") for name in ("train", "val", "test")},
        folders={name: table.get("folders", {}).get(name, name) for name in ("rgb", "depth", "label")},
    )


def _parse(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error


def _known(section: str) -> list[str]:
    sections = [f"[{name}]" for name in KEYS if name] if not section else []
    return [f"{section}.{key}" if section else key for key in KEYS[section]] + sections


def _unique(path: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    twice = [name for name in classes if classes.count(name) > 1]
    if twice:
        raise UserError(f"{path}: class '{twice[0]}' is named twice")
    if len(classes) > IGNORE:
        raise UserError(f"{path}: {len(classes)} classes; at most {IGNORE} fit into 8-bit labels")
    return classes


def _background(path: Path, name: str | None, classes: tuple[str, ...]) -> int | None:
    if name is None:
        return None
    if name not in classes:
        raise UserError(f"{path}: {unknown('class for background', name, classes)}")
    return classes.index(name)


def _pattern(path: Path, text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UserError(f"{path}: splits.run_pattern = '{text}' is no regular expression: {error}") from error
    if pattern.groups < 1:
        raise UserError(f"{path}: splits.run_pattern = '{text}' has no group; put the run in ( )")
    return pattern
