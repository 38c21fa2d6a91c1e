"""Calibration against torchmetrics, against sorting every pixel, and on networks that are right about themselves."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from rgbd_lib.calibration import Calibration, fit_temperature


def drawn(
    classes: int = 5, size: int = 60, sharpness: float = 1.5, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and labels drawn from the probabilities that they claim: a network that is calibrated."""
    generator = torch.Generator().manual_seed(seed)
    logits = sharpness * torch.randn(2, classes, size, size, generator=generator)
    p = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, classes)
    label = torch.multinomial(p, 1, generator=generator).view(2, size, size)
    label[:, :5] = 255
    return logits, label


def filled(logits: torch.Tensor, label: torch.Tensor, **options: object) -> Calibration:
    calibration = Calibration(**options)
    calibration.update(logits[:1], label[:1])
    calibration.update(logits[1:], label[1:])
    return calibration


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_errors_equal_torchmetrics(scale):
    logits, label = drawn()
    calibration = filled(scale * logits, label)
    p = (scale * logits).softmax(1)
    for norm, got in (("l1", calibration.ece()), ("max", calibration.mce())):
        want = multiclass_calibration_error(p, label, 5, n_bins=15, norm=norm, ignore_index=255)
        assert got == pytest.approx(float(want), abs=2e-4)
    foreground = label.masked_fill(label == 0, 255)
    want = multiclass_calibration_error(p, foreground, 5, n_bins=15, ignore_index=255)
    assert calibration.ece(foreground=True) == pytest.approx(float(want), abs=2e-4)
    want = multiclass_calibration_error(p[1:], label[1:], 5, n_bins=15, ignore_index=255)
    assert calibration.image_ece[1] == pytest.approx(float(want), abs=2e-4)


def test_a_network_that_means_what_it_says_has_no_error():
    logits, label = drawn()
    honest, boasting = filled(logits, label, classwise=True), filled(4 * logits, label, classwise=True)
    for population in (False, True):
        assert honest.ece(equal_population=population) < 0.03
        assert boasting.ece(equal_population=population) > 0.15
    assert honest.classwise_ece() < 0.02 < 0.05 < boasting.classwise_ece()
    assert honest.accuracy() == boasting.accuracy()
    assert honest.nll() < boasting.nll()
    assert honest.brier() < boasting.brier()


def test_proper_scores_equal_their_definitions():
    logits, label = drawn()
    calibration = filled(logits, label)
    seen = label != 255
    p, y = logits.double().softmax(1).permute(0, 2, 3, 1)[seen], label[seen]
    true = p.gather(1, y[:, None])[:, 0]
    brier = ((p - torch.nn.functional.one_hot(y, 5)) ** 2).sum(1)
    assert calibration.nll() == pytest.approx(float(-true.log().mean()), rel=1e-5)
    assert calibration.brier() == pytest.approx(float(brier.mean()), rel=1e-5)
    assert calibration.nll(foreground=True) == pytest.approx(float(-true[y > 0].log().mean()), rel=1e-5)


def test_classwise_error_equals_a_loop_over_classes():
    logits, label = drawn(size=20)
    seen = label != 255
    p, y = logits.softmax(1).permute(0, 2, 3, 1)[seen].numpy(), label[seen].numpy()
    errors = []
    for k in range(5):
        bins = np.clip(np.ceil(p[:, k] * 15).astype(int) - 1, 0, 14)
        gaps = [abs((y[bins == b] == k).sum() - p[bins == b, k].sum()) for b in range(15)]
        errors.append(sum(gaps) / len(y))
    assert filled(logits, label, classwise=True).classwise_ece() == pytest.approx(np.mean(errors), rel=1e-5)


