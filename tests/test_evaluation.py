"""Scores count every labelled pixel once per condition, whatever route the features took."""

import numpy as np
import pytest
import torch
from torch import nn

from rgbd_lib import evaluation, machine
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError
from rgbd_lib.methods import Output
from tests.study_fixtures import material

FP32 = machine.Machine("cpu", "fp32", compiled=False)


class ByColour(nn.Module):
    """Knows the made data: green is the cube, red is the ball; dark pixels are background."""

    def forward(self, rgb, depth, target=None, explain=False):
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        red, green, _ = (rgb * std + mean).unbind(1)
        background = torch.full_like(red, 0.25)
        return Output(100 * torch.stack([background, green - red, red - green], dim=1))


class TwoEncoders(nn.Module):
    """Mixes colour with depth features, and counts what its depth encoder looks at."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.depth_encoder = nn.Conv2d(1, 4, 3, padding=1)
        self.score = nn.Conv2d(7, 3, 3, padding=1)
        self.looked_at = 0

    def forward(self, rgb, depth, target=None, explain=False):
        features = self.depth_encoder(depth)
        return Output(self.score(torch.cat([rgb, features], dim=1)))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return material(tmp_path_factory.mktemp("evaluation"))


def test_a_model_that_knows_the_answer_scores_one(data):
    scores = evaluation.evaluate(ByColour(), data, FP32, quiet=True)
    table = scores.table().set_index("condition")
    assert table.loc["light 1", "miou"] == pytest.approx(1.0)
    assert table.loc["light 1", "boundary_iou"] == pytest.approx(1.0)
    assert table.loc["light 3", "miou"] < 1  # too dark for its threshold


def test_every_labelled_pixel_is_counted_once(data):
    scores = evaluation.evaluate(TwoEncoders().eval(), data, FP32, quiet=True)
    assert scores.matrices.shape == (2, 3, 3, 3)
    labelled = [(data.cache.label[i] != IGNORE).sum() for i in data.splits["test"]]
    assert (scores.matrices.sum((2, 3)) == np.array(labelled)[:, None]).all()
    truth = [np.bincount(data.cache.label[i].ravel(), minlength=256)[:3] for i in data.splits["test"]]
    assert (scores.matrices.sum(3) == np.array(truth)[:, None]).all()


def test_shared_depth_features_change_nothing_but_the_work(data, monkeypatch):
    model = TwoEncoders().eval()
    sizes = []
    model.depth_encoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    shared = evaluation.evaluate(model, data, FP32, quiet=True)
    assert sizes == [2]  # two scenes, three lightings, two looks
    sizes.clear()
    monkeypatch.setattr(evaluation, "depth_groups", lambda todo: [(c,) for c in todo])
    alone = evaluation.evaluate(model, data, FP32, quiet=True)
    assert sizes == [2, 2, 2]
    assert (shared.matrices == alone.matrices).all()
    np.testing.assert_allclose(shared.reliability, alone.reliability)


def test_with_the_camera_off_eight_lightings_are_one_picture(data, monkeypatch):
    model = TwoEncoders().eval()
    rows = []
    model.score.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    once = evaluation.evaluate(model, data, FP32, conditions="missing", quiet=True)
    off = [name.endswith("rgb_off") for name in once.conditions]
    assert sum(off) == 3
    assert sum(rows) == 2 * (1 + off.count(False))  # two scenes; the camera's three conditions are one
    monkeypatch.setattr(evaluation, "alike", lambda *_: False)
    apart = evaluation.evaluate(model, data, FP32, conditions="missing", quiet=True)
    assert (once.matrices == apart.matrices).all()
    np.testing.assert_allclose(once.reliability, apart.reliability)


def test_matrices_alone_are_those_of_the_whole_evaluation(data):
    model = TwoEncoders().eval()

    def votes(output: Output) -> dict:
        return {"as it is": output.logits, "backwards": output.logits.flip(1)}

    whole = evaluation.evaluate(model, data, FP32, quiet=True).matrices
    found = evaluation.matrices(model, data, FP32, votes=votes)
    assert (found["as it is"] == whole).all()
    assert (found["backwards"] == whole[..., ::-1]).all()
    assert (evaluation.matrices(model, data, FP32)[""] == whole).all()


def test_scores_survive_the_disk(data, tmp_path):
    scores = evaluation.evaluate(ByColour(), data, FP32, quiet=True)
    scores.save(tmp_path / "scores.npz")
    assert evaluation.Scores.load(tmp_path / "scores.npz").table().equals(scores.table())
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "scores.npz").write_bytes(b"PK not really")
    with pytest.raises(UserError, match=r"scores.npz cannot be read .*delete it and evaluate again"):
        evaluation.Scores.load(tmp_path / "scores.npz")


def test_an_unknown_set_of_conditions_lists_the_known(data):
    with pytest.raises(UserError, match=r"unknown set of conditions 'lights'. Did you mean 'lightings'"):
        evaluation.evaluate(ByColour(), data, FP32, conditions="lights")
