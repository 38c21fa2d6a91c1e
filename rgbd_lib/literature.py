"""Published scores as data, and the questions that may be put to them.

``results/literature.csv`` holds what papers and the pages of their code print; every row says where it stands. Rows of
one ``study`` share backbone, recipe and test protocol, so that within a study a difference means something. All
scores here are percent, all differences points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from rgbd_lib import lesson, paths, probes_papers, statistics
from rgbd_lib.errors import UserError
from rgbd_lib.statistics import Interval, Results

REPLICATES = 1000
PLACES = ("early", "middle", "late", "all")
CEN, FUSENET = "CEN 2020, ResNet101", "FuseNet 2016, VGG16"
SETTINGS = {"common": "two streams meet, one decoder", "shared": "shared network, ensemble"}
MAIN = ("rgb", "depth", "early", "mid", "late", "fusenet", "concat", "align", "selfatt", "cen")


def read() -> pd.DataFrame:
    """Return every published score, one per row; results/README.md explains the columns."""
    path = paths.home() / "results" / "literature.csv"
    if not path.exists():
        raise UserError(f"{path} does not exist; it is part of the project, not of a run: fetch it again")
    return pd.read_csv(path)


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Return each two-sensor row of a study with its ``gain`` over the RGB row of that study and data set.

    ``ratio`` is how many times the baseline's parameters it has, where both are known.
    """
    baselines = table[table.baseline].set_index(["study", "dataset"])
    rows = table[table.study.notna() & table.modalities.eq("RGB-D")].copy()
    own = baselines.reindex(pd.MultiIndex.from_frame(rows[["study", "dataset"]]))
    rows["gain"] = rows.miou.to_numpy() - own.miou.to_numpy()
    rows["ratio"] = rows.params_m.to_numpy() / own.params_m.to_numpy()
    return rows.dropna(subset=["gain"]).reset_index(drop=True)


def by_place(table: pd.DataFrame) -> pd.DataFrame:
    """Return CEN's comparison of fusion families: ``gain`` by family, setting and place."""
    rows = gains(table)
    return rows[rows.study.eq(CEN) & rows.place.notna()]


def stages(table: pd.DataFrame) -> pd.DataFrame:
    """Return FuseNet's sparse and dense variants: gain over RGB, index k = 1..5."""
    rows = gains(table)
    rows = rows[rows.study.eq(FUSENET)]
    named = rows.method.str.extract(r"FuseNet-(?P<kind>[SD]F)(?P<k>\d)").join(rows.gain).dropna()
    wide = named.assign(k=named.k.astype(int)).pivot(index="k", columns="kind", values="gain")
    return wide[["SF", "DF"]]


def reruns(table: pd.DataFrame) -> pd.DataFrame:
    """Return what others got or list, with the ``gap`` to what was claimed first."""
    rows = table[table.claimed.notna()].copy()
    rows["gap"] = rows.miou - rows.claimed
    return rows.sort_values("gap").reset_index(drop=True)


def scale_gains(table: pd.DataFrame) -> pd.DataFrame:
    """Return what flips and several scales at test time add: rows printed both ways by one paper."""
    kept = table[table.kind.eq("own") & table.multi_scale_eval.isin(["yes", "no"])]
    name = kept.method.str.replace(r" \(single-scale\)$", "", regex=True)
    wide = kept.assign(method=name).pivot_table(
        index=["method", "backbone", "dataset"], columns="multi_scale_eval", values="miou"
    )
    wide = wide.dropna()
    return (wide["yes"] - wide["no"]).rename("gain").reset_index()


# -- our own runs, under one protocol ---------------------------------------------------------------


def our_places(profile: str, seed: int = 0) -> Results:
    """Return concatenation at CEN's four places, and RGB alone, trained alike."""
    options = {place: {} if place == "all" else {"place": place} for place in PLACES}  # "all" is the default
    asked = {f"concat {place}": ("concat", {"options": o}) for place, o in options.items()}
    return lesson.sweep(profile, seed, {"rgb": ("rgb", {})} | asked)


def our_stages(profile: str, seed: int = 0, variants: Sequence[str] = ("SF1", "DF5")) -> Results:
    """Return FuseNet's default SF5, some of its variants, and RGB alone, trained alike."""
    asked = {v: ("fusenet", {"options": {"variant": v}}) for v in variants}
    return lesson.sweep(profile, seed, {"rgb": ("rgb", {}), "SF5": ("fusenet", {})} | asked)


def our_exchange(profile: str, seed: int = 0) -> Results:
    """Return the rows of CEN's ablation that its claim rests on: with and without exchange, two networks."""
    rows = (probes_papers.DEFAULT_ROW, "L1 on halves", "two networks")
    options = {row: {} if row == rows[0] else probes_papers.ABLATION[row] for row in rows}
    return lesson.sweep(profile, seed, {row: ("cen", {"options": o}) for row, o in options.items()})


