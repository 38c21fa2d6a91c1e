"""One look for all figures: the colours and markers of methods come from the registry."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.figure
import matplotlib.pyplot as plt
import pandas as pd

from rgbd_lib import methods

DPI = 100
WIDTH = 8.6  # inches: a page's width at 860 pixels
CAPTIONS = "captions.json"
SMALL_SVG = 120_000  # bytes; larger drawings are kept as PNG only
LINES = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "rgbd",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Figure:
    """A drawing with the sentence it stands for."""

    drawing: matplotlib.figure.Figure
    caption: str  # what it shows, then data, profile, seeds, what the bars mean
    alt: str  # what is seen

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        """Show the picture in a notebook, with its alternative text."""
        return {"image/png": png(self.drawing), "text/plain": self.caption}, {"image/png": {"alt": self.alt}}

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write PNG, SVG where it is small, and note caption and alternative text."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{name}.png"]
        paths[0].write_bytes(png(self.drawing))
        drawn = svg(self.drawing)
        vector = folder / f"{name}.svg"
        if len(drawn) <= SMALL_SVG:
            vector.write_bytes(drawn)
            paths.append(vector)
        else:
            vector.unlink(missing_ok=True)
        note(folder, name, {"caption": self.caption, "alt": self.alt})
        return paths


def forget(folder: Path, name: str) -> None:
    """Remove a figure that an earlier run made, and its caption."""
    for suffix in (".png", ".svg"):
        (folder / f"{name}{suffix}").unlink(missing_ok=True)
    if (folder / CAPTIONS).exists():
        note(folder, name, None)


def note(folder: Path, name: str, said: dict[str, str] | None) -> None:
    """Write what is said of a figure into the folder's captions; None takes it out."""
    path = folder / CAPTIONS
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known.pop(name, None)
    known |= {name: said} if said else {}
    path.write_text(json.dumps(known, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def use_style() -> Iterator[None]:
    """Draw in the project's style, whatever the caller's settings are."""
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **LINES, "backend": matplotlib.get_backend()}):
        yield


def new(height: float, width: float = WIDTH, **subplots: object) -> tuple[matplotlib.figure.Figure, object]:
    """Return a figure of a page's width that no notebook shows by itself."""
    drawing, axes = plt.subplots(figsize=(width, height), **subplots)
    plt.close(drawing)
    return drawing, axes


def png(drawing: matplotlib.figure.Figure) -> bytes:
    """Return the drawing as PNG without a date."""
    out = io.BytesIO()
    drawing.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def svg(drawing: matplotlib.figure.Figure) -> bytes:
    """Return the drawing as SVG without a date."""
    out = io.BytesIO()
    drawing.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def color(name: str) -> str:
    """Return a method's colour."""
    return methods.get(name).color


def marker(name: str) -> str:
    """Return a method's marker."""
    return methods.get(name).marker


def title(name: str) -> str:
    """Return a method's title."""
    return methods.get(name).title


def ordered(found: list[str] | pd.Series) -> list[str]:
    """Return method names in the fixed order of all figures."""
    found = set(found)
    return [name for name in methods.names() if name in found]


def source(table: pd.DataFrame, bars: str = "") -> str:
    """Return the end of a caption: data, profile, seeds, and what the bars mean."""
    row = table.iloc[0]
    seeds = int(table.seeds.max()) if "seeds" in table else table.seed.nunique()
    kind = "Synthetic data" if row.synthetic else f"Data: {row.data}"
    return f"{kind}, profile {row.profile}, {seeds} seed{'s' if seeds > 1 else ''}. {bars}".strip()
