"""The papers' recipes: groups and rates against numbers worked out by hand, and one small training of each family."""

from functools import partial
from pathlib import Path

import pytest
import torch
from paper_networks import outline
from typer.testing import CliRunner

from rgbd_lib.__main__ import app
from rgbd_lib.datasets.open import open_dataset
from rgbd_lib.errors import UserError
from rgbd_lib.methods import Output, Target
from rgbd_lib.papers import objectives, recipes, rooms_from_scenes, train
from tests.make_data import make_mm5

SMALL = {"size": (32, 48), "epochs": 3, "batch": 3}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory) -> Path:
    """Synthetic scenes in NYUv2's layout."""
    root = tmp_path_factory.mktemp("rooms")
    return rooms_from_scenes.write(open_dataset(make_mm5(root / "mm5", 12)), root / "nyu", 12, (36, 48))


def counts(groups) -> list[int]:
    return [sum(p.numel() for p in g["params"]) for g in groups]


def test_cen_has_two_rates_that_fall_by_stage():
    model = outline("cen-refinenet101")
    preset = recipes.get("cen-nyuv2-101")
    found = [preset.groups(model, stage) for stage in range(3)]
    assert [[g["lr"] for g in stage] for stage in found] == [[5e-4, 3e-3], [2.5e-4, 1.5e-3], [1e-4, 7e-4]]
    assert counts(found[0]) == [
        42_605_504,
        75_596_074,
    ]  # the paper's encoder, decoder with classifier and alpha
    assert {g["weight_decay"] for g in found[0]} == {1e-5}
    optimizer = preset.optimizer(found[0])
    assert optimizer.defaults["momentum"] == 0.9
    assert preset.factor(10_000) == 1.0


def test_fusenet_paper_doubles_the_rate_of_biases():
    model = outline("fusenet-vgg16")
    weights, biases = recipes.get("fusenet-sun").groups(model, 0)
    assert (weights["lr"], weights["weight_decay"]) == (1e-3, 5e-4)
    assert (biases["lr"], biases["weight_decay"]) == (2e-3, 0.0)
    assert sum(counts([weights, biases])) == 44_188_072
    factor = recipes.get("fusenet-sun").factor
    assert [factor(s) for s in (0, 49_999, 50_000, 100_000)] == pytest.approx([1, 1, 0.9, 0.81])


def test_fusenet_port_falls_every_25_epochs():
    preset = recipes.get("fusenet-port")
    (only,) = preset.groups(outline("fusenet-vgg16", scene_classes=10), 0)
    assert (only["lr"], only["weight_decay"]) == (5e-3, 5e-4)
    assert preset.factor(25 * 198) == pytest.approx(0.9)


def test_lambda_sweep_includes_both_ends():
    found = [p.objective.keywords["weight"] for p in recipes.lambda_sweep(0.004, 0.01, 5)]
    assert found == pytest.approx([0.004, 0.0055, 0.007, 0.0085, 0.01])
    assert "fusenet-port-lambda0.00550" in recipes.names()
    with pytest.raises(UserError, match="equal ends"):
        list(recipes.lambda_sweep(0.004, 0.01, 1))


def test_gemini_groups_and_schedule():
    model, preset = outline("geminifusion-mit_b3"), recipes.get("geminifusion-nyuv2-mit_b3")
    encoder, norms, head = preset.groups(model, 1)
    assert [g["lr"] for g in (encoder, norms, head)] == pytest.approx([3e-5, 3e-5, 3e-4])
    assert [g["weight_decay"] for g in (encoder, norms, head)] == [0.01, 0, 0.01]
    assert sum(counts([encoder, norms])) == 74_015_168  # its published encoder
    assert counts([head]) == [536_104]
    held = {id(p) for g in (encoder, norms, head) for p in g["params"]}
    assert id(model.alpha) not in held
    factor = preset.factor
    assert factor(0) == pytest.approx(1e-6)
    assert factor(750) == pytest.approx(0.5, abs=1e-6)
    assert factor(1500) == pytest.approx(1 - 1500 / 40_000)  # drops by 3.7 % behind the warm-up
    assert factor(13_200) == pytest.approx(0.67)
    assert factor(66_000) == 2.5e-5


def test_cmx_groups_are_those_of_the_release():
    model = outline("primkd-mit_b0")
    decayed, plain = recipes.get("primkd-documented-mit_b0").groups(model, 0)
    assert counts([decayed, plain]) == [12_167_872, 59_440]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)


def test_primkd_schedule_lags_one_step():
    factor = recipes.get("primkd-documented-mit_b4").factor
    assert factor(0) == 1.0  # before the first rate is set
    assert factor(1) == 0.0
    assert 6e-5 * factor(1990) == pytest.approx(5.997e-5, abs=1e-8)
    assert 6e-5 * factor(1991) == pytest.approx(5.892e-5, abs=1e-8)


def test_primkd_presets_differ_in_the_direction_alone():
    documented, script = (recipes.get(f"primkd-{n}-mit_b4") for n in ("documented", "script"))
    different = {k for k in documented.options if documented.options[k] != script.options[k]}
    assert different == {"direction"}
    assert (documented.options["direction"], script.options["direction"]) == ("teacher", "student")
    assert documented.teacher == script.teacher == "segformer-teacher-mit_b4"


def test_cen_counts_its_penalty_three_times():
    class Network(torch.nn.Module):
        def penalty(self):
            return torch.tensor(5.0)

    label = torch.zeros(1, 2, 2, dtype=torch.long)
    even = torch.zeros(1, 4, 2, 2)
    out = Output(even, {"rgb": even, "depth": even})
    loss = objectives.class_loss()
    found = objectives.cen(Network(), out, Target(label, torch.zeros(1)), loss, penalty=2e-4)
    assert found.item() == pytest.approx(2 * torch.log(torch.tensor(4.0)).item() + 3 * 2e-4 * 5)


