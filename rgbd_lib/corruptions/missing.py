"""A modality that is gone, partly gone, or that of another scene.

Two conventions for "gone" differ and are both here: "off" is what a dead sensor delivers (raw 0, then the usual
normalisation), "mean" is the normalised value 0, an image of the data's mean. Neither has severities: all five
are the same.
"""

from dataclasses import replace

import torch
from torch import Tensor

from rgbd_lib.corruptions.base import World, corruption
from rgbd_lib.corruptions.holes import dropout
from rgbd_lib.datasets.base import Sample

ALWAYS = (None,) * 5
MMSS = "Liao et al., CVPR workshops 2025"


@corruption("rgb_off", touches="rgb", levels=ALWAYS, means="black image", source="Ours")
def rgb_off(sample: Sample, level: None, world: World) -> Tensor:
    """Switch the camera off."""
    return torch.zeros_like(sample.rgb)


@corruption("depth_off", touches="depth", levels=ALWAYS, means="no measurement", source="Ours")
def depth_off(sample: Sample, level: None, world: World) -> tuple[Tensor, Tensor]:
    """Switch the depth sensor off."""
    return torch.zeros_like(sample.depth), torch.zeros_like(sample.valid)


@corruption(
    "rgb_mean", touches="rgb", levels=ALWAYS, means="normalised value 0", source=MMSS, stage="normalised"
)
def rgb_mean(rgb: Tensor, depth: Tensor, level: None, world: World) -> tuple[Tensor, Tensor]:
    """Show the mean colour of the data."""
    return torch.zeros_like(rgb), depth


@corruption(
    "depth_mean", touches="depth", levels=ALWAYS, means="normalised value 0", source=MMSS, stage="normalised"
)
def depth_mean(rgb: Tensor, depth: Tensor, level: None, world: World) -> tuple[Tensor, Tensor]:
    """Show the mean depth of the data."""
    return rgb, torch.zeros_like(depth)


SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


@corruption(
    "rgb_dropout",
    touches="rgb",
    levels=SHARES,
    means="chance of a pixel to be black, all channels together",
    source=MMSS + " (0.25, 0.5, 0.75, per channel there); the ends ours",
)
def rgb_dropout(sample: Sample, level: float, world: World) -> Tensor:
    """Lose single pixels of the colour image."""
    return sample.rgb * (world.uniform(1, *sample.rgb.shape[2:]) >= level)


@corruption(
    "random_missing",
    touches="both",
    levels=SHARES,
    means="chance of a pixel to be missing, drawn apart for each modality",
    source=MMSS + " (0.25, 0.5, 0.75); the ends ours",
)
def random_missing(sample: Sample, level: float, world: World) -> Sample:
    """Lose single pixels of both."""
    rgb = rgb_dropout(sample, level, world)
    depth, valid = dropout(sample, level, world)
    return replace(sample, rgb=rgb, depth=depth, valid=valid)


@corruption(
    "noisy_modalities",
    touches="both",
    levels=((0.025, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.5), (0.4, 1.0)),
    means="share of salt and pepper, deviation of the noise; on normalised values",
    source=MMSS + " (severities 2 to 4); the ends ours",
    stage="normalised",
)
def noisy_modalities(
    rgb: Tensor, depth: Tensor, level: tuple[float, float], world: World
) -> tuple[Tensor, Tensor]:
    """Spoil both tensors at once: a stress test, far from any sensor."""
    share, sigma = level
    spoiled = []
    for x in (rgb, depth):
        low, high = x.amin((1, 2, 3), keepdim=True), x.amax((1, 2, 3), keepdim=True)
        u = world.uniform(*x.shape[1:])
        x = torch.where(u < share / 2, low, torch.where(u < share, high, x))
        spoiled.append(x + sigma * world.normal(*x.shape[1:]))
    return spoiled[0], spoiled[1]


@corruption(
    "permuted_depth",
    touches="depth",
    levels=ALWAYS,
    means="depth of another scene",
    source="Ours: the drop is how far a model relies on depth",
    needs_other=True,
)
def permuted_depth(sample: Sample, level: None, world: World) -> tuple[Tensor, Tensor]:
    """Show the depth of another scene."""
    other = world.partner()
    return other.depth, other.valid


@corruption(
    "permuted_rgb",
    touches="rgb",
    levels=ALWAYS,
    means="colours of another scene",
    source="Ours: the drop is how far a model relies on colour",
    needs_other=True,
)
def permuted_rgb(sample: Sample, level: None, world: World) -> Tensor:
    """Show the colours of another scene."""
    return world.partner().rgb
