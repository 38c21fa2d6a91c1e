"""CEN's image translation: names and counts of the release, the exchange, its losses, FID and KID."""

import numpy as np
import pytest
import torch
from paper_networks import images, record

from rgbd_lib.errors import UserError
from rgbd_lib.papers import fid, translate, translation
from rgbd_lib.papers.translation import Discriminator, Generator

TINY = (4, 6, 8, 8)


def tiny(**options) -> Generator:
    torch.manual_seed(0)
    return Generator(2, widths=TINY, **options)


@pytest.mark.parametrize("modalities", [1, 2, 3, 4])
def test_generator_has_the_published_number_of_parameters(modalities):
    with torch.device("meta"):
        model = Generator(modalities)
    expected = record("cen_image_translation.keys")["params"][f"generator_{modalities}modality"]
    assert sum(p.numel() for p in model.parameters()) == expected
    assert expected == 54_420_618 + 11_015 * (modalities - 1)


def test_names_order_and_shapes_are_the_released_ones():
    known = record("cen_image_translation.keys")
    with torch.device("meta"):
        models = {"entries": Generator(2), "entries_discriminator": Discriminator()}
    for key, model in models.items():
        assert [[n, list(v.shape)] for n, v in model.state_dict().items()] == known[key]
    judge = models["entries_discriminator"]
    assert sum(p.numel() for p in judge.parameters()) == 2_769_731
    with torch.device("meta"):
        assert judge(torch.empty(1, 3, 256, 256), torch.empty(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_half_of_the_scales_is_penalised_the_ends_included():
    with torch.device("meta"):
        points = Generator(2).points()
    per_modality = [sum(len(p.penalised()[m]) for p in points.values()) for m in (0, 1)]
    assert per_modality == [1504, 1504]
    assert sum(len(points[k].penalised()[0]) for k in ("conv1", "conv8")) == 288
    model = tiny()
    with torch.no_grad():
        for point in model.points().values():
            for scale in point.scales():
                scale.fill_(-0.5)
    assert model.penalty().item() == pytest.approx(0.5 * 2 * sum(w // 2 for w in TINY))


def test_a_silent_channel_takes_the_other_modality():
    model = tiny()
    point = model.conv2.insnorm_conv
    x = torch.randn(2, TINY[1], 4, 4)  # one image of each of two modalities
    with torch.no_grad():
        point.scales()[0][3] = 0.009
        plain = torch.cat(point.apart(x))
        out = point(x)
    torch.testing.assert_close(out[0, 3], plain[1, 3])
    torch.testing.assert_close(out[1], plain[1])
    kept = [c for c in range(TINY[1]) if c != 3]
    torch.testing.assert_close(out[0, kept], plain[0, kept])


def test_the_exchange_reaches_the_picture_and_can_be_switched_off():
    a, b, other = images(3, 1, 3, 16, 16)
    for threshold, linked in ((0.01, True), (0.0, False)):
        model = tiny(threshold=threshold)
        with torch.no_grad():
            model.conv3.insnorm_conv.scales()[0][:4] = 0.0
        pictures = []
        for second in (b, other):
            torch.manual_seed(1)  # dropout stays on, as in the release
            pictures.append(model([a, second]).branches["0"])
        assert torch.equal(*pictures) is not linked


def test_the_ensemble_teaches_alpha_alone():
    model = tiny()
    out = model(images(2, 1, 3, 16, 16))
    out.logits.square().sum().backward()
    assert model.alpha.grad is not None
    assert all(p.grad is None for n, p in model.named_parameters() if n != "alpha")
    assert out.logits.abs().max() <= 1


def test_losses_are_those_of_the_paper():
    class Coin(torch.nn.Module):
        def forward(self, given, picture):
            return torch.full((1, 1, 2, 2), 0.5)

    model, inputs = tiny(), images(2, 1, 3, 16, 16)
    out, real = model(inputs), torch.zeros(1, 3, 16, 16)
    half = float(np.log(2))
    assert translation.judge_loss(Coin(), inputs, out, real).item() == pytest.approx(2 * half, rel=1e-5)
    pixels = sum(p.abs().mean().item() for p in [*out.branches.values(), out.logits])
    expected = 2 * half + 100 * pixels + 1e-3 * model.penalty().item()
    assert translation.generator_loss(model, Coin(), inputs, out, real).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_judging_leaves_the_generator_alone():
    model, judge, inputs = tiny(), Discriminator((4, 6, 8, 8)), images(2, 1, 3, 32, 32)
    out = model(inputs)
    translation.judge_loss(judge, inputs, out, torch.zeros(1, 3, 32, 32)).backward()
    assert all(p.grad is None for p in model.parameters())


def test_sizes_must_halve_often_enough():
    with pytest.raises(UserError, match="multiples of 16"):
        tiny()(images(2, 1, 3, 24, 24))


# -- distances --------------------------------------------------------------------------------------


def normal(count: int, *, mean=0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1, (count, 6))


def test_equal_sets_are_at_distance_zero():
    a = normal(200)
    assert fid.frechet(a, a) == pytest.approx(0, abs=1e-8)


def test_a_shift_costs_its_square():
    a = normal(300)
    assert fid.frechet(a, a + np.array([1, 2, 0, 0, 0, 3.0])) == pytest.approx(14, rel=1e-9)


def test_gaussians_follow_the_closed_form():
    rng = np.random.default_rng(3)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    a, b = np.array([1.0, 4, 9, 0.25]), np.array([4.0, 1, 16, 0])
    turned = [rotation @ np.diag(x) @ rotation.T for x in (a, b)]
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum() + 4.0
    assert fid.frechet_of(np.zeros(4), np.array([2.0, 0, 0, 0]), *turned) == pytest.approx(expected)


def test_kid_is_unbiased_and_sees_a_shift():
    found = [fid.mmd(normal(20, seed=2 * i), normal(20, seed=2 * i + 1)) for i in range(300)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 4 * error  # the biased form lies a hundred errors above zero
    assert min(found) < 0
    biased = np.mean([fid.kernel(normal(20, seed=i), normal(20, seed=i)).mean() for i in range(20)])
    crossed = np.mean([fid.kernel(normal(20, seed=i), normal(20, seed=i + 50)).mean() for i in range(20)])
    assert 2 * (biased - crossed) > 20 * error
    assert fid.kid(normal(50), normal(50, mean=1.0, seed=9)) > 0.5


def test_mmd_agrees_with_the_slow_sum():
    a, b = normal(5), normal(4, seed=1)
    k = lambda x, y: (x @ y / 6 + 1) ** 3  # noqa: E731
    within = [
        np.mean([k(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j]) for x in (a, b)
    ]
    between = np.mean([k(x, y) for x in a for y in b])
    assert fid.mmd(a, b) == pytest.approx(sum(within) - 2 * between)


def test_distances_name_their_features_and_refuse_single_images():
    pictures = torch.rand(6, 3, 32, 32) * 2 - 1
    found = fid.distance(pictures, pictures)
    assert found.fid == pytest.approx(0, abs=1e-6)
    assert "no Inception" in found.measured_with
    assert torch.equal(fid.RandomFeatures()(pictures), fid.RandomFeatures()(pictures))
    with pytest.raises(UserError, match="two images"):
        fid.distance(pictures[:1], pictures[:1])


def test_renders_show_one_scene_and_small_training_runs():
    shade, texture, photo = translate.renders(("shade", "texture"), 2)
    assert shade.shape == texture.shape == photo.shape == (2, 3, 64, 64)
    assert all(x.min() >= -1 and x.max() <= 1 for x in (shade, texture, photo))
    assert torch.equal(shade[:, 0], shade[:, 1])  # light has no paint
    lit = ((shade + 1) * (texture + 1))[0].flatten()
    correlation = torch.corrcoef(torch.stack([lit, photo[0].flatten()]))[0, 1]
    assert correlation > 0.6  # shade times texture is nearly the photograph
    kinds = ("depth", "normal")
    generator, history = translate.train(kinds, scenes=2, epochs=1)
    found = translate.score(generator, kinds, scenes=3)
    assert list(found.output) == ["depth", "normal", "ensemble"]
    assert np.isfinite(found[["fid", "kid100"]]).all().all()
    assert np.isfinite(history.generator).all()
    with pytest.raises(UserError, match="unknown render 'shader'"):
        translate.renders(("shader",), 1)
