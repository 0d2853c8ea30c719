"""Student's interval of a mean, against scipy."""

import pytest
from scipy.stats import ttest_1samp

from slbench.stats.intervals import spread_of, t_interval
from tests.support import naming


@pytest.mark.parametrize("level", [0.9, 0.95, 0.983])
def test_the_interval_of_a_mean_equals_that_of_scipy(level: float) -> None:
    values = [80.5, 81.25, 79.0, 80.0, 82.0]
    result = t_interval(values, level=level)
    assert (result.low, result.high) == pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval(level)))
    assert (result.n, result.level) == (5, level)


def test_an_interval_needs_two_values() -> None:
    with pytest.raises(ValueError, match=naming("two", "1")):
        t_interval([80.0])


def test_a_spread_of_rounding_errors_is_none() -> None:
    differences = [64.1 - 63.1, 32.3 - 31.3, 79.7 - 78.7]
    assert len(set(differences)) > 1  # as floats
    assert spread_of(differences) == 0.0
    assert spread_of([1.0]) is None
