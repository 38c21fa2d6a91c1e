"""Augmentation of a whole batch on the device it is on.

Geometry moves everything together through one affine grid: colours are interpolated; depth, validity and
labels take the nearest pixel. Depth values stay what was measured: turning the picture turns no surface, and
zooming in is a longer lens, not a shorter distance. What comes in from outside the frame has the ignore label
and no depth; its colours repeat the edge, because black corners would shift the statistics of batch norm.

Photometry touches colour only. Brightness, contrast, saturation and hue are affine in (R, G, B), so whatever
is drawn becomes one 3x4 matrix per image and one pass over the pixels.

Written by hand because measured: torchvision's transforms draw one set of parameters per call, so a batch has
to pass image by image (``benchmarks/batch_speed.py`` prints both), and their colour operations clip whatever
they take for an image to 0..1, which would destroy standardised depth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rgbd_lib.datasets import draws
from rgbd_lib.datasets.base import IGNORE, Sample
from rgbd_lib.datasets.transfer import send
from rgbd_lib.errors import UserError

LUMA = np.array([0.299, 0.587, 0.114])

# What is drawn for a sample, one column each; a new draw goes last, so that old runs keep their numbers.
_COLUMNS = (
    "flip",
    "vflip",
    "warp",
    "scale",
    "rotate",
    "shift_x",
    "shift_y",
    "photometric",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "blur",
    "sigma",
    "modality",
)


@dataclass(frozen=True)
class Augment:
    """What may happen to a training sample. Probabilities are per sample."""

    flip: float = 0.5  # left-right: tables and fruit have no handedness
    vflip: float = 0.0  # off: gravity does not turn, a bowl upside down is not a bowl
    warp: float = 0.75  # the rest stays free of interpolation blur, as the test images are
    scale: tuple[float, float] = (0.8, 1.25)  # drawn evenly in log, so that zooming in and out cancel
    rotate: float = 10.0  # degrees either way: a camera held by hand, not a scene on its side
    shift: float = 0.05  # of the side length, either way
    photometric: float = (
        0.5  # mild, and often nothing: light is what is studied, so it must not be randomised away
    )
    brightness: float = 0.1  # exposure factor 1 +- this
    contrast: float = (
        0.1  # factor around the image's own mean grey; a fixed grey would blacken dark lightings
    )
    saturation: float = 0.1  # factor around each pixel's own grey
    hue: float = 0.02  # of a full turn around the grey axis
    blur: float = 0.0  # off: blur is one of the corruptions that trained models are tested on
    blur_sigma: tuple[float, float] = (0.3, 1.2)  # pixels
    modality_dropout: float = (
        0.0  # one of the two modalities is switched off (raw 0), either with equal chance
    )
    corrupt: Callable[[Sample, np.ndarray], Sample] | None = None  # given the raw sample and a seed per image

    def __post_init__(self) -> None:
        for name in ("flip", "vflip", "warp", "photometric", "blur", "modality_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"augmentation: {name}={getattr(self, name)} is no probability between 0 and 1"
                )
        for name in ("rotate", "shift", "brightness", "contrast", "saturation", "hue"):
            if getattr(self, name) < 0:
                raise UserError(f"augmentation: {name}={getattr(self, name)} must not be negative")
        for name in ("scale", "blur_sigma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise UserError(
                    f"augmentation: {name}={low},{high} must be two positive numbers, the smaller first"
                )

    def apply(self, sample: Sample, generator_seeds: np.ndarray) -> Sample:
        """Return a new raw sample; image i is changed as ``generator_seeds[i]`` says and by nothing else."""
        seeds = np.asarray(generator_seeds, dtype=np.uint64)
        drawn = dict(zip(_COLUMNS, draws.uniform(seeds, len(_COLUMNS)).T, strict=True))
        sample = self._photometry(sample, drawn)
        sample = self._geometry(sample, drawn)
        if self.corrupt:
            sample = self.corrupt(sample, seeds)
        return drop_modality(sample, _modality(drawn["modality"], self.modality_dropout))

    def _photometry(self, sample: Sample, drawn: dict[str, np.ndarray]) -> Sample:
        rgb, touched = sample.rgb, drawn["photometric"] < self.photometric

        def factor(name: str, size: float) -> np.ndarray:
            return np.where(touched, 1 + size * (2 * drawn[name] - 1), 1.0)

        turn = np.where(touched, self.hue * (2 * drawn["hue"] - 1), 0.0)
        contrast = factor("contrast", self.contrast)
        matrix = color_matrix(
            factor("brightness", self.brightness), factor("saturation", self.saturation), turn
        )
        if touched.any():
            rgb = recolor(rgb, matrix, contrast)
        if self.blur:
            low, high = self.blur_sigma
            sigma = np.where(drawn["blur"] < self.blur, low + (high - low) * drawn["sigma"], 0.0)
            rgb = blur(rgb, sigma, radius=int(np.ceil(3 * high)))
        return replace(sample, rgb=rgb)

    def _geometry(self, sample: Sample, drawn: dict[str, np.ndarray]) -> Sample:
        if not (self.warp or self.flip or self.vflip):
            return sample
        moves = drawn["warp"] < self.warp

        def either_way(name: str, size: float) -> np.ndarray:
            return np.where(moves, size * (2 * drawn[name] - 1), 0.0)

        low, high = np.log(self.scale)
        return warp(
            sample,
            zoom=np.where(moves, np.exp(low + (high - low) * drawn["scale"]), 1.0),
            angle=np.deg2rad(either_way("rotate", self.rotate)),
            shift=np.stack([either_way("shift_x", self.shift), either_way("shift_y", self.shift)], axis=1),
            mirror=np.stack([drawn["flip"] < self.flip, drawn["vflip"] < self.vflip], axis=1),
        )


def warp(
    sample: Sample, *, zoom: np.ndarray, angle: np.ndarray, shift: np.ndarray, mirror: np.ndarray
) -> Sample:
    """Mirror, zoom, turn (radians, clockwise as seen) and shift each image by its own numbers.

    What was at offset p from the centre, in pixels, goes to zoom * R(angle) * M p + shift * (width, height);
    M turns the sign of x or y where ``mirror`` (B,2) says so. All images go through the grid, those that stay
    as well: their pixels come out the same (colours to 1e-5), and picking the others out costs more.
    """
    height, width = sample.rgb.shape[-2:]
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    inverse = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2) * np.where(mirror, -1, 1)[..., None]
    offset = -inverse @ (shift * (width, height))[..., None]
    grid = _grid(np.concatenate([inverse, offset], axis=2), height, width, sample.rgb.device)

    rgb = functional.grid_sample(sample.rgb, grid, padding_mode="border", align_corners=False)
    # Outside becomes 0, so labels travel as distance from the ignore label; float32 holds all of it exactly.
    planes = torch.empty(len(rgb), 3, height, width, device=rgb.device)
    planes[:, :1] = sample.depth
    planes[:, 1:2] = sample.valid
    torch.sub(sample.label, IGNORE, out=planes[:, 2])
    planes = functional.grid_sample(planes, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return replace(
        sample,
        rgb=rgb,
        depth=planes[:, :1],
        valid=planes[:, 1:2] > 0.5,
        label=planes[:, 2].long().add_(IGNORE),
    )


def _grid(affine: np.ndarray, height: int, width: int, device: torch.device) -> Tensor:
    """Return where every output pixel comes from, B,H,W,2 in grid_sample's coordinates.

    ``affine`` (B,2,3) maps offsets from the centre, in pixels. Sums of products rather than a matrix product,
    which reduced precision (TF32, autocast) would move by whole pixels.
    """
    scaled = send((affine * [[[2 / width], [2 / height]]]).astype(np.float32), device)
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    grid = torch.empty(len(affine), height, width, 2, device=device)
    for axis in (0, 1):
        of_x, of_y, constant = scaled[:, axis].unbind(1)
        row = of_x[:, None] * x + constant[:, None]
        torch.add(row[:, None, :], (of_y[:, None] * y)[:, :, None], out=grid[..., axis])
    return grid


def color_matrix(brightness: np.ndarray, saturation: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Return B,3,3 matrices: turn hue (share of a circle), mix with grey, scale. Grey stays grey."""
    luma = np.tile(LUMA, (3, 1))  # every row: a pixel's grey value
    axis = np.ones((3, 3)) / 3
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    cos, sin = (f(2 * np.pi * turn)[:, None, None] for f in (np.cos, np.sin))
    hue = cos * np.eye(3) + (1 - cos) * axis + sin * cross  # Rodrigues, around (1, 1, 1)
    mix = saturation[:, None, None]
    return brightness[:, None, None] * (mix * np.eye(3) + (1 - mix) * luma) @ hue


