"""The report on a data set as a page of text."""

from rgbd_lib.datasets.check import Report

_MOST = 20  # errors and notes shown; --json has all


def text(report: Report) -> str:
    """Return the page: what it was taken for, what is in it, what is wrong with it."""
    parts = [
        _head(report),
        _stored(report),
        _classes(report),
        _depth(report),
        _colour(report),
        _splits(report),
        _list("Notes", report.notes),
        _list("Errors", report.errors) if report.errors else "No errors: every file was read.",
    ]
    return "\n\n".join(part for part in parts if part)


def table(rows: list[list[str]], left: int = 1) -> str:
    """Align cells in columns; the first ``left`` to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(w) if i < left else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _head(report: Report) -> str:
    kind = " (synthetic: not measured data)" if report.synthetic else ""
    files = ", ".join(f"{name} {count}" for name, count in report.folders.items())
    return "\n".join(
        [
            f"{report.path}: {report.name}{kind}",
            f"Read as: {report.decision}",
            f"{report.scenes} scenes in {report.runs} capture runs, lightings {', '.join(map(str, report.lightings))}",
            f"Image files: {files}" if files else "Image files: none",
        ]
    )


def _stored(report: Report) -> str:
    if not report.stored:
        return ""
    alike: dict[str, list[str]] = {}
    for part, counts in report.stored.items():
        alike.setdefault(", ".join(f"{n} x {header}" for header, n in counts.items()), []).append(part)
    return "Stored as\n" + table([[", ".join(parts), headers] for headers, parts in alike.items()], left=2)


def _classes(report: Report) -> str:
    if not report.classes:
        return ""
    rows = [["id", "class", "scenes", "pixels"]]
    rows += [
        [str(r["id"]), str(r["name"]), str(r["scenes"]), f"{100 * float(r['pixels']):.2f} %"]
        for r in report.classes
    ]
    return f"Labels ({100 * report.void:.2f} % of the pixels are void)\n" + table(rows, left=2)


def _depth(report: Report) -> str:
    depth = report.depth
    if not depth:
        return ""
    lines = [
        f"missing on {100 * depth['missing']:.1f} % of the pixels, at most {100 * depth['worst_missing']:.1f} %"
    ]
    lines[0] += f" (scene {depth['worst_scene']})"
    if "median" in depth:
        unit, form = (" m", ".3f") if depth["unit"] == "m" else (" levels", ".0f")
        lines.append(
            ", ".join(f"{k} {depth[k]:{form}}" for k in ("min", "p1", "median", "p99", "max")) + unit
        )
    return "Depth\n" + "\n".join(f"  {line}" for line in lines)


def _colour(report: Report) -> str:
    if not report.colour:
        return ""
    rows = [["lighting", "mean R", "G", "B", "std R", "G", "B"]]
    for lighting, found in report.colour.items():
        rows.append([str(lighting), *(f"{value:.3f}" for value in (*found["mean"], *found["std"]))])
    return "Colour, 0 to 1\n" + table(rows)


def _splits(report: Report) -> str:
    lines = []
    for kind, found in report.splits.items():
        if "missing" in found:
            lines.append(f"{kind}: {found['missing']}")
            continue
        lines.append(f"{kind}: " + ", ".join(f"{name} {size}" for name, size in found["sizes"].items()))
        lines.append(f"  {found['leakage']['text']}")
        lines += [f"  no scene of {name} shows {_few(lacking)}" for name, lacking in found["lacking"].items()]
    return "Splits\n" + "\n".join(f"  {line}" for line in lines)


def _few(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _list(title: str, items: list[str]) -> str:
    if not items:
        return ""
    more = [f"  .. and {len(items) - _MOST} more (all with --json)"] if len(items) > _MOST else []
    return f"{title} ({len(items)})\n" + "\n".join([*(f"  {item}" for item in items[:_MOST]), *more])
