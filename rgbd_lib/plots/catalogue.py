"""Which figures there are."""

from collections.abc import Callable
from pathlib import Path

from rgbd_lib import paths
from rgbd_lib.errors import UserError
from rgbd_lib.plots import comparison, examples, lighting, suite, training
from rgbd_lib.plots.style import Figure, forget, use_style

FIGURES: dict[str, Callable[[str], Figure]] = {
    "methods": comparison.methods_ranked,
    "per_class": comparison.per_class,
    "cost": comparison.cost,
    "ranks": comparison.critical_difference,
    "lighting_improvement": lighting.improvement,
    "lighting_bars": lighting.grouped_bars,
    "lighting_summary": lighting.summary,
    "lighting_radar": lighting.radar,
    "lighting_matrix": lighting.matrix,
    "examples_best_light": examples.good,
    "examples_worst_light": examples.bad,
    "robustness": suite.overview,
    "robustness_conditions": suite.every_condition,
    "robustness_retention": suite.retention,
    "robustness_missing": suite.chance_of_failure,
    "robustness_reliance": suite.reliance,
    "robustness_dimmer": suite.dimmer,
    "robustness_price": suite.price,
    "learning_curves": training.curves,
    "budget": training.budget,
}


def write_all(profile: str, folder: Path | None = None) -> list[Path]:
    """Make every figure of a profile; one whose tables are missing is named, left out, and removed if it was there."""
    folder = folder or paths.home() / "figures" / profile
    written: list[Path] = []
    for name, draw in FIGURES.items():
        try:
            with use_style():
                written += draw(profile).save(folder, name)
        except UserError as error:
            forget(folder, name)
            print(f"no figure {name}: {error}")
    return written
