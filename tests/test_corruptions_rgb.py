"""The statistics of colour corruptions: what was asked for is what is measured."""

import colorsys
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import torch
from corrupted import SEEDS, plain, spoiled, spread, table

from rgbd_lib import corruptions
from rgbd_lib.corruptions import filters
from rgbd_lib.corruptions.base import World


def level(name: str, severity: int):
    return corruptions.get(name).levels[severity - 1]


@pytest.mark.parametrize("severity", [1, 2])
def test_noise_has_the_stated_deviation(severity):
    sample = plain(0.5)
    sigma = level("gaussian_noise", severity)
    bad = spoiled("gaussian_noise", severity, sample).rgb
    assert spread(bad) == pytest.approx(sigma, rel=0.02)
    assert float(bad.mean()) == pytest.approx(0.5, abs=0.002)
    photons = level("shot_noise", severity)
    assert spread(spoiled("shot_noise", severity, sample).rgb) == pytest.approx(
        math.sqrt(0.5 / photons), rel=0.02
    )
    relative = level("speckle_noise", severity)
    for value in (0.2, 0.5):
        assert spread(spoiled("speckle_noise", severity, plain(value)).rgb) == pytest.approx(
            value * relative, rel=0.02
        )
    electronic = level("iso_noise", severity)
    want = math.hypot(math.sqrt(0.5 / 25), electronic)
    assert spread(spoiled("iso_noise", severity, sample).rgb) == pytest.approx(want, rel=0.02)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_impulses_are_half_salt_half_pepper(severity):
    bad = spoiled("impulse_noise", severity, plain(0.5)).rgb
    share = level("impulse_noise", severity)
    assert float((bad == 0).float().mean()) == pytest.approx(share / 2, rel=0.06)
    assert float((bad == 1).float().mean()) == pytest.approx(share / 2, rel=0.06)


def test_convolution_equals_scipys():
    image = torch.rand(2, 3, 31, 45, generator=torch.Generator().manual_seed(0))
    kernel = torch.rand(2, 1, 7, 11, generator=torch.Generator().manual_seed(1))
    got = filters.convolve(image, kernel)
    for b in range(2):
        want = scipy.ndimage.convolve(image[b].numpy(), kernel[b].numpy(), mode="nearest")
        np.testing.assert_allclose(got[b], want, atol=1e-4)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_gaussian_blur_equals_scipys(severity):
    sample = table(112, 150)
    sigma = level("gaussian_blur", severity) * 0.5  # half of 224
    image = sample.rgb[0].double().numpy()
    want = scipy.ndimage.gaussian_filter(image, (0, sigma, sigma), mode="nearest", truncate=4.5)
    np.testing.assert_allclose(spoiled("gaussian_blur", severity, sample).rgb[0], want, atol=0.004)


def moments(kernel: torch.Tensor) -> tuple[float, ...]:
    """Sum, centre and covariance of a kernel."""
    k = kernel[0, 0].double()
    y, x = (torch.arange(n) - n // 2 for n in k.shape)
    rows, columns = k.sum(1), k.sum(0)
    cross = (k * y[:, None] * x).sum()
    values = (
        k.sum(),
        (rows * y).sum(),
        (columns * x).sum(),
        (rows * y**2).sum(),
        (columns * x**2).sum(),
        cross,
    )
    return tuple(float(v) for v in values)


@pytest.mark.parametrize("radius", [3.0, 6.5, 10.0])
def test_disc_has_the_width_of_its_radius(radius):
    total, *centre, yy, xx, cross = moments(filters.disc_kernel(radius, 0.1, torch.device("cpu")))
    assert total == pytest.approx(1)
    assert (*centre, cross) == pytest.approx((0, 0, 0), abs=1e-6)
    assert yy == pytest.approx(xx)
    assert yy == pytest.approx(radius**2 / 4 + 0.1**2 + 1 / 12, rel=0.03)  # a disc, its edge, the pixel


@pytest.mark.parametrize("angle", [0.0, 0.5, -0.7])
def test_motion_is_along_its_angle_and_centred(angle):
    total, *centre, yy, xx, cross = moments(filters.line_kernels(20.0, 5.0, torch.tensor([angle])))
    assert total == pytest.approx(1)
    assert centre == pytest.approx([0, 0], abs=1e-6)
    assert 0.5 * math.atan2(2 * cross, xx - yy) == pytest.approx(angle, abs=0.02)
    assert yy + xx == pytest.approx(25, rel=0.03)  # sigma squared, and a little from the grid
    assert min(yy, xx) < 25 * math.sin(angle) ** 2 + 0.6


def test_motion_angles_stay_within_45_degrees():
    sample = plain(0.0, size=65, batch=40)
    sample.rgb[:, :, 32, 32] = 1.0  # one lamp
    blurred = spoiled("motion_blur", 3, sample, range(40)).rgb[:, :1].double()
    angles = []
    for image in blurred:
        _, _, _, yy, xx, cross = moments(image[None] / image.sum())
        angles.append(0.5 * math.atan2(2 * cross, xx - yy))
    assert max(map(abs, angles)) <= math.pi / 4 + 0.05
    assert np.std(angles) == pytest.approx(math.pi / 2 / math.sqrt(12), rel=0.25)


def smear(name: str, size: int) -> float:
    """How far a blur carries light over an edge, in pixels."""
    sample = plain(0.0, size=size)
    sample.rgb[..., size // 2 :] = 1.0
    change = (spoiled(name, 3, sample).rgb - sample.rgb).abs()
    return float(change.sum(-1).mean())


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "motion_blur"])
def test_blurs_scale_with_the_image(name):
    assert smear(name, 224) == pytest.approx(2 * smear(name, 112), rel=0.05)


