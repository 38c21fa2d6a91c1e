"""Channel exchanging: the operator, the network, the recipe that makes it happen, the theorem."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_rule import _fill, check, inputs
from torch import nn
from torch.nn.functional import interpolate

from rgbd_lib.errors import UserError
from rgbd_lib.losses import cross_entropy
from rgbd_lib.methods import Target, build
from rgbd_lib.methods.cen import ABLATION, watch
from rgbd_lib.methods.cen_demo import make_rectangles, score_demo, train_demo
from rgbd_lib.methods.cen_theory import descend, gamma_zero_probability, held_share, l1_budget
from rgbd_lib.methods.parallel import Ensemble, ExchangeNorm, exchange, join, own_part, replaced, split

GOLDEN = json.loads((Path(__file__).parent / "golden" / "cen_units.json").read_text())
THETA = 0.02


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def images(count=2, size=(33, 47)):
    return torch.randn(count, 3, *size), torch.randn(count, 1, *size)


def target(count=2, size=(33, 47), classes=5):
    return Target(torch.randint(classes, (count, *size)), torch.zeros(count, dtype=torch.long))


def norms(scales):
    """Batch norms in evaluation mode that only multiply by their scales."""
    layers = [nn.BatchNorm2d(len(s), eps=0).eval() for s in scales]
    for layer, s in zip(layers, scales, strict=True):
        layer.weight.data = torch.as_tensor(s)
    return layers


def small(**options):
    return build("cen", 5, width=0.125, **options)


def silence(model):
    """Bring the penalised half of all scales under the threshold, alternately by sign."""
    for point in model.points().values():
        for scale in point.penalised():
            scale.data.copy_(0.01 * (-1.0) ** torch.arange(len(scale)))


# -- the operator -------------------------------------------------------------------------------------


def test_exchange_equals_the_authors():
    record = GOLDEN["exchange"]
    maps = [inputs(i, shape) for i, shape in zip(record["input_ids"], record["inputs"], strict=True)]
    masks = replaced([torch.tensor(record["gamma0"]), torch.tensor(record["gamma1"])], record["threshold"])
    for m, out in enumerate(exchange(maps, masks)):
        check(out, record[f"out{m}"], atol=0)
        assert (~masks[m]).int().tolist() == record[f"out{m}_channel_is_own"]


@pytest.mark.parametrize("half_only", [False, True])
def test_exactly_the_channels_below_threshold_are_swapped(half_only):
    scales = 0.03 * torch.randn(2, 7)
    scales[0, 0], scales[1, 0] = THETA, -THETA  # at the threshold: kept
    x = torch.randn(6, 7, 4, 5)
    point = ExchangeNorm(norms(scales), threshold=THETA, half_only=half_only).eval()
    out = split(point(x), 2)
    for m in (0, 1):
        for c in range(7):
            asked = not half_only or (c < 3 if m == 0 else c >= 3)
            source = 1 - m if abs(scales[m, c]) < THETA and asked else m
            assert torch.equal(out[m][:, c], scales[source, c] * split(x, 2)[source][:, c]), (m, c)


def test_of_three_modalities_the_silent_one_hears_the_mean_of_the_others():
    maps = list(torch.randn(3, 2, 4, 3, 3))
    masks = [
        torch.tensor(row) for row in ([True, False, False, True], [False] * 4, [True, False, True, False])
    ]
    out = exchange(maps, masks)
    torch.testing.assert_close(out[0][:, 0], (maps[1][:, 0] + maps[2][:, 0]) / 2)
    torch.testing.assert_close(out[2][:, 2], (maps[0][:, 2] + maps[1][:, 2]) / 2)
    assert torch.equal(out[1], maps[1])


@pytest.mark.parametrize(("channels", "count"), [(8, 2), (7, 2), (9, 3), (10, 3), (4, 1)])
def test_penalised_parts_are_disjoint_and_cover_all_channels(channels, count):
    asked = [c for m in range(count) for c in range(channels)[own_part(channels, m, count)]]
    assert asked == list(range(channels))


def test_a_replaced_scale_gets_no_gradient_but_the_other_modalitys_does():
    point = ExchangeNorm(norms([[0.01, 0.5], [0.5, 0.4]]), threshold=THETA)
    x = torch.randn(4, 2, 3, 3)
    (split(point(x), 2)[0] * torch.randn(2, 2, 3, 3)).sum().backward()
    own, other = (norm.weight.grad for norm in point.of)
    assert own[0] == 0
    assert own[1] != 0
    assert other[0] != 0
    assert other[1] == 0


# -- losses -------------------------------------------------------------------------------------------


def test_losses_and_ensemble_equal_the_authors():
    record = GOLDEN["loss"]
    size = record["target_shape"]
    label = torch.from_numpy(np.random.default_rng(777).integers(0, 40, size))
    label[..., :5] = 255
    logits = [inputs(i, record["logit_shape"]) for i in record["logit_ids"]]
    ensemble = Ensemble(2)
    ensemble.alpha.data = torch.tensor(record["alpha"])
    scores = dict(zip(("rgb", "depth", "ens"), [*logits, ensemble(logits)], strict=True))
    losses = {k: cross_entropy(interpolate(s, size[1:], mode="bilinear"), label) for k, s in scores.items()}
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(record[f"loss_{name}"], rel=1e-6)
    losses["ens"].backward()
    assert ensemble.alpha.grad.tolist() == pytest.approx(record["grad_alpha"], abs=1e-6)


def test_l1_sum_equals_the_authors():
    points = {}
    for place, name, channels in GOLDEN["l1"]["entries"]:  # ...bn2.bn_M.weight
        points.setdefault(name.rsplit(".", 2)[0], []).append(_fill(name, [channels], place))
    total = sum(
        s.abs().sum() for p in points.values() for s in ExchangeNorm(norms(p), threshold=THETA).penalised()
    )
    assert total.item() == pytest.approx(GOLDEN["l1"]["sum"], rel=1e-6)


def test_the_ensemble_trains_alpha_alone_and_the_branches_everything_else():
    model = small().train()
    output = model(*images(), target())
    output.logits.square().sum().backward(retain_graph=True)
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {"ensemble.alpha"}
    model.zero_grad()
    output.extra_loss.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {n for n, _ in model.named_parameters()} - {"ensemble.alpha"}


@pytest.mark.parametrize(("l1", "share"), [("none", 0.0), (None, 0.0), ("half", 0.5), ("all", 1.0)])
def test_penalty_counts_the_scales_it_says(l1, share):
    model = small(l1=l1, lam=0.5, scale_start=0.25)
    count = sum(len(s) for p in model.points().values() for s in p.scales())
    assert torch.as_tensor(model.penalty()).item() == pytest.approx(0.5 * 0.25 * share * count)


# -- the network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.125, 1.0])
def test_fusion_has_no_parameters(width):
    count = {m: sum(p.numel() for p in model.parameters()) for m, model in networks(width).items()}
    one_set = sum(
        p.numel()
        for m in networks(width)["rgb"].modules()
        if isinstance(m, nn.BatchNorm2d)
        for p in m.parameters()
    )
    assert count["one"] == count["rgb"] + 1  # alpha
    assert count["two"] == count["one"] + one_set + 1
    assert count["apart"] == 2 * count["rgb"] + 2
    assert width < 1 or count["rgb"] == 13_696_192


def networks(width):
    def cen(**options):
        return build("cen", 32, width=width, **options)

    with torch.device("meta"):
        return {
            "rgb": build("rgb", 32, width=width),
            "one": cen(modalities=("rgb",)),
            "two": cen(),
            "apart": cen(**ABLATION["two networks"]),
        }


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_without_exchange_a_branch_is_the_plain_network(modality):
    plain = build("rgb", 5, width=0.125).eval()
    rgb, depth = images()
    alone = plain({"rgb": rgb, "depth": depth.expand(-1, 3, -1, -1)}[modality], depth).logits
    for options in ({"exchange": False}, {"threshold": 0.0}, {"modalities": (modality,)}):
        model = small(**options).eval()
        missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)  # each norm gets a copy
        assert (missing, unexpected) == (["ensemble.alpha"], [])
        torch.testing.assert_close(model(rgb, depth).branches[modality], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("row", ABLATION)
def test_only_exchange_lets_a_branch_see_the_other_modality(row):
    model = small(**ABLATION[row]).eval()
    silence(model)
    rgb, depth = images()
    before, after = (model(x, depth).branches["depth"] for x in (rgb, rgb + 1))
    assert torch.equal(before, after) == (not row.endswith("exchange"))


def test_the_six_rows_of_the_ablation_are_six_networks():
    rows = [small(**options) for options in ABLATION.values()]
    facts = {
        (
            sum(p.numel() for p in m.parameters()),
            torch.as_tensor(m.penalty()).item(),
            any(p.threshold > 0 for p in m.points().values()),
        )
        for m in rows
    }
    assert len(facts) == 6


def test_equal_inputs_and_equal_norms_give_equal_branches():
    model = small().eval()
    silence(model)
    for point in model.points().values():
        point.of[1].load_state_dict(point.of[0].state_dict())
    rgb = torch.randn(2, 1, 40, 33)
    branches = model(rgb.expand(-1, 3, -1, -1), rgb).branches
    torch.testing.assert_close(branches["rgb"], branches["depth"])


def test_scales_start_small_enough_but_above_the_threshold():
    model = small()
    scales = torch.cat([s for p in model.points().values() for s in p.scales()])
    assert len(model.points()) == 8
    assert THETA < scales.min() == scales.max() <= 0.1


def test_where_scales_start_changes_nothing_before_the_next_norm():
    pair = images(4, (64, 64))
    low, high = (small(scale_start=start).train()(*pair).logits for start in (0.05, 1.0))
    assert (low - high).abs().max() < 0.05 * high.std()  # what is left is the norms' eps


def test_report_counts_what_is_replaced():
    model = small()
    assert [model.report()[k] for k in ("small_scales", "replaced_rgb", "replaced_depth")] == [0, 0, 0]
    silence(model)
    assert model.report() == {
        "small_scales": 1.0,
        "replaced_rgb": 0.5,
        "replaced_depth": 0.5,
        "alpha_rgb": 0.5,
        "alpha_depth": 0.5,
    }


def test_explain_averages_the_maps_before_the_exchange_by_group():
    scales = torch.tensor([[0.0, 0.01, 0.5, 0.5, 0.5], [0.4, 0.4, 0.0, 0.3, 0.3]])
    point = ExchangeNorm(norms(scales), threshold=THETA).eval()
    x = torch.randn(4, 5, 3, 3)
    with watch({"here": point}) as seen:
        point(x)
    own = [m * s[:, None, None] for m, s in zip(split(x, 2), scales, strict=True)]
    for m in (0, 1):
        for g, group in enumerate(([0, 1], [2], [3, 4])):  # rgb gives up, depth gives up, nobody
            torch.testing.assert_close(seen["here/maps"][:, m, g], own[m][:, group].mean(1))
    assert seen["here/replaced"].int().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_explain_changes_nothing_and_leaves_nothing():
    model = small().eval()
    silence(model)
    plain = model(*(pair := images()))
    shown = model(*pair, explain=True)
    assert plain.explain == {}
    assert torch.equal(plain.logits, shown.logits)
    assert set(shown.explain) == {"alpha"} | {
        f"{b}/{k}" for b in model.points() for k in ("scales", "replaced", "maps")
    }
    assert not any(m._forward_hooks for m in model.modules())


def test_options_that_contradict_each_other_are_refused():
    for options in ({"private_norms": False}, {"l1": "some"}, {"after": 3}, {"wiring": "knot"}):
        with pytest.raises(UserError):
            small(**options)


def test_join_undoes_split():
    x = torch.randn(6, 4, 3, 3)
    assert torch.equal(join(split(x, 3)), x)


# -- it happens, and why ------------------------------------------------------------------------------


def test_training_exchanges_channels_and_lifts_both_branches():
    model, rows = train_demo(steps=200)
    assert rows[0]["small_scales"] == 0
    assert rows[-1]["small_scales"] > 0.5
    assert min(rows[-1]["replaced_rgb"], rows[-1]["replaced_depth"]) > 0.25
    assert min(score_demo(model).values()) > 0.6  # one bit of two: a branch alone stays under 0.4


def test_rectangles_show_one_bit_to_each_modality():
    rgb, depth, label = make_rectangles(4, torch.Generator().manual_seed(0), noise=0.0)
    assert torch.equal(rgb[:, 0] > 0, label >= 2)
    assert torch.equal(depth[:, 0] > 0, label % 2 == 1)
    assert label.unique().tolist() == [0, 1, 2, 3]


def test_theorem_against_its_table_and_against_chance():
    ratios = torch.tensor([0.1, 0.25, 0.5, 1, 2, 3])
    expected = [0.080, 0.197, 0.383, 0.683, 0.954, 0.997]
    assert gamma_zero_probability(ratios, 1.0).tolist() == pytest.approx(expected, abs=6e-4)
    assert gamma_zero_probability(0.5, torch.tensor([-1.0, 0.0])).tolist() == pytest.approx(
        [0.3829, 1], abs=1e-4
    )
    share = held_share(0.3, -0.4, 20_000, torch.Generator().manual_seed(0))
    assert share == pytest.approx(float(gamma_zero_probability(0.3, 0.4)), abs=0.01)


def test_descent_ends_at_zero_as_often_as_the_theorem_says():
    starts = torch.linspace(-1, 1, 4000)
    way = descend(starts, 0.5, 0.5, rate=0.1, steps=2000, generator=torch.Generator().manual_seed(0))
    held = way[-1].abs() <= 0.1 * (0.5 + 0.5)  # one step of the stronger pull
    assert way.shape == (2001, 4000)
    assert held.float().mean().item() == pytest.approx(float(gamma_zero_probability(0.5, 0.5)), abs=0.03)


def test_the_released_penalty_cannot_bring_a_scale_from_one_to_zero():
    stages = [(rate, 100 * 132) for rate in (5e-4, 2.5e-4, 1e-4)]
    assert l1_budget(2e-4, stages) == pytest.approx(0.067, abs=5e-4)
    assert l1_budget(5e-3, stages) == pytest.approx(1.68, abs=5e-3)
    assert l1_budget(2e-4, [(rate, 150 * 132) for rate, _ in stages]) == pytest.approx(0.10, abs=2e-3)
