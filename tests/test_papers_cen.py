"""CEN on RefineNet: golden numbers of scores and of one training step, names, counts, and each published oddity."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_rule import check, inputs, state
from paper_networks import by_rule, compare, golden_network, images, outline, record, watch_dropout

from rgbd_lib.errors import UserError
from rgbd_lib.methods.cost import parameters
from rgbd_lib.papers.cen import DEPTHS, Encoder
from rgbd_lib.papers.refinenet import ChainedPooling, ResidualUnits

# -- CEN: golden numbers ------------------------------------------------------------------------------


def test_cen_with_one_modality_equals_the_golden_record():
    golden = record("cen_refinenet50_single")
    model = golden_network("cen-refinenet50", golden["entries"], modalities=1)
    for case in golden["cases"]:
        x, tag = inputs(case["input_ids"][0], case["shape"]), f"{case['tag']}/"
        with torch.no_grad():
            out = model(x, full_size=False)
            compare({"rgb": out.branches["rgb"], "ens": out.logits}, golden["outputs"], tag)
            if f"{tag}layer1_rgb" in golden["outputs"]:
                maps = model.encode(x)
                compare({f"layer{k}_rgb": y for k, y in enumerate(maps, 1)}, golden["outputs"], tag)
                flows = enumerate(model.flows(maps), 1)
                compare({f"mflow{k}_rgb": y for k, y in flows}, golden["outputs"], tag)


def exchanging_state() -> dict[str, torch.Tensor]:
    """Return the state of the record with exchange: every third scale of each modality is silent."""
    golden = record("cen_refinenet50_exchange.keys")
    values = state(golden["entries"])
    silent = golden["override"]
    for name, value in values.items():
        if found := re.search(silent["key_regex"], name):
            value[int(found[1]) :: 3] = silent["value"]
        if value.dim() > 1:
            value *= 0.6
    return values


@pytest.fixture(scope="module")
def exchanging() -> torch.nn.Module:
    model = outline("cen-refinenet50", dropout=0.0)
    model.load_state_dict(exchanging_state(), assign=True)
    return model


def test_cen_exchanges_scores_and_learns_as_in_the_golden_record(exchanging):
    golden = record("cen_step")
    step, expected = golden["step"], golden["outputs"]
    pair = [inputs(i, shape) for i, shape in zip(step["input_ids"], step["inputs"], strict=True)]
    label = torch.from_numpy(np.random.default_rng(777).integers(0, 40, (2, 64, 64)))
    label[:, :8] = 255
    model = exchanging.train()

    def losses() -> list[torch.Tensor]:
        out = model(*pair)
        return [F.cross_entropy(x, label, ignore_index=255) for x in (*out.branches.values(), out.logits)]

    with torch.no_grad():
        out = model(*pair, full_size=False)
    compare({**out.branches, "ens": out.logits}, expected, "step/score/")
    first = losses()
    for name, loss in zip(("rgb", "depth", "ens"), first, strict=True):
        assert loss.item() == pytest.approx(step[f"loss_{name}"], rel=1e-5)
    penalty = model.penalty()
    assert penalty.item() == pytest.approx(step["l1_sum"], rel=1e-6)
    sum(loss + step["lambda_"] * penalty for loss in first).backward()
    modality = {"rgb": "bn_0", "depth": "bn_1"}
    for name in (name for name in expected if name.startswith("step/grad/")):
        *path, leaf = name.removeprefix("step/grad/").split(".")
        if leaf == "gamma":
            path, leaf = [*path[:-1], modality[path[-1]]], "weight"
        elif path:
            path.append("module")
        gradient = model.get_parameter(".".join([*path, leaf])).grad
        # The record's own rounding: in float64 these gradients differ from it by up to 4e-3 of their deviation.
        check(gradient, expected[name], atol=5e-3 * expected[name]["std"])

    halves = model.halves()
    assert [len(half) for half in halves] == golden["decoder_group_contains"][1:]
    assert any(p is model.alpha for p in halves[1])
    for half, rate in zip(halves, (step["lr_enc"], step["lr_dec"]), strict=True):
        torch.optim.SGD(half, rate, momentum=step["momentum"], weight_decay=step["weight_decay"]).step()
    with torch.no_grad():
        assert [x.item() for x in losses()] == pytest.approx(step["losses_after_one_step"], rel=1e-5)


def test_cubic_interpolation_is_that_of_the_evaluation(exchanging):
    """The release resizes with another library; pixel for pixel the same class must win."""
    golden = record("cen_step")
    scores = inputs(golden["eval_resize"]["logit_id"], golden["eval_resize"]["logit_shape"])
    resized = F.interpolate(
        scores[None], golden["eval_resize"]["out_hw"], mode=exchanging.evaluation_resize, align_corners=False
    )[0]
    check(resized.permute(1, 2, 0), golden["outputs"]["eval/cubic_resized"], atol=1e-5)
    assert resized.argmax(0).flatten().bincount(minlength=40).tolist() == golden["eval_resize"]["histogram"]


# -- CEN: names, counts, facts ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [50, 101, 152])
@pytest.mark.parametrize("modalities", [1, 2])
def test_cen_has_the_published_parameters_in_encoder_and_decoder(size, modalities):
    model = outline(f"cen-refinenet{size}", modalities=modalities)
    counts = record("cen_params")[f"resnet{size}_{modalities}modality"]
    encoder, decoder = (sum(p.numel() for p in half) for half in model.halves())
    assert (encoder, decoder, parameters(model)) == (counts["enc"], counts["dec"], counts["params"])
    assert len(model.state_dict()) == counts["state_keys"]
    scales = [scale for point in model.points().values() for scale in point.scales()]
    assert len(scales) == counts["exchanged_bn_tensors"]
    assert sum(map(len, scales)) == counts["bn2_gamma"]
    assert parameters(outline(f"cen-refinenet{size}", 41, modalities=modalities)) == counts["params"] + 2305


def test_the_released_names_shapes_and_order_are_kept():
    golden, model = record("cen_refinenet50_exchange.keys"), outline("cen-refinenet50")
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == golden["entries"]
    assert parameters(model) == golden["params"]


@pytest.mark.parametrize("quirk", [True, False])
def test_a_residual_unit_adds_what_its_relu_left_or_its_input(quirk):
    units = by_rule(ResidualUnits(4, 2, relu_residual=quirk))
    values = {name: value.module for name, value in units.named_children()}
    x = expected = images(1, 1, 4, 5, 6)[0]
    for i in (1, 2):
        inner = values[f"{i}_conv"](expected.clamp(min=0)).clamp(min=0)
        expected = values[f"{i}_conv_relu_varout_dimred"](inner) + (
            expected.clamp(min=0) if quirk else expected
        )
    torch.testing.assert_close(units(x), expected)


def test_chained_pooling_sums_every_link():
    chain = ChainedPooling(1).eval()
    with torch.no_grad():
        for layer in chain.children():
            layer.module.weight.zero_()[..., 1, 1] = 1.0  # each link hands its pooled map on
        x = torch.zeros(1, 1, 25, 25)
        x[..., 12, 12] = 1
        # Pooling by 5x5 grows the point by 2 pixels a link: five maps at the point, one at distance 8.
        assert [int(chain(x)[0, 0, 12, 12 + d]) for d in (0, 2, 3, 5, 8, 9)] == [5, 4, 3, 2, 1, 0]


def small_cen(**options: object) -> torch.nn.Module:
    model = outline("cen-refinenet50", 3, **options)
    return by_rule(model)


def test_only_the_exchange_lets_one_modality_see_the_other():
    model = small_cen(threshold=0.0, resize="bilinear", freeze_bn=False)
    pair = images(1, 1, 3, 32, 40) + images(1, 1, 3, 32, 40, seed=1)
    with torch.no_grad():
        apart, full = model(*pair, full_size=False), model(*pair)
        assert apart.logits.shape == (1, 3, 8, 10)
        assert full.logits.shape == (1, 3, 32, 40)
        weights = model.alpha.softmax(0)
        ensemble = sum(w * x for w, x in zip(weights, apart.branches.values(), strict=True))
        torch.testing.assert_close(apart.logits, ensemble)
        other = model(pair[0], torch.zeros_like(pair[1]), full_size=False)
        assert torch.equal(other.branches["rgb"], apart.branches["rgb"])  # depth has no say
        for point in model.points().values():
            point.threshold = (
                1e9  # every channel is replaced: after the first block only the last norms differ
            )
        mixed = model(pair[0], torch.zeros_like(pair[1]), full_size=False)
        assert not torch.equal(mixed.branches["rgb"], apart.branches["rgb"])
    torch.testing.assert_close(
        full.branches["depth"],
        F.interpolate(apart.branches["depth"], (32, 40), mode="bilinear", align_corners=False),
    )


def test_the_ensemble_teaches_alpha_alone_unless_told_otherwise(exchanging):
    pair = images(1, 1, 3, 32, 32) + images(1, 1, 1, 32, 32, seed=1)  # one channel of depth will do
    for detach in (True, False):
        exchanging.detach = detach
        exchanging.zero_grad()
        exchanging.eval()(*pair).logits.square().mean().backward()
        assert exchanging.alpha.grad.abs().sum() > 0
        assert (exchanging.clf_conv.module.weight.grad is None) == detach
    exchanging.detach = True
    exchanging.zero_grad()


def test_frozen_norms_keep_their_statistics_in_training():
    for frozen in (True, False):
        model = outline("cen-refinenet50", 3, freeze_bn=frozen).train()
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert {norm.training for norm in norms} == {not frozen}
        assert model.dropout.training
        assert all(norm.weight.requires_grad for norm in norms)


def test_dropout_acts_on_the_two_coarsest_maps_and_before_the_classifier():
    model = outline("cen-refinenet50").train()
    assert model.dropout.p == 0.5
    seen = watch_dropout(model.dropout)
    model(*torch.zeros(2, 1, 3, 64, 64, device="meta"), full_size=False)
    assert seen == [(2048, 2, 2), (1024, 4, 4), (256, 16, 16)]


def encoder(modalities: int, size: int = 50) -> Encoder:
    with torch.device("meta"):
        return Encoder(DEPTHS[size], modalities, {"threshold": 0.0, "half_only": False})


def test_a_pretrained_resnet_reaches_the_norms_of_both_modalities():
    one = by_rule(encoder(1))
    plain = {re.sub(r"\.module|\.bn_0", "", key): value for key, value in one.state_dict().items()}
    plain |= {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    both = encoder(2).to_empty(device="cpu").eval()
    both.load_imagenet(plain)
    x = images(1, 1, 3, 32, 32)[0]
    with torch.no_grad():
        expected = one.encode(x)[-1]
        for found in both.encode(torch.cat([x, x]))[-1].split(1):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.std()))
    with pytest.raises(UserError, match=r"layer3\.6"):
        encoder(2, 101).load_imagenet(plain)


def test_upsampling_pins_corners_unless_told_otherwise():
    x, like = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]), torch.zeros(1, 1, 4, 4)
    for pinned, second in ((True, 1 / 3), (False, 1 / 4)):
        row = outline("cen-refinenet50", align_corners=pinned).up(x, like)[0, 0, 0]
        torch.testing.assert_close(row, torch.tensor([0, second, 1 - second, 1]))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("cen-refinenet18", {}, "cen-refinenet50"),
        ("cen-refinenet50", {"modalities": 3}, "1 or 2"),
        ("cen-refinenet50", {"resize": "nearest"}, "released"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(name, options, text):
    with pytest.raises(UserError, match=text) as caught:
        outline(name, **options)
    assert "\n" not in str(caught.value)


def test_missing_depth_is_told():
    with pytest.raises(UserError, match="modalities=1"):
        outline("cen-refinenet50")(torch.zeros(1, 3, 32, 32, device="meta"))
