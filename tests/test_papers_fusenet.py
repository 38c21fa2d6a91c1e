"""FuseNet on VGG-16: golden numbers, a second implementation, names, counts, and each published oddity."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_rule import check, inputs, state
from paper_networks import by_rule, images, outline, record, watch_dropout

from rgbd_lib import papers
from rgbd_lib.errors import UserError
from rgbd_lib.methods.cost import parameters
from rgbd_lib.papers.fusenet import DECODER, ENCODER, STAGES


@pytest.fixture(scope="module")
def fusenet() -> tuple[torch.nn.Module, dict]:
    golden = record("fusenet_vgg16")
    ours = outline("fusenet-vgg16").state_dict()
    assert [[key, list(value.shape)] for key, value in ours.items()] == golden["entries"]
    wrapped = {f"module.{key}": value for key, value in state(golden["entries"]).items()}
    return papers.load_official("fusenet-vgg16", {"state_dict": wrapped}), golden


@pytest.mark.parametrize("case", range(3))
def test_fusenet_equals_the_golden_record(fusenet, case):
    model, golden = fusenet
    pair = [inputs(*x) for x in zip(golden["input_index"][case], golden["inputs"][case], strict=True)]
    with torch.no_grad():
        check(model(*pair).logits, golden["outputs"][case], atol=1e-4)


def reference(model: torch.nn.Module, rgb, depth, sums: dict[int, tuple[bool, ...]]) -> torch.Tensor:
    """Compute FuseNet layer by layer from its state; ``sums`` says behind which blocks depth is added."""
    values = model.state_dict()

    def block(x, stage, i):
        first = stage == "CBR1_D" and i == 0
        shift = -1 if stage == "CBR1_D" else 0
        conv = "conv11d" if first else f"{stage}.{3 * i + shift}"
        norm = f"{stage}.{3 * i + 1 + shift}"
        x = F.conv2d(x, values[f"{conv}.weight"], values[f"{conv}.bias"], padding=1)
        mean, var, scale, bias = (
            values[f"{norm}.{leaf}"][:, None, None]
            for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * scale + bias).clamp(min=0)

    memory = []
    for s in STAGES:
        for i in range(len(ENCODER[s])):
            rgb = block(rgb, f"CBR{s}_RGB", i)
            if s in sums:
                depth = block(depth, f"CBR{s}_D", i)
                rgb = rgb + depth if sums[s][i] else rgb
        size = rgb.shape[-2:]
        rgb, places = F.max_pool2d(rgb, 2, return_indices=True)
        memory.append((places, size))
        depth = F.max_pool2d(depth, 2)
    for s, widths in DECODER.items():
        places, size = memory.pop()
        full = rgb.new_zeros(*rgb.shape[:2], size[0] * size[1])
        rgb = full.scatter(2, places.flatten(2), rgb.flatten(2)).unflatten(2, size)
        for i in range(len(widths)):
            rgb = block(rgb, f"CBR{s}_Dec", i)
    return F.conv2d(rgb, values["CBR1_Dec.3.weight"], values["CBR1_Dec.3.bias"], padding=1)


def ends(k: int) -> dict[int, tuple[bool, ...]]:
    return {s: (*(False,) * (len(ENCODER[s]) - 1), True) for s in STAGES[:k]}


VARIANTS = {
    "SF0": {},
    "SF1": ends(1),
    "SF4": ends(4),
    "DF2": {1: (True, True), 2: (True, True)},
    "DF5": {s: (True,) * len(ENCODER[s]) for s in STAGES},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_sum_where_they_say_at_any_size(variant):
    model = by_rule(outline("fusenet-vgg16", 3, variant=variant)).double()
    rgb, depth = images(1, 1, 3, 33, 47)[0].double(), images(1, 1, 1, 33, 47, seed=1)[0].double()
    with torch.no_grad():
        torch.testing.assert_close(
            model(rgb, depth).logits, reference(model, rgb, depth, VARIANTS[variant]), rtol=0, atol=1e-9
        )


def test_the_released_names_shapes_and_order_are_kept():
    golden, model = record("fusenet_vgg16_class.keys"), outline("fusenet-vgg16", scene_classes=10)
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == golden["entries"]


SIZES = [
    *(
        ((40, {"variant": f"SF{k}"}), n)
        for k, n in enumerate((29_466_088, 29_503_912, 29_725_864, 31_202_728))
    ),
    ((40, {"variant": "SF4"}), 37_105_576),
    *(((40, {"variant": f"DF{k}"}), n) for k, n in ((1, 29_503_912), (4, 37_105_576), (5, 44_188_072))),
    *(((k, {}), n) for k, n in ((40, 44_188_072), (37, 44_186_341), (32, 44_183_456), (13, 44_172_493))),
    *(((k, {"scene_classes": 10}), n) for k, n in ((40, 207_815_090), (37, 207_813_359), (32, 207_810_474))),
    ((40, {"scene_classes": 10, "scene_head": "light"}), 44_188_072 + 512 * 10 + 10),
]


def test_fusenet_has_the_published_parameters():
    assert [(case, parameters(outline("fusenet-vgg16", case[0], **case[1]))) for case, _ in SIZES] == SIZES


def test_the_mean_halves_what_the_sum_gives(fusenet):
    total, _ = fusenet
    pair = images(1, 1, 3, 32, 32) + images(1, 1, 1, 32, 32, seed=1)
    half = outline("fusenet-vgg16", variant="SF1", fusion="mean")
    same = outline("fusenet-vgg16", variant="SF1")
    values = {key: value for key, value in total.state_dict().items() if key in half.state_dict()}
    places = []
    for model in (half, same):
        model.load_state_dict(values, assign=True)
        model.eval().CBR2_RGB[0].register_forward_pre_hook(lambda _, args: places.append(args[0]))
        with torch.no_grad():
            model(*pair)
    torch.testing.assert_close(2 * places[0], places[1])


def test_poolings_of_odd_sizes_round_down_or_up():
    for up, rows in ((False, 1), (True, 2)):
        model = outline("fusenet-vgg16", ceil_pooling=up)
        x, memory = model.encode(*(torch.zeros(1, c, 48, 64, device="meta") for c in (3, 1)))
        assert x.shape == (1, 512, rows, 2)
        assert memory[5][1] == (3, 4)
        assert model.decode(x, memory).shape == (1, 40, 48, 64)


def test_dropout_acts_behind_the_deep_poolings_and_the_deep_decoder_stages():
    model = outline("fusenet-vgg16").train()
    assert model.drop.p == 0.5
    seen = watch_dropout(model.drop)
    model(*(torch.zeros(1, c, 64, 64, device="meta") for c in (3, 1)))
    twice = [(256, 8, 8), (512, 4, 4)]  # behind poolings 3 and 4, in both encoders
    assert seen[:4] == [twice[0]] * 2 + [twice[1]] * 2
    assert seen[4:] == [(512, 2, 2), (512, 4, 4), (256, 8, 8), (128, 16, 16)]


def test_the_scene_is_judged_from_what_the_decoder_reads():
    model = by_rule(outline("fusenet-vgg16", 3, variant="SF0", scene_classes=4, scene_hidden=6))
    values = {key: value.double().numpy() for key, value in model.state_dict().items() if "ClassHead" in key}
    x = images(1, 2, 512, 7, 10)[0]
    h = x.double().numpy().reshape(2, -1)  # channel, row, column
    for i in (0, 3, 6):
        h = h @ values[f"ClassHead.{i}.weight"].T + values[f"ClassHead.{i}.bias"]
        h = np.maximum(h, 0) if i < 6 else h
    with torch.no_grad():
        np.testing.assert_allclose(model.scene(x), h, rtol=1e-3, atol=1e-4)
        rgb = images(1, 1, 3, 64, 33)[0]
        out = model(rgb)
        assert torch.equal(out.branches["scene"], model.scene(model.encode(rgb, None)[0]))
        assert torch.equal(out.logits, model.decode(*model.encode(rgb, None)))
        # 448x640 leaves 14x20 values: a mean over 2x2 each.
        doubled = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(model.scene(doubled), model.scene(x))


def test_the_scene_head_starts_as_in_the_port():
    model = papers.build("fusenet-vgg16", 3, variant="SF0", scene_classes=10, scene_hidden=64)
    for i, (inside, outside) in ((0, (35840, 64)), (3, (64, 64)), (6, (64, 10))):
        weight = model.ClassHead[i].weight
        assert weight.shape == (outside, inside)
        assert weight.std().item() == pytest.approx((4 / (inside + outside)) ** 0.5, rel=0.1)


@pytest.mark.parametrize("channels", [3, 4, 6])
def test_vgg16_fills_both_encoders(channels):
    widths = [3, *(w for s in STAGES for w in ENCODER[s])]
    draw = torch.Generator().manual_seed(2)
    vgg = {}
    for i in range(13):
        vgg[f"features.{2 * i}.weight"] = torch.randn(widths[i + 1], widths[i], 3, 3, generator=draw)
        vgg[f"features.{2 * i}.bias"] = torch.randn(widths[i + 1], generator=draw)
    vgg |= {"classifier.0.weight": torch.zeros(5, 5), "classifier.0.bias": torch.zeros(5)}
    variant = "SF3" if channels == 3 else "SF0"
    model = outline("fusenet-vgg16", 3, variant=variant, channels=channels).to_empty(device="cpu")
    if variant == "SF3":
        torch.nn.init.constant_(model.conv11d.bias, 7.0)
    model.load_vgg16(vgg)
    first = vgg["features.0.weight"]
    stacked = {3: first, 4: torch.cat([first, first.mean(1, keepdim=True)], 1), 6: torch.cat([first] * 2, 1)}
    assert torch.equal(model.CBR1_RGB[0].weight, stacked[channels])
    assert torch.equal(model.CBR1_RGB[0].bias, vgg["features.0.bias"])
    assert torch.equal(model.CBR5_RGB[6].weight, vgg["features.24.weight"])
    if variant == "SF3":
        assert torch.equal(model.conv11d.weight, first.mean(1, keepdim=True))
        assert (model.conv11d.bias == 7).all()  # the port leaves it where it started
        assert torch.equal(model.CBR1_D[2].weight, vgg["features.2.weight"])
        assert torch.equal(model.CBR3_D[6].bias, vgg["features.12.bias"])
    with pytest.raises(UserError, match="13"):
        model.load_vgg16({"features.0.weight": first})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"variant": "SF6"}, "SF5"),
        ({"fusion": "max"}, "mean"),
        ({"scene_head": "big"}, "light"),
        ({"modalities": 2}, "rgbd_lib.papers.fusenet"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(options, text):
    with pytest.raises(UserError, match=text) as caught:
        outline("fusenet-vgg16", **options)
    assert "\n" not in str(caught.value)


def test_inputs_that_cannot_be_read_are_told():
    rgb, depth = (torch.zeros(1, c, 31, 64, device="meta") for c in (3, 1))
    large, model = rgb.repeat(1, 1, 2, 1), outline("fusenet-vgg16")
    for pair, text in (((rgb, depth), "32x32"), ((large, large), "one channel"), ((large,), "SF0")):
        with pytest.raises(UserError, match=text):
            model(*pair)
