"""Facts about GeminiFusion and its Swin encoder: an independent Swin, limits, symmetries, quirks."""

import pytest
import torch
import torch.nn.functional as F
from paper_networks import fill, images, made
from torchvision.models.swin_transformer import SwinTransformer

from rgbd_lib import papers
from rgbd_lib.methods.cost import parameters
from rgbd_lib.methods.gemini import GeminiFusionBlock
from rgbd_lib.papers import swin
from rgbd_lib.papers.geminifusion import MeetingSwinBlock, ScoreNets, Shared, TwinSwin


@pytest.fixture
def small(monkeypatch) -> None:
    """A Swin Transformer a sixteenth as large as the smallest published one."""
    monkeypatch.setitem(swin.SIZES, "small", swin.Size(24, (2, 2, 2, 2), (3, 6, 12, 24)))


def torchvision_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return our names for torchvision's weights; it has no norms at its outputs."""
    state = {}
    for name, value in model.state_dict().items():
        if not name.startswith("features") or "relative_position_index" in name:
            continue
        _, k, rest = name.split(".", 2)
        if k == "0":
            rest = rest.replace("0.", "proj.", 1) if rest.startswith("0") else rest.replace("2.", "norm.", 1)
            state[f"patch_embed.{rest}"] = value
        elif int(k) % 2:
            block, layer = rest.split(".", 1)
            layer = layer.replace("mlp.0.", "mlp.fc1.").replace("mlp.3.", "mlp.fc2.")
            state[f"layers.{int(k) // 2}.blocks.{block}.{layer}"] = value
        else:
            state[f"layers.{int(k) // 2 - 1}.downsample.{rest}"] = value
    return state


@pytest.mark.parametrize("size", [(64, 96), (56, 72)], ids=str)
def test_swin_equals_an_independent_one(small, size):
    theirs = SwinTransformer([4, 4], 24, [2, 2, 2, 2], [3, 6, 12, 24], [7, 7]).eval()
    for name, p in theirs.named_parameters():
        torch.nn.init.normal_(p, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.2)
    ours = swin.Swin("small", always_shift=False).eval()
    missing, unexpected = ours.load_state_dict(torchvision_state(theirs), strict=False)
    assert not unexpected
    assert {key.split(".")[0] for key in missing} == {
        "norm0",
        "norm1",
        "norm2",
        "norm3",
    }  # fresh: weight 1, bias 0
    (x,) = images(1, 2, 3, *size)
    with torch.no_grad():
        found, stage = ours(x), x
        for k, value in enumerate(found):
            stage = theirs.features[2 * k + 1](theirs.features[2 * k](stage))  # B,H,W,C
            expected = F.layer_norm(stage, stage.shape[-1:]).permute(0, 3, 1, 2)
            torch.testing.assert_close(value, expected, atol=2e-4, rtol=0)


def test_the_shift_of_a_map_in_one_window_is_the_released_quirk(small):
    (x,) = images(1, 1, 3, 28, 28)  # stage 1 is 7x7, one window
    build = {"released": True, "classifier": False}
    models = {name: fill(swin.Swin("small", always_shift=flag)) for name, flag in build.items()}
    models["classifier"].load_state_dict(models["released"].state_dict())
    with torch.no_grad():
        stages = {name: model.layers[0].blocks[1] for name, model in models.items()}
        tokens, grid = models["released"].patch_embed(x)
        found = {name: block.attend(block.norm1(tokens), grid) for name, block in stages.items()}
        whole = stages["released"].attn(stages["released"].norm1(tokens)[:, None], None)[:, 0]  # one window
    torch.testing.assert_close(found["classifier"], whole)
    assert (found["released"] - whole).abs().max() > 0.01


