"""Facts about attention and transformer fusion, and what they and others cost."""

import pytest
import torch
from small_models import WIDTH, images, logits, maps, small
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from rgbd_lib.__main__ import app
from rgbd_lib.errors import UserError
from rgbd_lib.methods import build, names
from rgbd_lib.methods.attention_ops import Attention, pooled, tokens, untokens
from rgbd_lib.methods.cost import multiply_adds, parameters
from rgbd_lib.methods.transformer import CrossBlock

# Attention


def test_attention_stores_nothing_and_equals_its_weights():
    attention = Attention(16, heads=4)
    nn.init.normal_(attention.in_proj_bias)
    query, memory = tokens(maps(16, (4, 5))[0]), tokens(maps(16, (3, 7))[1])
    weights = attention.weights(query, memory)  # B,heads,20,21
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 20))
    mixed = (weights @ attention.project(query, memory)[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(query, memory), attention.out_proj(mixed))


def test_attention_has_no_sense_of_place_in_what_it_asks():
    attention = Attention(16, heads=4)
    query, memory = (tokens(x) for x in maps(16, (4, 5)))
    shuffled = memory[:, torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(attention(query, memory), attention(query, shuffled))
    rolled = query.roll(3, dims=1)
    torch.testing.assert_close(attention(rolled, memory), attention(query, memory).roll(3, dims=1))


def test_residual_is_the_difference_that_it_says():
    def skip(residual: bool) -> Tensor:
        model = small("attention", residual=residual)
        seen = []
        model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1][0]))
        logits(model, *images())
        r3 = model.encoder(images()[0])[3]
        return seen[0] - r3 * residual

    torch.testing.assert_close(skip(True), skip(False))


def test_attention_maps_are_shares_with_the_shape_of_both_maps():
    shown = small("attention")(*images(2, (33, 80)), explain=True).explain["attention"]
    assert shown.shape == (2, 4, 3, 5, 3, 5)
    torch.testing.assert_close(shown.sum((-2, -1)), torch.ones(2, 4, 3, 5))


def test_wrong_heads_are_named():
    with pytest.raises(UserError, match="3 heads do not divide 32 channels"):
        small("attention", heads=3)


# Transformer


def cross(grid: int | None, width: int = 16) -> CrossBlock:
    torch.manual_seed(0)
    return CrossBlock(width, heads=2, grid=grid, shared_norm=False)


def test_swapping_modalities_and_their_parameters_changes_nothing():
    block, (rgb, depth) = cross(grid=2), maps(16, (5, 6))
    nn.init.normal_(block.norms[0].weight)
    before = block(rgb, depth)
    assert not torch.allclose(before, block(depth, rgb))
    block.rgb_asks, block.depth_asks = block.depth_asks, block.rgb_asks
    block.norms = nn.ModuleList(reversed(block.norms))
    torch.testing.assert_close(before, block(depth, rgb))


def test_a_grid_matters_only_where_the_map_is_larger():
    for size, same in (((7, 5), True), ((8, 5), False)):
        results = [cross(grid)(*maps(16, size)) for grid in (7, None)]
        assert torch.equal(*results) == same


def test_cells_are_means_and_at_most_the_grid():
    x = torch.arange(24.0).view(1, 1, 4, 6)
    torch.testing.assert_close(pooled(x, 2)[0, 0], torch.tensor([[4.0, 7.0], [16.0, 19.0]]))
    assert pooled(torch.ones(1, 1, 57, 15), 14).shape == (1, 1, 12, 8)
    assert torch.equal(pooled(torch.ones(1, 1, 57, 15), 14), torch.ones(1, 1, 12, 8))  # edges: what is there
    assert untokens(tokens(x), x).equal(x)


def test_work_grows_linearly_with_the_grid_and_faster_without():
    def work(grid: int | None, side: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            cross(grid).to("meta")(*(x.to("meta") for x in maps(16, (side, side))))
        return counter.get_total_flops()

    asked = (
        2 * 2 * 2 * 49 * 16 * 16 * 2
    )  # keys and values of the 7 x 7 cells do not grow: 2 images, directions
    assert work(7, 28) - asked == 4 * (work(7, 14) - asked)
    pairs = [work(None, side) - work(7, side) for side in (14, 28)]
    assert pairs[1] > 10 * pairs[0]


def kept(run: object) -> int:
    """Return the bytes that autograd keeps for the backward pass."""
    sizes = {}

    def keep(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = run()
    return sum(sizes.values()) + 0 * len(result)


def test_memory_grows_linearly_even_where_everything_is_asked():
    block = cross(grid=None)
    few, many = (kept(lambda s=side: block(*maps(16, (s, s)))) for side in (12, 24))
    assert many < 4.1 * few


# Cost


def test_multiply_adds_of_attention_are_those_of_the_formula():
    """From 3136 and 784 asked tokens down to 196, at C = 64 and 128: pairs twice, keys and values once."""
    ours, study = (multiply_adds(build("transformer", 5, grid=grid)) for grid in (14, None))
    saved = sum(2 * (n - 196) * (2 * n * c + 2 * c * c) for n, c in ((3136, 64), (784, 128)))
    assert study - ours == saved


def test_multiply_adds_of_the_baseline_are_those_of_its_layers():
    model = build("rgb", 9, width=WIDTH)
    sizes = []

    def count(layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        places = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
        sizes.append(layer.weight.numel() * places[0, 0].numel())

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    logits(model, *images(1, (64, 64)))
    assert multiply_adds(build("rgb", 9, width=WIDTH), (64, 64)) == sum(sizes)


def test_the_command_lists_every_method_with_its_parameters():
    result = CliRunner().invoke(app, ["methods", "--classes", "9", "--width", "0.125"])
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert set(names()) < set(lines)
    assert f"{parameters(build('mid', 9, width=WIDTH)):,}" in lines["mid"]
