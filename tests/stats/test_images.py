"""Interval over seeds and test images: by hand, and its coverage in simulated studies."""

import itertools
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from slbench.stats.images import image_interval

Correct = dict[int, np.ndarray]


def correct(*rows: str) -> Correct:
    """Return correctness by seed from texts such as "1101"."""
    return {seed: np.array([sign == "1" for sign in row]) for seed, row in enumerate(rows)}


def test_the_interval_has_the_variance_of_seeds_and_of_what_persists_over_images() -> None:
    draw = np.random.default_rng(0)
    persistent = draw.random(101) < 0.3
    one = {seed: persistent | (draw.random(101) < 0.5) for seed in (0, 1, 2, 7)}
    other = {seed: draw.random(101) < 0.5 for seed in (0, 1, 2, 3)}
    result = image_interval(one, other)
    assert result is not None
    differences = [100.0 * one[seed] - 100.0 * other[seed] for seed in (0, 1, 2)]
    means = [difference.mean() for difference in differences]
    pairs = [np.cov(left, right)[0, 1] for left, right in itertools.combinations(differences, 2)]
    assert result.estimate == pytest.approx(np.mean(means))
    assert (result.seeds, result.images) == (3, 101)
    assert result.seed_error**2 == pytest.approx(np.var(means, ddof=1) / 3)
    assert result.image_error**2 == pytest.approx(np.mean(pairs) / 101)
    assert result.df > 2


def test_without_a_persistent_part_it_is_the_interval_over_seeds() -> None:
    result = image_interval(correct("1100", "0011", "1110"), correct("0000", "0000", "0000"))
    assert result is not None and result.image_error == 0
    over_seeds = ttest_1samp([50.0, 50.0, 75.0], 0).confidence_interval()
    assert (result.low, result.high, result.df) == pytest.approx((over_seeds.low, over_seeds.high, 2))


def test_equal_methods_have_no_interval_and_too_little_data_is_an_error() -> None:
    assert image_interval(correct("10", "10"), correct("10", "10")) is None
    for one, other in (
        (correct("10"), correct("10", "10")),
        (correct("10", "10"), correct("101", "101")),
        (correct("1", "0"), correct("1", "1")),
    ):
        with pytest.raises(ValueError, match="two common seeds"):
            image_interval(one, other)


def studies(count: int, *, seeds: int, images: int = 2000) -> list[tuple[Correct, Correct]]:
    """Return simulated studies without any gain on the population of images.

    An image is classified correctly if its ease + effect of the seed + noise is above 0. The method changes the ease of
    each image by a normal amount with a standard deviation of 0.6, and by as much on the whole as keeps the accuracy.
    """
    draw = np.random.default_rng(seeds)
    plain, changed = (1.5**2 + 1 + 0.03**2) ** 0.5, (1.5**2 + 0.6**2 + 1 + 0.03**2) ** 0.5
    result = []
    for _ in range(count):
        ease = draw.normal(1.5, 1.5, images)
        easier = ease + draw.normal(1.5 * (changed / plain - 1), 0.6, images)
        runs = [
            value + draw.normal(0, 0.03, (seeds, 1)) + draw.normal(0, 1, (seeds, images)) > 0
            for value in (easier, ease)
        ]
        result.append((dict(enumerate(runs[0])), dict(enumerate(runs[1]))))
    return result


def test_the_simulated_methods_are_equally_accurate_on_the_population() -> None:
    plain, changed = (1.5**2 + 1 + 0.03**2) ** 0.5, (1.5**2 + 0.6**2 + 1 + 0.03**2) ** 0.5
    mean = 1.5 + 1.5 * (changed / plain - 1)
    assert NormalDist().cdf(1.5 / plain) == pytest.approx(NormalDist().cdf(mean / changed))


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "covered_by_seeds"), [(5, 0.95), (10, 0.93), (30, 0.8)])
def test_it_covers_the_gain_on_the_population_where_the_interval_over_seeds_does_not(
    seeds: int, covered_by_seeds: float
) -> None:
    covered, over_seeds = list[bool](), list[bool]()
    for one, other in studies(2000, seeds=seeds):
        result = image_interval(one, other)
        assert result is not None
        covered.append(result.low <= 0 <= result.high)
        differences = [100.0 * (one[seed].mean() - other[seed].mean()) for seed in one]
        student = ttest_1samp(differences, 0).confidence_interval()
        over_seeds.append(bool(student.low <= 0 <= student.high))
    assert 0.93 <= np.mean(covered) <= 0.97
    assert np.mean(over_seeds) < covered_by_seeds
