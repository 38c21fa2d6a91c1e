"""Looking into FuseNet, channel exchanging, GeminiFusion and PrimKD."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from rgbd_lib import methods, probes_papers, runs
from rgbd_lib.datasets.batches import Batches, normalise
from rgbd_lib.errors import UserError
from rgbd_lib.losses import task_loss
from rgbd_lib.methods import Output, Target
from rgbd_lib.methods.cen import ABLATION
from tests.study_fixtures import material

CLASSES = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    return material(tmp_path_factory.mktemp("papers"), scenes=8)


def record_of(data, model: nn.Module, method: str = "cen", **options: object) -> SimpleNamespace:
    info = {
        "parameters": {"profile": "smoke", "seed": 4, "method": method, "options": options},
        "recipe": {"width": 0.125},
        "data": {
            "name": "fake",
            "identity": "0" * 12,
            "synthetic": True,
            "background": 0,
            "classes": ["a", "b", "c"],
        },
    }
    recipe = SimpleNamespace(precision="fp32", loss="ce", batch=2)
    run = SimpleNamespace(material=lambda: data, recipe=recipe)
    return SimpleNamespace(info=info, run=run, model=lambda: model.eval())


class Says(nn.Module):
    """A network of firm opinion."""

    def __init__(self, logits: int, **branches: int) -> None:
        super().__init__()
        self.answers = {"logits": logits} | branches

    def forward(self, rgb: Tensor, depth: Tensor, target=None, explain: bool = False) -> Output:
        say = {
            name: torch.eye(CLASSES)[k].view(1, -1, 1, 1).expand(len(rgb), -1, *rgb.shape[-2:])
            for name, k in self.answers.items()
        }
        return Output(say.pop("logits"), branches=say)


# -- channel exchanging ---------------------------------------------------------------------------


def test_the_default_row_of_the_ablation_is_the_plain_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runs, "records", lambda: iter(()))
    monkeypatch.setattr(runs, "get", lambda run, quiet: run.options)
    found = probes_papers.ablation("smoke")
    assert list(found) == list(ABLATION)
    assert [row for row, options in found.items() if not options] == [probes_papers.DEFAULT_ROW]
    plain, defaults = methods.build("cen", 3, width=0.125), ABLATION[probes_papers.DEFAULT_ROW]
    same = methods.build("cen", 3, width=0.125, **defaults)
    assert (plain.l1, plain.points()["layer1.0"].threshold) == (same.l1, same.points()["layer1.0"].threshold)


def test_branches_are_scored_by_themselves(data):
    record = record_of(data, Says(0, rgb=1, depth=2))
    found = probes_papers.branch_scores(record).matrices
    answered = {name: int(m.sum((0, 1, 2, 3)).argmax()) for name, m in found.items()}
    assert answered == {"RGB branch": 1, "depth branch": 2, "ensemble": 0}
    table = probes_papers.branch_table({"row": record})
    assert table.loc["row", "RGB branch"] != table.loc["row", "ensemble"]


def test_slopes_are_the_gradients_of_the_task_in_the_scales(data):
    model = methods.build("cen", data.classes, width=0.125, exchange=False, branch_loss="ce")
    found = probes_papers.slopes(record_of(data, model), batches=1)
    batches = Batches(data.cache, data.splits["train"], data.lightings, batch=2, seed=0, drop_last=True)
    sample = next(batches.epoch(0))
    model.train().zero_grad()
    out = model(*normalise(sample, data.stats), Target(sample.label, sample.lighting))
    (task_loss("ce", data.classes)(out.logits, sample.label) + out.extra_loss - model.penalty()).backward()
    wanted = [norm.weight.grad for point in model.points().values() for norm in point.of]
    np.testing.assert_allclose(
        found.slope, torch.cat(wanted), atol=1e-4 * float(torch.cat(wanted).abs().max())
    )
    assert found.penalised.mean() == 0.5
    assert found[(found.point == "layer1.0") & found.penalised & (found.modality == 1)].channel.min() == 4


def test_scales_held_as_often_as_the_theorem_says_where_slopes_are_normal():
    rng = np.random.default_rng(0)
    gradient = 10.0 ** rng.uniform(-4, -1, 30_000)
    found = pd.DataFrame({"gradient": gradient, "slope": gradient * rng.standard_normal(len(gradient))})
    table = probes_papers.held(found, lam=1e-3)
    np.testing.assert_allclose(table.held, table.formula, atol=0.03)
    assert table.ratio.between(0.01, 10).all()
    assert probes_papers.held(found.assign(slope=0.0), lam=1e-3).held.eq(1).all()
    assert probes_papers.held(found.assign(gradient=0.0), lam=1e-3).empty


def test_scales_are_read_from_every_exchange_point():
    model = methods.build("cen", 3, width=0.125, scale_start=0.5)
    model.points()["layer1.0"].of[0].weight.data[0] = -0.25
    found = probes_papers.scales(model)
    assert found["layer4.1"].shape == (2, 64)
    assert probes_papers.first_scales(model)["rgb"][:3].tolist() == [0.25, 0.5, 0.5]
    assert len(probes_papers.first_scales(model)["rgb"]) == 128


# -- FuseNet --------------------------------------------------------------------------------------


def test_without_sums_depth_is_not_seen():
    model = methods.build("fusenet", 3, width=0.125).eval()
    rgb, depth, other = torch.randn(1, 3, 32, 32), torch.randn(1, 1, 32, 32), torch.randn(1, 1, 32, 32)
    deaf = probes_papers.without_sums(model, ["stem", "layer1", "layer2", "layer3", "layer4"])
    assert torch.equal(deaf(rgb, depth).logits, deaf(rgb, other).logits)
    assert not torch.equal(model(rgb, depth).logits, model(rgb, other).logits)  # the original still listens
    assert torch.equal(probes_papers.without_sums(model, [])(rgb, depth).logits, model(rgb, depth).logits)
    with pytest.raises(UserError, match="layer9"):
        probes_papers.without_sums(model, ["layer9"])


# -- GeminiFusion ---------------------------------------------------------------------------------


def test_noise_is_silenced_in_a_copy():
    model = methods.build("gemini", 3, width=0.125).eval()
    quiet = probes_papers.with_noise(model, keys=0.0)
    assert all(not b.k_noise.weight.any() and b.v_noise.weight.any() for b in quiet.fusions.values())
    assert all(b.k_noise.weight.any() for b in model.fusions.values())
    rgb, depth = torch.randn(1, 3, 32, 32), torch.randn(1, 1, 32, 32)
    assert torch.equal(probes_papers.with_noise(model)(rgb, depth).logits, model(rgb, depth).logits)


def test_untrained_noise_has_not_moved(data):
    table = probes_papers.noise_moved(
        record_of(data, methods.build("gemini", 3, width=0.125, seed=4), "gemini")
    )
    np.testing.assert_allclose(table.cosine, 1, atol=1e-6)
    np.testing.assert_allclose(table["size at the start"], table["size at the end"])
    assert len(table) == 8


def test_work_per_pixel_is_constant_for_one_pixel_and_grows_for_all():
    work = probes_papers.fusion_work([4, 8, 16], width=16, heads=2, grid=4)
    assert work.index.tolist() == [16, 64, 256]
    assert (work["the same pixel only"] == 18 * 16**2 * work.index).all()
    every, few = work["every pixel"], work["a grid of 4 × 4"]
    per_pixel = 2 * 2 * 16 * work.index.to_numpy()  # both directions: Q K and A V
    assert (every - 2 * 4 * 16**2 * work.index == per_pixel * work.index).all()
    assert few[16] == every[16]
    assert few.diff().iloc[-1] == pytest.approx(4 * few.diff().iloc[1])


# -- PrimKD ---------------------------------------------------------------------------------------


def test_who_follows_the_teacher_into_a_mistake(data):
    students = {"copy": record_of(data, Says(1)), "other": record_of(data, Says(2))}
    found = probes_papers.followed(record_of(data, Says(1)), students)
    assert found["repeats"]["copy"].eq(1).all()
    assert found["corrects"]["copy"].eq(0).all()
    assert found["keeps"]["copy"].eq(1).all()
    assert found["repeats"]["other"].eq(0).all()
    labels = data.cache.label[data.splits["test"]]
    objects = (labels != 0) & (labels != 255)
    wrong = objects & (labels != 1)
    assert found["corrects"]["other"].iloc[0] == pytest.approx((labels[wrong] == 2).mean())


def test_distances_are_those_of_the_distillation(data, monkeypatch: pytest.MonkeyPatch):
    teacher = methods.build("rgb", data.classes, width=0.125)
    model = methods.build("primkd", data.classes, width=0.125, teachers={"rgb": teacher})
    monkeypatch.setattr(probes_papers.runs, "build", lambda *_: model)
    monkeypatch.setattr(probes_papers.checkpoint, "load_weights", lambda *_: None)
    record = record_of(data, model, "primkd")
    record.run.required, record.folder = dict, Path()
    table = probes_papers.distances(record, batches=2)
    assert list(table) == ["layer2", "layer4"]  # where mid fusion fuses
    assert len(table) == 2
    assert (table > 0.5).all().all()  # a fresh adapter knows nothing of a map of variance 1
