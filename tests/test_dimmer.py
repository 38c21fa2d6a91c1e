"""The dimmer: the data's own photograph at 0 stops, half the light at every stop, and scores that follow."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from rgbd_lib import dimmer, metrics
from rgbd_lib.datasets.synthetic import write
from rgbd_lib.errors import UserError
from rgbd_lib.material import prepare
from rgbd_lib.methods import Output
from rgbd_lib.recipe import Recipe

WHOLE = {"size": (48, 64), "crop": (0, 0, 1, 1), "scenes": 12}
STOPS = (-2.0, 0.0, 3.0, 8.0)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("dimmer")
    write(folder / "synth", scenes=12, size=(48, 64), seed=5, jobs=1, progress=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RGBD_CACHE", str(folder / "cache"))
        return prepare(str(folder / "synth"), Recipe.of("smoke", WHOLE), progress=False)


@pytest.fixture(scope="module")
def dimmed(material):
    return dimmer.dim(material, STOPS, scenes=2)


def record_of(material, model: nn.Module) -> SimpleNamespace:
    info = {"parameters": {"method": "rgb", "profile": "smoke", "seed": 3}}
    run = SimpleNamespace(material=lambda: material, recipe=SimpleNamespace(precision="fp32"))
    return SimpleNamespace(info=info, run=run, model=lambda: model.eval())


class Eye(nn.Module):
    """Answers class 1 where the image is bright, background where it is dark."""

    def forward(self, rgb, depth, target=None, explain=False):
        bright = rgb.mean(1, keepdim=True) > -0.5  # in deviations from the mean of ImageNet
        return Output(torch.cat([~bright, bright, *[~bright & bright] * 30], dim=1).float())


def test_at_zero_stops_it_is_the_photograph_of_the_data_with_other_noise(material, dimmed):
    light = material.dataset.lightings.index(3)
    for number in range(2):
        position = material.splits["test"][number]
        own = material.cache.rgb[position, light].astype(float)
        again = 255 * dimmed.scene(number).rgb[1].permute(1, 2, 0).numpy()
        apart = np.abs(own - again)
        assert 0 < apart.mean() < 3  # levels of 255: noise
        assert np.corrcoef(own.ravel(), again.ravel())[0, 1] > 0.99
        other = material.cache.rgb[position, light - 1].astype(float)
        assert np.abs(other - again).mean() > 4 * apart.mean()  # and no other lighting's


def test_light_fades_and_nothing_else_changes(material, dimmed):
    assert np.all(np.diff(dimmed.luminance) < 0)
    assert dimmed.luminance[-1] < 0.02 < 0.6 < dimmed.luminance[0]
    one = dimmed.scene(1)
    for plane in (one.depth, one.valid, one.label):
        assert all(torch.equal(plane[0], row) for row in plane)
    assert one.scene.unique().tolist() == [material.splits["test"][1]]
    assert dimmed.names == ("+2", "0", "−3", "−8")
    assert len(dimmed) == 2


def test_the_same_exposure_is_the_same_picture(material, dimmed):
    again = dimmer.dim(material, (8.0, -2.0), scenes=1)
    assert torch.equal(again.scene(0).rgb[1], dimmed.scene(0).rgb[0])
    assert torch.equal(again.scene(0).rgb[0], dimmed.scene(0).rgb[3])


def test_scores_are_those_of_the_pictures(material, dimmed):
    results = dimmer.evaluate({"eye": [record_of(material, Eye())] * 2}, dimmed)
    matrices = results.matrices["eye"]
    assert matrices.shape == (2, 2, len(STOPS), 32, 32)
    assert results.seeds == {"eye": (3, 3)}
    assert results.synthetic
    assert matrices[0, :, -1, :, 1:].sum() == 0  # in the dark it sees nothing
    assert matrices[0, :, 0, :, 1].sum() > matrices[0, :, 1, :, 1].sum() > 0
    seen = dimmer.look(record_of(material, Eye()), dimmed, 1)
    assert seen.conditions == ("+2 stops", "0 stops", "−3 stops", "−8 stops")
    for k in range(len(STOPS)):
        counted = metrics.confusions(
            torch.as_tensor(seen.label)[None].long(), torch.as_tensor(seen.prediction[k])[None].long(), 32
        )
        np.testing.assert_array_equal(counted[0], matrices[0, 1, k])


def test_data_that_cannot_be_rendered_again_is_refused(tiny_mm5: Path):
    data = SimpleNamespace(root=tiny_mm5.parent / "real", name="real")
    with pytest.raises(UserError, match=r"real has no synthetic.json.*rgbd data synth"):
        dimmer.plans_of(data)
    with pytest.raises(UserError, match="version None"):  # marked as synthetic, rendered by something else
        dimmer.plans_of(SimpleNamespace(root=tiny_mm5))


def test_a_run_on_other_pictures_is_refused(material, dimmed):
    cache = SimpleNamespace(**{**vars(material.cache), "size": (96, 128)})
    other = SimpleNamespace(cache=cache)
    with pytest.raises(UserError, match=r"at \(96, 128\).*at \(48, 64\)"):
        dimmer.evaluate({"eye": [record_of(other, Eye())]}, dimmed)
