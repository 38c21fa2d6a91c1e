"""Facts about SA-Gate, CMX and mid fusion with dropped sensors."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rgbd_lib.errors import UserError
from rgbd_lib.methods import build
from rgbd_lib.methods.cmx import ContextAttention, FeatureFusion, FeatureRectification
from rgbd_lib.methods.middrop import alive, drop_one, shares
from rgbd_lib.methods.sagate import SAGate, Separation

WIDTH = 0.125


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, 16, 5, 7, generator=draw), torch.randn(2, 16, 5, 7, generator=draw)


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(3, 3, 45, 61, generator=draw), torch.randn(3, 1, 45, 61, generator=draw)


def noisy(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p, std=0.4)
    return module.eval()


# --- SA-Gate


def test_separation_passes_what_the_gate_opens(maps):
    own, other = maps
    separate = Separation(16)
    for bias, expected in ((-50.0, own), (50.0, own + other)):
        nn.init.zeros_(separate.filter[2].weight)
        nn.init.constant_(separate.filter[2].bias, bias)
        torch.testing.assert_close(separate(own, other), expected)


def test_separation_equals_the_equation_written_out(maps):
    own, other = maps
    separate = noisy(Separation(16))
    w1, b1, w2, b2 = separate.filter.parameters()
    summary = torch.cat([other[1].mean((1, 2)), own[1].mean((1, 2))])
    gate = (w2 @ (w1 @ summary + b1).relu() + b2).sigmoid()
    torch.testing.assert_close(separate(own, other)[1, 3], own[1, 3] + gate[3] * other[1, 3])


def test_gate_is_a_choice_per_pixel(maps):
    rgb, depth = maps
    gate = noisy(SAGate(16))
    new_rgb, new_depth, merged, weight = gate(rgb, depth)
    torch.testing.assert_close(weight.sum(1), torch.ones(2, 5, 7))
    torch.testing.assert_close(gate(rgb, rgb)[2], rgb)  # equal inputs: nothing to choose
    low, high = torch.minimum(rgb, depth), torch.maximum(rgb, depth)
    assert ((low - 1e-5 <= merged) & (merged <= high + 1e-5)).all()
    torch.testing.assert_close(new_rgb - new_depth, (rgb - depth) / 2)  # both take half of the same agreement


def test_all_trust_in_one_sensor_returns_it(maps):
    rgb, depth = maps
    gate = SAGate(16)
    nn.init.zeros_(gate.score.weight)
    with torch.no_grad():
        gate.score.bias.copy_(torch.tensor([-40.0, 40.0]))
    new_rgb, new_depth, merged, _ = gate(rgb, depth)
    torch.testing.assert_close(merged, depth)
    torch.testing.assert_close(new_depth, depth)
    torch.testing.assert_close(new_rgb, (rgb + depth) / 2)


def test_gate_looks_at_the_whole_image_but_mixes_pixel_by_pixel(maps):
    rgb, depth = maps
    gate = noisy(SAGate(16))
    moved = depth.clone()
    moved[0, :, 2, 3] += 5
    before, after = gate(rgb, depth)[3], gate(rgb, moved)[3]
    assert (before[0] != after[0]).all()  # the filter's summary has changed
    assert torch.equal(before[1], after[1])  # and only this image's


def test_sagate_explains_weights_of_depth(images):
    weights = build("sagate", 4, width=WIDTH).eval()(*images, explain=True).explain
    assert [tuple(w.shape[1:]) for w in weights.values()] == [(1, 12, 16), (1, 6, 8), (1, 3, 4), (1, 2, 2)]
    assert all(w.min() >= 0 and w.max() <= 1 for w in weights.values())


# --- CMX


def test_no_rectification_at_zero_lambda_or_for_a_silent_partner(maps):
    rgb, depth = maps
    off = noisy(FeatureRectification(16, lambda_c=0, lambda_s=0))
    new_rgb, new_depth, passed = off(rgb, depth)
    assert torch.equal(new_rgb, rgb)
    assert torch.equal(new_depth, depth)
    assert not passed.any()
    on = noisy(FeatureRectification(16))
    assert torch.equal(on(rgb, torch.zeros_like(depth))[0], rgb)
    assert not torch.equal(on(rgb, torch.zeros_like(depth))[1], torch.zeros_like(depth))


def test_rectification_equals_the_equation_written_out(maps):
    rgb, depth = maps
    rectify = noisy(FeatureRectification(16, lambda_c=0.3, lambda_s=0.6))
    new_rgb, new_depth, passed = rectify(rgb, depth)
    b, i, j = 1, 3, 4
    z = torch.cat([rgb, depth], 1)[b]  # 32,5,7
    w = rectify.channel_weights.mlp(torch.cat([z.mean((1, 2)), z.amax((1, 2))])).sigmoid()
    s = rectify.spatial_weights.mlp(z[None])[0].sigmoid()
    for c in range(16):
        from_rgb, from_depth = 0.3 * w[c] + 0.6 * s[0, i, j], 0.3 * w[16 + c] + 0.6 * s[1, i, j]
        expected = rgb[b, c, i, j] + from_depth * depth[b, c, i, j]
        torch.testing.assert_close(new_rgb[b, c, i, j], expected)
        torch.testing.assert_close(new_depth[b, c, i, j], depth[b, c, i, j] + from_rgb * rgb[b, c, i, j])
    torch.testing.assert_close(passed[b, 0, i, j], 0.3 * w[:16].mean() + 0.6 * s[0, i, j])


def test_contexts_are_shares_and_reading_equals_loops_over_heads(maps):
    rgb, depth = (x.flatten(2).transpose(1, 2) for x in maps)
    attention = noisy(ContextAttention(16, heads=4))
    columns = attention.context(depth, attention.kv2).sum(-2)
    torch.testing.assert_close(columns, torch.ones_like(columns))
    read = attention(rgb, depth)[0]
    k, v = attention.kv2(depth[1]).split(16, dim=-1)
    for h in range(4):
        part = slice(4 * h, 4 * h + 4)
        context = (k[:, part].T @ v[:, part] / 2).softmax(0)  # rows are key channels
        torch.testing.assert_close(read[1, :, part], rgb[1, :, part] @ context)


def test_fusion_has_the_published_size_and_linear_cost():
    sizes = {(32, 1): (26_914, 18_240), (160, 5): (667_042, 439_360)}
    for (width, heads), expected in sizes.items():
        blocks = FeatureRectification(width), FeatureFusion(width, heads)
        assert tuple(sum(p.numel() for p in block.parameters()) for block in blocks) == expected
    fuse = FeatureFusion(16, 2).eval()

    def cost(height: int) -> int:
        x = torch.randn(1, 16, height, 8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            fuse(x, x)
        return counter.get_total_flops()

    assert cost(32) == 2 * cost(16) == 4 * cost(8)


def test_fused_maps_feed_the_decoder_and_rectified_ones_the_encoders(images):
    model = build("cmx", 4, width=WIDTH).eval()
    rgb, depth, maps = *images, []
    encoders = zip(model.encoder.stages(), model.depth_encoder.stages(), strict=True)
    for i, (rgb_stage, depth_stage) in enumerate(encoders):
        rgb, depth = rgb_stage(rgb), depth_stage(depth)
        if i:
            rgb, depth, _ = model.rectifications[i - 1](rgb, depth)
            maps.append(model.fusions[i - 1](rgb, depth))
    expected = model.decoder(maps[3], (maps[2], maps[1], maps[0]), (45, 61))
    out = model(*images, explain=True)
    torch.testing.assert_close(out.logits, expected)
    assert all(x.min() > 0 and x.max() < 1 for x in out.explain.values())
    assert len(out.explain) == 8


# --- dropped sensors


def test_a_dead_sensor_is_one_that_says_the_same_everywhere(images):
    rgb, depth = (x.clone() for x in images)
    depth[1] = -1.7
    rgb[0, 1:] = 0.5  # one channel still varies
    rgb[2] = torch.tensor([0.1, 0.2, 0.3])[:, None, None]  # black after normalisation
    assert alive(rgb).tolist() == [True, True, False]
    assert alive(depth).tolist() == [True, False, True]


def test_shares_are_a_mean_over_the_living():
    rgb, depth = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    assert shares(rgb, depth).tolist() == [[0.5, 0.5], [1, 0], [0, 1], [0.5, 0.5]]


def test_nobody_drops_the_last_sensor():
    torch.manual_seed(0)
    both = torch.ones(4000, dtype=torch.bool)
    rgb, depth = drop_one(both, both, 0.25)
    assert (rgb | depth).all()
    for left in (rgb, depth):
        assert left.float().mean().item() == pytest.approx(0.75, abs=0.03)
    none = torch.zeros_like(both)
    assert torch.equal(drop_one(both, none, 0.5)[0], both)
    assert torch.equal(drop_one(none, both, 0.5)[1], both)


@pytest.mark.parametrize("dead", ["rgb", "depth"])
def test_with_one_sensor_dead_the_other_path_scores_alone(images, dead):
    model = build("middrop", 4, width=WIDTH).eval()
    path = model.encoder(images[0]) if dead == "depth" else model.depth_encoder(images[1])
    expected = model.decoder(path[4], (path[3], path[2], path[1]), (45, 61))
    for level in (0.0, -2.5):
        rgb, depth = images
        blank = torch.full_like(rgb if dead == "rgb" else depth, level)
        out = model(blank, depth) if dead == "rgb" else model(rgb, blank)
        assert torch.equal(out.logits, expected)
    assert not torch.equal(model(*images).logits, expected)


def test_dead_depth_trains_no_depth_encoder_and_drops_happen_in_training_only(images):
    rgb, depth = images
    model = build("middrop", 4, width=WIDTH).train()
    model(rgb, torch.zeros_like(depth)).logits.sum().backward()
    assert not any(p.grad.any() for p in model.depth_encoder.parameters())
    assert model.encoder.stem[0].weight.grad.any()
    torch.manual_seed(0)
    seen = {model(*images, explain=True).explain["depth_weight"].flatten().tolist()[0] for _ in range(20)}
    assert seen == {0.0, 0.5, 1.0}
    assert set(model.eval()(*images, explain=True).explain["depth_weight"].flatten().tolist()) == {0.5}


def test_drop_beyond_a_half_is_refused():
    with pytest.raises(UserError, match=r"drop 0\.6"):
        build("middrop", 4, width=WIDTH, drop=0.6)
