"""One pair of files through a trained model: what an application would do."""

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rgbd_lib import machine, runs
from rgbd_lib.datasets.base import Sample
from rgbd_lib.datasets.batches import Statistics, normalise
from rgbd_lib.datasets.images import read_plane, read_rgb
from rgbd_lib.errors import UserError
from rgbd_lib.palette import class_colours
from rgbd_lib.recipe import convert


@dataclass(frozen=True)
class Prediction:
    """What ``predict_files`` found."""

    classes: np.ndarray  # H,W uint8 at the image's size
    shares: dict[str, float]  # share of the image per class, largest first, background left out
    size: tuple[int, int]  # at which the network looked
    p50: float  # milliseconds per prediction
    p95: float


class Predictor:
    """A trained model that takes images as they come from a camera."""

    def __init__(self, folder: Path, device: str = "auto", size: tuple[int, int] | None = None) -> None:
        if not (folder / "run.json").exists():
            raise UserError(
                f"{folder} is not a finished run: it has no run.json; runs are in {runs.paths.results() / 'runs'}"
            )
        self.record = runs.Record(folder)
        info = self.record.info
        self.names: list[str] = info["data"]["classes"]
        self.background: int | None = info["data"]["background"]
        self.statistics = Statistics(**info["statistics"])
        self.machine = machine.choose(device, info["recipe"]["precision"])
        self.size = size or tuple(info["recipe"]["size"])
        self.crop = tuple(info["recipe"]["crop"])
        self.model: nn.Module = self.record.model(device=self.machine.device)

    def sample(self, rgb: np.ndarray, depth: np.ndarray) -> Sample:
        """Return a batch of one, cropped and resized as in training."""
        if rgb.shape[:2] != depth.shape[:2]:
            raise UserError(
                f"the colour image is {rgb.shape[:2]}, the depth image {depth.shape[:2]}; they must be aligned"
            )
        rgb, depth = self.window(rgb), self.window(depth)
        height, width = self.size
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
        depth = cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST)
        colour = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        metres = torch.from_numpy(depth.astype(np.float32))[None, None] * self.record.info["data"]["to_raw"]
        nothing = torch.zeros(1, dtype=torch.long)
        label = torch.zeros(1, height, width, dtype=torch.long)
        parts = (colour, metres, metres > 0, label, nothing, nothing)
        return Sample(*(part.to(self.machine.device) for part in parts))

    def window(self, image: np.ndarray) -> np.ndarray:
        """Return the part of the frame that the run was trained on."""
        height, width = image.shape[:2]
        top, left, bottom, right = self.crop
        return image[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]

    @torch.inference_mode()
    def scores(self, sample: Sample) -> Tensor:
        """Return class probabilities 1,K,h,w at the network's size."""
        rgb, depth = normalise(sample, self.statistics)
        with self.machine.autocast():
            return self.model(rgb, depth).logits.float().softmax(1)

    def classes(self, rgb: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return class ids at the image's size; outside the trained window they are background."""
        found = np.zeros(rgb.shape[:2], np.uint8)
        window = self.window(found)
        probability = F.interpolate(self.scores(self.sample(rgb, depth)), window.shape, mode="bilinear")
        window[...] = probability.argmax(1)[0].to(torch.uint8).cpu().numpy()
        return found


def predict_files(
    folder: Path, rgb: Path, depth: Path, out: Path, *, size: str = "", repeat: int = 1
) -> Prediction:
    """Predict one pair of files and write the overlay."""
    predictor = Predictor(folder, size=convert("size", size, (1, 1)) if size else None)
    colour, metres = read_rgb(rgb), read_plane(depth)
    spent = []
    for _ in range(max(1, repeat)):
        start = time.perf_counter()
        classes = predictor.classes(colour, metres)
        spent.append(1000 * (time.perf_counter() - start))
    if not cv2.imwrite(str(out), overlay(colour, classes, predictor.background)[..., ::-1]):
        raise UserError(f"cannot write {out}; is the folder there, and does the name end in .png?")
    counts = np.bincount(classes.ravel(), minlength=len(predictor.names))
    order = [k for k in counts.argsort()[::-1] if counts[k] and k != predictor.background]
    shares = {predictor.names[k]: counts[k] / counts.sum() for k in order}
    return Prediction(classes, shares, predictor.size, *np.percentile(spent, (50, 95)))


def overlay(rgb: np.ndarray, classes: np.ndarray, background: int | None, opacity: float = 0.6) -> np.ndarray:
    """Return the colour image with every object class painted over it."""
    painted = class_colours()[classes]
    mask = (classes != background)[..., None] * opacity if background is not None else opacity
    return (rgb * (1 - mask) + painted * mask).astype(np.uint8)
