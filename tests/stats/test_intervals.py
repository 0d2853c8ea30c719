"""Intervals and differences: against published values, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_rel

from slbench.stats.intervals import (
    mean_interval,
    paired_difference,
)
from tests.support import naming

# Student's sleep data (Cushny and Peebles 1905), as R ships it; t.test(extra ~ group, paired) of R prints
# t = -4.0621, df = 9, p = 0.002833, 95 % interval -2.4598858 to -0.7001142, mean difference -1.58.
SLEEP_1 = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
SLEEP_2 = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))


def test_a_paired_difference_equals_that_of_r_for_students_sleep_data() -> None:
    result = paired_difference(SLEEP_1, SLEEP_2)
    assert result.estimate == pytest.approx(-1.58)
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)
    assert result.p_value == pytest.approx(0.002833, abs=5e-7)
    assert (result.verdict, result.n, result.interval.method) == ("worse", 10, "t")
    assert result.correlation == pytest.approx(0.7951702, abs=1e-7)  # R's cor


def test_only_shared_seeds_are_compared() -> None:
    result = paired_difference({0: 80.0, 1: 82.0, 7: 10.0}, {0: 79.0, 1: 80.0, 8: 99.0})
    assert (result.estimate, result.n) == (1.5, 2)
    with pytest.raises(ValueError, match=naming("seed")):
        paired_difference({0: 1.0}, {1: 1.0})


def test_one_seed_decides_nothing() -> None:
    result = paired_difference({3: 81.0}, {3: 80.0})
    assert (result.estimate, result.interval, result.verdict, result.p_value) == (1.0, None, "undecided", None)


def test_an_interval_needs_two_values() -> None:
    with pytest.raises(ValueError, match=naming("two", "1")):
        mean_interval([80.0])


def test_differences_that_vary_by_rounding_only_have_no_spread_and_no_verdict() -> None:
    one, other = {0: 64.1, 1: 32.3, 2: 79.7}, {0: 63.1, 1: 31.3, 2: 78.7}
    assert len({one[seed] - other[seed] for seed in one}) > 1  # as floats
    result = paired_difference(one, other)
    assert (result.std, result.verdict, result.p_value) == (0.0, "undecided", None)


def test_a_paired_difference_equals_that_of_scipy() -> None:
    rows = np.random.default_rng(3).normal(80, 1, (2, 7))
    result = paired_difference(dict(enumerate(rows[0])), dict(enumerate(rows[1])))
    theirs = ttest_rel(rows[0], rows[1])
    assert result.p_value == pytest.approx(theirs.pvalue, rel=1e-12)
    assert result.interval is not None
    low, high = theirs.confidence_interval(0.95)
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.983])
def test_a_mean_interval_equals_that_of_scipy(level: float) -> None:
    values = [80.5, 81.25, 79.0, 80.0, 82.0]
    result = mean_interval(values, level=level)
    assert (result.low, result.high) == pytest.approx(
        tuple(ttest_1samp(values, 0).confidence_interval(level)), rel=1e-12
    )
    assert (result.level, result.n, result.method) == (level, 5, "t")