def recolor(rgb: Tensor, matrix: np.ndarray, contrast: np.ndarray) -> Tensor:
    """Apply a B,3,3 matrix, then contrast around the mean grey of the result; clip to 0..1 once, at the end.

    The mean is that of every fourth row and column, summed in whole levels: the order of summation, and with
    it the batch around an image, cannot show in the result.
    """
    levels = (rgb[..., ::4, ::4] * 255).round().long()
    mean = levels.sum(dim=(2, 3)).float() / (255 * levels[0, 0].numel())  # B,3
    luma = send((LUMA @ matrix).astype(np.float32), rgb.device)  # B,3: grey of the recoloured mean
    grey = luma[:, 0] * mean[:, 0] + luma[:, 1] * mean[:, 1] + luma[:, 2] * mean[:, 2]
    offset = (send((1 - contrast).astype(np.float32), rgb.device) * grey).view(-1, 1, 1, 1)
    weights = send((contrast[:, None, None] * matrix).astype(np.float32), rgb.device)[..., None, None]
    # Sums of products: a batched matrix product would round to TF32 or bfloat16 where training allows it.
    out = torch.addcmul(offset, rgb[:, 0:1], weights[:, :, 0])
    out.addcmul_(rgb[:, 1:2], weights[:, :, 1]).addcmul_(rgb[:, 2:3], weights[:, :, 2])
    return out.clamp_(0, 1)


