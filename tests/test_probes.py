"""Looking into models and exchanging their parts."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rgbd_lib import methods, probes, surgery
from rgbd_lib.errors import UserError
from rgbd_lib.methods import Output
from rgbd_lib.methods.attention_ops import Attention
from rgbd_lib.methods.encoder import Encoder
from tests.study_fixtures import material


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory):
    return material(tmp_path_factory.mktemp("probes"), scenes=8)


def record_of(data, model: nn.Module) -> SimpleNamespace:
    info = {
        "parameters": {"profile": "smoke", "seed": 4, "method": "early"},
        "data": {
            "name": "fake",
            "identity": "0" * 12,
            "synthetic": True,
            "background": 0,
            "classes": ["a", "b", "c"],
        },
    }
    run = SimpleNamespace(material=lambda: data, recipe=SimpleNamespace(precision="fp32"))
    return SimpleNamespace(info=info, run=run, model=lambda: model.eval())


class Told(nn.Module):
    """Branches with fixed opinions: RGB says 1 everywhere, depth 2, the sum 0."""

    def forward(self, rgb: Tensor, depth: Tensor, target=None, explain: bool = False) -> Output:
        say = [torch.eye(3)[k].view(1, 3, 1, 1).expand(len(rgb), 3, *rgb.shape[-2:]) for k in range(3)]
        return Output(
            say[0], branches={"rgb": say[1], "depth": say[2]}, explain={"mean": rgb.mean((1, 2, 3))}
        )


def test_a_glued_convolution_is_the_sum_of_its_parts():
    conv, glued = nn.Conv2d(6, 5, 3, stride=2, padding=1), torch.randn(2, 6, 9, 11)
    first, rest = probes.parts_of(conv, glued, colour=4)
    torch.testing.assert_close(first + rest + conv.bias.view(1, -1, 1, 1), conv(glued))
    torch.testing.assert_close(
        probes.parts_of(conv, torch.cat([glued[:, :4], 0 * glued[:, 4:]], 1), 4)[1], 0 * rest
    )


@pytest.mark.parametrize(("silent", "share"), [(slice(3, 4), 0.0), (slice(0, 3), 1.0)])
def test_a_silent_sensor_has_no_share(data, silent: slice, share: float):
    model = methods.build("early", 3, width=0.125)
    model.encoder.stem[0].weight.data[:, silent] = 0
    found = probes.depth_share(record_of(data, model), "encoder.stem.0", colour=3)
    assert found.shape == (3, 2)
    assert list(found.index) == ["light 1", "light 2", "light 3"]
    np.testing.assert_allclose(found, share, atol=1e-6)


def test_depth_weighs_more_where_it_is_dark(data):
    found = probes.depth_share(
        record_of(data, methods.build("early", 3, width=0.125)), "encoder.stem.0", colour=3
    )
    assert (
        found.loc["light 3"] > found.loc["light 1"]
    ).all()  # light 3 of the made data has a fifth of the light


def test_reach_is_what_gradients_reach():
    encoder = Encoder(1, width=0.125).eval()
    image = torch.ones(1, 1, 128, 128, requires_grad=True)
    found = probes.reach(encoder)
    for name, seen in zip(("stem", "layer1"), encoder(image), strict=False):
        row = torch.autograd.grad(
            seen[0, :, seen.shape[2] // 2, seen.shape[3] // 2].sum(), image, retain_graph=True
        )
        assert int((row[0][0, 0].abs().sum(0) > 0).sum()) <= found.loc[name, "sees (pixels)"]
    assert list(found["sees (pixels)"]) == [7, 43, 99, 211, 435]
    assert list(found["pixels apart"]) == [2, 4, 8, 16, 32]


def test_agreement_counts_object_pixels(data):
    label = torch.from_numpy(np.stack([data.cache.label[i] for i in data.splits["test"]]).astype(int))
    cubes, balls = int((label == 1).sum()), int((label == 2).sum())
    found = probes.agreement(record_of(data, Told()))
    expected = [0, cubes / (cubes + balls), balls / (cubes + balls), 0, 0, 0]
    for light in found.index:
        np.testing.assert_allclose(found.loc[light], expected, rtol=1e-5)


def test_explanations_are_means_over_scenes(data):
    seen = [shown.rgb.mean((1, 2, 3)) for shown in probes.walk(record_of(data, Told()))]
    found = probes.explained(record_of(data, Told()))["mean"]
    np.testing.assert_allclose(found, torch.stack(seen).mean(0), rtol=1e-5)
    assert found[0] > found[1] > found[2]  # light 1 is the brightest


def test_measure_scores_any_model(data):
    model = methods.build("rgb", 3, width=0.125).eval()
    models = {"one": model, "twice": surgery.Panel(model, model), "other": Told()}
    found = probes.measure(models, record_of(data, model))
    np.testing.assert_array_equal(
        found.matrices["one"], found.matrices["twice"]
    )  # two equal votes: one opinion
    assert found.matrices["one"].shape == (1, 2, 3, 3, 3)
    assert found.matrices["other"][..., 1:].sum() == 0  # says background everywhere
    assert found.seeds["one"] == (4,)


def test_conditions_are_named_by_severity(data):
    assert [c.name for c in probes.graded(data, "misalign")] == [f"misalign {k}" for k in range(6)]
    assert [c.name for c in probes.spoiled(data, ["depth_off"], light=1)] == ["untouched", "depth_off"]
    assert probes.spoiled(data, [], light=2)[0].lighting == 1


def test_attention_statistics_at_their_limits():
    flat = torch.full((1, 2, 3, 3, 3, 3), 1 / 9)
    own = torch.eye(9).view(1, 1, 3, 3, 3, 3)
    torch.testing.assert_close(probes.places_looked_at(flat), torch.full((1, 2), 9.0))
    torch.testing.assert_close(probes.places_looked_at(own), torch.ones(1, 1))
    torch.testing.assert_close(probes.mass_near(own, 0), torch.ones(1, 1))
    torch.testing.assert_close(probes.mass_near(flat, 0), torch.full((1, 2), 1 / 9))
    torch.testing.assert_close(probes.mass_near(flat, 2), torch.ones(1, 2))


def test_replaced_parts_answer_with_a_constant_and_come_back():
    model = nn.Sequential(nn.Linear(2, 2), nn.Softmax(1))
    x = torch.randn(3, 2)
    before = model(x)
    with surgery.replaced(model, {"1": torch.tensor([[0.25, 0.75]])}):
        torch.testing.assert_close(model(x), torch.tensor([[0.25, 0.75]]).expand(3, 2))
    torch.testing.assert_close(model(x), before)
    with pytest.raises(UserError, match=r"'7'.*0, 1"), surgery.replaced(model, {"7": x}):
        pass


def test_looking_everywhere_is_a_mean_of_values():
    model = nn.ModuleDict({"ask": Attention(8, 2)})
    query, memory = torch.randn(1, 5, 8), torch.randn(1, 7, 8)
    before = model["ask"](query, memory)
    with torch.no_grad(), surgery.looking_everywhere(model, ["ask"]):
        torch.testing.assert_close(model["ask"].weights(query, memory), torch.full((1, 2, 5, 7), 1 / 7))
        everywhere = model["ask"](query, memory)
        torch.testing.assert_close(everywhere, everywhere[:, :1].expand_as(everywhere))
    torch.testing.assert_close(model["ask"](query, memory), before)


def test_looking_here_finds_what_a_single_place_holds():
    model = nn.ModuleDict({"ask": Attention(8, 2)})
    query, memory = torch.randn(1, 5, 8), torch.randn(1, 5, 8)
    alone = torch.cat([model["ask"](query[:, i : i + 1], memory[:, i : i + 1]) for i in range(5)], dim=1)
    before = model["ask"](query, memory)
    with surgery.looking_here(model, ["ask"]):
        torch.testing.assert_close(model["ask"](query, memory), alone)
    torch.testing.assert_close(model["ask"](query, memory), before)


def test_a_changed_model_is_the_model_inside_its_change():
    model = methods.build("se", 3, width=0.125).eval()
    rgb, depth = torch.randn(1, 3, 32, 48), torch.randn(1, 1, 32, 48)
    only_rgb = {f"fusions.layer{k}.gates": torch.tensor([[1.0, 0.0]]) for k in (1, 2, 3, 4)}
    changed = surgery.Changed(model, surgery.replaced, only_rgb)
    with torch.no_grad():
        torch.testing.assert_close(
            changed(rgb, depth).logits, changed(rgb, -depth).logits
        )  # depth is shut out
        assert not torch.allclose(model(rgb, depth).logits, model(rgb, -depth).logits)


@pytest.mark.parametrize("name", ["se", "transformer"])
def test_without_places_depth_can_be_shuffled(name: str):
    model = methods.build(name, 3, width=0.125).eval()
    fusion = model.fusions["layer2"]
    c = model.encoder.channels[2]
    rgb, depth = torch.randn(1, c, 4, 5), torch.randn(1, c, 4, 5)
    moved = depth.roll(1, -1)
    first = lambda out: out[0] if isinstance(out, tuple) else out  # noqa: E731
    with torch.no_grad():
        assert not torch.allclose(first(fusion(rgb, depth)), first(fusion(rgb, moved)))
        with surgery.without_place(model, "layer2"):
            torch.testing.assert_close(first(fusion(rgb, depth)), first(fusion(rgb, moved)))
        assert not torch.allclose(first(fusion(rgb, depth)), first(fusion(rgb, moved)))
    with pytest.raises(UserError, match="layer9"), surgery.without_place(model, "layer9"):
        pass


def test_a_branch_is_one_vote(data: Path):
    rgb, depth = torch.randn(1, 3, 32, 48), torch.randn(1, 1, 32, 48)
    torch.testing.assert_close(
        surgery.Branch(Told(), "depth")(rgb, depth).logits.argmax(1), torch.full((1, 32, 48), 2)
    )
