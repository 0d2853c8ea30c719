"""Intervals and differences: against published values, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import bootstrap, t, ttest_1samp, ttest_rel

from slbench.stats.intervals import (
    holm,
    mean_interval,
    paired_difference,
    seeds_needed,
    t_interval,
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
    assert result.more_seeds is None


def test_only_shared_seeds_are_compared() -> None:
    result = paired_difference({0: 80.0, 1: 82.0, 7: 10.0}, {0: 79.0, 1: 80.0, 8: 99.0})
    assert (result.estimate, result.n) == (1.5, 2)
    with pytest.raises(ValueError, match=naming("seed")):
        paired_difference({0: 1.0}, {1: 1.0})


def test_one_seed_decides_nothing() -> None:
    result = paired_difference({3: 81.0}, {3: 80.0})
    assert (result.estimate, result.interval, result.verdict, result.p_value) == (1.0, None, "undecided", None)


def test_an_undecided_difference_names_the_seeds_that_would_detect_it() -> None:
    result = paired_difference({0: 80.0, 1: 80.5, 2: 81.0}, {0: 80.0, 1: 80.0, 2: 80.0})  # 0, 0.5, 1
    assert result.interval is not None
    assert result.interval.half_width == pytest.approx(t.ppf(0.975, 2) * 0.5 / 3**0.5)
    assert result.more_seeds == seeds_needed(0.5, 0.5) - 3 == 7  # type: ignore[operator]


def test_equal_methods_are_undecided_and_no_number_of_seeds_is_enough() -> None:
    result = paired_difference(SLEEP_1, SLEEP_1)
    assert (result.estimate, result.std, result.verdict, result.p_value) == (0.0, 0.0, "undecided", None)
    assert result.more_seeds is None
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, 0.0) is None


def test_an_interval_needs_two_values() -> None:
    with pytest.raises(ValueError, match=naming("two", "1")):
        mean_interval([80.0])


def test_differences_that_vary_by_rounding_only_have_no_spread_and_no_verdict() -> None:
    one, other = {0: 64.1, 1: 32.3, 2: 79.7}, {0: 63.1, 1: 31.3, 2: 78.7}
    assert len({one[seed] - other[seed] for seed in one}) > 1  # as floats
    result = paired_difference(one, other)
    assert (result.std, result.verdict, result.p_value, result.smallest_effect) == (0.0, "undecided", None, None)


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


def test_many_seeds_have_a_bootstrap_interval_near_that_of_scipy() -> None:
    values = np.random.default_rng(5).normal(80, 2, 40)
    result, student = mean_interval(values.tolist()), t_interval(values.tolist())
    theirs = bootstrap((values,), np.mean, rng=np.random.default_rng(0), method="BCa").confidence_interval
    assert (result.method, student.method) == ("bootstrap", "t")
    assert (result.low, result.high) == pytest.approx((theirs.low, theirs.high), abs=0.1)
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (student.low, student.high) == pytest.approx((low, high))


def test_holms_correction_by_hand_keeps_missing_values() -> None:
    # In order 0.01 x 3, 0.03 x 2, 0.04 x 1, and none below the one before it.
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.9 x 1; ties are equal.
    assert holm([0.9, 0.03, 0.01, 0.02]) == pytest.approx([0.9, 0.06, 0.04, 0.06])
    assert holm([0.02, 0.02]) == [0.04, 0.04]
    assert holm([0.7]) == [0.7]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([None, None]) == [None, None]
    assert holm([]) == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("level", [0.05, 0.2])
def test_holm_rejects_the_same_hypotheses_as_the_step_down_procedure(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 0.1, 11).tolist()
    rejected = set[float]()
    for rank, value in enumerate(sorted(values)):  # the procedure of Holm 1979: stop at the first that is too large
        if value > level / (11 - rank):
            break
        rejected.add(value)
    adjusted = holm(values)
    assert {value for value, corrected in zip(values, adjusted, strict=True) if corrected <= level} == rejected  # type: ignore[operator]
    order = rng.permutation(11)
    assert holm([values[index] for index in order]) == [adjusted[index] for index in order]
    assert all(value <= corrected <= 1 for value, corrected in zip(values, adjusted, strict=True))  # type: ignore[operator]
