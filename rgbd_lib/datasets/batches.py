"""Batches: gathered from the cache on the device, seeded per sample, in raw units until ``normalise``.

The arrays are uint8 and uint16, so a whole data set fits on most GPUs: it is copied once, and a step gathers
and converts there without the host waiting. On a CPU the gather reads the memory map directly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from rgbd_lib.datasets import draws
from rgbd_lib.datasets.augment import Augment
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.cache import Cache
from rgbd_lib.datasets.transfer import send
from rgbd_lib.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

STD_FLOOR = 1e-3  # raw units (a millimetre, a quarter of a level): constant depth normalises to 0, not to NaN
RESIDENT_SHARE = 0.5  # of the free memory of a GPU; the rest belongs to the model


@dataclass(frozen=True)
class Statistics:
    """What ``normalise`` removes. Depth in raw units, over valid pixels of the training scenes."""

    depth_mean: float
    depth_std: float
    rgb_mean: tuple[float, float, float] = IMAGENET_MEAN
    rgb_std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name in ("rgb_mean", "rgb_std"):  # lists after a round trip through JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))


def statistics(cache: Cache, positions: np.ndarray) -> Statistics:
    """Measure depth over the valid pixels of these scenes, or take what the data set has published.

    Scenes without one valid pixel count for nothing; if none has any, depth is left as it is (0 and 1).
    """
    kind = cache.dataset.depth_kind
    if kind.mean is not None and kind.std is not None:
        return Statistics(kind.mean * cache.to_raw, max(kind.std * cache.to_raw, STD_FLOOR))
    count, total, squares = 0, 0.0, 0.0
    for position in positions:
        # Whole numbers up to 2^16 and their squares: float64 sums of an image are exact, in any order.
        measured = cache.depth[position][cache.valid[position]].astype(np.float64)
        count += measured.size
        total += float(measured.sum())
        squares += float(np.square(measured).sum())
    if not count:
        return Statistics(0.0, 1.0)
    mean = total / count
    std = max(squares / count - mean**2, 0.0) ** 0.5
    return Statistics(mean * cache.to_raw, max(std * cache.to_raw, STD_FLOOR))


def normalise(sample: Sample, stats: Statistics) -> tuple[Tensor, Tensor]:
    """Return (rgb B,3,H,W channels_last, depth B,1,H,W), both (raw - mean) / std.

    Missing depth is raw 0 through the same formula: what a dead sensor delivers, and a value no surface has.
    """
    scale, offset = _affine(stats.rgb_mean, stats.rgb_std, sample.rgb.device)
    rgb = torch.empty_like(sample.rgb, memory_format=torch.channels_last)
    torch.addcmul(offset, sample.rgb, scale, out=rgb)
    return rgb, (sample.depth - stats.depth_mean) / stats.depth_std


@lru_cache
def _affine(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return 1/std and -mean/std as 1,3,1,1, copied to the device once."""
    centre, spread = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (mean, std))
    return (1 / spread).float().to(device), (-centre / spread).float().to(device)


class Store:
    """The arrays of a cache where batches are made from them."""

    def __init__(self, cache: Cache, device: torch.device) -> None:
        self.device, self.lightings, self.to_raw = device, len(cache.lightings), cache.to_raw
        rgb = cache.rgb.reshape(-1, *cache.rgb.shape[2:])  # one axis: scene * lightings + lighting
        # Views as int16: PyTorch gathers uint16 on some devices only.
        arrays = (rgb, cache.depth.view(np.int16), cache.valid, cache.label)
        self.host = tuple(np.asarray(a) for a in arrays)
        self.resident = tuple(_upload(a, device) for a in self.host) if self._fits() else None

    def _fits(self) -> bool:
        if self.device.type == "cpu":
            return False  # the memory map is already in the memory that the device uses
        need = sum(a.nbytes for a in self.host)
        if self.device.type != "cuda":
            return need < 2**31
        return need < RESIDENT_SHARE * torch.cuda.mem_get_info(self.device)[0]

    def gather(self, positions: np.ndarray, lightings: np.ndarray) -> Sample:
        """Return scenes under lightings (0-based) as a raw sample on the device."""
        scene, lighting = send(positions, self.device), send(lightings, self.device)
        image = positions * self.lightings + lightings
        if self.resident:
            rgb, *planes = self.resident
            rgb, planes = rgb[send(image, self.device)], [p[scene] for p in planes]
        else:
            rgb, *planes = self.host
            rgb, planes = send(rgb[image], self.device), [send(p[positions], self.device) for p in planes]
        depth, valid, label = planes
        counts = depth.to(torch.int32).bitwise_and_(0xFFFF)  # undoes the int16 view
        return Sample(
            rgb=rgb.permute(0, 3, 1, 2).contiguous().to(torch.float32).mul_(1 / 255),
            depth=counts.to(torch.float32).mul_(self.to_raw).unsqueeze(1),
            valid=valid.unsqueeze(1),
            label=label.long(),
            scene=scene,
            lighting=lighting,
        )