def blur(rgb: Tensor, sigma: np.ndarray, *, radius: int) -> Tensor:
    """Blur each image by a Gaussian of its own width in pixels, cut at ``radius``; 0 leaves it as it is.

    One radius for all, not that of the widest: an image must not depend on the batch around it.
    """
    index = _index(sigma > 0, rgb)
    if not len(index):
        return rgb
    images = rgb[index]
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma[sigma > 0][:, None]) ** 2)
    weights = send((weights / weights.sum(1, keepdims=True)).astype(np.float32), rgb.device)
    height, width = images.shape[-2:]
    for axis in (2, 3):
        pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
        padded = functional.pad(images, pad, mode="replicate")
        size = height if axis == 2 else width
        taps = (padded.narrow(axis, k, size) * weights[:, k].view(-1, 1, 1, 1) for k in range(2 * radius + 1))
        images = sum(taps)
    return rgb.index_copy(0, index, images)


def drop_modality(sample: Sample, off: np.ndarray) -> Sample:
    """Switch modalities off by making them raw 0: 1 = rgb, 2 = depth (then nothing is valid), 0 = neither."""
    if not off.any():
        return sample
    rgb, depth, valid = sample.rgb, sample.depth, sample.valid
    if (off == 1).any():
        rgb = rgb.index_fill(0, _index(off == 1, rgb), 0.0)
    if (off == 2).any():
        index = _index(off == 2, depth)
        depth, valid = depth.index_fill(0, index, 0.0), valid.index_fill(0, index, False)
    return replace(sample, rgb=rgb, depth=depth, valid=valid)


def _modality(drawn: np.ndarray, chance: float) -> np.ndarray:
    """Turn one uniform number per sample into what is off: half of the chance each."""
    return np.where(drawn < chance / 2, 1, np.where(drawn < chance, 2, 0))


def _index(which: np.ndarray, like: Tensor) -> Tensor:
    return send(np.flatnonzero(which), like.device)
