"""Published networks for tests: filled with known values, or with the state of a golden record."""

import json
from pathlib import Path

import torch
from golden_rule import check, state

from rgbd_lib import papers

WHOLE = 2e-4  # of the output's deviation, for whole networks


def record(name: str) -> dict:
    return json.loads((Path(__file__).parent / "golden" / f"{name}.json").read_text())


def images(count: int, *size: int, seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(*size, generator=draw) for _ in range(count)]


def fill(model: torch.nn.Module, scale: float = 1.0) -> torch.nn.Module:
    """Give every tensor values away from where training starts; biases are not 0, norms not 1."""
    model, draw = model.to_empty(device="cpu"), torch.Generator().manual_seed(5)
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            value.zero_()
        elif value.dim() > 1:
            value.normal_(std=scale * (value[0].numel() / 2) ** -0.5, generator=draw)
        else:
            centre = float(name.endswith(("weight", "var")))
            value.normal_(std=0.1, generator=draw).add_(centre).clamp_(min=-1)
    return model.eval()


def made(name: str, classes: int = 5, **options: object) -> torch.nn.Module:
    """Return a network filled by the rule above, without the cost of its own initialisation."""
    with torch.device("meta"):
        model = papers.build(name, classes, **options)
    return fill(model)


def outline(name: str, classes: int = 40, **options: object) -> torch.nn.Module:
    """Return a network without values."""
    with torch.device("meta"):
        return papers.build(name, classes, **options)


def by_rule(model: torch.nn.Module) -> torch.nn.Module:
    """Give a network without values those of the rule by which golden records were made."""
    entries = [[key, list(value.shape)] for key, value in model.state_dict().items()]
    model.load_state_dict(state(entries), assign=True)
    return model.eval()


def watch_dropout(layer: torch.nn.Dropout) -> list[tuple[int, ...]]:
    """Return a list that collects the shape, without batch, of everything that passes a dropout layer."""
    seen: list[tuple[int, ...]] = []
    layer.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape[1:])))
    return seen


def golden_network(name: str, entries: list, **options: object) -> torch.nn.Module:
    """Return a network whose names, order and shapes are those of a record, with the record's state."""
    model = outline(name, **options)
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == entries
    model.load_state_dict(state(entries), assign=True)
    return model.eval()


def compare(found: dict[str, torch.Tensor], expected: dict, prefix: str = "") -> None:
    for name, value in found.items():
        check(value, expected[prefix + name], atol=WHOLE * expected[prefix + name]["std"])