def test_risk_coverage_equals_sorting_all_pixels():
    logits, label = drawn(sharpness=6.0)  # most pixels are nearly certain
    calibration = filled(logits, label)
    seen = (label != 255).flatten()
    confidence, guess = logits.softmax(1).max(1)
    order = confidence.flatten()[seen].argsort(descending=True)
    wrong = (guess != label).flatten()[seen][order].double()
    exact = wrong.cumsum(0) / torch.arange(1, len(wrong) + 1)
    coverage, risk = calibration.risk_coverage()
    assert coverage[-1] == 1
    assert risk[-1] == pytest.approx(1 - calibration.accuracy())
    np.testing.assert_allclose(risk, exact[(coverage * len(wrong)).round().astype(int) - 1], atol=1e-9)
    assert calibration.aurc() == pytest.approx(float(exact.mean()), rel=0.02)


def certain(confidence: torch.Tensor, right: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two classes that give the first one this confidence, and labels."""
    logits = torch.stack([torch.logit(confidence.double()), torch.zeros(len(confidence))])
    return logits.float()[None, :, None], (~right).long()[None, None]


def test_equal_population_finds_what_cancels_in_the_last_bin():
    generator = torch.Generator().manual_seed(0)
    modest = torch.linspace(0.95, 0.965, 4000)  # always right
    proud = torch.linspace(0.985, 0.999, 4000)  # right in 93 of 100
    right = torch.cat([torch.ones(4000), (torch.rand(4000, generator=generator) < 0.93).float()]).bool()
    confidence = torch.cat([modest, proud])
    calibration = Calibration()
    calibration.update(*certain(confidence, right))
    gaps = (confidence - right.float()).tensor_split(15)
    want = sum(abs(float(part.sum())) for part in gaps) / 8000
    assert calibration.ece(equal_population=True) == pytest.approx(want, rel=0.1)
    assert calibration.ece() < 0.2 * want


def test_nearly_certain_pixels_are_still_ranked():
    confidence = torch.sigmoid(torch.linspace(8, 14, 1000, dtype=torch.float64))  # all above 0.9996
    calibration = Calibration()
    calibration.update(*certain(confidence, torch.arange(1000) >= 300))
    coverage, risk = calibration.risk_coverage()
    assert risk[coverage < 0.6].max() == 0  # the less certain ones are wrong, and it shows
    assert risk[-1] == pytest.approx(0.3)


def test_streaming_in_parts_is_the_same_as_at_once():
    logits, label = drawn()
    whole = Calibration()
    whole.update(logits, label)
    parts = filled(logits, label)
    torch.testing.assert_close(whole.table, parts.table)
    torch.testing.assert_close(whole.sums, parts.sums)
    np.testing.assert_allclose(whole.image_ece, parts.image_ece)


def test_confidence_one_falls_in_the_last_bin_and_nothing_is_nan():
    calibration = Calibration()
    assert np.isnan(calibration.ece())
    assert np.isnan(calibration.aurc())
    label = torch.tensor([[[0, 1, 255]]])
    calibration.update(torch.tensor([200.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3), label)
    np.testing.assert_array_equal(calibration.reliability()[-1], [2, 2, 1])
    assert calibration.ece() == pytest.approx(0.5)
    assert calibration.ece(foreground=True) == pytest.approx(1.0)
    assert all(np.isfinite(v) for v in calibration.summary().values())


@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
def test_temperature_finds_the_factor_that_logits_were_spoiled_with(factor):
    logits, label = drawn(size=100)
    temperature = fit_temperature(factor * logits, label)
    assert temperature == pytest.approx(factor, rel=0.03)
    before, after = Calibration(), Calibration()
    before.update(factor * logits, label)
    after.update(factor * logits, label, temperature)
    assert after.nll() <= before.nll()
    for nearby in (0.98, 1.02):  # it is the minimum
        other = Calibration()
        other.update(factor * logits, label, nearby * temperature)
        assert other.nll() > after.nll()


def test_temperature_of_a_perfect_network_stays_finite():
    logits = torch.eye(3).repeat(4, 1)
    assert 0 < fit_temperature(logits, logits.argmax(1)) < 0.1
    assert fit_temperature(logits, torch.full((12,), 255)) == 1.0
