"""The dimmer: the data's own photograph at 0 stops, half the light at every stop, and scores that follow."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from rgbd_lib import corruptions, dimmer, machine
from rgbd_lib.conditions import Condition, Stage, lightings, reference
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.errors import UserError
from rgbd_lib.evaluation import evaluate
from rgbd_lib.material import prepare
from rgbd_lib.methods import Output
from rgbd_lib.recipe import Recipe

WHOLE = {"size": (48, 64), "crop": (0, 0, 1, 1), "scenes": 12}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("dimmer")
    write(folder / "synth", scenes=12, size=(48, 64), seed=5, jobs=1, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGBD_CACHE", str(folder / "cache"))
        return prepare(str(folder / "synth"), Recipe.of("smoke", WHOLE), progress=False)


@pytest.fixture
def stage(material, monkeypatch, tmp_path):
    monkeypatch.setenv("RGBD_CACHE", str(tmp_path))
    return Stage(material, "test", "cpu")


def shown(stage: Stage, scene: int, *stops: float):
    light = reference(stage.material)
    positions = stage.material.splits["test"][scene : scene + 1]
    return stage.before(positions, [Condition(dimmer.name(s), light, stop=s) for s in stops])


class Eye(nn.Module):
    """Answers class 1 where the image is bright, background where it is dark."""

    def forward(self, rgb, depth, target=None, explain=False):
        bright = rgb.mean(1, keepdim=True) > -0.5  # in deviations from the mean of ImageNet
        return Output(torch.cat([~bright, bright, *[~bright & bright] * 30], dim=1).float())


def test_at_zero_stops_it_is_the_photograph_of_the_data_with_other_noise(material, stage):
    light = material.dataset.lightings.index(3)
    for number in range(2):
        position = material.splits["test"][number]
        own = material.cache.rgb[position, light].astype(float)
        again = 255 * shown(stage, number, 0.0).rgb[0].permute(1, 2, 0).numpy()
        apart = np.abs(own - again)
        assert 0 < apart.mean() < 3  # levels of 255: noise
        assert np.corrcoef(own.ravel(), again.ravel())[0, 1] > 0.99
        other = material.cache.rgb[position, light - 1].astype(float)
        assert np.abs(other - again).mean() > 4 * apart.mean()  # and no other lighting's


def test_light_fades_and_nothing_else_changes(material, stage):
    sample = shown(stage, 1, -2.0, 0.0, 3.0, 8.0)
    level = sample.rgb.mean((1, 2, 3))
    assert torch.all(level.diff() < 0)
    assert level[-1] < 0.02 < 0.6 < level[0]
    for plane in (sample.depth, sample.valid, sample.label):
        assert all(torch.equal(plane[0], row) for row in plane)
    assert sample.scene.unique().tolist() == [material.splits["test"][1]]


def test_the_same_exposure_is_the_same_picture_in_any_order_and_from_the_disk(stage, monkeypatch):
    first = shown(stage, 0, -2.0, 8.0)
    monkeypatch.setattr(dimmer.Darkroom, "_rendered", lambda *_: pytest.fail("rendered twice"))
    again = shown(Stage(stage.material, "test", "cpu"), 0, 8.0, -2.0)
    assert torch.equal(again.rgb, first.rgb.flip(0))
    plain = stage.before(stage.material.splits["test"][:1], lightings(stage.material)[2:3])
    assert not torch.equal(plain.rgb[0], first.rgb[0])


def test_a_sensor_may_fail_in_dim_light(stage):
    light, off = reference(stage.material), corruptions.Setting("rgb_off", 1)
    positions = stage.material.splits["test"][:1]
    assert not stage.before(positions, [Condition("dim and off", light, off, stop=2.0)]).rgb.any()


def test_exposures_have_names_that_say_brighter_and_darker():
    assert [dimmer.name(s) for s in (-2.0, 0.0, 0.5, 8.0)] == [
        "+2 stops",
        "0 stops",
        "−0.5 stops",
        "−8 stops",
    ]
    assert len({dimmer.name(s) for s in dimmer.STOPS}) == len(dimmer.STOPS)


def test_scores_are_those_of_the_pictures(material, stage):
    scores = evaluate(Eye(), material, machine.choose("cpu"), conditions="dimmed", quiet=True)
    assert scores.conditions == tuple(map(dimmer.name, dimmer.STOPS))
    assert scores.matrices.shape[:2] == (len(material.splits["test"]), len(dimmer.STOPS))
    assert scores.matrices[:, -1, :, 1:].sum() == 0  # in the dark it sees nothing
    bright = scores.matrices[..., 1].sum((0, 2))
    assert bright[0] > bright[2] > bright[4]


def test_data_that_cannot_be_rendered_again_is_refused(tiny_mm5: Path):
    data = SimpleNamespace(root=tiny_mm5.parent / "real", name="real")
    with pytest.raises(UserError, match=r"real has no synthetic.json.*rgbd data synth"):
        dimmer.plans_of(data)
    with pytest.raises(UserError, match="version None"):  # marked as synthetic, rendered by something else
        dimmer.plans_of(SimpleNamespace(root=tiny_mm5))


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dimmer.np, "save", full)
    with pytest.raises(UserError, match=r"cannot write .*a\.npy: .*No space left.*RGBD_CACHE"):
        dimmer.keep(tmp_path / "a.npy", np.zeros(3))
    assert not list(tmp_path.iterdir())