def test_shifted_windows_never_mix_far_sides():
    """A pixel of the first row must not answer to one of the last, which the shift brings beside it."""
    block = fill(swin.SwinBlock(8, 2, 4, 2, lambda layer: layer))
    (x,) = images(1, 1, 64, 8)  # an 8x8 map, windows of 4, shifted by 2
    x.requires_grad_()
    block.attend(x, (8, 8))[0, 0].sum().backward()  # pixel (0, 0)
    seen = x.grad[0].abs().amax(-1).reshape(8, 8) > 1e-12
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:2, :2] = True
    assert torch.equal(seen, expected)


def test_streams_that_do_not_meet_are_two_networks(small):
    """With the fusion's last projection at 0, shared weights treat each modality as a network of its own would."""
    twin = fill(TwinSwin("small", 0.0, True))
    for name, p in twin.named_parameters():
        if "cross_attn" in name and "out_proj" in name:
            torch.nn.init.zeros_(p)
    pair = images(2, 2, 3, 36, 44)
    with torch.no_grad():
        maps = twin(pair)
        for m, x in enumerate(pair):
            alone = swin.Swin("small").eval()
            for layer in (alone.patch_embed.norm, *(getattr(alone, f"norm{k}") for k in range(4))):
                layer.eps = 1e-6
            state = {
                key.removeprefix("body.").replace(f".ln_{m}", "").replace(".module.", "."): value
                for key, value in twin.state_dict().items()
                if f"ln_{1 - m}" not in key
            }
            kept = alone.state_dict().keys()
            alone.load_state_dict({key: value for key, value in state.items() if key in kept})
            for ours, theirs in zip(maps, alone(x), strict=True):
                torch.testing.assert_close(ours[m], theirs, atol=1e-4, rtol=0)


def test_swin_blocks_meet_behind_their_attention():
    block = fill(MeetingSwinBlock(16, 2, 4, 2, Shared))
    fusion = GeminiFusionBlock(16)
    names = fusion.state_dict().keys()
    fusion.load_state_dict({name: value for name, value in block.state_dict().items() if name in names})
    x, grid = images(1, 4, 30, 16)[0], (5, 6)  # two images, RGB before depth
    with torch.no_grad():
        apart = swin.SwinBlock.attend(block, x, grid)
        assert (apart - block.attend(x, grid)).abs().max() > 0.1
        rgb, depth, *_ = fusion(*apart.chunk(2))
        torch.testing.assert_close(block.attend(x, grid), torch.cat([rgb, depth]))
        left = x + block.attend(block.norm1(x), grid)
        torch.testing.assert_close(block(x, grid), left + block.mlp(block.norm2(left)))


def test_the_branch_for_more_modalities_is_the_same_network_for_two():
    main = made("geminifusion-mit_b0")
    other = made("geminifusion-mit_b0", deliver=True, embed=256)
    state = {
        key.replace("encoder.", "backbone.").replace("decoder.", "decode_head."): value
        for key, value in main.state_dict().items()
    }
    other.load_state_dict(state)
    pair = images(2, 1, 3, 40, 52)
    with torch.no_grad():
        torch.testing.assert_close(other(pair).logits, main(*pair).logits, atol=1e-4, rtol=0)


@pytest.fixture(scope="module")
def four() -> torch.nn.Module:
    return made("geminifusion-mit_b0", modalities=4, embed=32)


def test_extra_modalities_have_no_order(four):
    """The maximum forgets who was who: extras may change places with their norms and scoring networks."""
    rgb, a, b, c = images(4, 1, 3, 40, 52)
    state = dict(four.state_dict())

    def swapped(key: str) -> str:
        for old, new in (("patch_embed", ".ln_"), ("score_nets", "score_nets.")):
            if old in key:
                i, j = (1, 3) if old == "patch_embed" else (0, 2)
                for x, y in ((i, j), (j, i)):
                    if f"{new}{x}." in key:
                        return key.replace(f"{new}{x}.", f"{new}{y}.")
        return key

    other = made("geminifusion-mit_b0", modalities=4, embed=32)
    other.load_state_dict({key: state[swapped(key)] for key in state})
    with torch.no_grad():
        expected = four([rgb, a, b, c]).logits
        torch.testing.assert_close(other([rgb, c, b, a]).logits, expected, atol=1e-4, rtol=0)
        assert (four([rgb, c, b, a]).logits - expected).abs().max() > 1e-2


