"""Tests between methods: known answers, and the seed study's published table."""

import numpy as np
import pytest
from scipy import stats

from rgbd_lib.errors import UserError
from rgbd_lib.significance import cohens_d, friedman, holm, published_seed_study, sign_flip


def test_published_table_gives_the_published_means():
    table = published_seed_study()
    assert table.shape == (8, 6)
    means = table.mean().round(2).to_dict()
    assert means == {
        "rgb": 73.34,
        "early": 73.12,
        "mid": 85.11,
        "late": 83.02,
        "se": 79.8,
        "attention": 87.05,
    }
    assert table.std().round(2)["rgb"] == 15.18


def test_friedman_on_the_published_table():
    table = published_seed_study()
    ranking = friedman(table, table.columns)
    assert ranking.statistic == pytest.approx(15.1, abs=0.05)
    assert ranking.p == pytest.approx(0.010, abs=0.0005)
    want = {"attention": 2.00, "mid": 2.75, "late": 3.00, "se": 3.62, "early": 4.62, "rgb": 5.00}
    assert dict(zip(ranking.methods, ranking.mean_ranks, strict=True)) == pytest.approx(want, abs=0.006)
    # 48 cells, taken as exact, still do not separate the four best
    assert ranking.groups() == [
        ("attention", "mid", "late", "se", "early"),
        ("mid", "late", "se", "early", "rgb"),
    ]


@pytest.mark.parametrize(("methods", "quantile"), [(3, 2.343), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_critical_difference_uses_nemenyis_quantiles(methods, quantile):
    """Quantiles as tabulated by Demšar, JMLR 2006."""
    scores = np.random.default_rng(0).random((12, methods))
    want = quantile * np.sqrt(methods * (methods + 1) / (6 * 12))
    assert friedman(scores).critical_difference == pytest.approx(want, rel=1e-3)


def test_friedman_of_a_clear_order():
    scores = np.array([[3.0, 2.0, 1.0]] * 20) + np.random.default_rng(0).normal(0, 0.1, (20, 3))
    ranking = friedman(scores, ("good", "fair", "poor"))
    np.testing.assert_array_equal(ranking.mean_ranks, [1, 2, 3])
    assert ranking.p < 1e-6
    assert ranking.groups() == []
    with pytest.raises(UserError, match="got 1 and 3"):
        friedman(scores[:1])


@pytest.mark.parametrize("count", [3, 5, 6])
def test_sign_flip_cannot_go_below_its_floor(count):
    assert sign_flip(np.arange(1, count + 1)) == 2 / 2**count
    assert sign_flip(-np.arange(1, count + 1)) == 2 / 2**count


def test_sign_flip_equals_scipys_permutation_test():
    d = np.random.default_rng(2).normal(0.3, 1, 9)
    reference = stats.permutation_test(
        (d,), lambda x: x.mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(d) == pytest.approx(reference.pvalue)
    assert sign_flip(np.zeros(5)) == 1


def test_sign_flip_by_draws_agrees_with_students_test_on_many_pairs():
    d = np.random.default_rng(3).normal(0.25, 1, 60)
    assert sign_flip(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.01)
    assert sign_flip(d, seed=1) == sign_flip(d, seed=1)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9, 0.02]), [1.0, 1.0, 0.06])
    np.testing.assert_allclose(holm([0.02, np.nan, 0.01]), [0.02, np.nan, 0.02])


def test_effect_size_is_in_standard_deviations():
    assert cohens_d([1.0, 2.0, 3.0]) == pytest.approx(2.0)
    assert np.isnan(cohens_d([1.0]))
    assert np.isnan(cohens_d([2.0, 2.0]))