def gain_intervals(results: Results, base: str = "rgb") -> dict[str, Interval]:
    """Return each row's gain over one of them, paired, mean over lightings (0..1)."""
    measure = results.metric("miou")
    return {
        name: statistics.paired_difference(*results.paired(name, base), measure, REPLICATES)
        for name in results.matrices
        if name != base
    }


# -- do the papers' conclusions hold? ---------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A paper says that ``better`` scores above ``worse``: ``published`` points in its own table."""

    paper: str
    text: str
    better: str  # row names of our results
    worse: str
    published: float


def claims(table: pd.DataFrame) -> list[Claim]:
    """Return the conclusions of FuseNet and of channel exchanging, with the points that their tables show."""
    f, c = (table[table.study.eq(s)].set_index("method").miou for s in (FUSENET, CEN))
    shared = by_place(table)
    best = shared[shared.setting.eq("shared")].groupby("family").miou.max()
    rgb, stacked, sf5 = (
        f[f"FuseNet{n}"] for n in (" baseline: RGB only", " baseline: RGB-D stacked", "-SF5")
    )
    cen = c["CEN-RefineNet (single-scale)"]
    silent, apart = (c[f"CEN ablation: {n}"] for n in (
        "the same, L1 on halves, no exchange", "two separate networks, ensemble"))  # fmt: skip
    row = probes_papers.DEFAULT_ROW
    return [
        Claim("FuseNet", "Summing depth into RGB beats RGB alone", "fusenet", "rgb", sf5 - rgb),
        Claim("FuseNet", "A fourth input channel does not help", "rgb", "early", rgb - stacked),
        Claim("FuseNet", "Summing beats a fourth channel", "fusenet", "early", sf5 - stacked),
        Claim("FuseNet", "Five sums beat one", "SF5", "SF1", sf5 - f["FuseNet-SF1"]),
        Claim("FuseNet", "Sparse sums beat dense ones", "SF5", "DF5", sf5 - f["FuseNet-DF5"]),
        Claim("CEN", "Exchanging beats RGB alone", "cen", "rgb", cen - c["RGB only (CEN baseline)"]),
        Claim("CEN", "Exchanging beats concatenation", "cen", "concat", cen - best["concatenation"]),
        Claim("CEN", "Exchanging beats alignment", "cen", "align", cen - best["alignment"]),
        Claim("CEN", "Exchanging beats self-attention", "cen", "selfatt", cen - best["gate"]),
        Claim("CEN", "The exchange, not the penalty, helps", row, "L1 on halves", cen - silent),
        Claim("CEN", "One shared network beats two that vote", row, "two networks", cen - apart),
    ]  # fmt: skip


VERDICTS = {1: "holds here", 0: "cannot be told", -1: "turns round here"}


def verdicts(found: Sequence[Claim], sources: Sequence[Results]) -> pd.DataFrame:
    """Return each claim with our paired difference, Holm-corrected p over all claims, and what the interval says.

    The first source that has both rows is asked; rows of different sources are never paired.
    """
    rows = []
    for claim in found:
        own = next((s for s in sources if {claim.better, claim.worse} <= set(s.matrices)), None)
        if own is None:
            raise UserError(f"no results hold both '{claim.better}' and '{claim.worse}'; train them first")
        d = statistics.paired_difference(
            *own.paired(claim.better, claim.worse), own.metric("miou"), REPLICATES
        )
        sign = 0 if not d.excludes_zero else (1 if d.mean > 0 else -1)
        rows.append(
            {"paper": claim.paper, "claim": claim.text, "published": claim.published, "here": 100 * d.mean,
             "low": 100 * d.low, "high": 100 * d.high, "p": d.p, "seeds": d.seeds, "profile": own.profile,
             "verdict": VERDICTS[sign]}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", statistics.holm(table.p))
    return table


def answer(table: pd.DataFrame) -> str:
    """Return, as Markdown, how many conclusions of each paper hold; synthetic data are named as such."""
    lines = []
    for paper, rows in table.groupby("paper", sort=False):
        counts = rows.verdict.value_counts()
        said = ", ".join(f"**{counts.get(v, 0)}** {v}" for v in VERDICTS.values())
        sure = int((rows.p_holm < 0.05).sum())
        lines.append(
            f"- {paper}: of {len(rows)} conclusions {said}; {sure} with p < 0.05 after Holm's correction."
        )
    budget = ", ".join(
        f"{p} ({s} seed{'s' * (s > 1)})"
        for p, s in dict(zip(table.profile, table.seeds, strict=True)).items()
    )
    return "\n".join([*lines, f"\n*Synthetic data, profile {budget}; intervals by resampling test scenes.*"])
