"""Confidence against knowledge, on reliability tables made by hand and a model whose scores are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rgbd_lib import methods, trust
from rgbd_lib.conditions import lightings
from rgbd_lib.methods import Output
from rgbd_lib.plots import trust as plots
from tests.study_fixtures import material

BINS = 4


def table(*rows: tuple[float, float, float]) -> np.ndarray:
    """Return bins x (pixels, confidence, right) from pixels, mean confidence and share right, unsure bins first."""
    out = np.zeros((BINS, 3))
    for k, (count, sure, right) in enumerate(rows):
        out[k] = count, count * sure, count * right
    return out


def scores(*tables: np.ndarray) -> SimpleNamespace:
    """Return scores with these tables of object pixels, a condition each, and rubbish for all pixels."""
    reliability = np.stack([np.stack([np.full((BINS, 3), 7.0), t]) for t in tables])
    return SimpleNamespace(reliability=reliability, conditions=("light 1", "light 3")[: len(tables)])


HONEST = table((50, 0.2, 0.2), (0, 0, 0), (0, 0, 0), (50, 0.9, 0.9))
PROUD = table((0, 0, 0), (0, 0, 0), (0, 0, 0), (100, 0.9, 0.55))


def test_gap_is_confidence_beyond_being_right():
    found = trust.confident(scores(HONEST, PROUD))
    np.testing.assert_allclose(found.loc["light 1"], [0.55, 0.55, 0], atol=1e-12)
    np.testing.assert_allclose(found.loc["light 3"], [0.9, 0.55, 0.35])


def test_risk_rises_only_where_confidence_knows():
    both = scores(HONEST, PROUD)
    known = trust.risk_coverage(both, "light 1")
    np.testing.assert_allclose(known, [[0.5, 0.1], [1, 0.45]])
    np.testing.assert_allclose(trust.risk_coverage(both, "light 3"), [[1, 0.45]])


class Shouting(nn.Module):
    """Right about three pixels of four, with scores ten times as large as they should be."""

    def __init__(self, data) -> None:
        super().__init__()
        self.label = torch.as_tensor(np.array(data.cache.label)).long()
        self.at = 0

    def forward(self, rgb, depth, target=None, explain=False):
        label = self.label[self.order[self.at]][None].expand(len(rgb), -1, -1).clone()
        self.at += 1
        label[:, :, ::4] = (label[:, :, ::4] + 1) % 3
        fair = torch.tensor([0.125, 0.75]).log()  # the scores of an honest network that is right in 3 of 4
        one = nn.functional.one_hot(label, 3).permute(0, 3, 1, 2).float()
        return Output(10 * (fair[0] + (fair[1] - fair[0]) * one))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    return material(tmp_path_factory.mktemp("trust"), scenes=8)


def record_of(data, split: str) -> SimpleNamespace:
    def model() -> nn.Module:
        made = Shouting(data)
        made.order = data.splits[split]
        return made

    run = SimpleNamespace(material=lambda: data, recipe=SimpleNamespace(precision="fp32"))
    return SimpleNamespace(run=run, model=model)


def test_temperature_undoes_the_shouting(data):
    found = trust.temperature(record_of(data, "val"))
    assert found == pytest.approx(10, rel=1e-3)
    errors = trust.calibration_error(record_of(data, "test"), {"as trained": 1.0, "cooled": found})
    assert list(errors.index) == [c.name for c in lightings(data)]
    assert (errors["as trained"] > 0.15).all()
    assert (errors["cooled"] < 0.1).all()


# -- figures --------------------------------------------------------------------------------------


def test_reliability_draws_a_line_per_light_from_dark_to_bright():
    figure = plots.reliability({"rgb": scores(HONEST, PROUD)}, {"light 3": 0.5, "light 1": 0.1}, "Here.")
    above, below = figure.drawing.axes
    _, dark, bright = above.lines  # the diagonal comes first
    assert (dark.get_label(), bright.get_label()) == ("light 1", "light 3")
    np.testing.assert_allclose(dark.get_xydata(), [[20, 20], [90, 90]])
    np.testing.assert_allclose(bright.get_xydata(), [[90, 55]])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [50, 0, 0, 50])


def test_risk_coverage_draws_every_method_under_every_condition():
    both = scores(HONEST, PROUD)
    axes = plots.risk_coverage({"rgb": both, "mid": both}, ("light 1", "light 3"), "Here.").drawing.axes
    assert [len(a.lines) for a in axes] == [2, 2]
    np.testing.assert_allclose(axes[0].lines[1].get_xydata(), [[50, 10], [100, 45]])


def test_prices_are_drawn_in_the_unit_of_their_axis():
    row = {"parameters": 2_000_000, "training_bytes": 3 * 2**20, "miou": 0.5, "low": 0.4, "high": 0.6}
    figure = plots.prices(pd.DataFrame([row], index=["rgb"]), "Here.")
    first, second, *_ = figure.drawing.axes
    np.testing.assert_allclose(first.lines[0].get_xydata(), [[2, 50]])
    np.testing.assert_allclose(second.lines[0].get_xydata(), [[3, 50]])
    np.testing.assert_allclose(first.collections[0].get_segments()[0], [[2, 40], [2, 60]])
    assert "MB" in second.get_xlabel()


# -- what fusions do ------------------------------------------------------------------------------


def built(data, name: str, width: float = 0.25) -> tuple[SimpleNamespace, nn.Module]:
    model = methods.build(name, 3, width=width)
    run = SimpleNamespace(material=lambda: data, recipe=SimpleNamespace(precision="fp32"))
    return SimpleNamespace(run=run, model=lambda: model.eval()), model


def test_gates_begin_at_their_bias_whatever_the_light(data):
    record, model = built(data, "se")
    np.testing.assert_allclose(trust.depth_gate(record, lightings(data)), 1 / (1 + np.e), rtol=1e-5)
    with torch.no_grad():
        for fusion in model.fusions.values():
            fusion.gates.judge[3].weight.normal_(std=5.0)
    assert np.ptp(trust.depth_gate(record, lightings(data))) > 1e-3


def test_attention_without_a_question_looks_everywhere(data):
    record, model = built(data, "attention")
    with torch.no_grad():
        for parameter in model.attention.parameters():
            parameter.zero_()
    np.testing.assert_allclose(trust.places_share(record, lightings(data)), 1, rtol=1e-5)
    with torch.no_grad():
        for parameter in model.attention.parameters():
            parameter.normal_(std=3.0)
    assert (trust.places_share(record, lightings(data)) < 0.9).all()
