"""Depth that is there and wrong: noise, steps, shifts. In metres; encoded depth where a level says so.

f and b are those of a first-generation Kinect: 480 px at 640 wide, 7.5 cm between projector and camera.
Real noise at the distance of a table is about a millimetre; hence the multipliers (see ``depth_change``).
"""

import math

import torch
from torch import Tensor

from rgbd_lib.corruptions import filters
from rgbd_lib.corruptions.base import World, corruption
from rgbd_lib.datasets.base import Sample

FOCAL = 480 / 640  # focal length as a share of the image's width
DISPARITY = 36.0  # px m: focal length times baseline, on the sensor's 640 px
MULTIPLIERS = (1, 2, 4, 8, 16)
JUMP = 0.05  # neighbours that differ by more than this, relative to the nearer, are a jump
STEEPEST = math.radians(85)
Measured = tuple[Tensor, Tensor]  # depth, valid


def jumps(sample: Sample) -> Tensor:
    """Return where a valid pixel has a valid neighbour at a jump of depth, B,1,H,W float 0 or 1."""
    z, valid = sample.depth, sample.valid
    found = torch.zeros_like(z, dtype=torch.bool)
    for dim in (-1, -2):
        size = z.shape[dim] - 1
        (a, b), (u, v) = ((x.narrow(dim, 0, size), x.narrow(dim, 1, size)) for x in (z, valid))
        step = u & v & ((a - b).abs() > JUMP * torch.minimum(a, b))
        found.narrow(dim, 0, size).logical_or_(step)
        found.narrow(dim, 1, size).logical_or_(step)
    return found.float()


def surface_angle(sample: Sample) -> Tensor:
    """Return the angle (radians, at most 85 degrees) between surface normal and line of sight, B,1,H,W.

    Normals are from central differences of back-projected points; a missing neighbour counts as flat.
    """
    z, valid = sample.depth, sample.valid
    height, width = z.shape[-2:]
    focal = FOCAL * width
    x = (torch.arange(width, device=z.device) - (width - 1) / 2) / focal
    y = ((torch.arange(height, device=z.device) - (height - 1) / 2) / focal)[:, None]
    dx, dy = (_central_difference(z, valid, dim) for dim in (-1, -2))
    # the normal of the points (x z, y z, z), written out
    nx, ny = -dx * focal, -dy * focal
    nz = z + x * dx * focal + y * dy * focal
    cosine = (nx * x + ny * y + nz).abs() / (
        torch.sqrt(nx**2 + ny**2 + nz**2).clamp(min=1e-9) * torch.sqrt(x**2 + y**2 + 1)
    )
    return torch.arccos(cosine.clamp(0, 1)).clamp(max=STEEPEST)


def _central_difference(z: Tensor, valid: Tensor, dim: int) -> Tensor:
    """Return dz per pixel along an axis; edges and missing neighbours take what is there."""
    size = z.shape[dim]
    index = torch.arange(size, device=z.device)
    sides = []
    for step in (1, -1):
        at = (index + step).clamp(0, size - 1)
        there = valid.index_select(dim, at) & valid
        sides.append(
            (
                torch.where(there, z.index_select(dim, at), z),
                there & (at != index).view([-1 if d == dim % z.dim() else 1 for d in range(z.dim())]),
            )
        )
    (after, has_after), (before, has_before) = sides
    return (after - before) / (has_after.float() + has_before.float()).clamp(min=1)


def axial_sigma(z: Tensor, angle: Tensor) -> Tensor:
    """Return the deviation in metres of a Kinect's depth, by distance and surface angle."""
    steep = angle / (math.pi / 2 - angle)
    extra = 1e-4 / z.clamp(min=1e-3).sqrt() * steep**2
    return 0.0012 + 0.0019 * (z - 0.4) ** 2 + torch.where(angle > math.pi / 3, extra, 0.0)


@corruption(
    "kinect_noise",
    touches="depth",
    levels=MULTIPLIERS,
    means="factor on the sensor's own lateral and axial noise",
    source="Nguyen et al., 3DIMPVT 2012; factors ours",
    metric=True,
)
def kinect_noise(sample: Sample, level: float, world: World) -> Measured:
    """Measure beside the pixel, and not quite the right distance; both worse on steep surfaces."""
    angle = surface_angle(sample)
    height, width = sample.depth.shape[-2:]
    lateral = (0.8 + 0.035 * angle / (math.pi / 2 - angle)) * (level * width / 640)  # px of this image
    shift = world.normal(2, height, width) * lateral
    rows = torch.arange(height, device=world.device)[:, None] + shift[:, :1]
    columns = torch.arange(width, device=world.device) + shift[:, 1:]
    at = rows.round().long().clamp(0, height - 1) * width + columns.round().long().clamp(0, width - 1)
    z, valid, angle = (
        x.flatten(2).gather(2, at.flatten(2)).view_as(x) for x in (sample.depth, sample.valid, angle)
    )
    noise = level * axial_sigma(z, angle) * world.normal(1, height, width)
    return z + noise, sample.valid & valid


@corruption(
    "grazing_loss",
    touches="depth",
    levels=(0.25, 0.5, 1, 1.5, 2),
    means="factor on the chance 1 - cos(surface angle) of no measurement",
    source="Nguyen et al., 3DIMPVT 2012; factors ours",
    metric=True,
)
def grazing_loss(sample: Sample, level: float, world: World) -> Measured:
    """Lose what is seen at a grazing angle."""
    chance = level * (1 - surface_angle(sample).cos())
    return sample.depth, sample.valid & (world.uniform(*sample.depth.shape[1:]) >= chance)


