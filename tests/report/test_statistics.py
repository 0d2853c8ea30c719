"""Intervals and differences: against published values, by hand, and by simulation."""

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.power import TTestPower

from slbench.report.statistics import mean_interval, paired_difference, seeds_needed

# Student's sleep data (Cushny and Peebles 1905), as R ships it; t.test(extra ~ group, paired) of R prints
# t = -4.0621, df = 9, p = 0.002833, 95 % interval -2.4598858 to -0.7001142, mean difference -1.58.
SLEEP_1 = dict(enumerate([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]))
SLEEP_2 = dict(enumerate([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]))


def test_a_paired_difference_is_what_r_prints_for_students_sleep_data() -> None:
    found = paired_difference(SLEEP_1, SLEEP_2)
    assert found.estimate == pytest.approx(-1.58)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((-2.4598858, -0.7001142), abs=1e-7)
    assert found.p_value == pytest.approx(0.002833, abs=5e-7)
    assert (found.verdict, found.n, found.interval.method) == ("worse", 10, "t")
    assert found.correlation == pytest.approx(0.7951702, abs=1e-7)  # R's cor


def test_the_other_way_round_it_is_better_and_says_what_it_rests_on() -> None:
    found = paired_difference(SLEEP_2, SLEEP_1)
    assert found.verdict == "better"
    assert found.words == "+1.58 points, 95 % interval +0.70 to +2.46 (10 paired seeds, Student's t)."


def test_only_seeds_that_both_have_are_compared() -> None:
    found = paired_difference({0: 80.0, 1: 82.0, 7: 10.0}, {0: 79.0, 1: 80.0, 8: 99.0})
    assert (found.estimate, found.n) == (1.5, 2)
    with pytest.raises(ValueError, match="the rows share no seed"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_one_seed_decides_nothing() -> None:
    found = paired_difference({3: 81.0}, {3: 80.0})
    assert (found.estimate, found.interval, found.verdict, found.p_value) == (1.0, None, "undecided", None)
    assert found.words == "+1.00 points with one seed, which cannot be told from noise."


def test_an_undecided_difference_says_what_the_seeds_could_have_shown_and_how_many_it_takes() -> None:
    found = paired_difference({0: 80.0, 1: 80.5, 2: 81.0}, {0: 80.0, 1: 80.0, 2: 80.0})  # 0, 0.5, 1
    half = t.ppf(0.975, 2) * 0.5 / 3**0.5
    assert found.interval is not None
    assert found.interval.half_width == pytest.approx(half)
    assert found.words == (
        "+0.50 points, 95 % interval -0.74 to +1.74 (3 paired seeds, Student's t); so few seeds show nothing below "
        "1.24 points; to show one of this size takes some 10 seeds."
    )


@pytest.mark.parametrize(("std", "effect"), [(1.0, 0.5), (0.5, 0.5), (2.0, -1.0), (0.2, 1.0)])
def test_the_seeds_that_an_effect_takes_are_those_of_statsmodels(std: float, effect: float) -> None:
    needed = seeds_needed(std, effect)
    power = TTestPower()
    assert needed is not None
    assert power.power(abs(effect) / std, needed, 0.05) >= 0.8
    assert needed == 2 or power.power(abs(effect) / std, needed - 1, 0.05) < 0.8


def test_equal_rows_differ_by_nothing_and_no_number_of_seeds_shows_it() -> None:
    found = paired_difference(SLEEP_1, SLEEP_1)
    assert (found.estimate, found.std, found.verdict, found.p_value) == (0.0, 0.0, "undecided", None)
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1.0, 0.0) is None


def test_an_interval_needs_two_values() -> None:
    with pytest.raises(ValueError, match="needs two values or more, got 1"):
        mean_interval([80.0])


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_intervals_of_few_seeds_hold_the_truth_in_95_of_100_studies(n: int) -> None:
    drawn = np.random.default_rng(n).normal(0.4, 1.3, (4000, n))
    held = [interval.low <= 0.4 <= interval.high for interval in map(mean_interval, drawn.tolist())]
    assert 0.93 < np.mean(held) < 0.97


def test_the_bootstrap_of_many_seeds_does_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.report.statistics.DRAWS", 499)
    drawn = np.random.default_rng(0).normal(0.4, 1.3, (1000, 40))
    intervals = [mean_interval(values) for values in drawn.tolist()]
    assert {interval.method for interval in intervals} == {"bootstrap"}
    assert 0.93 < np.mean([interval.low <= 0.4 <= interval.high for interval in intervals]) < 0.97
