"""Robust priors: against values of limma's algorithm, and what an outlying cell changes."""

import math

import numpy as np
import pytest
from scipy.stats import f

from slbench.stats.moderation import Variance, common_prior, moderated
from slbench.stats.robust_prior import at_df, f_quantiles, robust_priors, winsorized_moments
from slbench.stats.sequential import Series, priors_of

# fitFDistRobustly of pylimma 0.2.0, a port of limma: degrees of freedom, variances, scale, largest and smallest weight
FINITE = (4, (21.508, 0.8982, 0.4893, 0.2645, 1.1618, 1.7271, 1.3195, 3.986, 0.3649, 0.6755), 1.111754, 4.423827)
FINITE_WEIGHTS = {21.508: 0.741237, 3.986: 3.338104}  # of the outlying cells
INFINITE = (
    1,
    (15.304, 0.0143, 2.2251, 0.3175, 0.8669, 0.5943, 1.0887, 0.2968, 0.0234, 0.2948, 2.998, 0.3904, 0.9056, 0.0649),
    1.347557,
    math.inf,
)
INFINITE_WEIGHTS = {15.304: 0.294668}
AVERAGED = (2, (4.602, 1.3624, 0.8418, 0.0073, 2.2096, 0.2835, 2.8155, 0.0384, 0.5343, 0.0133), 0.235183, 1.194918)
AVERAGED_WEIGHTS = dict.fromkeys((4.602, 1.3624, 0.8418, 2.2096, 0.2835, 2.8155, 0.5343), 1.021122)


@pytest.mark.parametrize(
    ("case", "outlying"), [(FINITE, FINITE_WEIGHTS), (INFINITE, INFINITE_WEIGHTS), (AVERAGED, AVERAGED_WEIGHTS)]
)
def test_scale_and_weights_are_those_of_limma(
    case: tuple[int, tuple[float, ...], float, float], outlying: dict[float, float]
) -> None:
    df, values, scale, weight = case
    priors = robust_priors([Variance(value, df) for value in values])
    assert [prior.value for prior in priors] == pytest.approx([scale] * len(values), rel=1e-4)
    assert [prior.df for prior in priors] == pytest.approx([outlying.get(value, weight) for value in values], rel=1e-4)


def test_moments_of_cut_logarithms_are_those_of_draws() -> None:
    logs = np.log(f.rvs(4, 6, size=200_000, random_state=np.random.default_rng(0)))
    cut = np.clip(logs, *np.quantile(logs, [0.05, 0.9]))
    assert winsorized_moments(4, 6) == pytest.approx((cut.mean(), cut.var()), abs=0.01)


def test_fewer_than_ten_cells_have_the_common_prior() -> None:
    variances = [Variance(value, 2) for value in (1.0, 2.0, 0.5, 90.0, 1.5, 0.7, 1.1, 3.0, 0.2)]
    assert robust_priors(variances) == common_prior(variances)


def test_an_outlying_cell_neither_widens_the_others_nor_is_narrowed_by_them() -> None:
    variances = [Variance(value, 4) for value in FINITE[1]]
    plain, robust = moderated(variances), moderated(variances, robust_priors)
    assert all(ours.value < theirs.value for ours, theirs in zip(robust[1:], plain[1:], strict=True))
    assert robust[0].value > 1.3 * plain[0].value
    assert robust[0].df == pytest.approx(4 + 0.741237, rel=1e-4)


def test_variances_of_fewer_seeds_are_compared_at_the_same_quantile() -> None:
    prior = Variance(2.0, 5.0)
    assert at_df(Variance(3.0, 1), prior, 4) == pytest.approx(2 * f.ppf(f.cdf(1.5, 1, 5), 4, 5))
    infinite = at_df(Variance(3.0, 1), Variance(2.0, math.inf), 4)
    assert infinite == pytest.approx(2 * f_quantiles(np.array([f.cdf(1.5, 1, 1e9)]), 4, math.inf)[0], rel=1e-6)
    unequal = robust_priors([Variance(value, 4 - (i == 3)) for i, value in enumerate(FINITE[1])])
    assert unequal[0].value == pytest.approx(FINITE[2], rel=0.1)


def test_a_seed_rule_uses_the_weight_of_each_cell() -> None:
    seeds = np.random.default_rng(0).normal(size=(12, 5)) * np.array([9.0, *[1.0] * 11])[:, None]
    found = [Series(((5, tuple(line)),), "undecided", 10) for line in seeds.tolist()]
    weights = [prior.variance.df for prior in priors_of(found, "robust") if prior is not None]
    assert len(weights) == 12 and weights[0] < min(weights[1:])