def test_extras_are_raised_as_the_equation_says():
    nets = fill(ScoreNets(6, 4))
    extras = images(3, 2, 20, 6)
    grid = (4, 5)
    for x, net, raised in zip(extras, nets.score_nets, nets(extras, grid), strict=False):
        image = x.transpose(1, 2).reshape(2, 6, 4, 5)
        depthwise, point = net[0](image), net[1].weight[0, :, 0, 0]
        score = torch.einsum("bchw,c->bhw", depthwise, point) + net[1].bias
        expected = x * (1 + torch.sigmoid(score)).reshape(2, 20, 1)
        torch.testing.assert_close(raised, expected)


def test_the_stages_of_four_modalities_are_chained_as_the_equation_says(four):
    net, inputs = four.backbone, images(4, 1, 3, 40, 52)
    with torch.no_grad():
        expected, streams = net(inputs), inputs
        for k, pair in enumerate(expected):
            tokens, grid = net.embed(k + 1, torch.cat(streams))
            rgb, *extras = tokens.chunk(4)
            raised = net.extra_score_predictor[k](extras, grid)
            merged = torch.maximum(torch.maximum(raised[0], raised[1]), raised[2])
            rgb, other = net.blocks(k + 1, torch.cat([rgb, merged]), grid).chunk(2)
            torch.testing.assert_close(pair[0], rgb)
            torch.testing.assert_close(pair[1], other)
            streams = [rgb, *(x.transpose(1, 2).reshape_as(other) + other for x in raised)]


def test_the_last_scoring_network_is_never_asked(four):
    four([*images(4, 1, 3, 40, 52)]).branches["depth"].sum().backward()
    asked = {
        name.split(".")[4]: p.grad is not None for name, p in four.named_parameters() if "score_nets" in name
    }
    four.zero_grad()
    assert asked == {"0": True, "1": True, "2": True, "3": False}
    with torch.device("meta"):
        lean = papers.build("geminifusion-mit_b0", 25, modalities=4, spare_net=False)
        full = papers.build("geminifusion-mit_b0", 25, modalities=4)
    assert parameters(full) - parameters(lean) == sum(c * 9 + c + c + 1 for c in (32, 64, 160, 256))


def test_the_ensemble_is_the_mean_and_teaches_only_alpha():
    pair = images(2, 1, 3, 40, 52)
    for detach in (True, False):
        model = made("geminifusion-mit_b0", detach=detach, embed=32)
        torch.nn.init.ones_(model.alpha)
        out = model(*pair)
        torch.testing.assert_close(out.logits, (out.branches["rgb"] + out.branches["depth"]) / 2)
        F.cross_entropy(out.logits, torch.zeros(1, 40, 52, dtype=torch.long)).backward()
        taught = {name for name, p in model.named_parameters() if p.grad is not None}
        assert (taught == {"alpha"}) == detach


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batch_norm_keeps_its_statistics(frozen):
    model = made("geminifusion-mit_b0", freeze_bn=frozen, embed=32).train()
    before = model.decoder.linear_fuse.bn.running_mean.clone()
    model(*images(2, 1, 3, 32, 32))
    assert torch.equal(model.decoder.linear_fuse.bn.running_mean, before) == frozen
    assert model.decoder.dropout.training


def test_scores_are_resized_as_asked():
    pair = images(2, 1, 3, 37, 45)
    models = {mode: made("geminifusion-mit_b0", resize=mode, embed=32) for mode in ("bilinear", "bicubic")}
    with torch.no_grad():
        for mode, model in models.items():
            small = model(*pair, full_size=False).logits
            expected = F.interpolate(small, (37, 45), mode=mode, align_corners=False)
            torch.testing.assert_close(model(*pair).logits, expected)
