"""The one kind of error a user can cause, and the hints that help out of it."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can mend: the text names the thing, the value and the way out.

    The command line prints it as one line and exits with code 2; in Python it is raised as it is.
    """


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not among the known ones, with the nearest of them."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return UserError(f"unknown {kind} '{name}'.{hint} Known: {', '.join(known)}")
