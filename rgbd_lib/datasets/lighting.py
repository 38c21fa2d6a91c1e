"""Which lightings a run may train on, written as people say it."""

from collections.abc import Sequence

from rgbd_lib.errors import UserError

_ALL_BUT = "all-but-"


def parse(text: str | int, available: Sequence[int]) -> tuple[int, ...]:
    """Return 0-based positions in ``available`` for "mixed", "3", "1,3" or "all-but-3"."""
    wanted = str(text).strip().lower()
    if wanted == "mixed":
        return tuple(range(len(available)))
    leave_out = wanted.startswith(_ALL_BUT)
    named = wanted.removeprefix(_ALL_BUT).split(",")
    known = {str(number): position for position, number in enumerate(available)}
    have = ",".join(known)
    positions = {known.get(part.strip()) for part in named}
    if None in positions:
        raise UserError(
            f"lighting '{text}' is not understood. Say mixed, one number, several as 1,3, or all-but-3; "
            f"this data set has {have}"
        )
    chosen = set(known.values()) - positions if leave_out else positions
    if not chosen:
        raise UserError(f"lighting '{text}' leaves nothing to train on; this data set has {have}")
    return tuple(sorted(chosen))
