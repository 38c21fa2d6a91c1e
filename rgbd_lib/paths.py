"""Where things lie: the project's folder, data, caches and results."""

import os
from pathlib import Path


def home() -> Path:
    """Return the project folder: $RGBD_HOME, or the nearest one above with notebooks/ and rgbd_lib/."""
    if "RGBD_HOME" in os.environ:
        return Path(os.environ["RGBD_HOME"])
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "rgbd_lib").is_dir():
            return folder
    return here


def results() -> Path:
    """Return the folder of tables and run records: $RGBD_RESULTS or results/."""
    return Path(os.environ.get("RGBD_RESULTS", home() / "results"))


def cache() -> Path:
    """Return the folder of decoded data and downloads: $RGBD_CACHE or .cache/."""
    return Path(os.environ.get("RGBD_CACHE", home() / ".cache"))


def data(path: str | Path) -> Path:
    """Return a data path as given, or relative to the project folder where that is where it exists."""
    path = Path(path).expanduser()
    return path if path.is_absolute() or path.exists() else home() / path


def environment() -> dict[str, str]:
    """Return the variables that make another process, in whatever folder, use the same places."""
    places = {"RGBD_HOME": home(), "RGBD_RESULTS": results(), "RGBD_CACHE": cache()}
    return {name: str(place.resolve()) for name, place in places.items()}
