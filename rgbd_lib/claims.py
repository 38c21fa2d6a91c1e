"""What the seed study expected, and what its habits would have made of our stored results."""

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from rgbd_lib import methods, metrics, paths, statistics, tables
from rgbd_lib.datasets.synthetic.classes import GROUPS, cues
from rgbd_lib.headline import BASELINES, points
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.statistics import Results

BETTER, WORSE = ("mid", "late", "transformer"), ("early", "rgb", "depth")
ALPHA = 0.05
BOTH = "both groups"
PAIRED = {name: ids for name, ids in GROUPS.items() if len(ids) == 4}  # a cue of each sensor decides in them


def hypothesis(results: Results, over: str = "mean") -> pd.DataFrame:
    """Return the study's expectation, "mid, late and transformer beat early and either sensor", pair by pair.

    A row holds if its difference is above 0 after Holm's correction over all rows, and is reversed if below.
    """
    pairs = [(a, b) for a in BETTER for b in WORSE if {a, b} <= set(results.matrices)]
    metric = results.metric("miou")
    found = [statistics.paired_difference(*results.paired(*pair), metric, over=over) for pair in pairs]
    corrected = statistics.holm([f.p for f in found])
    sure = [p < ALPHA for p in corrected]
    return pd.DataFrame(
        {
            "expected to be better": [methods.get(a).title for a, _ in pairs],
            "than": [methods.get(b).title for _, b in pairs],
            "points (95 % interval)": [points(f) for f in found],
            "p (Holm)": corrected.round(4),
            "verdict": [
                ("holds" if f.mean > 0 else "reversed") if s else "open"
                for f, s in zip(found, sure, strict=True)
            ],
        }
    )


def hypothesis_sentence(results: Results) -> str:
    """Return how many of the expected orders hold."""
    verdicts = hypothesis(results).verdict.value_counts()
    return (
        "The seed study expected mid, late and transformer fusion to beat early fusion and either sensor alone. Of these "
        f"{verdicts.sum()} comparisons **{verdicts.get('holds', 0)}** hold here, **{verdicts.get('reversed', 0)}** "
        f"come out the other way round and **{verdicts.get('open', 0)}** cannot be decided "
        f"(Holm-corrected, {100 * ALPHA:.0f} %)."
    )


def winners(results: Results) -> dict[int, str]:
    """Return which method has the highest mean over lightings for each seed that all methods have."""
    by_seed = {seed: row.idxmax() for seed, row in scores(results).iterrows()}
    return {int(seed): methods.get(name).title for seed, name in by_seed.items()}


def scores(results: Results) -> pd.DataFrame:
    """Return mIoU, seeds x methods, for the seeds that all methods but the controls have."""
    names = [n for n in methods.names(controls=False) if n in results.matrices]
    metric = results.metric("miou")
    columns = {}
    for name in names:
        seeds = results.seeds.get(name) or range(len(results.matrices[name]))
        columns[name] = pd.Series(statistics.scores(results.matrices[name], metric), index=list(seeds))
    return pd.DataFrame(columns).dropna()


def flips(results: Results) -> tuple[int, int]:
    """Return how many pairs of methods change their order between seeds, and how many pairs there are."""
    table = scores(results).to_numpy()
    signs = [np.sign(table[:, a] - table[:, b]) for a, b in combinations(range(table.shape[1]), 2)]
    return sum(len(set(s)) > 1 for s in signs), len(signs)


def luck_sentence(results: Results) -> str:
    """Return what a study of one seed would have said, seed by seed."""
    first = winners(results)
    if len(first) < 2:
        return "There is one seed only: how often another would have changed the order is not known."
    changed, pairs = flips(results)
    named = {
        title: [str(s) for s, t in first.items() if t == title] for title in dict.fromkeys(first.values())
    }
    said = "; ".join(f"{t} with seed{'s' * (len(s) > 1)} {', '.join(s)}" for t, s in named.items())
    return (
        f"Had one seed been trained, the winner would have been {said}; **{changed}** of {pairs} pairs of methods "
        f"change their order between the {len(first)} seeds."
    )


