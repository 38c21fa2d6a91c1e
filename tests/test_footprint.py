"""What a method costs: memory against a count by hand, latency that is measured once."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from rgbd_lib import footprint, methods


class Squares(nn.Module):
    """Keeps its input for the backward pass of the square, twice, and its weight for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, rgb, depth):
        x = rgb * self.weight  # keeps rgb (and the weight, which does not count)
        return x * x  # keeps x, in two places


def test_every_array_counts_once_and_weights_do_not():
    image = 3 * 8 * 10 * 4  # bytes
    assert footprint.saved_for_backward(Squares(), (8, 10), batch=2) == 2 * image + 2 * image
    assert footprint.saved_for_backward(Squares(), (8, 20), batch=3) == 6 * 2 * image


def test_two_encoders_keep_more_than_one():
    kept = {
        n: footprint.saved_for_backward(methods.build(n, 4, width=0.25), (32, 64))
        for n in ("rgb", "mid", "late")
    }
    assert kept["rgb"] < kept["mid"] < kept["late"]
    half = footprint.saved_for_backward(methods.build("rgb", 4, width=0.25), (32, 32))
    assert kept["rgb"] == pytest.approx(2 * half, rel=0.02)  # all maps are twice as wide


def test_table_adds_adam_to_what_a_batch_keeps():
    table = footprint.table(["rgb"], "smoke", classes=4)
    row, model = table.loc["rgb"], methods.build("rgb", 4, width=0.25)
    weights = sum(p.numel() for p in model.parameters())
    assert row.parameters == weights
    assert row.training_bytes == 16 * weights + 4 * footprint.saved_for_backward(model, (48, 80))
    assert row.multiply_adds > weights


def test_latency_is_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RGBD_RESULTS", str(tmp_path))
    measured = []
    original = footprint.measure
    monkeypatch.setattr(
        footprint, "measure", lambda name, *rest: measured.append(name) or original(name, *rest, repeats=2)
    )
    threads = torch.get_num_threads()
    first = footprint.latency(["rgb", "early"], "smoke", 4)
    again = footprint.latency(["early", "rgb", "depth"], "smoke", 4)
    assert measured == ["rgb", "early", "depth"]
    pd.testing.assert_series_equal(first.loc["rgb"], again.loc["rgb"])
    assert list(again.index) == ["early", "rgb", "depth"]
    assert (again.p95_ms >= again.p50_ms).all()
    assert torch.get_num_threads() == threads
    assert not [v for v in pd.read_csv(tmp_path / "smoke" / "latency.csv").machine if "/" in v]


def test_unbeaten_are_those_with_nothing_up_and_to_the_left():
    score = pd.Series({"small": 0.3, "good": 0.5, "dear": 0.5, "poor": 0.2})
    price = pd.Series({"small": 1.0, "good": 2.0, "dear": 3.0, "poor": 2.0})
    assert footprint.unbeaten(score, price) == ["small", "good", "dear"]
    assert footprint.unbeaten(score, price * 0) == ["good", "dear"]