_STORES: WeakKeyDictionary[Cache, dict[torch.device, Store]] = WeakKeyDictionary()


def store(cache: Cache, device: str | torch.device = "cpu") -> Store:
    """Return the store of a cache on a device: one copy, shared by training and evaluation."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", torch.cuda.current_device())
    stores = _STORES.setdefault(cache, {})
    if device not in stores:
        stores[device] = Store(cache, device)
    return stores[device]


def _upload(array: np.ndarray, device: torch.device, chunk: int = 64) -> Tensor:
    """Copy a memory map to the device piece by piece, so that the host never holds it all."""
    there = torch.empty(array.shape, dtype=torch.from_numpy(array[:0].copy()).dtype, device=device)
    for start in range(0, len(array), chunk):
        there[start : start + chunk].copy_(torch.from_numpy(array[start : start + chunk].copy()))
    return there


class Batches:
    """Training batches: every scene once per epoch, under one lighting drawn for it.

    Order, lighting and augmentation of a sample are functions of (seed, epoch, scene) alone, so any number of
    processes makes the same batches. ``batch`` is the size of the global batch; rank r of ``world`` processes
    gets samples r, r + world, ... of it. Shares differ by one sample where the size does not divide, so a
    loss averaged over ranks has to weigh them by ``len(sample.scene)``.
    """

    def __init__(
        self,
        cache: Cache,
        positions: Sequence[int] | np.ndarray,
        lightings: Sequence[int],
        *,
        batch: int,
        seed: int,
        device: str | torch.device = "cpu",
        augment: Augment | None = None,
        drop_last: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.positions = np.asarray(positions, dtype=np.int64)
        self.lightings = np.asarray(lightings, dtype=np.int64)
        self.batch, self.seed, self.augment, self.drop_last = batch, seed, augment, drop_last
        self.rank, self.world = rank, world
        self._check(cache)
        self.store = store(cache, device)

    def _check(self, cache: Cache) -> None:
        scenes = len(self.positions)
        if not scenes or not len(self.lightings):
            raise UserError(
                f"{cache.dataset.name}: nothing to train on: {scenes} scenes, {self.lightings} lightings"
            )
        if len(np.unique(self.positions)) < scenes:
            raise UserError(
                f"{cache.dataset.name}: a training scene is listed twice; it would be drawn twice alike"
            )
        if self.batch < self.world:
            raise UserError(
                f"batch {self.batch} cannot be shared by {self.world} processes; use at least one each"
            )
        if self.drop_last and scenes < self.batch:
            raise UserError(
                f"batch {self.batch} is larger than the {scenes} training scenes; use a smaller one"
            )
        if not self.drop_last and 0 < scenes % self.batch < self.world:
            raise UserError(
                f"the last batch of {scenes} scenes has {scenes % self.batch} for {self.world} processes; "
                f"use another batch than {self.batch}, or drop the last"
            )

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        scenes = len(self.positions)
        return scenes // self.batch if self.drop_last else ceil(scenes / self.batch)

    def epoch(self, e: int, first: int = 0) -> Iterator[Sample]:
        """Yield this rank's share of the batches of epoch ``e``, from batch ``first`` on."""
        keys = draws.seeds(self.seed, e, self.positions)
        lighting = self.lightings[draws.choice(keys, len(self.lightings))]
        order = np.argsort(keys, kind="stable")
        for step in range(first, len(self)):
            chosen = order[step * self.batch : (step + 1) * self.batch][self.rank :: self.world]
            sample = self.store.gather(self.positions[chosen], lighting[chosen])
            yield self.augment.apply(sample, keys[chosen]) if self.augment else sample


def sweep(
    cache: Cache,
    positions: Sequence[int] | np.ndarray,
    lighting_index: int,
    batch: int,
    device: str | torch.device = "cpu",
) -> Iterator[Sample]:
    """Yield all scenes in the order given under one lighting (0-based), as they are."""
    positions, source = np.array(positions, dtype=np.int64), store(cache, device)
    for start in range(0, len(positions), batch):
        chosen = positions[start : start + batch]
        yield source.gather(chosen, np.full(len(chosen), lighting_index, dtype=np.int64))
