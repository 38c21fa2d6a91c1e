"""How each paper feeds its network and turns scores into classes at test time.

A ``Protocol`` prepares a frame (normalisation, resizing, with or without its labels) and scores it (scales, flips,
interpolation). ``PROTOCOLS`` holds the papers'; ``strict`` makes one that differs in the last step alone: labels keep
their own pixels, and scores come to them bilinearly.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib.datasets import hha
from rgbd_lib.datasets.base import Dataset, Frame
from rgbd_lib.errors import UserError, unknown
from rgbd_lib.papers.segformer import MEAN, STD

COUNTS_PER_METRE = 5000  # of the 16-bit depth files of CEN, which TokenFusion and GeminiFusion share
SHORTER_SIDE, MULTIPLE = 480, 32  # GeminiFusion's resizing at test time
FUSENET_SIZES = {40: (240, 320), 37: (224, 224)}
CROPS = {40: (480, 640), 37: (530, 730)}  # of CMX and PrimKD: beyond it they slide a window
STRIDE = 2 / 3  # of a crop, from window to window

Prepared = tuple[Tensor, Tensor, np.ndarray]  # rgb 1,3,H,W; depth 1,C,H,W; label, of any size
Prepare = Callable[[Dataset, str, Frame], Prepared]


@dataclass(frozen=True)
class Protocol:
    """One paper's way to test; ``source`` says where it is described."""

    source: str
    prepare: Prepare
    mode: str  # how scores come to the size of the label
    sums_exp: bool = False  # views are added as exp(score), not as scores
    slides: bool = False
    options: tuple[tuple[str, object], ...] = ()  # of the network, as the authors' weights need them
    keeps_label: bool = True  # False: labels are resized with the image


# -- inputs -------------------------------------------------------------------------------------------


def batch(image: np.ndarray) -> Tensor:
    """Return H,W or H,W,C as 1,C,H,W."""
    image = image[..., None] if image.ndim == 2 else image
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32))[None]


def imagenet(image: np.ndarray) -> np.ndarray:
    """Return 0..255 levels with ImageNet's mean and deviation taken off, channel by channel as they stand."""
    return (image.astype(np.float32) / 255 - MEAN) / STD


def metres(dataset: Dataset, frame: Frame) -> np.ndarray:
    """Return depth in metres, 0 where missing."""
    factor = dataset.depth_kind.to_metres
    if factor is None:
        raise UserError(
            f"{dataset.root}: depth is an encoding without metric scale, and this network was trained on lengths; "
            "give data whose depth is in metres or millimetres"
        )
    return frame.depth.astype(np.float32) * np.float32(factor)


def cen_inputs(dataset: Dataset, scene: str, frame: Frame) -> Prepared:
    """RGB as ImageNet has it, depth in metres, three times; the whole image, no resizing."""
    return batch(imagenet(frame.rgb)), batch(metres(dataset, frame)), frame.label


def gemini_inputs(dataset: Dataset, scene: str, frame: Frame) -> Prepared:
    """Shorter side to 480, both up to multiples of 32, labels with them; depth as its file's counts over 255."""
    height, width = frame.label.shape
    scale = SHORTER_SIDE / min(height, width)
    size = tuple(int(np.ceil(round(side * scale) / MULTIPLE)) * MULTIPLE for side in (height, width))
    counts = batch(metres(dataset, frame) * (COUNTS_PER_METRE / 255))
    rgb = F.interpolate(batch(imagenet(frame.rgb)), size, mode="bilinear", align_corners=False)
    depth = F.interpolate(counts, size, mode="bilinear", align_corners=False)
    return rgb, depth, nearest(frame.label, size)


def fusenet_inputs(dataset: Dataset, scene: str, frame: Frame) -> Prepared:
    """Levels 0..255 at 240x320 (NYUv2) or 224x224; depth stretched image by image; labels with them."""
    size = FUSENET_SIZES.get(len(dataset.classes), FUSENET_SIZES[40])
    depth = frame.depth.astype(np.float32)
    low, high = depth.min(), depth.max()
    levels = np.floor((depth - low) / max(high - low, 1) * 255)
    rgb = cv2.resize(frame.rgb, size[::-1], interpolation=cv2.INTER_LINEAR)
    return batch(rgb), batch(nearest(levels, size)), nearest(frame.label, size)


def hha_inputs(dataset: Dataset, scene: str, frame: Frame) -> Prepared:
    """Both inputs over 255 with ImageNet's statistics; HHA in the order angle, height, disparity, as it is stored."""
    camera = getattr(dataset, "intrinsics", lambda _: None)(scene)
    if camera is None:
        raise UserError(
            f"{dataset.root}: HHA needs the camera of scene {scene}, and this data set names none; give NYUv2 or SUN RGB-D "
            "as published, or evaluate a network that takes depth as it is"
        )
    z = metres(dataset, frame)
    picture = hha.encode(z, camera, z <= 0)
    return batch(imagenet(frame.rgb)), batch(imagenet(picture[..., ::-1])), frame.label


