"""Scores against independent libraries, golden numbers, and the rules that this project states."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import sklearn.metrics as reference
import torch
import torchmetrics
from test_losses import golden_case

from rgbd_lib import metrics
from rgbd_lib.errors import UserError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "mm5_losses.json").read_text())["cases"]


def labels(classes: int, *shape: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label, guess = torch.randint(0, classes, (2, *shape), generator=generator)
    guess = torch.where(torch.rand(shape, generator=generator) < 0.5, label, guess)
    label[..., :2] = 255
    return label, guess


def test_matrix_equals_scikit_learn_and_torchmetrics():
    label, guess = labels(6, 3, 11, 9)
    matrix = metrics.confusion(label, guess, 6)
    seen = label != 255
    want = reference.confusion_matrix(label[seen], guess[seen], labels=range(6))
    np.testing.assert_array_equal(matrix, want)
    per_image = metrics.confusions(label.to(torch.uint8), guess.to(torch.uint8), 6)
    assert per_image.shape == (3, 6, 6)
    torch.testing.assert_close(per_image.sum(0), matrix)
    np.testing.assert_array_equal(per_image[1], metrics.confusion(label[1], guess[1], 6))


def test_scores_equal_independent_libraries():
    label, guess = labels(6, 3, 11, 9)
    matrix = metrics.confusion(label, guess, 6)
    seen = label != 255
    truth, found = label[seen], guess[seen]
    jaccard = torchmetrics.classification.MulticlassJaccardIndex(6, average=None, ignore_index=255)
    np.testing.assert_allclose(metrics.iou(matrix), jaccard(guess, label), rtol=1e-6)
    assert metrics.miou(matrix) == pytest.approx(reference.jaccard_score(truth, found, average="macro"))
    assert metrics.mean_accuracy(matrix) == pytest.approx(reference.balanced_accuracy_score(truth, found))
    assert metrics.pixel_accuracy(matrix) == pytest.approx(reference.accuracy_score(truth, found))


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_agrees_with_the_studys_own_numbers(name):
    record = GOLDEN[name]
    logits, label = golden_case(name)
    matrix = metrics.confusion(label, logits.argmax(1), logits.shape[1]).numpy()
    assert metrics.forgiving_miou(matrix) == pytest.approx(record["miou"], rel=1e-9)
    assert matrix[1:].sum() == record["confusion_sum"]
    # the record counts a class that is predicted but absent as 0; here it is left out and said so
    scores = metrics.iou(matrix)
    assert np.nan_to_num(scores[1:]).mean() == pytest.approx(record["miou_strict"], rel=1e-9)
    assert np.nan_to_num(scores).mean() == pytest.approx(record["miou_with_background"], rel=1e-9)
    present = np.unique(label)
    assert metrics.counted(matrix) == len(present)
    assert metrics.miou(matrix) == pytest.approx(np.nan_to_num(scores).sum() / len(present), rel=1e-9)


def test_painting_the_background_is_free_only_in_the_forgiving_score():
    label = torch.zeros(1, 20, 20, dtype=torch.long)
    label[:, 5:9, 5:9] = 1
    everything = torch.ones_like(label)
    matrix = metrics.confusion(label, everything, 3)
    assert metrics.forgiving_miou(matrix) == 1
    assert metrics.miou(matrix, include_background=False) == pytest.approx(16 / 400)
    assert metrics.miou(matrix) == pytest.approx(8 / 400)
    np.testing.assert_array_equal(metrics.iou(matrix), [0, 16 / 400, np.nan])
    assert metrics.counted(matrix) == 2
    assert metrics.counted(matrix, include_background=False) == 1


def test_scores_work_on_stacks_and_on_nothing():
    matrices = np.random.default_rng(0).integers(0, 50, (2, 3, 4, 4))
    matrices[1, 2] = 0
    scores = metrics.miou(matrices)
    assert scores.shape == (2, 3)
    assert scores[0, 1] == pytest.approx(float(metrics.miou(matrices[0, 1])))
    assert np.isnan(scores[1, 2])
    assert np.isfinite(scores).sum() == 5


def test_collapsing_the_matrix_equals_collapsing_the_labels():
    label, guess = labels(6, 2, 8, 8)
    mapping = torch.tensor([0, 2, 1, 1, 0, 2])
    coarse = [torch.where(x == 255, 255, mapping[x.clamp(max=5)]) for x in (label, guess)]
    np.testing.assert_array_equal(
        metrics.collapse(metrics.confusions(label, guess, 6), mapping), metrics.confusions(*coarse, 3)
    )
    with pytest.raises(UserError, match="map of 6 classes"):
        metrics.collapse(np.zeros((4, 4)), mapping)


@pytest.mark.parametrize("wrong", [6, -1, 254])
def test_a_class_that_does_not_exist_is_refused(wrong):
    label, guess = labels(6, 2, 8, 8)
    label[0, 0, 5] = wrong
    with pytest.raises(UserError, match=f"label {wrong} is not one of the 6 classes"):
        metrics.confusions(label, guess, 6)
    with pytest.raises(UserError, match=f"prediction {wrong}"):
        metrics.confusions(guess, label.masked_fill(label == 255, 0), 6)


def slow_boundary(label: np.ndarray, guess: np.ndarray, classes: int, reach: int) -> list:
    """The definition: one binary mask per class, eroded by a 3 x 3 square, reach times."""
    bands = []
    for image in (label, guess):
        masks = [(image == k).astype(np.uint8) for k in range(classes)]
        bands.append([m - cv2.erode(m, np.ones((3, 3)), iterations=reach, borderValue=0) for m in masks])
    return [[(g & p).sum(), g.sum(), p.sum()] for g, p in zip(*bands, strict=True)]


@pytest.mark.parametrize("size", [(60, 80), (37, 53)])
def test_boundary_counts_equal_erosion_class_by_class(size):
    rng = np.random.default_rng(4)
    coarse = rng.integers(0, 4, (2, 5, 6)).astype(np.uint8)
    label = np.stack([cv2.resize(x, size[::-1], interpolation=cv2.INTER_NEAREST) for x in coarse])
    guess = np.roll(label, (1, 2), (1, 2))
    fractions = (0.02, 0.05, 0.12)
    counts = metrics.boundary_counts(torch.from_numpy(label), torch.from_numpy(guess), 5, fractions)
    assert counts.shape == (2, 3, 3, 5)
    for b in range(2):
        for d, fraction in enumerate(fractions):
            reach = max(1, round(fraction * np.hypot(*size)))
            np.testing.assert_array_equal(counts[b, d].T, slow_boundary(label[b], guess[b], 5, reach))
    score = metrics.boundary_iou(counts.sum(0))
    assert np.isnan(score[:, 4]).all()  # a class that is nowhere
    assert (score[:, :4] < 1).all()
    assert (np.diff(metrics.nanmean(score)) > 0).all()  # a wider band forgives more


def test_boundary_of_a_perfect_prediction_is_one_and_ignored_pixels_make_none():
    label = torch.zeros(1, 40, 40, dtype=torch.long)
    label[:, 10:30, 10:30] = 1
    assert (metrics.boundary_iou(metrics.boundary_counts(label, label, 2).sum(0)) == 1).all()
    hole = label.clone()
    hole[:, 18:22, 18:22] = 255  # inside the object, far from its contour
    torch.testing.assert_close(
        metrics.boundary_counts(hole, label, 2), metrics.boundary_counts(label, label, 2)
    )
    counts = metrics.boundary_counts(hole, label, 3)
    for wrong in (0, 2):  # a wrong class under ignored pixels is not seen either
        flipped = label.masked_fill(hole == 255, wrong)
        torch.testing.assert_close(metrics.boundary_counts(hole, flipped, 3), counts)


def test_boundary_distances_are_those_of_the_paper():
    """0.5 % and 2 % of the diagonal: 2 and 6 px at 224 x 224, 4 and 16 at 480 x 640."""
    for size, pixels in (((224, 224), (2, 6)), ((480, 640), (4, 16))):
        label = torch.zeros(1, *size, dtype=torch.long)
        counts = metrics.boundary_counts(label, label, 1)[0, :, 1, 0]
        height, width = size
        assert [height * width - (height - 2 * d) * (width - 2 * d) for d in pixels] == counts.tolist()
