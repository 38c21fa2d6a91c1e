"""What a model scores with both sensors, and with one of them switched off."""

import numpy as np
import pandas as pd

from rgbd_lib import metrics
from rgbd_lib.errors import UserError
from rgbd_lib.robustness import missing_expected
from rgbd_lib.statistics import Results

COLUMNS = ("both", "depth off", "camera off")


def sensors(full: Results, gone: Results) -> pd.DataFrame:
    """Return a row per method: mIoU (0..1) with both sensors, without depth, without the camera.

    ``full`` holds the lightings, ``gone`` the conditions "missing" in their order; means over seeds and lightings.
    """
    rows = {}
    for name, matrices in gone.matrices.items():
        lights = full.matrices[name].shape[2]
        if matrices.shape[2] != 2 * lights:
            raise UserError(
                f"'{name}' was tested under {matrices.shape[2]} conditions, not with each of two sensors missing "
                f"under {lights} lightings; evaluate the conditions 'missing'"
            )
        parts = (full.matrices[name], matrices[:, :, :lights], matrices[:, :, lights:])
        rows[name] = [float(metrics.miou(part.sum(1), full.background).mean()) for part in parts]
    return pd.DataFrame(rows, index=list(COLUMNS)).T


def expected(table: pd.DataFrame, chances: np.ndarray) -> pd.DataFrame:
    """Return E(p) of each row of ``sensors`` for every chance p of a sensor to fail: p x methods."""
    values = {name: [missing_expected(*row, p) for p in chances] for name, row in table.iterrows()}
    return pd.DataFrame(values, index=chances)
