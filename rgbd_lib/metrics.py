"""Scores of a segmentation, all from confusion matrices (rows are the truth, columns the prediction).

Counting is done in torch, batched; scoring in numpy, on matrices of any leading shape: (..., K, K).
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rgbd_lib.calibration import Calibration as Calibration  # scores live here for users
from rgbd_lib.calibration import fit_temperature as fit_temperature
from rgbd_lib.datasets.base import IGNORE
from rgbd_lib.errors import UserError

Matrix = NDArray[np.integer]


def confusions(label: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return one int64 matrix K,K per image of B,H,W labels and predicted classes."""
    label, prediction = label.flatten(1).long(), prediction.flatten(1).long()
    image = torch.arange(len(label), device=label.device)[:, None]
    cell = (image * classes + label) * classes + prediction
    cell = cell.masked_fill(label == IGNORE, len(label) * classes**2)  # a last cell, thrown away
    _check(label, prediction, classes)
    count = torch.bincount(cell.flatten(), minlength=len(label) * classes**2 + 1)
    return count[:-1].view(len(label), classes, classes)


def confusion(label: Tensor, prediction: Tensor, classes: int) -> Tensor:
    """Return the int64 matrix K,K of all pixels together."""
    return confusions(label.reshape(1, -1), prediction.reshape(1, -1), classes)[0]


def _check(label: Tensor, prediction: Tensor, classes: int) -> None:
    """Refuse classes that would be counted in another's cell."""
    for name, values in (("label", label.masked_fill(label == IGNORE, 0)), ("prediction", prediction)):
        if values.numel() and not 0 <= (wrong := _extreme(values, classes)) < classes:
            raise UserError(f"{name} {wrong} is not one of the {classes} classes 0..{classes - 1}")


def _extreme(values: Tensor, classes: int) -> int:
    low, high = (int(v) for v in values.aminmax())
    return high if high >= classes else low


