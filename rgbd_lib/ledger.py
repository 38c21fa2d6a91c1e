"""What was made from what, so that it is not made again: a small file beside the run records.

A thing (a notebook, a folder of tables or figures) is current if it was made from the same inputs and nobody has
touched it since. The file also knows how long the making took. It belongs to this machine and is not versioned;
without it everything is made once more, with the same bytes.
"""

import hashlib
import json
import os
from pathlib import Path
from statistics import fmean

from rgbd_lib import paths
from rgbd_lib.identity import digest


class Ledger:
    """The entries of one results folder."""

    def __init__(self) -> None:
        self.path = paths.results() / "runs" / ".made.json"

    def entries(self) -> dict[str, dict]:
        """Return all entries; an unreadable file counts as none."""
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}

    def current(self, made: Path, inputs: str) -> bool:
        """Whether a file or folder was made from these inputs and is as it was then."""
        entry = self.entries().get(str(made.resolve()))
        return entry is not None and entry["inputs"] == inputs and entry["content"] == content(made)

    def seconds(self, made: Path) -> float | None:
        """Return how long the making took, the last time."""
        return self.entries().get(str(made.resolve()), {}).get("seconds")

    def usual(self, inputs: str) -> float | None:
        """Return how long things made from such inputs took on average."""
        found = [entry["seconds"] for entry in self.entries().values() if entry["inputs"] == inputs]
        return fmean(found) if found else None

    def note(self, made: Path, inputs: str, seconds: float) -> None:
        """Enter what has just been made."""
        entries = self.entries()
        entries[str(made.resolve())] = {
            "inputs": inputs,
            "content": content(made),
            "seconds": round(seconds, 1),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(partial, self.path)


def content(place: Path) -> str:
    """Return the hash of a file, or of the names and contents of all files in a folder."""
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return digest(
        [
            (f.relative_to(place).as_posix(), hashlib.sha256(f.read_bytes()).hexdigest())
            for f in files
            if f.is_file()
        ]
    )
