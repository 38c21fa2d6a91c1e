"""From a moved slider to the new picture, in the browser: stored predictions at 480x640, and two live models.

Prints the 95th percentile beside its goal. `python benchmarks/explorer_speed.py [--profile quick]`; the live part
needs finished runs of the profile in results/runs.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_notebook

HOME = Path(__file__).parents[1]
sys.path[:0] = [str(HOME), str(HOME / "tests")]

import browser_store  # noqa: E402
from browser_tools import opened, server  # noqa: E402

from rgbd_lib import paths  # noqa: E402
from rgbd_lib.errors import UserError  # noqa: E402
from rgbd_lib.explorer import page as pages  # noqa: E402
from rgbd_lib.explorer import store as stores  # noqa: E402

SIZE = (480, 640)
GOALS = {"stored, 480x640, notebook": 100, "stored, 480x640, page": 100, "two live models, dimmer": 300}
IDLE = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
# Both pictures have been exchanged: the later of the two is what a person waits for.
MOVE = """async ([handle, frames, key]) => {
  const before = frames.map((frame) => frame.dataset.number);
  const start = performance.now();
  handle.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  while (frames.some((frame, i) => frame.dataset.number === before[i])) await new Promise(requestAnimationFrame);
  return Math.max(...frames.map((frame) => Number(frame.dataset.drawn))) - start;
}"""
SLIDE = """async ([slider, value]) => {
  const before = document.body.dataset.drawn, start = performance.now();
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  while (document.body.dataset.drawn === before) await new Promise((next) => setTimeout(next, 0));
  return performance.now() - start;
}"""


def notebook(folder: Path, store: Path) -> None:
    code = [
        "from pathlib import Path",
        "from rgbd_lib import explorer",
        f"explorer.show(Path({str(store)!r}))",
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = new_notebook(
        cells=[new_code_cell("\n".join(code))], metadata=kernel
    )  # without one Lab asks for it
    nbformat.write(made, folder / "speed.ipynb")


def in_notebook(store: Path, slider: str, moves: int, folder: Path) -> list[float]:
    """Return milliseconds from a key press on a slider to both pictures."""
    home, settings = folder / "notebooks", folder / "settings"
    home.mkdir(parents=True), settings.mkdir()
    notebook(home, store)
    places = paths.environment() | {"PYTHONPATH": str(HOME)}
    with server("jupyterlab", home, settings, places) as address, opened() as (page, _):
        page.goto(address.format(page="lab/tree/speed.ipynb"))
        page.wait_for_function(IDLE)
        page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        page.locator(".rgbd-picture img[src]").nth(2).wait_for()
        label = page.locator(".widget-label").get_by_text(slider, exact=True).first
        handle = label.locator("xpath=..").locator(".noUi-handle").element_handle()
        frames = [page.locator(".rgbd-picture").nth(n).element_handle() for n in (1, 2)]
        keys = ["ArrowLeft" if slider == "opacity" else "ArrowRight"] * 8 + [
            "ArrowRight",
            "ArrowLeft",
        ] * moves
        times = [page.evaluate(MOVE, [handle, frames, key]) for key in keys]
        return times[8:]  # the first are slower: scenes are rendered, models loaded


def in_page(store: Path, moves: int, folder: Path) -> list[float]:
    """Return milliseconds from a changed slider to both pictures on the page without a kernel."""
    path = pages.write(store, folder)
    with opened() as (page, _):
        page.goto(path.as_uri())
        page.locator("body[data-drawn]").wait_for()
        slider = page.locator("#opacity").element_handle()
        return [page.evaluate(SLIDE, [slider, 5 * (n % 20)]) for n in range(2 * moves)][2:]


def report(name: str, times: list[float]) -> None:
    p50, p95 = np.percentile(times, (50, 95))
    goal = GOALS[name]
    verdict = "reached" if p95 < goal else "missed"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    print(
        f"{name:28} p50 {p50:5.0f} ms  p95 {p95:5.0f} ms  goal {goal} ms {verdict}  (load {load:.1f} per core)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--moves", type=int, default=20)
    chosen = parser.parse_args()
    browser_store.SIZE = browser_store.PHOTO = SIZE
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        store = browser_store.make(folder / "store")
        report("stored, 480x640, page", in_page(store, chosen.moves, folder / "page"))
        report("stored, 480x640, notebook", in_notebook(store, "opacity", chosen.moves, folder / "stored"))
        try:
            live = stores.write(chosen.profile, folder / "live", methods=["rgb", "mid"], scenes=2)
        except UserError as error:
            sys.exit(f"no live part: {error}")
        report("two live models, dimmer", in_notebook(live, "dimmer", chosen.moves, folder / "live-notebook"))


if __name__ == "__main__":
    main()