def hsv(rgb: torch.Tensor) -> np.ndarray:
    return np.array([colorsys.rgb_to_hsv(*pixel) for pixel in rgb[0].flatten(1).T.double().numpy()])


def test_brightness_and_saturation_are_those_of_hsv():
    sample = table(24, 32)
    sample.rgb[:, :, :3] = 0.3  # grey
    sample.rgb[:, :, 3:5] = 0.0
    before = hsv(sample.rgb)
    coloured = (before[:, 1] > 0.1) & (before[:, 2] > 0.1)
    for severity in corruptions.SEVERITIES:
        after = hsv(spoiled("brightness", severity, sample).rgb)
        want = np.minimum(before[:, 2] + level("brightness", severity), 1)
        np.testing.assert_allclose(after[:, 2], want, atol=0.003)
        np.testing.assert_allclose(after[coloured, 1], before[coloured, 1], atol=0.02)
        after = hsv(spoiled("saturate", severity, sample).rgb)
        factor, offset = level("saturate", severity)
        want = np.clip(before[:, 1] * factor + offset, 0, 1)
        np.testing.assert_allclose(after[before[:, 2] > 0.1, 1], want[before[:, 2] > 0.1], atol=0.03)
        np.testing.assert_allclose(after[:, 2], before[:, 2], atol=0.003)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_contrast_shrinks_deviations_about_the_mean(severity):
    sample = table()
    bad = spoiled("contrast", severity, sample).rgb
    factor = level("contrast", severity)
    torch.testing.assert_close(bad.mean((2, 3)), sample.rgb.mean((2, 3)), atol=0.002, rtol=0)
    torch.testing.assert_close(bad.std((2, 3)), factor * sample.rgb.std((2, 3)), atol=0.003, rtol=0)


@pytest.mark.parametrize("severity", corruptions.SEVERITIES)
def test_pixels_and_bits_are_counted(severity):
    sample = table(100, 100)
    bits = level("color_quant", severity)
    values = (spoiled("color_quant", severity, sample).rgb * 255).round().unique()
    assert len(values) <= 2**bits
    assert (values % 2 ** (8 - bits) == 0).all()
    boxes = spoiled("pixelate", severity, sample).rgb
    changes = (boxes[:, :, :, 1:] != boxes[:, :, :, :-1]).any(2).any(1).sum(1) + 1
    assert (changes == int(100 * level("pixelate", severity))).all()


def test_jpeg_loses_detail_and_keeps_areas():
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    bad = spoiled("jpeg", 5, replace(plain(size=64), rgb=noise.mul(255).round() / 255)).rgb
    assert spread(bad) < 0.5 * spread(noise)
    flat = spoiled("jpeg", 5, plain(128 / 255)).rgb
    assert float((flat - 128 / 255).abs().max()) <= 1.5 / 255
    red = plain(0.0)
    red.rgb[:, 0] = 1.0
    assert spoiled("jpeg", 1, red).rgb[:, 0].mean() > 0.95  # channels are not exchanged


