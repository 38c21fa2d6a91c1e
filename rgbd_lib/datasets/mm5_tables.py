"""MM5's text files, with the quirks of their versions: which scenes, which split, which label means what.

Ids of labels changed between versions of the data set, names did not: a file is understood by its names.
"""

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError, unknown

CLASSES: tuple[str, ...] = (
    "Background",
    *("Lemon", "Lemon Bad", "Lemon Fake", "Mirror", "Bowl", "Mandarin", "Mandarin Bad", "Mandarin Fake"),
    *("Kettle", "Lemon Half", "Mandarin Half", "Mandarin Peel", "Cup Hot", "Onion Red", "Onion"),
    *("Grapes Green", "Grapes Green Bad", "Grapes Green Fake"),
    *("Grapes Blue Fake", "Grapes Blue", "Grapes Blue Bad"),
    *("Apple", "Apple Fake", "Apple Green", "Apple Green Bad", "Apple Green Fake"),
    *("Cup Cold", "Pear", "Pear Bad", "Carrot", "Carrot Fake"),
)
"""The 32 classes in id order (version of June 2025 and later)."""

WITHDRAWN = ("Lemon Sliced", "Mandarin Sliced")
"""Classes of earlier versions. What became of their pixels is not documented, so they are ignored."""

COLLAPSED: tuple[str, ...] = (
    *("Background", "Lemon", "Mandarin", "Tableware", "Onion", "Grapes", "Apple", "Pear", "Carrot"),
)
"""Kinds of object, without variety and state: the labels that earlier fusion studies on MM5 were scored on."""

_TABLEWARE = {"Mirror", "Bowl", "Kettle", "Cup Hot", "Cup Cold"}
_UNKNOWN = 256  # marks stored values that no name stands for

COLLAPSE: tuple[int, ...] = tuple(
    COLLAPSED.index("Tableware" if name in _TABLEWARE else name.split()[0]) for name in CLASSES
)
"""Class id -> collapsed id."""


@dataclass(frozen=True)
class LabelVersion:
    """The names that a copy of MM5 gives to its stored label values."""

    source: str  # the file that said so
    names: dict[int, str]  # stored value -> name, without the background

    @property
    def classes(self) -> int:
        """Return the number of classes, background included: 32, 33 or 34."""
        return len(self.names) + 1

    def table(self, collapsed: bool = False) -> np.ndarray:
        """Return stored value -> class id for 0..255, IGNORE for withdrawn classes, 256 where nothing is known."""
        table = np.full(256, _UNKNOWN, np.uint16)
        table[[0, IGNORE]] = 0, IGNORE
        for value, name in self.names.items():
            if name in WITHDRAWN:
                table[value] = IGNORE
            else:
                table[value] = COLLAPSE[CLASSES.index(name)] if collapsed else CLASSES.index(name)
        return table


def read_labels(root: Path) -> LabelVersion:
    """Return what the stored label values mean, from the first mapping file that is there."""
    readers = {"label_mapping.csv": _from_csv, "label_mapping.json": _from_json, "classes.txt": _from_names}
    for name, reader in readers.items():
        path = root / name
        if path.is_file():
            return LabelVersion(name, _checked(path, reader(path)))
    raise UserError(
        f"{root}: none of {', '.join(readers)} is there; label values differ between versions of MM5 "
        "and cannot be understood without their names. Copy one of them from the download"
    )


def read_ids(path: Path) -> tuple[str, ...]:
    """Return the scene ids of a split file, each once, in the file's order.

    Every line is parsed for itself, so a stray quote cannot swallow the lines below it.
    """
    lines = [(number, line) for number, line in enumerate(_lines(path), start=1) if line.strip(" ,;\t")]
    if not lines:
        raise UserError(f"{path} is empty; a header with ID and one line per scene is expected")
    header = [cell.casefold() for cell in _cells(lines[0][1])]
    if "id" not in header:
        raise UserError(f"{path}: no column ID in its first line '{lines[0][1].strip()[:60]}'")
    column, ids = header.index("id"), {}
    for number, line in lines[1:]:
        cells = _cells(line)
        cell = cells[column] if column < len(cells) else ""
        if cell.casefold() != "id":  # else a repeated header
            ids[_whole(path, number, cell)] = None
    if not ids:
        raise UserError(f"{path} has a header and no scene below it")
    return tuple(ids)


def _whole(path: Path, number: int, cell: str) -> str:
    try:
        value = float(cell)
        if value != int(value) or value < 0:
            raise ValueError
    except (ValueError, OverflowError):
        raise UserError(f"{path} line {number}: id '{cell}' is no whole number") from None
    return str(int(value))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


def _cells(line: str) -> list[str]:
    """Split a line at commas (or semicolons, as some spreadsheets write), without quotes and spaces around."""
    delimiter = ";" if ";" in line and "," not in line.split(";")[0] else ","
    return [
        cell.strip(" \t\"'") for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True))
    ]


def _from_csv(path: Path) -> list[tuple[str, str]]:
    """Read `ID,Label Name` lines below that header: one version has a JSON object glued in front of it."""
    text = "\n".join(_lines(path))
    header = re.search(r"\"?ID\"?\s*[,;]\s*\"?Label[ _]Name\"?[^\n]*", text, re.IGNORECASE)
    if not header:
        return _pairs(path, text)
    rows = [_cells(row) for row in text[header.end() :].splitlines() if row.strip(" ,;\t")]
    return [(row[0], row[1]) for row in rows if len(row) > 1 and row[0].casefold() != "id"]


def _from_json(path: Path) -> list[tuple[str, str]]:
    return _pairs(path, "\n".join(_lines(path)))


def _from_names(path: Path) -> list[tuple[str, str]]:
    names = [line.strip(" \t\"',") for line in _lines(path)]
    names = [name for name in names if name and name.casefold() != "background"]
    return [(str(number), name) for number, name in enumerate(names, start=1)]


def _pairs(path: Path, text: str) -> list[tuple[str, str]]:
    """Read a JSON object {name: value} (or {value: name})."""
    try:
        found = json.loads(text)
        pairs = [(str(key), str(value)) for key, value in found.items()]
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is neither a table 'ID,Label Name' nor a JSON object of names") from error
    return [(name, value) if name.isdigit() else (value, name) for name, value in pairs]


def _checked(path: Path, pairs: list[tuple[str, str]]) -> dict[int, str]:
    """Return stored value -> name as this library spells it, or say what does not fit."""
    known = {_plain(name): name for name in (*CLASSES, *WITHDRAWN)}
    names: dict[int, str] = {}
    for value, spelled in pairs:
        name = known.get(_plain(spelled))
        if name is None:
            raise UserError(f"{path}: {unknown('class of MM5', spelled, known.values())}")
        if not value.isdigit() or int(value) > 254:
            raise UserError(
                f"{path}: class '{spelled}' has the id '{value}', which is no number from 0 to 254"
            )
        if name == CLASSES[0]:
            continue
        if names.setdefault(int(value), name) != name:
            raise UserError(f"{path}: id {value} stands for '{names[int(value)]}' and for '{name}'")
    missing = [name for name in CLASSES[1:] if name not in names.values()]
    if missing:
        raise UserError(
            f"{path} names {len(names)} of MM5's 31 classes; '{missing[0]}' is missing. Use the mapping file "
            "that came with the label images (a collapsed label set is made by the option labels='9')"
        )
    if len(set(names.values())) < len(names):
        twice = next(name for name in names.values() if list(names.values()).count(name) > 1)
        raise UserError(f"{path}: class '{twice}' has more than one id")
    return names


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())
