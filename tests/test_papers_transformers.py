"""SegFormer, CMX, GeminiFusion and PrimKD: golden numbers, names, counts, and the contract of all networks."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_rule import check, inputs, load
from paper_networks import compare, golden_network, images, made, record

from rgbd_lib import papers
from rgbd_lib.errors import UserError
from rgbd_lib.methods.cost import parameters
from rgbd_lib.papers import mit
from rgbd_lib.papers.geminifusion import twin_parts


def test_segformer_equals_the_golden_record():
    golden = record("segformer_mit_b0_single")
    model = golden_network("segformer-mit_b0", golden["entries"])
    norm = model.decode_head.linear_fuse[1]
    assert norm.eps == 1e-5
    for case in golden["cases"]:
        x = inputs(case["input_ids"][0], case["shape"])
        with torch.no_grad():
            found = {f"stage{k}": y for k, y in enumerate(model.backbone(x), start=1)}
            found |= {
                "logits_full": model(x).logits,
                "logits_quarter": model(x, None, full_size=False).logits,
            }
            norm.eps = 1e-3
            found["logits_full_head_bn_eps_0.001"] = model(x).logits
            norm.eps = 1e-5
        compare(found, golden["outputs"], f"{case['tag']}/")


def test_cmx_equals_the_golden_record():
    golden = record("cmx_mit_b0")
    model = golden_network("cmx-mit_b0", golden["entries"])
    assert model.decode_head.linear_fuse[1].eps == 1e-3
    for case in golden["cases"]:
        pair = [inputs(i, case["shape"]) for i in case["input_ids"]]
        with torch.no_grad():
            found = {f"fused{k}": y for k, y in enumerate(model.fused(*pair), start=1)}
            found |= {
                "logits_full": model(*pair).logits,
                "logits_quarter": model(*pair, full_size=False).logits,
            }
        compare(found, golden["outputs"], f"{case['tag']}/")


@pytest.fixture(scope="module")
def gemini() -> tuple[torch.nn.Module, dict]:
    golden = record("geminifusion_mit_b0")
    return golden_network("geminifusion-mit_b0", golden["entries"]), golden


@pytest.mark.parametrize("run", range(3))
def test_geminifusion_equals_the_golden_record(gemini, run):
    model, golden = gemini
    golden = [golden, *golden["more_runs"]][run]
    pair = [inputs(i, shape) for i, shape in enumerate(golden["inputs"])]
    with torch.no_grad():
        out, maps = model(*pair, full_size=False), model.encoder(pair)
    found = {"logits_ens": out.logits} | {f"logits_{name}": y for name, y in out.branches.items()}
    for k, (rgb, depth) in enumerate(maps, start=1):
        found |= {f"feature_rgb_stage{k}": rgb, f"feature_depth_stage{k}": depth}
    compare(found, golden["outputs"])


def test_geminifusion_learns_as_in_the_golden_record(gemini):
    model, golden = gemini
    golden = golden["training"]
    pair = [inputs(i, shape) for i, shape in enumerate(golden["inputs"])]
    batch, _, height, width = golden["inputs"][0]
    label = torch.from_numpy(np.random.default_rng(777).integers(0, 40, (batch, height, width)))
    out = model(*pair)
    losses = [F.cross_entropy(x, label) for x in (*out.branches.values(), out.logits)]
    for name, loss in zip(("rgb", "depth", "ens"), losses, strict=True):
        assert loss.item() == pytest.approx(golden[f"loss_{name}"], rel=1e-5)
    sum(losses).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    assert [name for name, g in gradients.items() if g is None] == golden["parameters_without_grad"]
    for name, norm in golden["grad_norm"].items():
        assert gradients[name].norm() == pytest.approx(norm, rel=1e-3), name


@pytest.mark.parametrize("run", range(2))
def test_block_of_two_streams_equals_the_golden_record(run):
    golden = record("geminifusion_mit_block")
    golden = [golden, *golden["more_runs"]][run]
    block = mit.Block(16, 2, golden["sr_ratio"], twin_parts())
    load(block, golden["entries"])
    with torch.no_grad():
        found = block(torch.cat([inputs(i, s) for i, s in enumerate(golden["inputs"])]), golden["map"])
    for name, value in zip(("rgb", "depth"), found.chunk(2), strict=True):
        check(value, golden["outputs"][name], atol=1e-5)


KEYS = [
    ("geminifusion_swin_tiny", "geminifusion-swin_tiny", 40, {}),
    ("geminifusion_deliver_b0_4modal", "geminifusion-mit_b0", 25, {"modalities": 4}),
    ("primkd_mit_b0_hint", "primkd-mit_b0", 40, {"branch": "hint"}),
    ("primkd_mit_b0_mask", "primkd-mit_b0", 40, {"branch": "mask"}),
]


@pytest.mark.parametrize(
    ("file", "name", "classes", "options"), KEYS, ids=lambda x: x if isinstance(x, str) else ""
)
def test_names_shapes_and_order_are_the_released_ones(file, name, classes, options):
    with torch.device("meta"):
        model = papers.build(name, classes, **options)
    assert [[key, list(value.shape)] for key, value in model.state_dict().items()] == record(f"{file}.keys")[
        "entries"
    ]


SEGFORMER = 4_654_216, 14_748_392, 25_793_256, 45_669_096, 62_439_656, 83_039_976
CMX = 12_130_544, 44_491_696, 66_581_424, 106_333_104, 139_874_224, 181_074_864
HINT = 12_227_312, 44_877_744, 66_967_472, 106_719_152, 140_260_272, 181_460_912
MASK = 13_960_944, 51_810_224, 73_899_952, 113_651_632, 147_192_752, 188_393_392
GEMINI = 5_863_562, 22_201_066, 41_081_834, 74_551_274, 102_248_170, 137_209_322
SWIN = {"tiny": 51_950_180, "small": 92_796_788, "large": 369_012_926, "large_384": 369_215_966}
DELIVER = {("b0", 2): 6_785_147, ("b0", 4): 6_809_739, ("b2", 2): 42_134_491, ("b2", 4): 42_183_659}
COUNTS = [
    (f"{family}-mit_b{b}", 40, options, count)
    for family, options, counts in (
        ("segformer", {}, SEGFORMER),
        ("cmx", {}, CMX),
        ("primkd", {"branch": "hint"}, HINT),
        ("primkd", {"branch": "mask"}, MASK),
        ("geminifusion", {}, GEMINI),
    )
    for b, count in enumerate(counts)
]
COUNTS += [(f"geminifusion-swin_{size}", 40, {}, count) for size, count in SWIN.items()]
COUNTS += [
    (f"geminifusion-mit_{b}", 25, {"modalities": m, "deliver": True}, count)
    for (b, m), count in DELIVER.items()
]


@pytest.mark.parametrize(("name", "classes", "options", "count"), COUNTS)
def test_parameters_are_those_of_the_papers(name, classes, options, count):
    with torch.device("meta"):
        assert parameters(papers.build(name, classes, **options)) == count


NAMES = ["segformer-mit_b0", "cmx-mit_b0", "primkd-mit_b0", "geminifusion-mit_b0", "geminifusion-swin_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_one_channel_of_depth_will_do(name):
    model = made(name, embed=32)
    rgb, depth = images(1, 2, 3, 45, 62)[0], images(1, 2, 1, 45, 62, seed=1)[0]
    with torch.no_grad():
        out, small = model(rgb, depth), model(rgb, depth, full_size=False)
        assert out.logits.shape == (2, 5, 45, 62)
        assert small.logits.shape == (2, 5, 12, 16)
        assert {x.shape for x in out.branches.values()} <= {out.logits.shape}
        torch.testing.assert_close(model(rgb, depth.expand(-1, 3, -1, -1)).logits, out.logits)
        torch.testing.assert_close(model(rgb[1:], depth[1:]).logits, out.logits[1:], atol=1e-4, rtol=0)


def test_the_same_seed_builds_the_same_network():
    first, same, other = (
        papers.build("segformer-mit_b0", 3, seed=s, embed=8).state_dict() for s in (1, 1, 2)
    )
    assert all(torch.equal(value, same[key]) for key, value in first.items())
    assert not torch.equal(first["decode_head.linear_pred.weight"], other["decode_head.linear_pred.weight"])


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("geminifusion-mit_b9", {}, "geminifusion-mit_b"),
        ("cmx-mit_b0", {"modalities": 3}, "modalities"),
        ("cmx-mit_b0", {"stage2_rates": "mine"}, "released"),
        ("primkd-mit_b0", {"branch": "both"}, "hint, mask"),
        ("primkd-mit_b0", {"select": "most"}, "max"),
        ("geminifusion-mit_b0", {"modalities": 1}, "modalities=1"),
        ("geminifusion-swin_tiny", {"modalities": 4}, "mit_b0"),
        ("geminifusion-mit_b0", {"resize": "area"}, "bicubic"),
    ],
)
def test_what_cannot_be_built_is_told_in_one_line(name, options, text):
    with pytest.raises(UserError, match=text) as caught, torch.device("meta"):
        papers.build(name, **options)
    assert "\n" not in str(caught.value)


def test_inputs_that_cannot_be_read_are_told():
    model = made("segformer-mit_b0", embed=8)
    with torch.no_grad():
        model(torch.zeros(1, 3, 29, 29))
        with pytest.raises(UserError, match="7x10"):
            model(torch.zeros(1, 3, 28, 40))
    with pytest.raises(UserError, match="2 inputs"):
        made("geminifusion-mit_b0")([torch.zeros(1, 3, 32, 32)] * 3)