def ramp() -> torch.Tensor:
    """A grey ramp with stripes of mean 0.456."""
    x = torch.linspace(0.1, 0.8, 224).expand(224, 224) + ((torch.arange(224) // 8 % 2)[:, None] - 0.5) * 0.1
    return (x * 0.456 / x.mean()).expand(6, 3, 224, 224)


EXPECTED = {  # exposure: mean and signal to noise at fixed gain, then with automatic gain
    1: (0.33, 14.8, 14.6),
    2: (0.23, 9.9, 9.4),
    3: (0.16, 6.5, 5.9),
    4: (0.11, 4.1, 3.6),
    6: (0.04, 1.6, 1.4),
}


@pytest.mark.parametrize("stops", EXPECTED)
def test_low_light_has_the_means_and_noise_of_the_sensor_model(stops):
    mean, fixed, gained = EXPECTED[stops]
    for auto, want in ((False, fixed), (True, gained)):
        world = World(np.arange(6), torch.device("cpu"), None, None)
        taken = corruptions.dim(ramp(), stops, world, auto_gain=auto)
        signal = taken.mean((0, 1))
        assert float(taken.mean()) == pytest.approx(0.45 if auto else mean, abs=0.012)
        assert float(signal.std() / (taken - signal).std()) == pytest.approx(want, rel=0.12)


@pytest.mark.parametrize("stops", [0.0, 1.5, 4.0])
def test_low_light_noise_is_that_of_photons_and_electronics(stops):
    """On linear values: variance (e + 6^2) / 4000^2 for e electrons; any real number of stops."""
    world = World(np.arange(2), torch.device("cpu"), None, None)
    taken = filters.to_linear(corruptions.dim(plain(0.7).rgb, stops, world, auto_gain=True))
    light = float(filters.to_linear(torch.tensor(0.7)))
    electrons = 4000 * light * 2**-stops
    assert float(taken.mean()) == pytest.approx(light, rel=0.02)
    assert spread(taken) == pytest.approx(light * math.sqrt(electrons + 36) / electrons, rel=0.05)


def test_srgb_curve_and_its_inverse():
    x = torch.linspace(0, 1, 256)
    torch.testing.assert_close(filters.to_srgb(filters.to_linear(x)), x, atol=1e-5, rtol=0)
    assert float(filters.to_linear(torch.tensor(0.5))) == pytest.approx(0.21404, abs=1e-5)


def test_light_of_another_strength_or_colour_acts_on_linear_values():
    sample = plain(0.3)
    light = float(filters.to_linear(torch.tensor(0.3)))
    for severity in corruptions.SEVERITIES:
        taken = filters.to_linear(spoiled("over_exposure", severity, sample).rgb)
        assert float(taken.mean()) == pytest.approx(
            min(light * 2 ** level("over_exposure", severity), 1), abs=0.005
        )
        red, blue = level("warm", severity)
        warm = filters.to_linear(spoiled("warm", severity, sample).rgb).mean((0, 2, 3))
        np.testing.assert_allclose(warm, [light * red, light, light * blue], atol=0.002)
        cold = filters.to_linear(spoiled("cold", severity, sample).rgb).mean((0, 2, 3))
        np.testing.assert_allclose(cold, warm.flip(0), atol=1e-4)


def test_fast_low_light_stretches_squares_and_darkens():
    sample = plain(0.0, size=200)
    sample.rgb[..., :100] = 0.4
    sample.rgb[..., 100:] = 0.6
    sample.rgb[..., 0, 0], sample.rgb[..., 0, 1] = 0.1, 0.9  # the extremes
    bad = spoiled("low_light_fast", 1, sample).rgb[..., 10:, :]
    for half, value in ((bad[..., :100], 0.4), (bad[..., 100:], 0.6)):
        want = 0.6 * ((value - 0.1) / 0.8) ** 2
        assert float(half.mean()) == pytest.approx(want, abs=0.004)
        assert spread(half) == pytest.approx(math.sqrt(want / 120 + 0.018**2), rel=0.05)


def test_flash_falls_off_with_the_square_of_distance():
    sample = plain(0.2, depth=1.0)
    sample.depth[..., :64] = 0.5
    sample.depth[..., :8], sample.valid[..., :8] = 0.0, False
    bad = spoiled("flash", 3, sample).rgb
    for columns, want in (
        (slice(0, 8), 0.2),
        (slice(8, 64), 0.2 * 2.1),
        (slice(64, None), 0.2 * (1 + 1.1 / 4)),
    ):
        assert float(bad[..., columns].mean()) == pytest.approx(want, abs=0.002)


def test_lost_pixels_lose_all_channels():
    bad = spoiled("rgb_dropout", 3, plain(0.5)).rgb
    black = (bad == 0).float()
    assert float(black.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(black.amin(1), black.amax(1))


def test_a_seed_is_all_that_noise_depends_on():
    sample = plain(0.5)
    a, b = (corruptions.apply("shot_noise", 2, sample, seeds).rgb for seeds in (SEEDS, SEEDS + 1))
    torch.testing.assert_close(a[1], b[0])
    assert not torch.equal(a[0], b[0])
