"""The book as pages that need no kernel, no server and nothing from elsewhere.

Executed notebooks, README and docs go through Sphinx; nothing is executed. A folder is replaced only where it is
such a site already.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rgbd_lib import paths
from rgbd_lib.errors import UserError
from rgbd_lib.website.staging import Staging

THEME = Path(__file__).parent / "theme"
MARK = "searchindex.js"  # what every site has, and few other folders


@dataclass
class Site:
    """A site that was written: its folder, and what a person should know about it."""

    folder: Path
    notes: list[str] = field(default_factory=list)

    def size(self) -> int:
        """Return how many bytes all its files have."""
        return sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())


def build(out: Path, root: Path | None = None) -> Site:
    """Write the book of a project as pages into ``out``; what was there before stays until all has succeeded."""
    out = out.resolve()
    if out.exists() and not (out / MARK).exists() and any(out.iterdir()):
        raise UserError(f"{out} holds something else than a site; give another folder with --out")
    with tempfile.TemporaryDirectory() as folder:
        texts, pages = Path(folder, "texts"), Path(folder, "pages")
        staging = Staging(root or paths.home(), texts)
        staging.write()
        notes = [*staging.notes]
        has_explorer = explorer(pages / "explorer", notes)
        notes += sphinx(texts, pages, has_explorer)
        for needless in pages.glob("_static/**/*.map"):  # what only the theme's authors look into
            needless.unlink()
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(pages, out)
    return Site(out, notes)


def sphinx(texts: Path, pages: Path, has_explorer: bool) -> list[str]:
    """Make pages of laid-out texts, in a process of its own; return what Sphinx complained about."""
    said = texts.parent / "warnings.txt"
    jobs = str(min(4, os.cpu_count() or 1))
    options = [
        "-q",
        "-E",
        "-j",
        jobs,
        "-w",
        str(said),
        "-c",
        str(THEME),
        "-d",
        str(texts.parent / "doctrees"),
    ]
    options += ["-A", "explorer=1"] if has_explorer else []
    command = [sys.executable, "-m", "sphinx", *options, str(texts), str(pages)]
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"the site was not built: {ended.stderr.strip() or ended.stdout.strip()}")
    complaints = said.read_text(encoding="utf-8").splitlines() if said.exists() else []
    return [line.replace(f"{texts}{os.sep}", "") for line in complaints if line.strip()]


def explorer(folder: Path, notes: list[str]) -> bool:
    """Write the explorer's page where the project has stored predictions; say so where not."""
    from rgbd_lib.explorer import page, store

    stored = store.latest()
    if stored is None:
        notes.append(f"no explorer: no stored predictions in {paths.results()}")
        return False
    folder.mkdir(parents=True)
    page.write(store.load(stored), folder)
    return True