@corruption(
    "gaussian_depth",
    touches="depth",
    levels=MULTIPLIERS,
    means="factor on 1.4 mm/m^2 of the squared distance (encoded: 0.5, 1, 2, 5, 10 % of the range)",
    source="Khoshelham and Oude Elberink, Sensors 2012; factors ours",
)
def gaussian_depth(sample: Sample, level: float, world: World) -> Measured:
    """Add noise that grows with the square of the distance."""
    if world.depth_range is None:
        sigma = level * 0.001425 * sample.depth**2
    else:
        sigma = dict(zip(MULTIPLIERS, (0.005, 0.01, 0.02, 0.05, 0.1), strict=True))[level] * world.depth_range
    return sample.depth + sigma * world.normal(*sample.depth.shape[1:]), sample.valid


@corruption(
    "quantise",
    touches="depth",
    levels=(1 / 8, 1 / 4, 1 / 2, 1, 2),
    means="step of the disparity, px of a 640 px sensor (encoded: range / 256, 128, 64, 32, 16)",
    source="Handa et al., ICRA 2014 (1/8 px); larger steps ours",
)
def quantise(sample: Sample, level: float, world: World) -> Measured:
    """Round the disparity; what rounds to 0 is infinitely far and lost."""
    if world.depth_range is not None:
        step = level * world.depth_range / 32
        return ((sample.depth / step).round() * step).clamp(min=step / 2), sample.valid
    steps = (DISPARITY / level / sample.depth.clamp(min=1e-3)).round()
    return DISPARITY / level / steps.clamp(min=1), sample.valid & (steps > 0)


@corruption(
    "kinect_disparity",
    touches="depth",
    levels=MULTIPLIERS,
    means="factor on the noise of 1/6 step in the disparity",
    source="Barron and Malik, CVPR 2013; factors ours",
    metric=True,
)
def kinect_disparity(sample: Sample, level: float, world: World) -> Measured:
    """Noise, then rounding, in the disparity of whole centimetres."""
    centimetres = (100 * sample.depth).round().clamp(min=1)
    noise = level / 6 * world.normal(*sample.depth.shape[1:])
    steps = ((35130 / centimetres).round() + noise + 0.5).round()
    return 351.30 / steps.clamp(min=1), sample.valid & (steps > 0)


@corruption(
    "low_res", touches="depth", levels=(2, 4, 8, 16, 32), means="factor, nearest pixel", source="Ours"
)
def low_res(sample: Sample, level: int, world: World) -> Measured:
    """Measure every n-th row and column only."""
    at = []
    for size in sample.depth.shape[-2:]:
        index = torch.arange(size, device=world.device)
        at.append((index // level * level + level // 2).clamp(max=size - 1))
    z, valid = (x[..., at[0][:, None], at[1]] for x in (sample.depth, sample.valid))
    return z, sample.valid & valid


@corruption(
    "misalign",
    touches="depth",
    levels=(1, 2, 4, 7, 12),
    means="shift in a random direction, px at 224 wide; the map's holes move along",
    source="Ours, for calibration drift; cf. Zhang et al., CVPR 2023",
)
def misalign(sample: Sample, level: int, world: World) -> Measured:
    """Shift the depth map against the colours; what comes in is missing."""
    height, width = sample.depth.shape[-2:]
    length = dict(zip((1, 2, 4, 7, 12), filters.pixels((1, 2, 4, 7, 12), width / 224), strict=True))[level]
    angle = 2 * math.pi * world.uniform(1)
    rows = torch.arange(height, device=world.device) - (length * angle.sin()).round().long()  # B,H
    columns = torch.arange(width, device=world.device) - (length * angle.cos()).round().long()
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    at = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]
    z, valid = (
        x.flatten(2).gather(2, at.flatten(1)[:, None]).view_as(x) for x in (sample.depth, sample.valid)
    )
    return z, valid & inside[:, None]


@corruption(
    "scale",
    touches="depth",
    levels=(1.02, 1.05, 1.1, 1.2, 1.4),
    means="factor on depth, or divisor, at random per image",
    source="Ours",
)
def scale(sample: Sample, level: float, world: World) -> Measured:
    """Measure everything too far or too near."""
    factor = torch.where(world.uniform(1, 1, 1) < 0.5, level, 1 / level)
    return sample.depth * factor, sample.valid


@corruption(
    "flying_pixels",
    touches="depth",
    levels=(1, 2, 3, 4, 6),
    means="reach around a jump of depth, px at 224 wide",
    source="Ours, for the mixing of time-of-flight sensors",
)
def flying_pixels(sample: Sample, level: int, world: World) -> Measured:
    """Put measurements near a jump anywhere between its two sides."""
    reach = around_jump(sample, level)
    near_jump = filters.window_max(jumps(sample), reach - 1) > 0
    far = filters.window_max(sample.depth, reach)
    near = -filters.window_max((-sample.depth).masked_fill(~sample.valid, -torch.inf), reach)
    mix = world.uniform(*sample.depth.shape[1:])
    return torch.where(near_jump & sample.valid, far + mix * (near - far), sample.depth), sample.valid


def around_jump(sample: Sample, level: int) -> int:
    """Return the reach in pixels of this image for a level given at 224 wide."""
    levels = (1, 2, 3, 4, 6)
    return filters.pixels(levels, sample.depth.shape[-1] / 224)[levels.index(level)]
