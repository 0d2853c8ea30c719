"""Power of a design, against the noncentral t distribution of scipy and by simulation."""

import numpy as np
import pytest
from scipy.stats import chi2, nct, t

from benchmarks.simulated import differences_like, sequential_verdicts
from slbench.stats.moderation import Variance, moderated
from slbench.stats.power import Design, detectable_effect, power, seeds_needed, std_interval
from tests.support import naming

ALONE = Design(0.95)


def exact(effect: float, n: int, level: float = 0.95) -> float:
    """Return the power of a t test of n values for an effect in standard deviations."""
    bound, shift = t.ppf((1 + level) / 2, n - 1), effect * n**0.5
    return float(nct.sf(bound, n - 1, shift) + nct.cdf(-bound, n - 1, shift))


@pytest.mark.parametrize(("effect", "n", "level"), [(0.0, 5, 0.95), (1.0, 3, 0.95), (0.8, 10, 0.99), (3.0, 2, 0.95)])
def test_the_power_of_one_cell_is_that_of_the_t_test(effect: float, n: int, level: float) -> None:
    assert power(effect, n, Design(level)) == pytest.approx(exact(effect, n, level), abs=5e-4)


def test_the_detectable_effect_is_decided_with_the_stated_power() -> None:
    for n, published in ((2, 11.55), (3, 3.26)):  # computed apart, with scipy's noncentral t
        effect = detectable_effect(n, ALONE)
        assert effect == pytest.approx(published, abs=0.01)
        assert exact(effect, n) == pytest.approx(0.8, abs=1e-3)
    with pytest.raises(ValueError, match=naming("two", "1")):
        detectable_effect(1, ALONE)


def test_a_stricter_level_needs_a_larger_effect_and_more_cells_a_smaller_one() -> None:
    assert detectable_effect(3, Design(0.99)) > detectable_effect(3, ALONE) > detectable_effect(3, Design(0.95, 5))


@pytest.mark.parametrize(("effect", "level"), [(0.5, 0.95), (1.0, 0.95), (2.0, 0.99)])
def test_seeds_needed_is_the_smallest_number_with_power_0_8(effect: float, level: float) -> None:
    needed = seeds_needed(effect, Design(level))
    assert needed is not None
    assert exact(effect, needed, level) >= 0.8 > exact(effect, needed - 1, level)


@pytest.mark.parametrize("cells", [1, 5])
def test_the_power_of_a_seed_rule_is_the_share_that_it_decides_at_any_analysis(cells: int) -> None:
    design, effect, studies = Design(0.99, cells, first=3), 1.2, 3000 // cells
    values = differences_like(np.random.default_rng(1), (studies, cells, 8), np.diag([0.5] * 4)) + effect
    found, stopped = sequential_verdicts(values, first=3, level=0.99, margin=1e-9)
    decided = (found.better | found.worse)[:, 0]
    assert power(effect, 8, design) == pytest.approx(decided.mean(), abs=0.04)
    assert power(effect, 8, design) > power(effect, 8, Design(0.99, cells)) + 0.02 or cells > 1
    assert power(effect, 5, design) == pytest.approx((decided & (stopped[:, 0] <= 5)).mean(), abs=0.04)
    assert power(detectable_effect(8, design), 8, design) == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("cells", [1, 5])
def test_a_seed_rule_with_one_analysis_has_the_power_of_its_seeds(cells: int) -> None:
    for effect in (0.5, 2.0, -2.0):
        fixed = power(effect, 4, Design(0.95, cells))
        assert power(effect, 4, Design(0.95, cells, first=4)) == pytest.approx(fixed, abs=0.02)


def test_no_effect_and_very_small_ones_have_no_number_of_seeds() -> None:
    assert seeds_needed(0.0, ALONE) is None
    assert seeds_needed(0.01, ALONE) is None


def test_the_interval_of_a_standard_deviation_is_that_of_the_chi_squared_law() -> None:
    low, high = std_interval(2.0, 9)
    assert chi2.cdf(9 * 4 / low**2, 9) == pytest.approx(0.9)
    assert chi2.cdf(9 * 4 / high**2, 9) == pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "cells"), [(3, 1), (3, 5), (5, 10), (10, 2)])
def test_the_promised_power_is_reached_with_a_known_standard_deviation(n: int, cells: int) -> None:
    """The spec of the promise: .75 to .85 in simulated studies of equal cells, each moderated as in a report."""
    effect, draw, studies = detectable_effect(n, Design(0.99, cells)), np.random.default_rng(n), 2000 // cells
    decided = []
    for values in draw.normal(effect, 1, (studies, cells, n)):
        own = [Variance(float(cell.var(ddof=1)), n - 1) for cell in values]
        for cell, variance in zip(values, moderated(own), strict=True):
            half = t.ppf(0.995, variance.df) * (variance.value / n) ** 0.5
            decided.append(abs(cell.mean()) > half)
    assert 0.75 <= np.mean(decided) <= 0.85
