"""The fusion families that channel exchanging is compared with, and what all of them obey."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from rgbd_lib.errors import UserError
from rgbd_lib.methods import Target, build
from rgbd_lib.methods.align import Align
from rgbd_lib.methods.average import Average
from rgbd_lib.methods.concat import Concat
from rgbd_lib.methods.encoder import Encoder
from rgbd_lib.methods.fused_streams import PLACES
from rgbd_lib.methods.mmd import BANDWIDTHS, mmd2
from rgbd_lib.methods.parallel import Private
from rgbd_lib.methods.selfatt import SelfAttention

FAMILIES = ("average", "concat", "align", "selfatt")
WEIGHTS = {"average": 0, "concat": 2, "align": 10, "selfatt": 20.25}  # times C²
CASES = [("cen", {}), ("cen", {"after": 2, "half_only": True, "l1": "all"}), ("average", {})] + [
    (f, {"setting": s, "place": p})
    for f, s, p in itertools.product(FAMILIES, ("ours", "common"), ("early", "all"))
    if (f, s, p) != ("average", "ours", "all") and (s == "common") == (p == "early")
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def maps(channels=16, count=2, size=(5, 4)):
    return torch.randn(count, channels, *size), torch.randn(count, channels, *size)


def batch(size=(33, 47), count=2):
    label = torch.randint(5, (count, *size))
    return (
        torch.randn(count, 3, *size),
        torch.randn(count, 1, *size),
        Target(label, torch.zeros(count).long()),
    )


def weights(module):
    return sum(p.numel() for p in module.parameters() if p.ndim == 4)


# -- the operators ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "factor", "printed"),
    [
        (Concat, 2, (0.6, 2.1, 8.4, 11.2)),
        (lambda c: Align(c, beta=1.0), 10, (2.6, 10.5, 41.9, 55.7)),
        (SelfAttention, 20.25, (5.4, 21.2, 84.9, 112.8)),
    ],
)
def test_operators_have_the_sizes_that_the_paper_prints(operator, factor, printed):
    with torch.device("meta"):
        counts = [weights(operator(c)) for c in (256, 512, 1024, 2048)]
    assert counts == [factor * c**2 for c in (256, 512, 1024, 2048)]
    millions = [n / 1e6 for n in (*counts[1:], sum(counts))]
    assert millions == pytest.approx(printed, abs=0.1)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_fusion_adds_its_formula_at_every_place(family, place):
    with torch.device("meta"):
        plain = weights(build("cen", 5))
        ours = weights(build(family, 5, place=place))
    c = (64, 64, 128, 256, 512)
    assert ours - plain == WEIGHTS[family] * sum(c[i] ** 2 for i in PLACES[place])


def test_average_of_equal_streams_is_identity():
    x, _ = maps()
    assert all(torch.equal(out, x) for out in Average(16)(x, x))
    rgb, depth = maps()
    assert torch.equal(Average(16).merge(rgb, depth), Average(16).merge(depth, rgb))


def test_concat_follows_its_matrix():
    rgb, depth = maps()
    operator = Concat(16)
    matrix = operator.mix.weight.data[..., 0, 0]  # C,2C
    expected = torch.einsum("oi,bihw->bohw", matrix, torch.cat([rgb, depth], 1))
    torch.testing.assert_close(operator.merge(rgb, depth), expected)
    torch.testing.assert_close(operator(rgb, depth)[1], depth + expected)
    operator.mix.weight.data.zero_()
    assert torch.equal(operator(rgb, depth)[0], rgb)  # nothing learned, nothing mixed


def test_selfatt_gate_is_a_weight_and_half_where_undecided():
    rgb, depth = maps(32)
    operator = SelfAttention(32).eval()
    gate = operator.explain(rgb, depth)["gate"]
    assert gate.shape == (2, 2, 5, 4)
    assert 0 < gate.min() < gate.max() < 1
    operator.excite.weight.data.zero_()
    both = torch.cat([rgb, depth], 1)
    torch.testing.assert_close(operator.merge(rgb, depth), operator.norm(operator.mix(both / 2)))


def test_align_rebuilds_from_own_parts_and_the_others_common_part():
    rgb, depth = maps()
    operator = Align(16, beta=1.0)
    shared = operator(rgb, depth)
    for layers in operator.children():  # swap the modalities' weights and the modalities
        layers[0].weight.data, layers[1].weight.data = layers[1].weight.data, layers[0].weight.data
    torch.testing.assert_close(operator(depth, rgb), shared[::-1])
    for layer in operator.common:
        layer.weight.data.zero_()
    moved = operator(rgb, depth + torch.randn_like(depth))[0]
    assert torch.equal(moved, operator(rgb, depth)[0])  # the specific part of depth is not RGB's business


def test_align_compares_the_pooled_common_parts():
    rgb, depth = maps(size=(9, 11))
    operator = Align(16, beta=0.5)
    points = operator.points(rgb, depth)
    for layer, x, found in zip(operator.common, (rgb, depth), points, strict=True):
        torch.testing.assert_close(found[5], adaptive_avg_pool2d(layer(x), 4)[0, :, 1, 1])
    torch.testing.assert_close(operator.loss(rgb, depth), 0.5 * mmd2(*points))


# -- the distance -------------------------------------------------------------------------------------


def slow_mmd2(a, b):
    def distance(p, q):
        return float(((p - q) ** 2).sum())

    everyone = [*a, *b]
    pairs = [distance(p, q) for i, p in enumerate(everyone) for j, q in enumerate(everyone) if i != j]
    variance = float(torch.tensor(pairs).median())

    def k(p, q):
        return sum(2.718281828459045 ** (-distance(p, q) / (2 * variance * s * s)) for s in BANDWIDTHS)

    def mean(x, y):
        return sum(k(p, q) for p, q in itertools.product(x, y)) / (len(x) * len(y))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def test_mmd_equals_its_definition():
    a, b = torch.randn(6, 3), torch.randn(6, 3) + 0.5
    assert mmd2(a, b).item() == pytest.approx(slow_mmd2(a, b), abs=1e-5)


def test_mmd_is_zero_for_equal_sets_symmetric_and_blind_to_scale():
    a, b = torch.randn(16, 8), torch.randn(16, 8)
    assert mmd2(a, a[torch.randperm(16)]).abs() < 1e-6
    torch.testing.assert_close(mmd2(a, b), mmd2(b, a))
    torch.testing.assert_close(mmd2(10 * a + 3, 10 * b + 3), mmd2(a, b), atol=1e-4, rtol=1e-4)


def test_mmd_grows_with_what_separates_two_distributions():
    a, b = torch.randn(200, 4), torch.randn(200, 4)
    same, shifted, wider = mmd2(a, b), mmd2(a, b + 1), mmd2(a, 3 * b)
    assert 0 < same < 0.05 < min(shifted, wider)
    assert shifted < mmd2(a, b + 2)


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_mmd_of_constant_maps_is_zero_with_a_finite_gradient(value):
    a, b = (torch.full((8, 3), value, requires_grad=True) for _ in range(2))
    distance = mmd2(a, b)
    distance.backward()
    assert distance == 0
    assert a.grad.isfinite().all()


# -- the networks -------------------------------------------------------------------------------------


def test_common_setting_ends_the_depth_encoder_at_its_place():
    model = build("concat", 5, width=0.125, place="early", setting="common")
    count = sum(p.numel() for p in model.parameters())
    plain = sum(p.numel() for p in build("rgb", 5, width=0.125).parameters())
    upto = sum(p.numel() for p in Encoder(1, 0.125, stages=3).parameters())
    assert count == plain + upto + 2 * 16**2
    assert model(*batch()[:2]).branches == {}


def test_averaging_at_all_places_leaves_one_stream():
    model = build("average", 5, width=0.125, place="all").train()
    output = model(*batch())
    assert torch.equal(output.branches["rgb"], output.branches["depth"])
    output.extra_loss.backward()
    for private in (m for m in model.decoder.modules() if isinstance(m, Private)):
        assert torch.equal(private.of[0].weight.grad, private.of[1].weight.grad)  # and for ever


@pytest.mark.parametrize("family", FAMILIES)
def test_streams_meet_only_behind_the_place(family):
    model = build(family, 5, width=0.125, place="late").eval()
    rgb, depth, _ = batch((64, 64))
    mixed = [model(rgb, d).branches["rgb"] for d in (depth, -depth)]
    assert not torch.equal(*mixed)
    model.fusions.clear()
    apart = [model(rgb, d).branches["rgb"] for d in (depth, -depth)]
    assert torch.equal(*apart)


def test_alignment_in_the_common_setting_trains_through_the_ensemble():
    model = build("align", 5, width=0.125, setting="common").train()
    model(*batch()).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for n, p in model.named_parameters() if "common" not in n)


def test_unknown_places_and_settings_are_refused():
    for family, options in itertools.product(FAMILIES, ({"place": "deep"}, {"setting": "theirs"})):
        with pytest.raises(UserError, match=r"early|common"):
            build(family, 5, width=0.125, **options)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_gradients_reach_every_parameter(name, options):
    model = build(name, 5, width=0.25, **options).train()
    output = model(*batch())
    loss = nn.functional.cross_entropy(output.logits, batch()[2].label)
    (loss if output.extra_loss is None else loss + output.extra_loss).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize(("name", "options"), CASES)
def test_network_keeps_the_contract(name, options):
    model = build(name, 5, width=0.125, **options).eval()
    rgb, depth, target = batch()
    first = model(rgb, depth)
    assert first.logits.shape == (2, 5, 33, 47)
    assert first.extra_loss is None
    model(*batch((64, 40), 1)[:2])  # another size in between leaves no trace
    assert torch.equal(model(rgb, depth, target).logits, first.logits)
    one = model(rgb[:1], depth[:1]).logits
    torch.testing.assert_close(one, first.logits[:1], atol=1e-5, rtol=1e-4)  # images do not see each other
    last = model(rgb.to(memory_format=torch.channels_last), depth).logits
    torch.testing.assert_close(last, first.logits, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.train()(rgb, depth, target)
    assert half.logits.isfinite().all()
    assert half.extra_loss is None or (half.extra_loss.isfinite() and half.extra_loss.dtype == torch.float32)


@pytest.mark.parametrize(("name", "options"), [CASES[0], ("align", {}), ("selfatt", {"setting": "common"})])
def test_network_compiles_to_one_graph(name, options):
    model = build(name, 5, width=0.125, **options).train()
    torch._dynamo.reset()
    output = torch.compile(model, backend="eager", fullgraph=True)(*batch())
    assert output.logits.shape == (2, 5, 33, 47)
    assert (output.extra_loss is None) == (options != {})


@pytest.mark.parametrize("name", ["cen", "align"])
def test_network_can_be_exported(name):
    model = build(name, 5, width=0.125).eval()
    rgb, depth, _ = batch()
    batches = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(model, (rgb, depth), dynamic_shapes={"rgb": batches, "depth": batches})
    torch.testing.assert_close(program.module()(rgb[:1], depth[:1]).logits, model(rgb[:1], depth[:1]).logits)
