"""The README's results, written from the stored tables: nobody types a number. ``python -m rgbd_lib.readme`` renews them."""

import re

from rgbd_lib import claims, footprint, headline, lengths, methods, paths, specialists, stored, tables
from rgbd_lib.errors import UserError
from rgbd_lib.profiles import larger
from rgbd_lib.profiles import profile as profile_of
from rgbd_lib.statistics import Results

BEGIN, END = "<!-- results: made by python -m rgbd_lib.readme -->", "<!-- end of results -->"


def block(profile: str) -> str:
    """Return the figure, the answer in sentences and the table of methods of a stored profile."""
    results = tables.load(profile)
    picture = f"![mIoU of every method with 95 % intervals, profile {profile}](figures/{profile}/methods.png)"
    said = [
        *headline.sentences(results),
        claims.hypothesis_sentence(results),
        claims.luck_sentence(results),
        lengths.sentence(profile),
        claims.beyond_sentence(results),
        specialists.stored_sentence(),
    ]
    answer = "\n".join(f"- {sentence}" for sentence in said)
    return "\n\n".join([BEGIN, picture, answer, scores(profile), *waiting(results), *begun(results), END])


def begun(results: Results) -> list[str]:
    """Return what larger studies of the same data have so far, and their scores seed by seed, folded."""
    there = [n for n in larger(results.profile)[:-1] if (paths.results() / n / stored.MAIN).exists()]
    found = [stored.load(name, partial=True) for name in there]
    return [text for one in found if one.data == results.data for text in so_far(one)]


def so_far(results: Results) -> list[str]:
    """Return the scores of a study that lacks seeds: too few for intervals that would say much."""
    table, planned = claims.scores(results), profile_of(results.profile)
    if table.empty or "rgb" not in table:
        return []
    ahead = [methods.get(n).title for n in headline.fused(results) if (table[n] > table.rgb).all()]
    cells = {methods.get(n).title: [f"{100 * score:.1f}" for score in table[n]] for n in table}
    head = f"| method | {' | '.join(f'seed {seed}' for seed in table.index)} |\n{'|---' * (1 + len(table))}|"
    lines = [f"| {name} | {' | '.join(row)} |" for name, row in cells.items()]
    about = f"{planned.size[0]}x{planned.size[1]} pixels, width {planned.width:g}, {planned.epochs} epochs"
    data = "Synthetic data" if results.synthetic else f"Data {results.data}"
    return [
        f"A larger study has begun: profile {results.profile} ({about}), {len(table)} of {len(planned.seeds)} seeds so "
        f"far, too few for intervals. Ahead of RGB alone with each of them: {'; '.join(ahead) or 'nobody'}.",
        "\n".join(
            [
                "<details><summary>Its scores, seed by seed</summary>\n",
                head,
                *lines,
                f"\n*{data}, mIoU in %, mean over the lightings.*\n\n</details>",
            ]
        ),
    ]


def waiting(results: Results) -> list[str]:
    """Return who lacks seeds of this study or stands in the shorter one alone, and the latter's table, folded."""
    brief = lengths.shorter(results.profile)
    there = {
        *stored.load(results.profile, partial=True).matrices,
        *(tables.load(brief).matrices if brief else ()),
    }
    names = [methods.get(n).title for n in methods.names() if n in there - set(results.matrices)]
    if not names:
        return []
    said = (
        f"Not yet trained at this length with all seeds, and therefore not in this table: {'; '.join(names)}."
    )
    table = f"<details><summary>All methods, trained shorter: profile {brief}</summary>\n\n{{}}\n\n</details>"
    return [said, table.format(scores(brief))] if brief else [said]


def scores(profile: str) -> str:
    """Return the table of methods: what they score, how they hold up, and what they cost."""
    table = headline.robustness(profile)
    rows = tables.read(profile, "methods").set_index("method")
    names = [n for n in methods.names() if methods.get(n).title in table.index]
    classes = next(iter(tables.load(profile).matrices.values())).shape[-1]
    spent = footprint.latency(names, profile, classes)
    table["parameters"] = [f"{rows.parameters[n]:,}" for n in names]
    table["ms per image"] = [f"{spent.p50_ms[n]:.1f}" for n in names]
    head = f"| method | {' | '.join(table)} |\n" + "|---" * (1 + table.shape[1]) + "|"
    lines = [
        f"| {name} | {' | '.join(row)} |" for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join([head, *lines, f"\n{headline.provenance(tables.load(profile))}"])


def renewed(text: str, profile: str) -> str:
    """Return a README's text with the results of a profile between its two marks."""
    found = re.sub(f"{BEGIN}.*{END}", lambda _: block(profile), text, flags=re.DOTALL)
    if BEGIN not in text or END not in text:
        raise UserError(f"README.md has no place for results: put '{BEGIN}' and '{END}' into it")
    return found


def shown(text: str) -> str:
    """Return the profile whose results a README shows."""
    return re.search(r"\(figures/(\w+)/methods\.png\)", text)[1]


def main() -> None:
    """Write the results of the largest stored profile into the README."""
    results = headline.stored("quick")
    place = paths.home() / "README.md"
    place.write_text(renewed(place.read_text(encoding="utf-8"), results.profile), encoding="utf-8")


if __name__ == "__main__":
    main()
