"""What a long command says while it works: a line per event, and in a terminal a last line that is kept up to date."""

import shutil
import sys
import time
from typing import TextIO

EVERY = 60  # seconds between status lines where they cannot be overwritten, in a log file


class Board:
    """Lines that stay and one status line that changes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.shown = False
        self.last = time.monotonic()

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        print(text, file=self.stream, flush=True)
        self.last = time.monotonic()

    def status(self, text: str) -> None:
        """Replace the status line; a log file gets one a minute."""
        if self.live:
            self.clear()
            width = shutil.get_terminal_size().columns - 1
            print(
                text if len(text) <= width else text[: width - 1] + "…", end="", file=self.stream, flush=True
            )
            self.shown = True
        elif time.monotonic() - self.last > EVERY:
            self.line(text)

    def clear(self) -> None:
        """Remove the status line."""
        if self.shown:
            print("\r\x1b[K", end="", file=self.stream, flush=True)
            self.shown = False


def duration(seconds: float | None) -> str:
    """Return a time for people."""
    if seconds is None:
        return "time unknown"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