def nearest(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Return an image at another size without new values."""
    return cv2.resize(image, tuple(size)[::-1], interpolation=cv2.INTER_NEAREST)


# -- scores -------------------------------------------------------------------------------------------


def outputs(
    model: nn.Module, rgb: Tensor, depth: Tensor, size: Sequence[int], mode: str
) -> dict[str, Tensor]:
    """Return the scores of the whole and of each branch, K,H,W of the size wanted."""
    out = model(rgb, depth, full_size=False)
    found = {"all": out.logits} | {n: s for n, s in out.branches.items() if s.dim() == 4}
    return {n: F.interpolate(s, tuple(size), mode=mode, align_corners=False)[0] for n, s in found.items()}


def flipped(model: nn.Module, rgb: Tensor, depth: Tensor, mode: str, flips: bool) -> dict[str, Tensor]:
    """Return scores at the input's size; with ``flips`` those of the mirrored image are added, mirrored back."""
    size = rgb.shape[-2:]
    found = outputs(model, rgb, depth, size, mode)
    if not flips:
        return found
    mirrored = outputs(model, rgb.flip(-1), depth.flip(-1), size, mode)
    return {name: score + mirrored[name].flip(-1) for name, score in found.items()}


def windows(size: Sequence[int], crop: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Yield places of a window that together cover an image, the last ones moved back inside."""
    starts = []
    for side, length in zip(size, crop, strict=True):
        step = int(np.ceil(length * STRIDE))
        count = int(np.ceil((side - length) / step)) + 1
        starts.append([min(i * step, side - length) for i in range(count)])
    for top in starts[0]:
        for left in starts[1]:
            yield slice(top, top + crop[0]), slice(left, left + crop[1])


def add(total: dict[str, Tensor], found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return sums by name."""
    return {name: total[name] + score for name, score in found.items()} if total else found


def view(
    protocol: Protocol, model: nn.Module, rgb: Tensor, depth: Tensor, flips: bool, crop: Sequence[int]
) -> dict[str, Tensor]:
    """Return what one scale says, K,H,W at its own size: whole, or summed over windows where it is too large."""
    size = rgb.shape[-2:]
    own = torch.exp if protocol.sums_exp else torch.clone
    if not (protocol.slides and size[0] > crop[0] and size[1] > crop[1]):
        return {n: own(s) for n, s in flipped(model, rgb, depth, protocol.mode, flips).items()}
    total: dict[str, Tensor] = {}
    for place in windows(size, crop):
        part = flipped(model, rgb[(..., *place)], depth[(..., *place)], protocol.mode, flips)
        for name, score in part.items():
            whole = total.setdefault(name, score.new_zeros(score.shape[0], *size))
            whole[(slice(None), *place)] += own(score)
    return total


def score(
    protocol: Protocol,
    model: nn.Module,
    rgb: Tensor,
    depth: Tensor,
    size: Sequence[int],
    *,
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    crop: Sequence[int] = CROPS[40],
) -> dict[str, Tensor]:
    """Return the scores K,H,W at ``size``, summed over scales and flips in the paper's way."""
    if tuple(scales) == (1.0,) and not flips and not protocol.slides:
        return outputs(model, rgb, depth, size, protocol.mode)  # from the network's own size in one step
    total: dict[str, Tensor] = {}
    for scale in scales:
        shape = [max(32, round(side * scale)) for side in rgb.shape[-2:]]
        scaled = [F.interpolate(x, shape, mode="bilinear", align_corners=False) for x in (rgb, depth)]
        found = view(protocol, model, *scaled, flips, crop)
        back = {
            n: F.interpolate(s[None], tuple(size), mode="bilinear", align_corners=False)[0]
            for n, s in found.items()
        }
        total = add(total, back)
    return total


PROTOCOLS = {
    "cen": Protocol("released code: whole image, one scale, scores by cubic interpolation", cen_inputs, "bicubic"),
    "geminifusion": Protocol(
        "released code: shorter side 480, multiples of 32, labels resized, one scale",
        gemini_inputs, "bicubic", keeps_label=False,
    ),
    "fusenet": Protocol("paper, section 4, and the public port: scored at the training size", fusenet_inputs, "bilinear",
                        keeps_label=False),
    "cmx": Protocol("released code: whole image or windows, views added as exp(score)", hha_inputs, "bilinear",
                    sums_exp=True, slides=True, options=(("bgr", True),)),
}  # fmt: skip
PROTOCOLS["primkd"] = PROTOCOLS["segformer"] = PROTOCOLS["cmx"]


def of(name: str, kind: str = "paper") -> Protocol:
    """Return how a network is tested: as its ``paper`` does, or in ``ours``, which never resizes a label."""
    family = name.partition("-")[0]
    if family not in PROTOCOLS:
        raise unknown("family of networks", family, PROTOCOLS)
    if kind not in ("paper", "ours"):
        raise unknown("protocol", kind, ("paper", "ours"))
    return PROTOCOLS[family] if kind == "paper" else strict(PROTOCOLS[family])


def strict(protocol: Protocol) -> Protocol:
    """Return the same inputs, scored bilinearly at the label's own pixels, whole, one view."""
    return replace(
        protocol, source="strict: labels keep their pixels", mode="bilinear", slides=False, keeps_label=True
    )
