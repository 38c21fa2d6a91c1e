"""Facts about FuseNet: where it sums, what the variants share, who sees whom, what the classifier adds."""

import pytest
import torch

from rgbd_lib.errors import UserError
from rgbd_lib.methods import Target, build
from rgbd_lib.methods.fusenet import VARIANTS, FuseNet, keep, operators

WIDTH = 0.125


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 45, 61, generator=draw), torch.randn(2, 1, 45, 61, generator=draw)


@pytest.fixture
def target() -> Target:
    return Target(torch.zeros(2, 45, 61, dtype=torch.long), torch.tensor([0, 3]), torch.tensor([9, 2]))


def fusenet(**options: object) -> torch.nn.Module:
    return build("fusenet", 4, width=WIDTH, **options).eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_number_of_sums_is_the_variants(variant):
    sums = sum(op is not keep for stage in operators(variant, torch.add) for op in stage)
    k = int(variant[-1])
    assert sums == (k if variant[0] == "S" else 2 * k - 1)  # the stem is one block, every layer has two


def test_sf5_is_the_recursion_of_the_paper(images):
    model = fusenet()
    rgb, depth = images
    f, d, maps = rgb, depth, []
    for rgb_stage, depth_stage in zip(model.encoder.stages(), model.depth_encoder.stages(), strict=True):
        d = depth_stage(d)
        f = rgb_stage(f) + d
        maps.append(f)
    expected = model.decoder(maps[4], (maps[3], maps[2], maps[1]), (45, 61))
    torch.testing.assert_close(model(rgb, depth).logits, expected)


def test_without_sums_it_is_the_rgb_baseline(images):
    model, baseline = fusenet(variant="SF0"), build("rgb", 4, width=WIDTH).eval()
    baseline.load_state_dict(model.state_dict())  # the same parameters, none for depth
    assert torch.equal(model(*images).logits, baseline(*images).logits)


def test_df1_is_sf1_and_deeper_variants_share_parameters_but_not_results(images):
    def result(variant: str, state: dict) -> torch.Tensor:
        model = fusenet(variant=variant)
        model.load_state_dict(state)
        return model(*images).logits

    for k in (1, 3):
        state = fusenet(variant=f"SF{k}").state_dict()
        same = torch.equal(result(f"SF{k}", state), result(f"DF{k}", state))
        assert same == (k == 1)


def test_full_size_parameters_are_two_encoders_and_one_decoder():
    one, stem = 13_696_192, 64 * 2 * 49  # the RGB baseline at 32 classes; depth has two input channels fewer
    encoder = 11_176_512  # ResNet18 without its classifier
    with torch.device("meta"):
        assert sum(p.numel() for p in FuseNet(32).parameters()) == one + encoder - stem


def test_depth_never_sees_colour_and_its_encoder_ends_with_the_last_sum(images):
    rgb, depth = images
    model = fusenet(variant="SF2")
    seen = []
    model.depth_encoder.layer1[1].register_forward_hook(lambda m, i, out: seen.append(out))
    model(rgb, depth), model(torch.zeros_like(rgb), depth)
    assert torch.equal(*seen)
    assert {name.split(".")[0] for name, _ in model.depth_encoder.named_parameters()} == {"stem", "layer1"}


def test_silent_depth_leaves_rgb_and_mean_halves_it(images):
    rgb, depth = images
    model, halved = fusenet(variant="SF1"), fusenet(variant="SF1", fusion="mean")
    for m in (model, halved):
        torch.nn.init.zeros_(m.depth_encoder.stem[0].weight)  # norm shift is 0, so depth says 0 everywhere
    maps = {}
    for name, m in (("sum", model), ("mean", halved)):
        m.encoder.pool.register_forward_pre_hook(lambda _, x, name=name: maps.update({name: x[0]}))
        m(rgb, depth)
    torch.testing.assert_close(maps["sum"], model.encoder.stem(rgb))
    torch.testing.assert_close(maps["mean"], maps["sum"] / 2)


def test_share_of_energy_is_a_half_for_equal_streams_and_zero_for_silent_depth(images):
    depth = images[1]
    model = fusenet(variant="SF1")
    with torch.no_grad():
        model.depth_encoder.stem[0].weight.copy_(model.encoder.stem[0].weight[:, :1])
        model.encoder.stem[0].weight[:, 1:] = 0
    same = depth.expand(-1, 3, -1, -1)
    share = model(same, depth, explain=True).explain["depth_share_stem"]
    assert set(share.unique().round(decimals=5).tolist()) <= {0.0, 0.5}  # 0 where both are silent
    torch.nn.init.zeros_(model.depth_encoder.stem[0].weight)
    assert not model(same, depth, explain=True).explain["depth_share_stem"].any()


def test_classifier_learns_the_label_it_was_given(images, target):
    model = build("fusenet", 4, width=WIDTH, auxiliary="lighting", auxiliary_weight=0.5).train()
    out = model(*images, target=target, explain=True)
    p = out.explain["auxiliary"]
    expected = -0.5 * p[[0, 1], target.lighting].log().mean()
    torch.testing.assert_close(out.extra_loss, expected)
    out.extra_loss.backward()
    assert model.classifier.weight.grad.any()
    assert model.depth_encoder.stem[0].weight.grad.any()  # it teaches both encoders
    assert model.decoder.classify.weight.grad is None
    assert model.eval()(*images, target=target).extra_loss is None


def test_scene_classes_are_asked_for_only_where_they_exist(images, target):
    model = build("fusenet", 4, width=WIDTH, auxiliary="scene").train()
    assert model(*images, target=target).extra_loss > 0
    with pytest.raises(UserError, match="auxiliary=lighting"):
        model(*images, target=Target(target.label, target.lighting))


def test_unknown_choices_name_the_known_ones():
    for options in ({"variant": "SF6"}, {"fusion": "max"}, {"auxiliary": "room"}):
        with pytest.raises(UserError, match="Known: "):
            fusenet(**options)
