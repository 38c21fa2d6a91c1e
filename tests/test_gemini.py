"""Facts about GeminiFusion: golden numbers, locality, symmetry, linear cost, and the ensemble around it."""

import json
from pathlib import Path

import pytest
import torch
from golden_rule import check, inputs, load
from torch.nn.functional import gelu, linear, scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from rgbd_lib.errors import UserError
from rgbd_lib.losses import cross_entropy
from rgbd_lib.methods import Target, build
from rgbd_lib.methods.gemini import GeminiFusionBlock

RUNS = json.loads((Path(__file__).parent / "golden" / "geminifusion_block.json").read_text())["runs"]


@pytest.fixture
def block() -> GeminiFusionBlock:
    torch.manual_seed(0)
    block = GeminiFusionBlock(16, heads=4)
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.3)  # away from the start, where the score hardly acts
    return block


def pair(n: int = 12, width: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, n, width, generator=draw), torch.randn(2, n, width, generator=draw)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: f"{run['dim']}x{run['heads']}")
def test_block_equals_the_golden_record(run):
    block = GeminiFusionBlock(run["dim"], run["heads"])
    load(block, run["entries"])
    rgb, depth = (inputs(i, shape).requires_grad_() for i, shape in enumerate(run["inputs"]))
    new_rgb, new_depth, rgb_weight, depth_weight = block(rgb, depth)
    found = {
        "rgb": new_rgb,
        "depth": new_depth,
        "attn_rgb": rgb_weight.mean(-1)[:, :, None],
        "attn_depth": depth_weight.mean(-1)[:, :, None],
        "score_rgb": block.score(rgb, depth),
        "score_depth": block.score(depth, rgb),
    }
    for name, value in found.items():
        check(value, run["outputs"][name], atol=1e-5)
    if "gradients" in run:
        scalar = sum((x * inputs(i, x.shape)).sum() for i, x in ((2, new_rgb), (3, new_depth)))
        scalar.backward()
        check(rgb.grad, run["gradients"]["input_rgb"], atol=2e-5)
        check(depth.grad, run["gradients"]["input_depth"], atol=2e-5)
        for name, p in block.named_parameters():
            assert p.grad.norm() == pytest.approx(run["gradients"]["norm"][name], rel=1e-4), name


def test_one_pixel_at_a_time_gives_the_same(block):
    rgb, depth = pair()
    fused = block(rgb, depth)[0]
    b, n, heads = 1, 7, 4
    own, other = rgb[b, n], depth[b, n]
    judge, attention = block.relation_judger[0], block.cross_attn_0_to_1
    s = judge.fc2(gelu(judge.fc1(torch.cat([own, other])))).softmax(0)
    keys = torch.stack([own + block.k_noise.weight[0], own * s])
    values = torch.stack([own + block.v_noise.weight[0], other])
    wq, wk, wv = attention.in_proj_weight.chunk(3)
    bq, bk, bv = attention.in_proj_bias.chunk(3)
    q, k, v = (
        linear(x, w, bias).view(-1, heads, 4).transpose(0, 1)
        for x, w, bias in ((own[None], wq, bq), (keys, wk, bk), (values, wv, bv))
    )
    expected = own + attention.out_proj(scaled_dot_product_attention(q, k, v).flatten())
    torch.testing.assert_close(fused[b, n], expected)


def test_a_change_at_one_pixel_changes_only_that_pixel(block):
    rgb, depth = pair()
    moved = depth.clone()
    moved[0, 5] += 1
    for before, after in zip(block(rgb, depth)[:2], block(rgb, moved)[:2], strict=True):
        changed = (before != after).any(-1)
        assert changed.nonzero().tolist() == [[0, 5]]


