"""A made table for the tests of corruptions: a slanted plane, a box on it, a hole in the depth."""

import numpy as np
import torch

from rgbd_lib import corruptions
from rgbd_lib.datasets.base import Sample

SCENES = ("a", "b")


def table(height: int = 96, width: int = 128, batch: int = 2) -> Sample:
    rows, columns = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    depth = (1.0 - 0.35 * rows).repeat(batch, 1, 1, 1)
    box = (rows > 0.3) & (rows < 0.6) & (columns > 0.4) & (columns < 0.7)
    depth[:, :, box] = 0.55
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[:, :, : height // 12, : width // 8] = False
    waves = [0.45 + 0.3 * torch.sin(9 * rows + k) * torch.cos(7 * columns) + 0.2 * box for k in range(3)]
    rgb = torch.stack(waves).repeat(batch, 1, 1, 1).clamp(0, 1).mul(255).round() / 255
    return Sample(
        rgb=rgb,
        depth=torch.where(valid, depth, 0.0),
        valid=valid,
        label=box.long().repeat(batch, 1, 1),
        scene=torch.arange(batch),
        lighting=torch.zeros(batch, dtype=torch.long),
    )


def plain(value: float = 0.5, depth: float = 1.0, size: int = 128, batch: int = 2) -> Sample:
    """One colour, one distance, everything measured."""
    sample = table(size, size, batch)
    sample.rgb = torch.full_like(sample.rgb, value)
    sample.depth = torch.full_like(sample.depth, depth)
    sample.valid = torch.ones_like(sample.valid)
    return sample


def spoiled(name: str, severity: int, sample: Sample, scenes=SCENES, **options) -> Sample:
    """Apply a corruption with its own seeds; the other scene is the sample upside down."""
    other = Sample(**{k: v.flip(-2) if v.dim() > 1 else v for k, v in vars(sample).items()})
    seeds = corruptions.seeds_for(name, scenes)
    return corruptions.apply(name, severity, sample, seeds, other=other, **options)


def same(a: Sample, b: Sample, *names: str) -> bool:
    return all(torch.equal(getattr(a, n), getattr(b, n)) for n in names or vars(a))


def spread(x: torch.Tensor) -> float:
    return float(x.double().std())


def distance(clean: Sample, bad: Sample) -> float:
    """Mean change of everything; a lost or gained measurement counts as a metre."""
    lost = (clean.valid != bad.valid).double().mean()
    both = clean.valid & bad.valid
    depth = (clean.depth - bad.depth).abs()[both].double().sum() / clean.depth.numel()
    return float((clean.rgb - bad.rgb).abs().double().mean() + depth + lost)


RAW = tuple(n for n in corruptions.names() if corruptions.get(n).stage == "raw")
GRADED = tuple(n for n in RAW if len(set(corruptions.get(n).levels)) == 5)
SEEDS = np.arange(2, dtype=np.uint64)