def habits(results: Results) -> pd.DataFrame:
    """Return each method's score (%) by several ways of scoring the same runs, mean over lightings and seeds.

    "one seed" takes the first; "forgiving metric" does not count what is painted over the background; "epoch by test"
    takes the better of the selected and the last epoch by its test score: two epochs where the study had 300. That one
    needs stored tables.
    """
    names = [n for n in methods.names(controls=False) if n in results.matrices]
    strict, forgiving = (
        {n: statistics.scores(results.matrices[n], results.metric(m)) for n in names}
        for m in ("miou", "forgiving_miou")
    )
    found = {
        "this protocol": {n: strict[n].mean() for n in names},
        "one seed": {n: strict[n][0] for n in names},
        "forgiving metric": {n: forgiving[n].mean() for n in names},
    }
    if (paths.results() / results.profile / "runs.csv").exists():
        runs = tables.main(results.profile, "runs").set_index("method")
        either = runs[["miou_mean", "miou_mean_last"]].max(axis=1)
        found["epoch by test"] = {n: either.loc[[n]].mean() for n in names}
    return 100 * pd.DataFrame(found).loc[names]


def told_apart(matrices: np.ndarray, groups: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return the mean IoU within groups of classes, mean over the groups: of pixels that are a group's and called so."""
    within = [metrics.miou(matrices[..., ids, :][..., ids], background=None) for ids in map(list, groups)]
    return metrics.nanmean(np.stack(within, axis=-1))


def best_alone(truth: np.ndarray, ids: Sequence[int]) -> float:
    """Return the best mean IoU (0..1) over a group for one sensor, which sees pairs of classes alike and must guess.

    ``truth`` are pixels per class. Guessing each pixel of a pair as its first class with chance q, the first class of
    share p gets IoU p q / (p + q - p q), its partner the same with 1 - p and 1 - q; q is chosen for the best mean.
    """
    q, best = np.linspace(0.001, 0.999, 999), []
    for sensor in (0, 1):
        alike: dict[str, list[float]] = {}
        for k in ids:
            alike.setdefault(cues(k)[sensor], []).append(float(truth[k]))
        p = [first / (first + second) for first, second in alike.values()]
        best.append(
            np.mean([(a * q / (a + q - a * q) + (1 - a) * (1 - q) / (1 - a * q)).max() / 2 for a in p])
        )
    return float(max(best))


def beyond(results: Results) -> pd.DataFrame:
    """Return, for groups of classes that need both sensors, how well each method tells them apart (%): long form.

    By construction one sensor gets no further than ``ceiling``; ``sure`` says that the whole interval lies beyond it.
    """
    rows = []
    truth = next(iter(results.matrices.values())).sum((0, 1, 2, 4))
    for group, ids in (*((name, (ids,)) for name, ids in PAIRED.items()), (BOTH, tuple(PAIRED.values()))):
        ceiling = float(np.mean([best_alone(truth, one) for one in ids]))
        for name, matrices in results.matrices.items():
            found = statistics.interval(matrices, partial(told_apart, groups=ids))
            rows.append(
                {"group": group, "method": name, "ceiling": 100 * ceiling, "sure": found.low > ceiling}
                | {part: 100 * getattr(found, part) for part in ("mean", "low", "high")}
            )
    return pd.DataFrame(rows)


def beyond_sentence(results: Results) -> str:
    """Return which methods are beyond what any single sensor could do."""
    if not results.synthetic:
        return "Real classes have no known ceiling: nobody knows what one sensor could tell at best."
    table = beyond(results)
    fused = table[(table.group == BOTH) & ~table.method.isin(BASELINES)]
    over = fused[fused["mean"] > fused.ceiling].sort_values("mean", ascending=False)
    named = "; ".join(
        f"{methods.get(r.method).title} {r.mean:.0f} ({r.low:.0f} to {r.high:.0f})" for r in over.itertuples()
    )
    return (
        "Two groups of four classes need both sensors: with one alone nobody can tell more than "
        f"{fused.ceiling.max():.0f} % of them apart (mean IoU within a group, as often as these classes occur). "
        f"After {profile_of(results.profile).epochs} epochs **{len(over)}** of "
        f"{len(fused)} methods with both sensors are beyond that on average, **{over.sure.sum()}** with their whole 95 % "
        f"interval" + (f": {named}." if named else ".")
    )


def places(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of scores as places, 1 is best."""
    return table.rank(ascending=False, method="min").astype(int)
