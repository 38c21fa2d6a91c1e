"""Colour corruptions: noise, blur, compression (after ImageNet-C), at the size at which a model is tested.

Lengths in pixels were made for images of 224 x 224; at other sizes they grow with the shorter side.
Corruptions that move content are left out: the label would have to move as well.
"""

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rgbd_lib.corruptions import filters
from rgbd_lib.corruptions.base import World, corruption, eight_bit
from rgbd_lib.datasets.base import Sample

IMAGENET_C = "Hendrycks and Dietterich, ICLR 2019"
COMMON_3D = "Kar et al., CVPR 2022"
NOISE = (0.08, 0.12, 0.18, 0.26, 0.38)


def _scale(rgb: Tensor) -> float:
    return min(rgb.shape[-2:]) / 224


@corruption("gaussian_noise", touches="rgb", levels=NOISE, means="standard deviation", source=IMAGENET_C)
def gaussian_noise(sample: Sample, level: float, world: World) -> Tensor:
    """Add the same noise everywhere, as a warm sensor does."""
    return sample.rgb + level * world.normal(*sample.rgb.shape[1:])


@corruption(
    "shot_noise", touches="rgb", levels=(60, 25, 12, 5, 3), means="photons at white", source=IMAGENET_C
)
def shot_noise(sample: Sample, level: float, world: World) -> Tensor:
    """Count few photons."""
    return world.poisson(sample.rgb * level) / level


@corruption(
    "impulse_noise",
    touches="rgb",
    levels=(0.03, 0.06, 0.09, 0.17, 0.27),
    means="share of black or white values",
    source=IMAGENET_C,
)
def impulse_noise(sample: Sample, level: float, world: World) -> Tensor:
    """Salt and pepper in equal parts."""
    u = world.uniform(*sample.rgb.shape[1:])
    return torch.where(u < level / 2, 0.0, torch.where(u < level, 1.0, sample.rgb))


@corruption(
    "speckle_noise",
    touches="rgb",
    levels=(0.15, 0.2, 0.35, 0.45, 0.6),
    means="standard deviation relative to the value",
    source=IMAGENET_C,
)
def speckle_noise(sample: Sample, level: float, world: World) -> Tensor:
    """Noise in proportion to the value."""
    return sample.rgb * (1 + level * world.normal(*sample.rgb.shape[1:]))


@corruption(
    "iso_noise",
    touches="rgb",
    levels=tuple(round(0.7 * s, 3) for s in NOISE),
    means="Gaussian deviation, on top of 25 photons at white",
    source=COMMON_3D,
)
def iso_noise(sample: Sample, level: float, world: World) -> Tensor:
    """Photons and electronics at high sensitivity."""
    return shot_noise(sample, 25, world).clamp(0, 1) + level * world.normal(*sample.rgb.shape[1:])


@corruption(
    "gaussian_blur", touches="rgb", levels=(1, 2, 3, 4, 6), means="sigma, px at 224", source=IMAGENET_C
)
def gaussian_blur(sample: Sample, level: float, world: World) -> Tensor:
    """Blur by a Gaussian."""
    return filters.convolve(sample.rgb, filters.gaussian_kernel(level * _scale(sample.rgb), world.device))


@corruption(
    "defocus_blur",
    touches="rgb",
    levels=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    means="radius of the disc and softness of its edge, px at 224",
    source=IMAGENET_C,
)
def defocus_blur(sample: Sample, level: tuple[float, float], world: World) -> Tensor:
    """Blur by the disc of a lens out of focus."""
    radius, soft = (length * _scale(sample.rgb) for length in level)
    return filters.convolve(sample.rgb, filters.disc_kernel(radius, soft, world.device))


@corruption(
    "motion_blur",
    touches="rgb",
    levels=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    means="half length of the line and sigma of its weights, px at 224",
    source=IMAGENET_C + "; two-sided, so that content stays under its label",
)
def motion_blur(sample: Sample, level: tuple[float, float], world: World) -> Tensor:
    """Blur along a direction within 45 degrees of the horizontal."""
    radius, sigma = (length * _scale(sample.rgb) for length in level)
    angle = (world.uniform() - 0.5) * math.pi / 2
    return filters.convolve(sample.rgb, filters.line_kernels(radius, sigma, angle))


@corruption(
    "brightness",
    touches="rgb",
    levels=(0.1, 0.2, 0.3, 0.4, 0.5),
    means="added to V of HSV",
    source=IMAGENET_C,
)
def brightness(sample: Sample, level: float, world: World) -> Tensor:
    """Raise V; hue and saturation stay, so all channels grow alike."""
    v = sample.rgb.amax(1, keepdim=True)
    raised = (v + level).clamp(max=1)
    return torch.where(v > 0, sample.rgb * (raised / v.clamp(min=1e-6)), raised)


@corruption(
    "contrast",
    touches="rgb",
    levels=(0.4, 0.3, 0.2, 0.1, 0.05),
    means="factor on the distance from the channel's mean",
    source=IMAGENET_C,
)
def contrast(sample: Sample, level: float, world: World) -> Tensor:
    """Draw every channel towards its mean over the image."""
    mean = sample.rgb.mean((2, 3), keepdim=True)
    return (sample.rgb - mean) * level + mean


@corruption(
    "saturate",
    touches="rgb",
    levels=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    means="factor and offset on S of HSV; the first two take colour away",
    source=IMAGENET_C,
)
def saturate(sample: Sample, level: tuple[float, float], world: World) -> Tensor:
    """Change S; hue and V stay. Grey has no hue and turns red where an offset is added, as in HSV."""
    factor, offset = level
    v = sample.rgb.amax(1, keepdim=True)
    s = (v - sample.rgb.amin(1, keepdim=True)) / v.clamp(min=1e-6)
    new = (s * factor + offset).clamp(0, 1)
    red = torch.tensor([0.0, 1.0, 1.0], device=world.device).view(1, 3, 1, 1)
    distance = torch.where(s > 0, (v - sample.rgb) / s.clamp(min=1e-6), v * red)
    return v - distance * new


@corruption("jpeg", touches="rgb", levels=(25, 18, 15, 10, 7), means="JPEG quality", source=IMAGENET_C)
def jpeg(sample: Sample, level: int, world: World) -> Tensor:
    """Write and read every image as JPEG; the codec is on the host, so the batch goes there and back."""
    images = eight_bit(sample.rgb).mul(255).byte().permute(0, 2, 3, 1).cpu().numpy()
    read = []
    for image in images:
        _, code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, level])
        read.append(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])
    return torch.from_numpy(np.stack(read)).to(world.device).permute(0, 3, 1, 2).float() / 255


@corruption(
    "pixelate",
    touches="rgb",
    levels=(0.6, 0.5, 0.4, 0.3, 0.25),
    means="factor on the number of rows and columns",
    source=IMAGENET_C,
)
def pixelate(sample: Sample, level: float, world: World) -> Tensor:
    """Average over boxes and show the boxes."""
    size = sample.rgb.shape[-2:]
    small = F.adaptive_avg_pool2d(sample.rgb, [int(n * level) for n in size])
    return F.interpolate(small, size=size, mode="nearest-exact")


@corruption(
    "color_quant",
    touches="rgb",
    levels=(5, 4, 3, 2, 1),
    means="bits kept per channel",
    source=COMMON_3D,
)
def color_quant(sample: Sample, level: int, world: World) -> Tensor:
    """Cut the lower bits off."""
    step = 2 ** (8 - level)
    return (sample.rgb * 255).round().div(step).floor().mul(step / 255)
