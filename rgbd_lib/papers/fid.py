"""How far two sets of pictures are apart: Fréchet distance (FID) and kernel distance (KID) of their features.

Numbers of different feature networks cannot be compared. Without the weights of the published Inception network, which
are not part of this project, ``RandomFeatures`` gives a fixed yardstick of its own; every result carries its name.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rgbd_lib.errors import UserError

Features = NDArray[np.float64]  # images x dimensions


def frechet(a: Features, b: Features) -> float:
    """Return |mu_a - mu_b|² + tr(S_a + S_b - 2 (S_a S_b)^½): the distance of two normal distributions."""
    _check(a, b)
    means, covariances = zip(
        *((x.mean(0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (a, b)), strict=True
    )
    return frechet_of(*means, *covariances)


def frechet_of(mean_a: NDArray, mean_b: NDArray, cov_a: NDArray, cov_b: NDArray) -> float:
    """Return the same from means and covariances."""
    root = _root(cov_a)
    # S_a S_b has the eigenvalues of the symmetric root(S_a) S_b root(S_a): no complex numbers on the way
    mixed = np.linalg.eigvalsh(root @ cov_b @ root).clip(min=0)
    gap = np.asarray(mean_a) - mean_b
    return float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(mixed).sum())


def _root(matrix: NDArray) -> NDArray:
    """Return the symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def kernel(a: Features, b: Features) -> NDArray[np.float64]:
    """Return KID's kernel (a·b / dimensions + 1)³ between all pairs."""
    return (a @ b.T / a.shape[1] + 1) ** 3


def mmd(a: Features, b: Features) -> float:
    """Return the unbiased squared maximum mean discrepancy; it may be negative."""
    _check(a, b)
    own = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(a, a), kernel(b, b))]
    return float(sum(own) - 2 * kernel(a, b).mean())


def kid(a: Features, b: Features, *, subsets: int = 50, most: int = 1000, seed: int = 0) -> float:
    """Return the mean discrepancy over random subsets of equal size; papers print it times 100."""
    size, draw = min(most, len(a), len(b)), np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        one, two = (x[draw.choice(len(x), size, replace=False)] for x in (a, b))
        found.append(mmd(one, two))
    return float(np.mean(found))


def _check(a: Features, b: Features) -> None:
    if a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
        raise UserError(
            f"features of shapes {a.shape} and {b.shape} cannot be compared; two images or more with equal "
            "dimensions are needed on both sides"
        )


class RandomFeatures(nn.Module):
    """A fixed convolutional network with random weights: the same for everybody, trained by nobody."""

    label = "random features (seed 0), no Inception"

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        layers, inside = [], 3
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for outside in (width, 2 * width, 4 * width):
                convolution = nn.Conv2d(inside, outside, 3, stride=2, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                layers += [convolution, nn.ReLU()]
                inside = outside
        self.layers = nn.Sequential(*layers).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return B,D from images -1..1: means of the last maps."""
        return self.layers(images).mean((2, 3))


class Inception(nn.Module):
    """torchvision's Inception v3 with weights that the user brings; 2048 features of images at 299 pixels."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torchvision.models import inception_v3

        from rgbd_lib.papers.official import read, unwrap

        self.label = f"Inception v3, weights of {weights.name}"
        self.network = inception_v3(init_weights=False)
        state = unwrap(read(weights), str(weights))
        try:
            self.network.load_state_dict(state)
        except RuntimeError as error:
            raise UserError(f"{weights} is no state dict of torchvision's inception_v3: {error}") from error
        self.network.fc = nn.Identity()
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return B,2048 from images -1..1."""
        return self.network(F.interpolate(images, (299, 299), mode="bilinear", align_corners=False))


@torch.inference_mode()
def features(network: nn.Module, images: Tensor, batch: int = 32) -> Features:
    """Return the features of images N,3,H,W in -1..1."""
    return np.concatenate([network(part).double().cpu().numpy() for part in images.split(batch)])


@dataclass(frozen=True)
class Distance:
    """Both distances, and what they were measured with."""

    fid: float
    kid100: float  # KID times 100, as papers print it
    images: int
    measured_with: str


def distance(a: Tensor, b: Tensor, network: nn.Module | None = None) -> Distance:
    """Return FID and KID between two sets of images in -1..1."""
    network = network or RandomFeatures()
    known, made = features(network, a), features(network, b)
    return Distance(frechet(known, made), 100 * kid(known, made), len(b), network.label)
