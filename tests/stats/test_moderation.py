"""Moderated variances: by hand, at the limits, and their coverage by simulation."""

import math

import numpy as np
import pytest
from scipy.special import polygamma
from scipy.stats import t

from slbench.stats.moderation import (
    PLAIN_WEIGHT,
    PRIOR_WEIGHT,
    Variance,
    estimate_prior,
    inverse_trigamma,
    moderated,
)


def test_a_single_cell_and_cells_without_spread_keep_their_own_variance() -> None:
    assert moderated([Variance(2.0, 3)]) == [Variance(2.0, 3)]
    assert moderated([Variance(0.0, 2), Variance(2.0, 3)]) == [Variance(0.0, 2), Variance(2.0, 3)]


def test_equal_variances_are_pooled_with_a_prior_of_limited_weight() -> None:
    first, second, _ = moderated([Variance(2.0, 3), Variance(2.0, 3), Variance(5.0, 1)])
    assert first == second
    # The prior, 17/7, weighs as much as three cells; the result, at most as much as all together.
    assert (first.value, first.df) == pytest.approx(((9 * 17 / 7 + 3 * 2) / 12, 7.0))


def test_unequal_variances_move_towards_their_mean_by_the_weight_of_the_prior() -> None:
    own = [Variance(0.01, 4), Variance(1.0, 4), Variance(100.0, 4)]
    prior = estimate_prior(own)
    # logs of the ratios are -ln 100, 0, ln 100: variance (ln 100)^2 = 21.21; trigamma(2) = pi^2 / 6 - 1 = 0.645
    assert polygamma(1, prior.df / 2) == pytest.approx(math.log(100) ** 2 - (math.pi**2 / 6 - 1))
    assert prior.value == pytest.approx(101.01 / 3)
    first = moderated(own)[0]
    assert first.value == pytest.approx((prior.df * 33.67 + 4 * 0.01) / (prior.df + 4))
    assert first.df == pytest.approx(prior.df + 4)


@pytest.mark.parametrize("x", [1e-3, 0.1, 1.0, 5.0, 1e3])
def test_the_inverse_of_trigamma_is_one(x: float) -> None:
    assert float(inverse_trigamma(polygamma(1, np.array([x])))[0]) == pytest.approx(x, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.4])
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("count", [2, 5, 10, 20])
def test_plain_intervals_cover_and_are_narrower_than_with_own_variances(count: int, seeds: int, spread: float) -> None:
    source, covered, widths, own_widths = np.random.default_rng(0), 0, 0.0, 0.0
    studies = 1500
    for _ in range(studies):
        scales = np.exp(source.normal(0, spread, count))[:, None]
        values = source.normal(size=(count, seeds)) * scales
        own = [Variance(float(row.var(ddof=1)), seeds - 1) for row in values]
        for row, variance, alone in zip(values, moderated(own, limit=PLAIN_WEIGHT), own, strict=True):
            half = t.ppf(0.975, variance.df) * math.sqrt(variance.value / seeds)
            covered += abs(row.mean()) < half
            widths += half
            own_widths += t.ppf(0.975, seeds - 1) * math.sqrt(alone.value / seeds)
    assert 0.93 <= covered / studies / count <= 0.97
    assert widths < 0.92 * own_widths


def test_the_limit_of_the_priors_weight_is_higher_for_plain_intervals() -> None:
    own = [Variance(value, 1) for value in (1.0, 1.5, 2.0, 1.2, 0.8) * 4]
    prior = estimate_prior(own, PLAIN_WEIGHT)
    joint, plain = moderated(own)[0], moderated(own, limit=PLAIN_WEIGHT)[0]
    assert (joint.value, joint.df) == pytest.approx(((PRIOR_WEIGHT * 1.3 + 1) / (PRIOR_WEIGHT + 1), PRIOR_WEIGHT + 1))
    assert prior.df == PLAIN_WEIGHT
    assert (plain.value, plain.df) == pytest.approx(((30 * 1.3 + 1) / 31, 20))  # at most those of all cells
