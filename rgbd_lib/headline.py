"""What came out, in the words that the stored results allow: nothing here knows which method is good."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from rgbd_lib import lesson, methods, metrics, statistics, tables
from rgbd_lib.statistics import Interval, Results, signed

FEW = ("rgb", "depth", "early", "mid")  # enough to show the question where nothing is stored
REPLICATES = 2000  # as statistics.sentence: one comparison has one interval, wherever it is printed
BASELINES = ("rgb", "depth")
UNDER = {  # columns of robustness.csv -> what a reader is told
    "clean": "clean",
    "lightings": "mean over lightings",
    "worst": "worst lighting",
    "depth_off": "depth off",
    "rgb_off": "camera off",
    "suite": "suite mean",
}


@dataclass(frozen=True)
class Question:
    """A chapter's question as far as one comparison answers it."""

    chapter: str  # file name in notebooks/
    text: str
    a: str
    b: str


QUESTIONS = (
    Question("03_early", "Is a fourth channel enough?", "early", "rgb"),
    Question("04_mid", "Do two encoders beat one?", "mid", "early"),
    Question("05_late", "Can two experts just vote?", "late", "mid"),
    Question("06_gates", "Can a network learn whom to trust?", "se", "mid"),
    Question("07_attention", "Does it help to look depth up?", "attention", "mid"),
    Question("08_transformer", "Does fusing at every scale pay?", "transformer", "attention"),
    Question("09_fusenet", "Is adding depth into RGB enough?", "fusenet", "mid"),
    Question("10_cen", "Can fusion cost no parameters?", "cen", "concat"),
    Question("11_geminifusion", "Is per-pixel attention enough?", "gemini", "attention"),
    Question("12_primkd", "Does an RGB teacher help?", "primkd", "mid"),
    Question("14_is_it_depth", "Is it depth, or just more parameters?", "mid", "rgb_twice"),
)


def stored(fallback: str) -> Results:
    """Return the results of the largest profile that has any; without any, of a few runs of ``fallback``."""
    return lesson.stored(("rgb", "depth", "mid")) or lesson.results(fallback, FEW)


def fused(results: Results) -> tuple[str, ...]:
    """Return the methods that use both sensors, in the order of all tables."""
    found = [n for n in methods.names(controls=False) if n in results.matrices]
    return tuple(n for n in found if n not in BASELINES)


def compare(results: Results, a: str, b: str, over: str = "mean") -> Interval:
    """Return a - b."""
    pair = results.paired(a, b)
    return statistics.paired_difference(*pair, results.metric("miou"), REPLICATES, over=over)


def verdict(found: Interval) -> str:
    """Return what an interval of a difference allows to say."""
    if not found.excludes_zero:
        return "cannot be told apart"
    return "ahead" if found.mean > 0 else "behind"


def points(found: Interval) -> str:
    """Return a difference in points with its interval, with proper minus signs."""
    return "{} ({} to {})".format(*(signed(100 * value) for value in (found.mean, found.low, found.high)))


def summary(results: Results) -> str:
    """Return, as a Markdown list, how the methods with two sensors stand to RGB alone, and who leads."""
    return "\n".join([*(f"- {sentence}" for sentence in sentences(results)), f"\n{provenance(results)}"])


def sentences(results: Results) -> list[str]:
    """Return how fusions stand to RGB alone, on average and in the worst light, who leads, and the floor."""
    lines = []
    for over, what in (
        ("mean", "On average over the lightings"),
        ("worst", "Under each one's worst lighting"),
    ):
        said = {name: verdict(compare(results, name, "rgb", over)) for name in fused(results)}
        groups = [
            f"**{len(names)}** {text} ({'; '.join(methods.get(n).title for n in names)})"
            for word, text in (
                ("ahead", "ahead of RGB alone"),
                ("cannot be told apart", "not to be told apart from RGB alone"),
                ("behind", "behind RGB alone"),
            )
            if (names := [n for n, v in said.items() if v == word])
        ]
        lines.append(
            f"{what}, of {len(said)} method{'s' * (len(said) > 1)} with both sensors: {'; '.join(groups)}."
        )
    scale = f"For scale: calling every pixel background scores {100 * floor(results):.1f} %."
    return [*lines, leader(results), scale]


def floor(results: Results) -> float:
    """Return the mIoU (0..1) of calling every pixel background: what has to be learned begins above it."""
    truth = np.asarray(next(iter(results.matrices.values())))[0, :, 0].sum((0, -1))  # pixels per class
    answer = np.zeros((len(truth), len(truth)))
    answer[:, results.background or 0] = truth
    return float(metrics.miou(answer))


