"""Does a fusion turn to depth while the picture fails? Its own weights against the severity of what it is shown.

Only methods that say how much they rely on depth are asked. A rising line is no virtue in itself: whether it helps
is for mIoU under the same corruptions to say.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from rgbd_lib import probes, trust
from rgbd_lib.conditions import Condition
from rgbd_lib.errors import UserError
from rgbd_lib.records import key
from rgbd_lib.runs import Record

CORRUPTIONS = ("low_light", "gaussian_noise", "holes")  # two that spoil colour, one that spoils depth
SCENES = 12  # enough for a mean; every one is shown at all severities


def mean_of(text: str) -> Callable[[Record, Sequence[Condition]], np.ndarray]:
    """Return a measure: the mean of everything explained whose name begins with ``text``."""

    def measure(record: Record, shown: Sequence[Condition]) -> np.ndarray:
        found = probes.explained(record, shown, scenes=SCENES)
        each = [v.reshape(len(shown), -1).mean(1) for name, v in found.items() if name.startswith(text)]
        return np.mean(each, axis=0)

    return measure


def vote_weight(record: Record, shown: Sequence[Condition]) -> np.ndarray:
    """Return depth's weight in a vote that is the same for all images."""
    return np.full(len(shown), record.model().ensemble.weights()[1].item())


MEASURES: Mapping[str, tuple[str, Callable[[Record, Sequence[Condition]], np.ndarray]]] = {
    "se": ("gate of depth", trust.depth_gate),
    "sagate": ("weight of depth", mean_of("depth_weight")),
    "attention": ("share of depth's places looked at", trust.places_share),
    "gemini": ("RGB's weight on depth", mean_of("rgb_looks_over")),
    "cen": ("weight of depth's vote, fixed", vote_weight),
}


def rows(record: Record) -> pd.DataFrame:
    """Return a row per corruption and severity (0 = none) of one run."""
    name, data = record.info["parameters"]["method"], record.run.material()
    what, measure = MEASURES[name]
    found = []
    for corruption in CORRUPTIONS:
        shown = probes.graded(data, corruption)
        values = measure(record, shown)
        found += [
            {"corruption": corruption, "severity": s, "measure": what, "value": float(v)}
            for s, v in enumerate(values)
        ]
    return pd.DataFrame(found).assign(**key(record))


def table(found: Sequence[Record]) -> pd.DataFrame | None:
    """Return the rows of all runs that have something to say; None where there are none, or no data."""
    asked = [r for r in found if r.info["parameters"]["method"] in MEASURES]
    try:
        return pd.concat([rows(r) for r in asked]) if asked else None
    except (UserError, OSError) as error:
        print(f"no reliance.csv: {error}")
        return None