def iou(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the IoU of each class; NaN for a class that the truth does not contain.

    A class that is only predicted is no score of its own, but its pixels are missing elsewhere.
    """
    hit, truth, predicted = _sums(matrix)
    return _ratio(hit, np.where(truth > 0, truth + predicted - hit, 0))


def miou(
    matrix: ArrayLike, background: int | None = 0, include_background: bool = True
) -> NDArray[np.float64]:
    """Return the mean IoU over the classes of the truth: the strict score.

    Without the background class in the mean, objects painted onto the background still cost: those
    pixels stay in the unions. NaN where no class is left.
    """
    return nanmean(_foreground(iou(matrix), background, include_background))


def counted(
    matrix: ArrayLike, background: int | None = 0, include_background: bool = True
) -> NDArray[np.int64]:
    """Return how many classes ``miou`` is the mean of."""
    return np.isfinite(_foreground(iou(matrix), background, include_background)).sum(-1)


def mean_accuracy(
    matrix: ArrayLike, background: int | None = 0, include_background: bool = True
) -> NDArray[np.float64]:
    """Return the mean share of each class's pixels that are found."""
    hit, truth, _ = _sums(matrix)
    return nanmean(_foreground(_ratio(hit, truth), background, include_background))


def pixel_accuracy(matrix: ArrayLike) -> NDArray[np.float64]:
    """Return the share of labelled pixels with the right class."""
    hit, truth, _ = _sums(matrix)
    return _ratio(hit.sum(-1), truth.sum(-1))


def forgiving_miou(matrix: ArrayLike, background: int | None = 0) -> NDArray[np.float64]:
    """Return the seed study's score, which is blind to objects painted onto the background.

    Pixels whose truth is background are dropped before counting; classes that are neither in the rest
    nor predicted there are left out. For comparison with published numbers only.
    """
    matrix = np.asarray(matrix).copy()
    if background is not None:
        matrix[..., background, :] = 0
    hit, truth, predicted = _sums(matrix)
    return nanmean(_foreground(_ratio(hit, truth + predicted - hit), background, False))


def collapse(matrix: ArrayLike, mapping: ArrayLike) -> Matrix:
    """Return the matrix of coarser classes; ``mapping[k]`` is the new id of class k."""
    matrix, mapping = np.asarray(matrix), np.asarray(mapping)
    if matrix.shape[-1] != len(mapping):
        raise UserError(f"a map of {len(mapping)} classes does not fit a matrix of {matrix.shape[-1]}")
    member = (mapping[:, None] == np.arange(mapping.max() + 1)).astype(matrix.dtype)  # K,K'
    return member.T @ matrix @ member


def boundary_counts(
    label: Tensor, prediction: Tensor, classes: int, fractions: tuple[float, ...] = (0.005, 0.02)
) -> Tensor:
    """Return the counts of Boundary IoU (Cheng et al. 2021), int64 of shape B,D,3,K.

    D distances as fractions of the image's diagonal; the three are pixels of the band in both, in
    the truth and in the prediction. Sum over images, then ``boundary_iou``. A band is the part of a
    class within d pixels of its contour or of the image's border. Ignored pixels belong to no class
    and make no contour.
    """
    height, width = label.shape[-2:]
    seen = label != IGNORE
    result = []
    for fraction in fractions:
        reach = max(1, round(fraction * float(np.hypot(height, width))))
        true_band, predicted_band = (_band(x, seen, reach, classes) for x in (label, prediction))
        both = true_band & predicted_band & (label == prediction)
        parts = ((label, both), (label, true_band), (prediction, predicted_band))
        result.append(torch.stack([_class_counts(x, where, classes) for x, where in parts], dim=1))
    return torch.stack(result, dim=1)


def boundary_iou(counts: ArrayLike) -> NDArray[np.float64]:
    """Return Boundary IoU per distance and class from summed counts (..., 3, K); NaN where absent."""
    both, truth, predicted = np.moveaxis(np.asarray(counts), -2, 0)
    return _ratio(both, np.where(truth > 0, truth + predicted - both, 0))


def _band(label: Tensor, seen: Tensor, reach: int, classes: int) -> Tensor:
    """Return where a class's square of 2 * reach + 1 pixels holds another class or leaves the image."""
    code = label.to(torch.uint8)  # in bytes: a quarter of the traffic; 0 is for what makes no contour
    highest = _square_max((code + 1).masked_fill(~seen, 0), reach) - 1
    lowest = classes - _square_max((classes - code).masked_fill(~seen, 0), reach)
    inside = torch.zeros_like(seen)
    inside[..., reach : label.shape[-2] - reach, reach : label.shape[-1] - reach] = True
    return seen & ~((highest == lowest) & inside)


def _square_max(x: Tensor, reach: int) -> Tensor:
    """Return the maximum over a square window: two one-dimensional ones, each grown threefold."""
    for dim in (-1, -2):
        done = 0
        while done < reach:  # a window of reach r, moved by s <= 2 r + 1 both ways, makes one of r + s
            step = min(reach - done, 2 * done + 1)
            pad = (step, step, 0, 0) if dim == -1 else (0, 0, step, step)
            wide = F.pad(x, pad, value=0)
            size = x.shape[dim]
            left, right = wide.narrow(dim, 0, size), wide.narrow(dim, 2 * step, size)
            x = torch.maximum(torch.maximum(left, right), x)
            done += step
    return x


def _class_counts(label: Tensor, where: Tensor, classes: int) -> Tensor:
    """Return B,K: how many pixels of each class are in the region."""
    image = torch.arange(len(label), device=label.device)[:, None]
    cell = (image * classes + label.flatten(1).long()).masked_fill(~where.flatten(1), len(label) * classes)
    count = torch.bincount(cell.flatten(), minlength=len(label) * classes + 1)
    return count[:-1].view(len(label), classes)


def nanmean(values: ArrayLike) -> NDArray[np.float64]:
    """Return the mean of the finite values along the last axis; NaN, silently, where there are none."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    return _ratio(np.where(finite, values, 0).sum(-1), finite.sum(-1))


def _sums(matrix: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Return hits, pixels of the truth and pixels of the prediction, each (..., K)."""
    matrix = np.asarray(matrix)
    return np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2)


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    part, whole = np.asarray(part, dtype=np.float64), np.asarray(whole)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)[()]


def _foreground(values: NDArray, background: int | None, include: bool) -> NDArray:
    if include or background is None:
        return values
    return np.delete(values, background, axis=-1)