def test_swapping_modalities_and_their_private_parameters_swaps_the_results(block):
    rgb, depth = pair()
    first = block(rgb, depth)
    block.cross_attn_0_to_1, block.cross_attn_1_to_0 = block.cross_attn_1_to_0, block.cross_attn_0_to_1
    with torch.no_grad():
        for noise in (block.k_noise, block.v_noise):
            noise.weight.copy_(noise.weight.flip(0))
    second = block(depth, rgb)
    assert torch.equal(first[0], second[1])
    assert torch.equal(first[1], second[0])


def test_weights_and_scores_are_shares(block):
    rgb, depth = pair()
    _, _, *weights = block(rgb, depth)
    for weight in weights:
        torch.testing.assert_close(weight.sum(2), torch.ones(2, 12, 4))
    torch.testing.assert_close(block.score(rgb, depth).sum(-1), torch.ones(2, 12))


def test_score_is_nearly_uniform_at_the_start():
    torch.manual_seed(0)
    score = GeminiFusionBlock(64).score(*pair(width=64))
    assert score.sub(1 / 64).abs().max() < 0.1 / 64  # why the gate acts so weakly


def test_parameters_follow_the_formula():
    for width in (8, 64):
        count = sum(p.numel() for p in GeminiFusionBlock(width).parameters())
        assert count == 11 * width**2 + 14 * width


def test_cost_per_pixel_is_constant_where_full_attention_grows():
    block = GeminiFusionBlock(64)

    def cost(function: object, n: int) -> float:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            function(*pair(n, 64))
        return counter.get_total_flops() / (2 * n)

    def full(rgb: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        return (rgb @ depth.transpose(1, 2)).softmax(-1) @ depth

    fusion = [cost(block, n) for n in (64, 128, 256)]
    assert fusion == [36 * 64**2] * 3  # matrix products; the 16 C of the two dot products are not counted
    attention = [cost(full, n) for n in (64, 128, 256)]
    assert attention[2] == 2 * attention[1] == 4 * attention[0]


def model_and_images() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(2)
    images = torch.randn(2, 3, 33, 47, generator=draw), torch.randn(2, 1, 33, 47, generator=draw)
    return build("gemini", 4, width=0.125), *images


def test_logits_are_the_mean_of_the_branches_and_each_branch_has_a_loss():
    model, rgb, depth = model_and_images()
    target = Target(torch.randint(0, 4, (2, 33, 47)), torch.zeros(2, dtype=torch.long))
    out = model.train()(rgb, depth, target)
    torch.testing.assert_close(out.logits, (out.branches["rgb"] + out.branches["depth"]) / 2)
    expected = sum(cross_entropy(s, target.label) for s in out.branches.values())
    torch.testing.assert_close(out.extra_loss, expected)
    assert model.eval()(rgb, depth, target).extra_loss is None


def test_without_fusion_no_branch_knows_the_other():
    _, rgb, depth = model_and_images()
    fused = build("gemini", 4, width=0.125).eval()
    apart = build("gemini", 4, width=0.125, stages=()).eval()
    for m, knows in ((fused, True), (apart, False)):
        moved = m(rgb, depth + 1).branches["rgb"]
        assert torch.equal(m(rgb, depth).branches["rgb"], moved) != knows


def test_explain_maps_are_weights_at_the_size_of_their_stage():
    model, rgb, depth = model_and_images()
    maps = model.eval()(rgb, depth, explain=True).explain
    assert {name: tuple(x.shape[2:]) for name, x in maps.items() if name.startswith("rgb")} == {
        "rgb_looks_over_1": (9, 12),
        "rgb_looks_over_2": (5, 6),
        "rgb_looks_over_3": (3, 3),
        "rgb_looks_over_4": (2, 2),
    }
    assert all(x.min() > 0 and x.max() < 1 for x in maps.values())


def test_wrong_stages_and_heads_are_named():
    with pytest.raises(UserError, match=r"stages \(5,\)"):
        build("gemini", 4, width=0.125, stages=(5,))
    with pytest.raises(UserError, match="3 heads"):
        build("gemini", 4, width=0.125, heads=3)