def leader(results: Results) -> str:
    """Return who has the highest mean, and how often it would keep its place among other scenes and seeds."""
    names = (*BASELINES, *fused(results))
    common = set.intersection(*(set(seeds_of(results, n)) for n in names))
    if not common:
        return "The methods share no seed, so that no order of theirs can be tried on other scenes."
    kept = {
        n: results.matrices[n][[i for i, s in enumerate(seeds_of(results, n)) if s in common]] for n in names
    }
    ranks = statistics.rank_stability(kept, results.metric("miou"), REPLICATES)
    best = max(ranks, key=lambda rank: statistics.scores(kept[rank.method], results.metric("miou")).mean())
    return (
        f"The highest mean is that of {methods.get(best.method).title}; drawing scenes and seeds again, it stays first "
        f"in {100 * best.share_best:.0f} % of the worlds and {ranks_text(best.low, best.high)} in 95 % of them"
        f"{'' if len(common) > 1 else ' (one seed: only scenes are drawn again, so this is too sure of itself)'}."
    )


def ranks_text(low: int, high: int) -> str:
    """Return a range of ranks in words."""
    return f"in rank {low}" if low == high else f"within ranks {low} to {high}"


def best(results: Results) -> str:
    """Return the method with both sensors that has the highest mean."""
    measure = results.metric("miou")
    return max(fused(results), key=lambda n: statistics.scores(results.matrices[n], measure).mean())


def seeds_of(results: Results, name: str) -> Sequence[int]:
    """Return which seeds a method's matrices are of."""
    return results.seeds.get(name) or range(len(results.matrices[name]))


def answers(results: Results) -> str:
    """Return a Markdown table: each question, the comparison that bears on it, and what these data say."""
    rows = [
        "| chapter | question | compared | points of mIoU (95 % interval) | these data say |",
        "|---|---|---|---|---|",
    ]
    for q in QUESTIONS:
        if q.a in results.matrices and q.b in results.matrices:
            found = compare(results, q.a, q.b)
            pair = f"{methods.get(q.a).title} − {methods.get(q.b).title}"
            link = f"[{q.chapter[:2]}]({q.chapter}.ipynb)"
            rows.append(f"| {link} | {q.text} | {pair} | {points(found)} | {verdict(found)} |")
    if len(rows) == 2:
        return "*None of the comparisons is stored yet; `make report` makes them.*"
    return "\n".join([*rows, f"\n{provenance(results)}"])


def provenance(results: Results) -> str:
    """Return what numbers rest on, as Markdown."""
    seeds = sorted({len(seeds_of(results, n)) for n in results.matrices})
    many = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seed{'s' * (seeds[0] > 1)}"
    scenes = next(iter(results.matrices.values())).shape[1]
    data = "synthetic data" if results.synthetic else f"data {results.data}"
    return f"*{data[0].upper()}{data[1:]}, profile {results.profile}, {many}, {scenes} test scenes.*"


def only(results: Results, names: Sequence[str]) -> Results:
    """Return the results of some methods alone."""
    return replace(results, matrices={n: np.asarray(results.matrices[n]) for n in names})


# -- when the light changes and sensors fail ------------------------------------------------------


def robustness(profile: str) -> pd.DataFrame:
    """Return methods x scores as text, "mIoU % (95 % interval)", in the order of all tables."""
    table = tables.read(profile, "robustness").set_index("method")
    names = [n for n in methods.names() if n in table.index]
    cells = {
        text: [
            interval_text(*(table.loc[n, f"{score}{end}"] for end in ("", "_low", "_high"))) for n in names
        ]
        for score, text in UNDER.items()
    }
    return pd.DataFrame(cells, index=pd.Index([methods.get(n).title for n in names], name="method"))


def interval_text(mean: float, low: float, high: float) -> str:
    """Return a score in percent with its interval."""
    return f"{100 * mean:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def robustness_markdown(profile: str) -> str:
    """Return the same as a Markdown table that says what its numbers rest on."""
    table, rows = robustness(profile), tables.read(profile, "robustness")
    lines = [f"| method | {' | '.join(table)} |", "|---" * (1 + table.shape[1]) + "|"]
    lines += [
        f"| {name} | {' | '.join(row)} |" for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    data = "Synthetic data" if rows.synthetic.all() else f"Data {rows.data.iloc[0]}"
    seeds = int(rows.seeds.max())
    about = f"{data}, profile {profile}, {seeds} seed{'s' * (seeds > 1)}, {rows.scenes.max()} test scenes"
    return "\n".join([*lines, f"\n*mIoU in % with 95 % intervals. {about}.*"])
