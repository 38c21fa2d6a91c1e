"""Budgets. A profile changes size, crop, width and time; never the protocol."""

from dataclasses import dataclass

from rgbd_lib.errors import unknown


@dataclass(frozen=True)
class Profile:
    """How much a run may cost. Every table and figure says which profile made it."""

    name: str
    size: tuple[int, int]  # H, W of the training images
    crop: tuple[float, float, float, float]  # top, left, bottom, right of the frame that is used, 0..1
    width: float  # factor on all channel counts
    epochs: int
    batch: int
    lr: float
    scenes: int | None  # how many scenes of the data set are used; None = all
    seeds: tuple[int, ...]
    loss: str = "dice+ce"  # the seed study's: half Dice, half cross-entropy


WHOLE = (0.0, 0.0, 1.0, 1.0)
TURNTABLE = (0.33, 0.12, 1.0, 0.96)  # spends the pixels where the objects can be; 322 x 538 of 480 x 640
# And closer: 192 x 500, which holds over 99 % of the small objects' pixels. 96x256 of it is a 240x320 frame's resolution.
TABLE = (0.46, 0.16, 0.86, 0.94)
# A few thousand steps of a CPU do not bring the study's loss to the rare classes: its Dice term first teaches that
# absent classes are absent. The hardest pixels alone teach more in that time (docs/log.md has the trials).
HARD = "ohem"

PROFILES = {
    "smoke": Profile("smoke", (48, 80), TURNTABLE, 0.25, 2, 8, 2e-3, 24, (0,)),
    "quick": Profile("quick", (48, 128), TABLE, 0.25, 16, 8, 8e-3, 160, (0,), HARD),
    "laptop": Profile("laptop", (64, 160), TABLE, 0.25, 60, 8, 6e-3, None, (0, 1, 2), HARD),
    "overnight": Profile("overnight", (64, 160), TABLE, 0.25, 240, 8, 6e-3, None, (0, 1, 2), HARD),
    "full": Profile("full", (96, 256), TABLE, 0.5, 150, 16, 6e-3, None, (0, 1, 2), HARD),
    "frame": Profile("frame", (240, 320), WHOLE, 1.0, 120, 16, 1e-3, None, (0, 1, 2)),
}


def profile(name: str) -> Profile:
    """Return the profile of that name; an unknown name lists the known ones."""
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name]


def larger(least: str) -> list[str]:
    """Return the names of the profiles from the largest budget down to this one."""
    names = list(PROFILES)
    return names[names.index(profile(least).name) :][::-1]


def smaller(most: str) -> list[str]:
    """Return the names of the profiles with less budget than this one, the largest first."""
    names = list(PROFILES)
    return names[: names.index(profile(most).name)][::-1]