def test_fusenet_divides_by_pixels_not_by_weights():
    logits, label = torch.zeros(1, 2, 1, 4), torch.tensor([[[0, 0, 1, 255]]])
    found = objectives.per_pixel(logits, label, torch.tensor([0.5, 2.0]))
    assert found.item() == pytest.approx((0.5 + 0.5 + 2.0) / 3 * 0.6931472)
    none = objectives.per_pixel(logits, torch.full_like(label, 255), torch.ones(2))
    assert none.item() == 0


def test_feeds_give_the_papers_units():
    rgb, depth = torch.zeros(1, 3, 2, 2), torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]]])
    assert objectives.raw_metres(rgb, depth)[1].max() == 4
    assert objectives.counts(rgb, depth)[1].max() == pytest.approx(4 * 5000 / 255)
    image, levels = objectives.levels(rgb, depth)
    assert image[0, 0, 0, 0] == pytest.approx(0.485 * 255)
    assert levels.flatten().tolist() == pytest.approx([0, 63.75, 127.5, 255])
    assert objectives.three_levels(rgb, depth)[1].shape == (1, 3, 2, 2)


def test_written_rooms_are_read_back(rooms):
    dataset = open_dataset(rooms)
    assert dataset.name == "nyuv2"
    assert len(dataset.classes) == 40
    assert len(dataset.split("test")) == 4
    assert dataset.scene_classes["1"] != dataset.scene_classes["2"]
    frame = dataset.read("1", 1)
    assert frame.label.max() < 32
    assert 400 < frame.depth[frame.depth > 0].mean() < 1500  # millimetres


def tiny(monkeypatch, name: str, options: dict, rooms: Path, folder: Path, **more):
    """Train a preset on a small network for three epochs of small images."""
    preset = recipes.get(name)
    small = recipes.replace(preset, options=preset.options | options)
    monkeypatch.setitem(recipes._PRESETS, name, small)
    budget = train.budget
    monkeypatch.setattr(train, "budget", lambda *a: train.replace(budget(*a), **SMALL))
    return train.train(name, str(rooms), device="cpu", folder=folder, quiet=True, **more)


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    monkeypatch.setenv("RGBD_CACHE", str(tmp_path / "cache"))


def test_gemini_restarts_its_optimizer_in_each_stage(monkeypatch, rooms, tmp_path):
    name = "geminifusion-nyuv2-mit_b0"
    history = tiny(monkeypatch, name, {"embed": 8}, rooms, tmp_path / "run")
    assert list(history.stage) == [0, 1, 2]
    assert history.loss.notna().all()
    again = tiny(monkeypatch, name, {"embed": 8}, rooms, tmp_path / "run")
    assert again.loss.tolist() == history.loss.tolist()  # finished: nothing is trained twice


def test_a_stopped_stage_goes_on(monkeypatch, rooms, tmp_path):
    name = "geminifusion-nyuv2-mit_b0"
    whole = tiny(monkeypatch, name, {"embed": 8}, rooms, tmp_path / "whole")
    stop = partial(pytest.raises, KeyboardInterrupt)

    def interrupted(self, number, progress, own=train.PaperTrainer.epoch):
        if number == 2:
            raise KeyboardInterrupt
        return own(self, number, progress)

    with monkeypatch.context() as patch, stop():
        patch.setattr(train.PaperTrainer, "epoch", interrupted)
        tiny(patch, name, {"embed": 8}, rooms, tmp_path / "broken")
    rest = tiny(monkeypatch, name, {"embed": 8}, rooms, tmp_path / "broken")
    assert rest.loss.tolist() == whole.loss.tolist()
    assert rest.lr.tolist() == whole.lr.tolist()


def test_primkd_teaches_itself_a_teacher_and_leaves_it_alone(monkeypatch, rooms, tmp_path):
    teacher = recipes.get("segformer-teacher-mit_b0")
    small = recipes.replace(teacher, options=teacher.options | {"embed": 8})
    monkeypatch.setitem(recipes._PRESETS, teacher.name, small)
    seen = []
    own = train.Fed.__init__

    def watch(self, network, preset, data, lecturer):
        own(self, network, preset, data, lecturer)
        if lecturer is not None:
            seen.append((lecturer, {k: v.clone() for k, v in lecturer.state_dict().items()}, self))

    monkeypatch.setattr(train.Fed, "__init__", watch)
    tiny(monkeypatch, "primkd-documented-mit_b0", {"embed": 8}, rooms, tmp_path / "run")
    ((lecturer, before, fed),) = seen
    assert not lecturer.training
    assert all(torch.equal(before[k], v) for k, v in lecturer.state_dict().items())
    assert not any("teacher" in key for key in fed.state_dict())


def test_fusenet_names_the_room(monkeypatch, rooms, tmp_path):
    options = {"scene_classes": 10, "scene_head": "light"}
    monkeypatch.setitem(SMALL, "epochs", 1)
    history = tiny(monkeypatch, "fusenet-port", options, rooms, tmp_path / "run")
    assert len(history) == 1
    assert history.loss[0] > 0


def test_command_lists_presets_and_refuses_unknown_ones(tmp_path):
    told = CliRunner().invoke(app, ["papers", "presets"]).output
    assert all(name in told for name in recipes.names())
    with pytest.raises(UserError, match=r"unknown preset 'cen-nyu2-101'.* Did you mean 'cen-nyuv2-101'"):
        recipes.get("cen-nyu2-101")
