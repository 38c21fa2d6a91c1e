"""What chapters vary, by name, so that a study can train it at any budget: `rgbd study --sweeps all`.

A sweep changes one thing and keeps the rest. Its plain ends are the methods of the main comparison.
"""

from collections.abc import Mapping

from rgbd_lib.errors import unknown
from rgbd_lib.methods.cen import ABLATION
from rgbd_lib.runs import Run

Change = tuple[str, Mapping[str, object]]  # a method and the fields of Run that are changed

PLACES = ("stem", "layer1", "layer2", "layer3", "layer4")


def options(method: str, *each: Mapping[str, object]) -> tuple[Change, ...]:
    """Return one change of a method per set of its options."""
    return tuple((method, {"options": chosen}) for chosen in each)


SWEEPS: Mapping[str, tuple[Change, ...]] = {
    "seeds": tuple(("rgb", {"seed": seed}) for seed in (1, 2)),  # 02: what chance does
    "where": options("mid", *({"fuse_at": [place], "into": "encoder"} for place in PLACES)),  # 04
    "late": options("late", {"weighting": "learned"}, {"weighting": "confidence"}),  # 05
    "hardening": tuple((name, {"settings": {"modality_dropout": 0.3}}) for name in ("mid", "se")),  # 06
    "attention": options("attention", {"residual": True}, {"heads": 1}),  # 07
    "transformer": options("transformer", {"layers": 0}),  # 08
    "fusenet": options("fusenet", *({"variant": name} for name in ("SF1", "SF3", "DF5")), {"fusion": "mean"}),
    "fusenet_heads": options(
        "fusenet", *({"auxiliary": "lighting", "auxiliary_weight": weight} for weight in (0.001, 0.1))
    ),
    "cen": options("cen", *(row for name, row in ABLATION.items() if name != "L1 on halves, exchange")),
    "cen_places": options("concat", *({"place": place} for place in ("early", "middle", "late"))),  # 16
    "cen_penalty": options("cen", {"lam": 1e-4}),
    "gemini": options("gemini", {"stages": []}, {"stages": [1]}, {"stages": [4]}, {"branch_weight": 0.0}),
    "primkd": options(
        "primkd", {"standardise": False}, {"beta": 0.0}, {"alpha": 0.0}, {"direction": "student"}
    ),
    "specialists": tuple(("mid", {"lighting": str(light)}) for light in range(1, 9)),  # 13
    "left_out": tuple((name, {"lighting": f"all-but-{n}"}) for n in (1, 5) for name in ("rgb", "mid")),
}


def runs(names: str, profile: str, seed: int, data: str) -> list[Run]:
    """Return the runs of some sweeps ("all", or names separated by commas) at a budget."""
    chosen = list(SWEEPS) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in SWEEPS:
            raise unknown("sweep", name, SWEEPS)
    changes = [change for name in chosen for change in SWEEPS[name]]
    return [
        Run(**{"method": m, "profile": profile, "seed": seed, "data": data} | dict(c)) for m, c in changes
    ]
