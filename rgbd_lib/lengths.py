"""What a longer training makes of a study: two stored profiles that differ in their epochs alone."""

from dataclasses import asdict
from functools import partial
from itertools import combinations

import pandas as pd

from rgbd_lib import methods, metrics, paths, statistics, stored, tables
from rgbd_lib.profiles import PROFILES, smaller
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.statistics import signed

FREE = {"name", "epochs", "seeds"}  # two lengths of one training may differ in these


def shorter(profile: str) -> str | None:
    """Return the stored profile that trains like this one with fewer epochs; of several the longest, without any None."""
    kept = {k: v for k, v in asdict(profile_of(profile)).items() if k not in FREE}
    alike = [
        other
        for other in PROFILES.values()
        if other.epochs < profile_of(profile).epochs
        and kept.items() <= asdict(other).items()
        and (paths.results() / other.name / stored.MAIN).exists()
    ]
    return max(alike, key=lambda other: other.epochs).name if alike else None


def table(profile: str) -> pd.DataFrame:
    """Return mIoU (0..1) with its interval for both lengths: a row per compared method, over the seeds that both have."""
    brief = shorter(profile)
    if brief is None or not (paths.results() / profile / stored.MAIN).exists():
        return pd.DataFrame()
    long, short = stored.load(profile), stored.load(brief, partial=True)
    if long.data != short.data:
        return pd.DataFrame()
    rows = {}
    for name in (n for n in methods.names() if n in long.matrices and n in short.matrices):
        seeds = [s for s in long.seeds[name] if s in short.seeds[name]]
        if seeds:
            measure = partial(metrics.miou, background=long.background)
            found = {
                "long": statistics.interval(stored.of_seeds(long, name, seeds), measure),
                "short": statistics.interval(stored.of_seeds(short, name, seeds), measure),
            }
            rows[name] = {
                f"{length}{end}": getattr(interval, part)
                for length, interval in found.items()
                for end, part in (("", "mean"), ("_low", "low"), ("_high", "high"))
            } | {"seeds": tuple(seeds)}
    about = {"profile": profile, "data": long.data, "synthetic": long.synthetic}
    epochs = {"long_epochs": profile_of(profile).epochs, "short_epochs": profile_of(brief).epochs}
    return pd.DataFrame.from_dict(rows, orient="index").assign(**about, **epochs)


def missed(profile: str, seeds: pd.Series) -> float:
    """Return how many classes a method misses wholly, mean over methods: below 1 % IoU, though test scenes show them."""
    rows = tables.read(profile, "classes")
    rows = rows[rows.variant.isna() & (rows.trained_on == "mixed") & (rows.scenes > 0)]
    asked = [seed in seeds.get(method, ()) for method, seed in zip(rows.method, rows.seed, strict=True)]
    lost = (rows[asked].iou < 0.01).groupby([rows.method, rows.seed]).sum()
    return float(lost.groupby("method").mean().mean())


def compared(profile: str) -> str:
    """Return the largest profile up to this one that is stored at two lengths; this one where none is."""
    return next((name for name in (profile, *smaller(profile)) if not table(name).empty), profile)


def sentence(profile: str) -> str:
    """Return what longer training changes: scores, their order, and classes that nobody finds."""
    profile = compared(profile)
    found = table(profile)
    if found.empty:
        return "No method was trained for another length: what another budget would change is not known."
    gain = 100 * (found.long - found.short)
    pairs = list(combinations(found.index, 2))
    swapped = sum((found.short[a] - found.short[b]) * (found.long[a] - found.long[b]) < 0 for a, b in pairs)
    first = [methods.get(found[length].idxmax()).title for length in ("short", "long")]
    place = (
        f"{first[0]} stays first"
        if first[0] == first[1]
        else f"{first[1]} takes the first place from {first[0]}"
    )
    short, long = found.short_epochs.iloc[0], found.long_epochs.iloc[0]
    lost = [missed(name, found.seeds) for name in (shorter(profile), profile)]
    return (
        f"With {long} epochs instead of {short} (profile {profile}, {seed_text(found.seeds)}, {len(found)} methods) "
        f"scores change by {signed(gain.min())} to {signed(gain.max())} points, **{swapped}** of {len(pairs)} pairs "
        f"change their order, {place}, and a method misses {lost[1]:.1f} classes wholly instead of {lost[0]:.1f}."
    )


def seed_text(seeds: pd.Series) -> str:
    """Return how many seeds a table rests on."""
    counts = sorted({len(s) for s in seeds})
    return (
        f"{counts[0]} seed{'s' * (counts[0] > 1)}"
        if len(counts) == 1
        else f"{counts[0]} to {counts[-1]} seeds"
    )
