"""What scores say to deliberate mistakes, and what luck does to tables."""

import numpy as np
import pytest

from rgbd_lib import imagelevel, luck, metrics, mistakes
from rgbd_lib.datasets.synthetic.classes import CEILINGS, GROUPS
from rgbd_lib.plots import measuring
from rgbd_lib.significance import friedman, published_seed_study


@pytest.fixture
def label() -> np.ndarray:
    """Two objects that do not touch, far from the border."""
    made = np.zeros((60, 90), np.uint8)
    made[20:40, 15:30] = 3
    made[25:35, 60:75] = 1
    return made


def test_growing_is_free_for_the_forgiving_score_alone(label: np.ndarray) -> None:
    score = mistakes.scorecard(label, mistakes.grown(label, 3), 4)
    assert score["forgiving mIoU"] == 1
    assert max(score["strict mIoU"], score["boundary IoU"], score["pixel accuracy"]) < 1
    painted = mistakes.scorecard(label, mistakes.nearest_object(label), 4)
    assert painted["forgiving mIoU"] == 1
    assert painted["strict mIoU"] < 0.2


def test_shrinking_costs_under_every_score(label: np.ndarray) -> None:
    assert max(mistakes.scorecard(label, mistakes.grown(label, -2), 4).values()) < 1


def test_growing_reaches_as_far_as_asked_and_keeps_classes(label: np.ndarray) -> None:
    grown = mistakes.grown(label, 2)
    rows, columns = np.nonzero(grown == 3)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 41, 13, 31)
    assert (grown[label > 0] == label[label > 0]).all()
    np.testing.assert_array_equal(mistakes.grown(label, 0), label)


def test_every_pixel_is_painted_with_the_nearest_object(label: np.ndarray) -> None:
    painted = mistakes.nearest_object(label)
    things = np.argwhere(label > 0)
    for y, x in ((0, 0), (59, 89), (5, 44), (55, 46)):
        nearest = things[((things - (y, x)) ** 2).sum(1).argmin()]
        assert painted[y, x] == label[tuple(nearest)]
    np.testing.assert_array_equal(mistakes.nearest_object(np.zeros((4, 5), np.uint8)), 0)


def test_the_smallest_class_is_forgotten_and_the_rest_stays(label: np.ndarray) -> None:
    left = mistakes.forgotten(label)
    assert set(np.unique(left)) == {0, 3}
    assert (left[label == 3] == 3).all()


def test_a_shift_brings_in_background(label: np.ndarray) -> None:
    label[:, -3:] = 2
    moved = mistakes.shifted(label, 4)
    assert (moved[:, :4] == 0).all()
    np.testing.assert_array_equal(moved[:, 4:], label[:, :-4])


def test_the_study_lost_its_answer_with_its_first_run() -> None:
    published, before = published_seed_study(), luck.published_with_first_run()
    assert published.attention.mean() == pytest.approx(87.05, abs=0.005)
    assert before.attention.mean() == pytest.approx(75.13, abs=0.005)
    assert before.se.mean() == pytest.approx(75.69, abs=0.005)
    assert friedman(published.to_numpy()).p < 0.05 < friedman(before.to_numpy()).p
    assert before.mean().idxmax() == "mid"
    same = [name for name in published if (published[name] == before[name]).all()]
    assert same == ["rgb", "early", "mid", "late"]


def test_two_runs_reveal_the_deviation_of_one() -> None:
    rng, truth = np.random.default_rng(0), np.linspace(20, 90, 4000)
    runs = truth + 5 * rng.standard_normal((2, 4000))
    assert luck.run_deviation(*runs) == pytest.approx(5, rel=0.05)


def test_equal_methods_spread_as_theory_says() -> None:
    leads = luck.copies(methods=2, cells=8, deviation=4.0, worlds=40_000)
    assert leads.mean() == pytest.approx(2 / np.sqrt(np.pi) * 4 / np.sqrt(8), rel=0.02)  # E|a - b|
    assert (luck.copies(6, 8, 4.0) >= 0).all()
    assert luck.copies(6, 8, 4.0).mean() > leads.mean()


def test_guessing_within_a_group_scores_its_ceiling() -> None:
    ids = GROUPS["apple square"]
    matrix = np.zeros((2, 3, 32, 32))
    for k in ids:  # colour is known, fake or not is guessed
        alike = [j for j in ids if (j in (22, 23)) == (k in (22, 23))]
        matrix[..., k, alike] = 50
        matrix[..., k, 0] = 1000  # mostly missed: says nothing about telling apart
    assert measuring.within(matrix, ids) == pytest.approx(CEILINGS["apple square"]["rgb"])
    assert metrics.miou(matrix.sum((0, 1))) < 0.1
    for k in ids[2:]:  # and for two of the four it is known after all
        matrix[..., k, ids] = np.array(ids) == k
    assert measuring.within(matrix, ids) == pytest.approx((1 / 3 + 1 / 3 + 1 + 1) / 4)


def test_thumbnails_ignore_brightness_and_find_the_same_scene() -> None:
    pictures = np.random.default_rng(0).integers(0, 200, (5, 24, 40, 3)).astype(np.uint8)
    small = imagelevel.thumbnails(pictures)
    dimmed = imagelevel.thumbnails((pictures * 0.5 + 7).astype(np.float64))
    np.testing.assert_allclose(small, dimmed, atol=1e-9)
    words = np.array([4, 3, 2, 1, 0])
    assert imagelevel.nearest_word(small, words, dimmed).tolist() == words.tolist()
