"""Student's interval of a mean, against scipy."""

from statistics import mean, stdev

import pytest
from scipy.stats import ttest_1samp

from slbench.stats.intervals import t_bound


@pytest.mark.parametrize("level", [0.9, 0.95, 0.983])
def test_the_interval_of_a_mean_equals_that_of_scipy(level: float) -> None:
    values = [80.5, 81.25, 79.0, 80.0, 82.0]
    half_width = t_bound(4, level) * stdev(values) / 5**0.5
    expected = ttest_1samp(values, 0).confidence_interval(level)
    assert (mean(values) - half_width, mean(values) + half_width) == pytest.approx(tuple(expected))
