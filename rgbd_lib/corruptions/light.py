"""Too little light, too much, or of the wrong colour. Depth is not touched: its sensors bring their own light."""

import torch
from torch import Tensor

from rgbd_lib.corruptions.base import World, corruption, eight_bit
from rgbd_lib.corruptions.filters import to_linear, to_srgb
from rgbd_lib.datasets.base import Sample

OURS = "Ours"
SENSOR = "Ours, after the sensor model of Wei et al., TPAMI 2022"
EXPOSURES = (1, 2, 3, 4, 6)
FULL_WELL = 4000  # photo-electrons at white
READ_NOISE = 6  # electrons
ADC_STEPS = 1023  # 10 bit


def dim(rgb: Tensor, stops: float, world: World, *, auto_gain: bool) -> Tensor:
    """Return colours taken with ``stops`` halvings of the light, any number of them.

    A fixed gain gives a dark picture, automatic gain one of normal brightness that holds all the noise:
    the first is a problem of normalisation, the second of information.
    """
    electrons = to_linear(rgb) * (FULL_WELL * 2.0**-stops)
    signal = world.poisson(electrons) + READ_NOISE * world.normal(*rgb.shape[1:])
    gain = 2.0**stops if auto_gain else 1.0
    counts = (signal * (gain / FULL_WELL)).clamp(0, 1).mul(ADC_STEPS).round()
    return eight_bit(to_srgb(counts / ADC_STEPS))


@corruption("low_light", touches="rgb", levels=EXPOSURES, means="halvings of the light", source=SENSOR)
def low_light(sample: Sample, level: float, world: World) -> Tensor:
    """Take the picture in the dark with the exposure of daylight."""
    return dim(sample.rgb, level, world, auto_gain=False)


@corruption("low_light_gain", touches="rgb", levels=EXPOSURES, means="halvings of the light", source=SENSOR)
def low_light_gain(sample: Sample, level: float, world: World) -> Tensor:
    """Take the picture in the dark with automatic gain."""
    return dim(sample.rgb, level, world, auto_gain=True)


@corruption(
    "low_light_fast",
    touches="rgb",
    levels=(0.6, 0.5, 0.4, 0.3, 0.2),
    means="factor on the squared, stretched image",
    source="Kar et al., CVPR 2022",
)
def low_light_fast(sample: Sample, level: float, world: World) -> Tensor:
    """Darken by a curve; the noise is the same at all severities, and the stretch depends on extremes."""
    low, high = sample.rgb.amin((1, 2, 3), keepdim=True), sample.rgb.amax((1, 2, 3), keepdim=True)
    dark = ((sample.rgb - low) / (high - low).clamp(min=1 / 255)) ** 2 * level
    return world.poisson(dark * 120) / 120 + 0.018 * world.normal(*sample.rgb.shape[1:])


@corruption(
    "over_exposure",
    touches="rgb",
    levels=(0.5, 1, 1.5, 2, 3),
    means="doublings of the light",
    source=OURS,
)
def over_exposure(sample: Sample, level: float, world: World) -> Tensor:
    """Clip what becomes brighter than white."""
    return to_srgb(to_linear(sample.rgb) * 2.0**level)


GAINS = ((1.1, 0.9), (1.2, 0.8), (1.35, 0.65), (1.5, 0.5), (1.7, 0.35))


@corruption("warm", touches="rgb", levels=GAINS, means="gains of red and blue, linear", source=OURS)
def warm(sample: Sample, level: tuple[float, float], world: World) -> Tensor:
    """Shine a redder lamp (von Kries)."""
    gains = torch.tensor([level[0], 1.0, level[1]], device=world.device).view(1, 3, 1, 1)
    return to_srgb(to_linear(sample.rgb) * gains)


@corruption("cold", touches="rgb", levels=GAINS, means="gains of blue and red, linear", source=OURS)
def cold(sample: Sample, level: tuple[float, float], world: World) -> Tensor:
    """Shine a bluer lamp."""
    return warm(sample, level[::-1], world)


@corruption(
    "flash",
    touches="rgb",
    levels=(0.4, 0.7, 1.1, 1.7, 2.5),
    means="strength of the flash at the nearest point",
    source="Kar et al., CVPR 2022; falling off with the square of depth here",
)
def flash(sample: Sample, level: float, world: World) -> Tensor:
    """Add a lamp at the camera; where depth is missing nothing is known to be near."""
    nearest = sample.depth.masked_fill(~sample.valid, torch.inf).amin((2, 3), keepdim=True)
    share = torch.where(sample.valid, nearest / sample.depth.clamp(min=1e-4), 0.0)
    return sample.rgb * (1 + level * share**2)
