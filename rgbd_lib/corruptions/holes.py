"""Depth that is missing: holes, edges, shadows, shiny things. What is lost gets the code of missing depth."""

import torch

from rgbd_lib.corruptions import filters
from rgbd_lib.corruptions.base import World, corruption
from rgbd_lib.corruptions.depth import DISPARITY, Measured, around_jump, jumps
from rgbd_lib.datasets.base import Sample

LUMA = (0.2126, 0.7152, 0.0722)  # of linear sRGB


@corruption(
    "holes",
    touches="depth",
    levels=(0.05, 0.1, 0.2, 0.4, 0.6),
    means="share of the image inside blobs",
    source="Ours",
)
def holes(sample: Sample, level: float, world: World) -> Measured:
    """Lose blobs, about a twelfth of the image's height in size; exactly the given share."""
    height, width = sample.depth.shape[-2:]
    noise = world.normal(1, height, width)
    blobs = filters.convolve(noise, filters.gaussian_kernel(height / 24, world.device))
    return sample.depth, sample.valid & ~filters.lowest(blobs, level)


@corruption(
    "dropout",
    touches="depth",
    levels=(0.1, 0.25, 0.5, 0.75, 0.9),
    means="chance of a pixel to be missing",
    source="Liao et al., CVPR workshops 2025 (0.25, 0.5, 0.75); the ends ours",
)
def dropout(sample: Sample, level: float, world: World) -> Measured:
    """Lose single pixels."""
    return sample.depth, sample.valid & (world.uniform(*sample.depth.shape[1:]) >= level)


@corruption(
    "edge_holes",
    touches="depth",
    levels=(1, 2, 3, 4, 6),
    means="reach around a jump of depth, px at 224 wide",
    source="Ours",
)
def edge_holes(sample: Sample, level: int, world: World) -> Measured:
    """Lose both sides of every jump of depth."""
    lost = filters.window_max(jumps(sample), around_jump(sample, level) - 1) > 0
    return sample.depth, sample.valid & ~lost


@corruption(
    "shadow",
    touches="depth",
    levels=(1, 1.5, 2, 3, 4),
    means="baseline between projector and camera, in units of a Kinect's",
    source="Geometry of structured light",
    metric=True,
)
def shadow(sample: Sample, level: float, world: World) -> Measured:
    """Lose what the projector, to the right of the camera, cannot reach behind something nearer.

    A point with disparity d at column x is hidden by one with d' at x' > x if d' - d >= x' - x: one
    running maximum of d - x from the right finds all of them.
    """
    width = sample.depth.shape[-1]
    disparity = level * DISPARITY * (width / 640) / sample.depth.clamp(min=1e-3)
    position = disparity - torch.arange(width, device=world.device)
    casting = position.masked_fill(~sample.valid, -torch.inf)
    furthest = casting.flip(-1).cummax(-1).values.flip(-1)
    hidden = furthest[..., 1:] >= position[..., :-1]
    hidden = torch.cat([hidden, torch.zeros_like(hidden[..., :1])], dim=-1)
    return sample.depth, sample.valid & ~hidden


@corruption(
    "specular",
    touches="depth",
    levels=(0.02, 0.05, 0.1, 0.2, 0.3),
    means="share of the image, its brightest part",
    source="Ours",
)
def specular(sample: Sample, level: float, world: World) -> Measured:
    """Lose what shines: the brightest pixels of the colour image, exactly the given share."""
    weights = torch.tensor(LUMA, device=world.device).view(1, 3, 1, 1)
    luminance = (filters.to_linear(sample.rgb) * weights).sum(1, keepdim=True)
    return sample.depth, sample.valid & ~filters.lowest(-luminance, level)
