"""The seed study's models in ours: parameters, golden numbers, and a second implementation on the same weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_rule import check, inputs, state
from study_reference import REFERENCE, Weights

from rgbd_lib.errors import UserError
from rgbd_lib.losses import dice_cross_entropy
from rgbd_lib.methods import build
from rgbd_lib.methods.cost import parameters
from rgbd_lib.methods.study_state import STUDY, load_study_state, our_name, study_model

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "rgb_baseline": "mm5_rgb_baseline",
    "early_fusion": "mm5_early.keys",
    "mid_fusion": "mm5_mid.keys",
    "late_fusion": "mm5_late.keys",
    "se_fusion": "mm5_se.keys",
    "attn_fusion": "mm5_attn.keys",
    "transformer_fusion": "mm5_transformer.keys",
}
UNUSED_CONVOLUTION = 262_656
OWN_NORMS = 2 * (64 + 128 + 256 + 512)  # one LayerNorm more at each of four scales


def record(variant: str) -> dict:
    return json.loads((GOLDEN / f"{FILES[variant]}.json").read_text())


@pytest.fixture(scope="module")
def baseline() -> tuple[torch.nn.Module, dict]:
    golden = record("rgb_baseline")
    model = study_model("rgb_baseline", 32)
    load_study_state(model, state(golden["entries"]))
    return model, golden


@pytest.mark.parametrize(
    ("name", "at_32", "at_9"),
    [
        ("rgb", 13_696_192, 13_695_433),
        ("early", 13_699_328, 13_698_569),
        ("mid", 25_423_488, 25_422_729),
        ("late", 27_386_112, 27_384_594),
        ("se", 25_738_136, 25_737_377),
        ("attention", 25_653_888, 25_653_129),
        (
            "transformer",
            43_325_504 - UNUSED_CONVOLUTION + OWN_NORMS,
            43_324_745 - UNUSED_CONVOLUTION + OWN_NORMS,
        ),
    ],
)
def test_parameters_are_the_published_ones_and_all_are_trained(name, at_32, at_9):
    with torch.device("meta"):  # counting needs no values
        assert [parameters(build(name, k)) for k in (32, 9)] == [at_32, at_9]


def test_the_places_that_the_study_names_in_words():
    assert parameters(build("mid", 32, fuse_at=("layer3", "layer4"))) == 25_521_792


@pytest.mark.parametrize("variant", STUDY)
def test_weights_of_the_study_give_the_scores_of_its_arithmetic(variant):
    weights = state(record(variant)["entries"])
    model = study_model(variant, 32).eval()
    load_study_state(model, weights)
    rgb, depth = inputs(0, [2, 3, 64, 96]), inputs(1, [2, 1, 64, 96])
    with torch.no_grad():
        expected = REFERENCE[variant](Weights(weights), rgb, depth)
        torch.testing.assert_close(
            model(rgb, depth).logits, expected, atol=1e-4 * expected.std().item(), rtol=0
        )


@pytest.mark.parametrize("variant", STUDY)
def test_parameters_of_the_records(variant):
    golden, unused = record(variant), UNUSED_CONVOLUTION * (variant == "transformer_fusion")
    with torch.device("meta"):
        assert parameters(study_model(variant, 32)) == golden["params"] - unused
        assert parameters(study_model(variant, 9)) == golden["params_9_classes"] - unused


def test_scores_and_maps_equal_the_golden_record(baseline):
    model, golden = baseline
    parts = {
        "layer1": model.encoder.layer1,
        "layer4": model.encoder.layer4,
        "up4": model.decoder.up4.convs,
        "up1": model.decoder.up1.convs,
        "up0": model.decoder.norm0,
    }
    seen = {}
    hooks = [m.register_forward_hook(lambda _, __, y, n=n: seen.update({n: y})) for n, m in parts.items()]
    model.eval()
    with torch.no_grad():
        (shape,) = golden["inputs"]
        seen["logits"] = model(inputs(0, shape), inputs(1, [shape[0], 1, *shape[2:]])).logits
        for hook in hooks:
            hook.remove()
        (shape,) = golden["extra_inputs"]
        seen["extra_logits"] = model(inputs(2, shape), inputs(3, [shape[0], 1, *shape[2:]])).logits
    for name, expected in golden["outputs"].items():
        check(seen[name], expected, atol=2e-4 * expected["std"])


def test_a_training_step_equals_the_golden_record(baseline):
    step = baseline[1]["train_step"]
    model = study_model("rgb_baseline", 32).train()
    load_study_state(model, state(baseline[1]["entries"]))
    (shape,) = step["inputs"]
    label = torch.from_numpy(np.random.default_rng(777).integers(0, 32, (shape[0], *shape[2:])))
    scores = model(inputs(4, shape), inputs(5, [shape[0], 1, *shape[2:]])).logits
    check(scores, step["logits"], atol=2e-4 * step["logits"]["std"])
    loss = dice_cross_entropy(scores, label, alpha=0.5)
    assert loss.item() == pytest.approx(step["loss"], rel=2e-4)
    loss.backward()
    largest = max(step["grad_norms"].values())
    ours = dict(model.named_parameters())
    for key, norm in step["grad_norms"].items():
        found = ours[our_name(key)].grad.norm().item()
        # a bias before a norm has no gradient but rounding: compare with the largest as well
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-6 * largest), key
    buffers = dict(model.named_buffers())
    for kind in ("running_mean_norms", "running_var_norms"):
        for key, norm in step[kind].items():
            assert buffers[our_name(key)].norm().item() == pytest.approx(norm, rel=2e-4), key


def test_wrong_weights_are_named():
    weights = state(record("rgb_baseline")["entries"])
    del weights["up4.up.bias"]
    with pytest.raises(UserError, match=r"1 missing .*decoder\.up4\.up\.bias.* 0 unknown"):
        load_study_state(study_model("rgb_baseline", 32), weights)
    with pytest.raises(UserError, match=r"2 missing .*classify"):
        load_study_state(study_model("rgb_baseline", 9), state(record("rgb_baseline")["entries"]))
    with pytest.raises(UserError, match=r"'mid_fusoin'\. Did you mean 'mid_fusion'"):
        study_model("mid_fusoin", 9)
