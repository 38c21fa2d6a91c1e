"""Facts about the fusions of the seed study and their controls: limits, symmetries, costs."""

import math

import pytest
import torch
from small_models import CLASSES, WIDTH, awake, images, logits, make, maps, small, target, train_loss

from rgbd_lib.errors import UserError
from rgbd_lib.methods import build
from rgbd_lib.methods.controls import mismatched
from rgbd_lib.methods.cost import parameters
from rgbd_lib.methods.encoder import STAGES
from rgbd_lib.methods.late import Confidence
from rgbd_lib.methods.se import GatedFusion

OPTIONS = [
    *(
        (name, {"wiring": "unet"})
        for name in ("rgb", "late", "mid", "se", "attention", "transformer", "rgb_twice")
    ),
    ("late", {"weighting": "learned"}),
    ("late", {"weighting": "confidence"}),
    ("mid", {"fuse_at": STAGES, "wiring": "unet"}),
    ("mid", {"fuse_at": STAGES, "into": "encoder"}),
    ("attention", {"residual": True, "heads": 8}),
    ("transformer", {"grid": None, "shared_norm": True, "layers": 1}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=str)
def test_options_obey_the_contract(name, options):
    model = awake(make(name, **options))
    pair = images(2, (33, 95))
    train_loss(model, *pair, target(2, (33, 95))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    single = logits(model, *pair)
    assert single.shape == (2, CLASSES, 33, 95)
    with torch.autocast("cpu", torch.bfloat16):
        assert (logits(model, *pair).float() - single).square().mean().sqrt() < 0.03 * single.std()


# Early and late


def test_early_fusion_with_deaf_depth_weights_is_the_rgb_baseline():
    early, rgb = small("early"), small("rgb")
    weights = early.state_dict()
    weights["encoder.stem.0.weight"][:, 3] = 0
    rgb.load_state_dict(weights | {"encoder.stem.0.weight": weights["encoder.stem.0.weight"][:, :3]})
    torch.testing.assert_close(logits(early, *images()), logits(rgb, *images()))


@pytest.mark.parametrize("weighting", ["mean", "learned"])
def test_late_fusion_is_the_mean_of_its_branches(weighting):
    model = build("late", 5, width=WIDTH, weighting=weighting).eval()
    output = model(*images())
    torch.testing.assert_close(output.logits, (output.branches["rgb"] + output.branches["depth"]) / 2)


def test_late_branches_are_two_separate_networks():
    model, alone = small("late"), small("rgb")
    alone.load_state_dict(model.rgb.state_dict())
    rgb, depth = images()
    assert torch.equal(model(rgb, depth).branches["rgb"], logits(alone, rgb, depth))
    assert torch.equal(model(rgb, depth).branches["depth"], model(rgb + 1, depth).branches["depth"])


def test_learned_trust_can_silence_a_network():
    model = small("late", weighting="learned")
    with torch.no_grad():
        model.weighting.trust.copy_(torch.tensor([30.0, -30.0]))
        output = model(*images())
    torch.testing.assert_close(output.logits, output.branches["rgb"])


def test_confident_network_wins_where_it_is_confident():
    sure, unsure = torch.tensor([40.0, 0, 0]).view(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    rgb, depth = torch.cat([sure, unsure], 3), torch.cat([unsure, unsure], 3)  # 1,3,1,2
    weight = Confidence()(rgb, depth)
    torch.testing.assert_close(weight, torch.tensor([3 / 4, 1 / 2]).view(1, 1, 1, 2))  # exp(log 3) : exp(0)
    torch.testing.assert_close(Confidence()(depth, rgb), 1 - weight)


# Mid


def test_mid_fusion_nowhere_is_the_rgb_baseline():
    model, rgb = small("mid", fuse_at=()), small("rgb")
    rgb.load_state_dict(model.state_dict())
    assert torch.equal(logits(model, *images()), logits(rgb, *images()))


@pytest.mark.parametrize("into", ["decoder", "encoder"])
@pytest.mark.parametrize("place", STAGES)
def test_every_place_brings_depth_in_and_ends_the_depth_encoder_there(place, into):
    model = small("mid", fuse_at=(place,), into=into)
    rgb, depth = images()
    assert not torch.equal(logits(model, rgb, depth), logits(model, rgb, depth + 1))
    made = {name.split(".")[0] for name, _ in model.depth_encoder.named_parameters()}
    assert made == set(STAGES[: STAGES.index(place) + 1])
    model.train()(rgb, depth).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_mixture_that_ignores_depth_is_the_rgb_baseline():
    model, rgb = small("mid", fuse_at=STAGES, into="encoder"), small("rgb")
    for joint in model.joints.values():
        half = joint.mix.out_channels
        with torch.no_grad():
            joint.mix.weight.copy_(torch.eye(half, 2 * half)[:, :, None, None])
            joint.mix.bias.zero_()
    rgb.load_state_dict({k: v for k, v in model.state_dict().items() if k in rgb.state_dict()})
    torch.testing.assert_close(logits(model, *images()), logits(rgb, *images()))


def test_wrong_places_are_named():
    with pytest.raises(UserError, match=r"'layer5'.*Known: layer1"):
        small("mid", fuse_at=("layer5",))
    with pytest.raises(UserError, match="into 'head'"):
        small("mid", into="head")


# Squeeze and excitation


def test_gates_start_at_the_documented_mixture_whatever_the_images_show():
    model = build("se", 5, width=WIDTH).eval()
    for seed in (0, 1):
        shown = model(*images(seed=seed), explain=True).explain
        gates = torch.stack([v for k, v in shown.items() if k.endswith("gates")])  # 4 scales, 2 images, 2
        share = math.e / (math.e + 1)
        torch.testing.assert_close(gates, torch.tensor([share, 1 - share]).expand(4, 2, 2))
        assert share == pytest.approx(0.731, abs=5e-4)


def test_a_gate_on_rgb_leaves_depth_without_effect():
    fusion = GatedFusion(16, dropout=0.0).eval()
    rgb, depth = maps(16, (5, 6))
    assert not torch.equal(fusion(rgb, depth)[0], fusion(rgb, depth + 1)[0])
    with torch.no_grad():
        fusion.gates.judge[3].bias.copy_(torch.tensor([100.0, -100.0]))
    assert torch.equal(fusion(rgb, depth)[0], fusion(rgb, depth + 1)[0])


def test_depth_without_confidence_counts_as_zero_depth():
    fusion = GatedFusion(16, dropout=0.0).eval()
    rgb, depth = maps(16, (5, 6))
    with torch.no_grad():
        fusion.confidence[3].weight.zero_()
        fusion.confidence[3].bias.fill_(-200.0)
    torch.testing.assert_close(fusion(rgb, depth)[0], fusion(rgb, torch.zeros_like(depth))[0])


# Controls


def test_zeroed_depth_is_mid_fusion_of_the_mean_depth():
    control, mid = small("depth_zero"), small("mid")
    mid.load_state_dict(control.state_dict())
    rgb, depth = images()
    assert torch.equal(logits(control, rgb, depth), logits(mid, rgb, torch.zeros_like(depth)))


def test_shuffled_depth_belongs_to_another_image_and_another_place():
    model, (rgb, depth) = small("depth_shuffled"), images(4)
    before = logits(model, rgb, depth)
    depth[2] += 1
    changed = (logits(model, rgb, depth) != before).flatten(1).any(1)
    assert changed.tolist() == [True, False, False, False]
    index = torch.arange(2 * 4 * 6.0).view(2, 1, 4, 6)
    for given in (index, index[:1]):
        assert not (mismatched(given) == given).any()
        assert mismatched(given).flatten().sort()[0].equal(given.flatten())


def test_rgb_twice_is_mid_fusion_shown_rgb_twice():
    control, mid = small("rgb_twice"), small("mid")
    weights = {k.replace("second_encoder", "depth_encoder"): v for k, v in control.state_dict().items()}
    stem = weights["depth_encoder.stem.0.weight"]
    grey = images()[0][:, :1]
    weights["depth_encoder.stem.0.weight"] = stem.sum(1, keepdim=True)  # of three equal channels
    mid.load_state_dict(weights)
    rgb = grey.expand(-1, 3, -1, -1)
    torch.testing.assert_close(logits(control, rgb, 0 * grey), logits(mid, rgb, grey), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("width", "apart"), [(1.0, 0.01), (0.5, 0.02), (0.25, 0.02)])
def test_the_wide_baseline_has_the_parameters_of_mid_fusion(width, apart):
    with torch.device("meta"):
        counts = [parameters(build(name, 32, width=width)) for name in ("rgb_wide", "mid")]
    assert counts[0] == pytest.approx(counts[1], rel=apart)
