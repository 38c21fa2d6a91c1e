"""Scores over conditions, on numbers small enough to be computed by hand."""

from functools import partial

import numpy as np
import pytest

from rgbd_lib import corruptions, metrics, robustness, statistics
from rgbd_lib.errors import UserError

LAYOUT = robustness.Layout(
    (
        "clean",
        "holes 1",
        "holes 3",
        "contrast 5",
        "rgb_off",
        "depth_off",
        "permuted_depth",
        "permuted_rgb",
    )
)
A = np.array([0.8, 0.6, 0.4, 0.3, 0.1, 0.7, 0.65, 0.2])
EARLY = np.array([0.6, 0.5, 0.3, 0.2, 0.0, 0.4, 0.30, 0.1])


def test_corruptions_are_averaged_by_severity_first():
    assert LAYOUT.families == {"holes": {1: 1, 3: 2}, "contrast": {5: 3}}
    np.testing.assert_allclose(robustness.by_corruption(A, LAYOUT), [0.5, 0.3])
    assert robustness.suite_mean(A, LAYOUT) == pytest.approx(0.4)
    assert robustness.suite_mean(A, LAYOUT, "depth") == pytest.approx(0.5)
    np.testing.assert_allclose(robustness.suite_mean([A, EARLY], LAYOUT), [0.4, 0.3])


def test_retention_by_hand():
    assert robustness.retention(A, LAYOUT) == pytest.approx(0.4 / 0.8)
    assert robustness.retention(A, LAYOUT, "rgb") == pytest.approx(0.3 / 0.8)
    assert robustness.retention(np.full(8, 0.4), LAYOUT) == 1
    assert np.isnan(robustness.retention(np.zeros(8), LAYOUT))


def test_degradation_by_hand():
    # errors: holes 0.4 + 0.6 against 0.5 + 0.7, contrast 0.7 against 0.8
    assert robustness.degradation(A, EARLY, LAYOUT) == pytest.approx((1.0 / 1.2 + 0.7 / 0.8) / 2)
    assert robustness.degradation(EARLY, EARLY, LAYOUT) == 1
    # losses: holes 0.2 + 0.4 against 0.1 + 0.3, contrast 0.5 against 0.4
    assert robustness.relative_degradation(A, EARLY, LAYOUT) == pytest.approx((0.6 / 0.4 + 0.5 / 0.4) / 2)
    assert robustness.relative_degradation(EARLY, EARLY, LAYOUT) == 1


def test_a_reference_that_is_blind_to_depth_is_undefined_not_wrong():
    blind = EARLY.copy()
    blind[[1, 2]] = blind[0]
    assert np.isnan(robustness.relative_degradation(A, blind, LAYOUT))
    assert robustness.relative_degradation(A, blind, LAYOUT, "rgb") == pytest.approx(0.5 / 0.4)


def test_missing_modalities_by_hand():
    assert robustness.missing_average(0.6, 0.5, 0.1) == pytest.approx(0.4)
    # of 0.96: 0.64 both, 0.16 each alone
    want = (0.64 * 0.6 + 0.16 * 0.5 + 0.16 * 0.1) / 0.96
    assert robustness.missing_expected(0.6, 0.5, 0.1, 0.2) == pytest.approx(want)
    assert robustness.missing_expected(0.6, 0.5, 0.1, 0.0) == pytest.approx(0.6)
    assert robustness.missing_expected(0.5, 0.5, 0.5, 0.3) == pytest.approx(0.5)  # weights sum to 1
    with pytest.raises(UserError, match="must be in"):
        robustness.missing_expected(0.6, 0.5, 0.1, 1.0)


