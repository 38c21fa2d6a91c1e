"""One progress bar for a terminal, a notebook and a log file."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from tqdm.auto import tqdm

from rgbd_lib.errors import UserError

Thing = TypeVar("Thing")


class Progress:
    """Counts steps; in a log file it writes a line per note instead of redrawing a bar."""

    def __init__(self, total: int, title: str, *, done: int = 0, quiet: bool = False) -> None:
        self.live = not quiet and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self.log = not quiet and not self.live
        self.title, self.total, self.done, self.first = title, total, done, done
        self.start = time.monotonic()
        self.bar = tqdm(total=total, initial=done, desc=title, leave=False, disable=not self.live)

    def step(self, note: Callable[[], dict[str, str]] | None = None) -> None:
        """Advance by one; ``note`` is only evaluated when the bar is about to be drawn."""
        self.done += 1
        if self.live:
            if note and self.bar.n + 1 - self.bar.last_print_n >= self.bar.miniters:
                self.bar.set_postfix(note(), refresh=False)
            self.bar.update()

    def over(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """Yield things, one step each; in a log file one line at the end."""
        for thing in things:
            yield thing
            self.step()
        self.line("done")
        self.close()

    def line(self, text: str) -> None:
        """Write one line with the time left; only where there is no bar."""
        if self.log:
            spent = time.monotonic() - self.start
            left = spent / max(1, self.done - self.first) * (self.total - self.done)
            tail = f"  {left:.0f} s left" if self.done < self.total else f"  after {spent:.0f} s"
            print(f"{self.title}  {text}{tail}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()


def scalars(folder: Path) -> object:
    """Return a TensorBoard writer into a folder."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError("--tensorboard needs the package: pip install tensorboard") from None
    return SummaryWriter(folder)