def test_lightings_by_hand():
    values = np.array([[0.2, 0.5, 0.4], [0.6, 0.6, 0.6]])
    found = robustness.over_lightings(values, luminance=[0.05, 0.3, 0.9])
    np.testing.assert_allclose(found.mean, [1.1 / 3, 0.6])
    np.testing.assert_allclose(found.worst, [0.2, 0.6])
    np.testing.assert_allclose(found.best, [0.5, 0.6])
    np.testing.assert_allclose(found.spread, [0.3, 0.0])
    np.testing.assert_allclose(found.deviation, [np.std([0.2, 0.5, 0.4], ddof=1), 0], atol=1e-12)
    np.testing.assert_allclose(found.dark_to_bright, [0.5, 1.0])
    with pytest.raises(UserError, match="3 lightings, but 2 luminances"):
        robustness.over_lightings(values, [0.1, 0.2])


def test_effective_robustness_is_what_the_clean_score_does_not_predict():
    clean = np.array([0.4, 0.5, 0.6, 0.7, 0.8])
    on_the_line = 0.5 * clean + 0.1
    found = robustness.effective_robustness(clean, on_the_line)
    np.testing.assert_allclose(found.residuals, 0, atol=1e-12)
    assert (found.slope, found.intercept) == pytest.approx((0.5, 0.1))
    better = on_the_line.copy()
    better[2] += 0.1  # at the mean of the clean scores: the line rises by a fifth of it
    found = robustness.effective_robustness(clean, better)
    np.testing.assert_allclose(found.residuals, [-0.02, -0.02, 0.08, -0.02, -0.02])
    with pytest.raises(UserError, match="three models"):
        robustness.effective_robustness(clean[:2], better[:2])


def test_curve_starts_at_clean():
    severities, values = robustness.curve(A, LAYOUT, "holes")
    assert severities.tolist() == [0, 1, 3]
    assert values.tolist() == [0.8, 0.6, 0.4]
    with pytest.raises(UserError, match="evaluated: holes, contrast"):
        robustness.curve(A, LAYOUT, "jpeg")
    with pytest.raises(UserError, match="no condition 'clean'"):
        robustness.retention([0.5], robustness.Layout(("holes 1",)))


def test_summary_has_a_row_for_every_method():
    values = {"early": np.stack([EARLY, EARLY]), "a": np.stack([A + 0.02, A - 0.02]), "b": A[None] - 0.05}
    table = robustness.summary(values, LAYOUT).set_index("method")
    assert table.loc["a", "clean"] == pytest.approx(0.8)
    assert table.loc["a", "suite"] == pytest.approx(0.4)
    assert table.loc["a", "missing_expected"] == pytest.approx((0.81 * 0.8 + 0.09 * (0.7 + 0.1)) / 0.99)
    assert table.loc["a", "relies_on_depth"] == pytest.approx(0.15)
    assert table.loc["a", "relies_on_rgb"] == pytest.approx(0.6)
    assert table.loc["early", "degradation"] == 1
    assert table["effective_robustness"].sum() == pytest.approx(0, abs=1e-12)
    alone = robustness.summary({"a": A[None]}, LAYOUT)
    assert np.isnan(alone["degradation"][0])
    assert np.isnan(alone["effective_robustness"][0])


def test_the_suite_has_everything_that_the_summary_asks_for():
    layout = robustness.Layout(tuple(s.name for s in corruptions.SUITE))
    assert all(list(v) == [1, 3, 5] for k, v in layout.families.items() if k != "random_missing")
    assert len(layout.families) == 14
    values = np.full((1, len(layout.names)), 0.5)
    table = robustness.summary({"early": values, "mid": values}, layout)
    assert table.loc[1, "retention"] == table.loc[1, "degradation"] == 1


def test_intervals_of_scores_over_conditions():
    """A robustness score is a reduction over conditions: the bootstrap of scenes takes it as one."""
    rng = np.random.default_rng(0)
    matrices = rng.integers(1, 30, (2, 12, len(LAYOUT.names), 3, 3))
    matrices[..., [0, 1, 2], [0, 1, 2]] += 60
    over = partial(robustness.retention, layout=LAYOUT)
    found = statistics.interval(matrices, over=over, replicates=200)
    want = robustness.retention(metrics.miou(matrices.sum(1)), LAYOUT).mean()
    assert found.mean == pytest.approx(want)
    assert found.low < want < found.high
