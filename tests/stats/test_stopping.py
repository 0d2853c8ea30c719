"""Median-unbiased estimates after sequential stopping."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from slbench.stats.moderation import Variance
from slbench.stats.pocock import sequential_level
from slbench.stats.stopping import STUDIES, Boundary, median_unbiased, simulated

BOUNDARY = Boundary(3, 10, level=1 - sequential_level(3, 10, 0.05), margin=0.05, prior_df=0.0)
Array = np.ndarray[Any, np.dtype[np.float64]]


def stopped_studies(effect: float, studies: int, boundary: Boundary) -> tuple[Array, Array, Array, Array]:
    """Return mean, standard deviation, score and seeds of each study at stopping, in true standard deviations."""
    values = np.random.default_rng(7).normal(effect, 1, (studies, boundary.last))
    mean, std, score, seeds = (np.zeros(studies) for _ in range(4))
    going = np.ones(studies, dtype=bool)
    for n in range(boundary.first, boundary.last + 1):
        now, spread = values[:, :n].mean(axis=1), values[:, :n].std(axis=1, ddof=1)
        placed, stops = boundary.score(now, spread, n)
        ending = going & stops
        mean[ending], std[ending], score[ending], seeds[ending] = now[ending], spread[ending], placed[ending], n
        going &= ~stops
    return mean, std, score, seeds


def inverted(score: Array, boundary: Boundary) -> tuple[Array, Array]:
    """Return the effect with median score and the usual standard deviation, for many scores at once."""
    grid = np.arange(-3, 12, 0.05)
    outcomes = [simulated(effect, boundary) for effect in grid]
    below = np.stack([np.searchsorted(np.sort(scores), score) / STUDIES for scores, _ in outcomes])
    effects = np.array([np.interp(-0.5, -line, grid) for line in below.T])
    return effects, np.interp(effects, grid, [np.median(stds) for _, stds in outcomes])


def test_at_the_first_analysis_nothing_is_adjusted() -> None:
    found = median_unbiased(3.0, 3, Variance(0.01, 2), boundary=BOUNDARY)
    assert found == pytest.approx(3.0, rel=0.03)
    extreme = median_unbiased(-10.0, 3, Variance(1e-6, 2), boundary=BOUNDARY)
    assert extreme == pytest.approx(-10.0, rel=0.03)


def test_a_later_decision_is_adjusted_towards_zero_and_the_sign_is_symmetric() -> None:
    found = median_unbiased(1.05, 10, Variance(1.0, 9), boundary=BOUNDARY)
    assert 0.5 < found < 1.0
    assert median_unbiased(-1.05, 10, Variance(1.0, 9), boundary=BOUNDARY) == pytest.approx(-found, abs=0.05)


def test_a_scale_of_the_values_scales_the_estimate() -> None:
    one = median_unbiased(1.05, 8, Variance(1.0, 7), boundary=BOUNDARY)
    assert median_unbiased(2.1, 8, Variance(4.0, 7), boundary=BOUNDARY) == pytest.approx(2 * one)


def test_an_equivalent_result_is_near_its_mean() -> None:
    wide = dataclasses.replace(BOUNDARY, margin=3.0, prior_df=6.0)
    assert median_unbiased(0.1, 4, Variance(1.0, 9), boundary=wide) == pytest.approx(0.1, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("effect", "bias_of_mean"), [(0.3, 0.005), (0.5, 0.010), (0.8, 0.032), (1.2, 0.039), (2.0, 0.023)]
)
def test_the_median_bias_is_small(effect: float, bias_of_mean: float) -> None:
    mean, std, score, seeds = stopped_studies(effect, 8000, BOUNDARY)
    effects, usual = inverted(score, BOUNDARY)
    adjusted = effects * std / usual
    decided = np.abs(score) > 1e6
    bias = [float(np.median(each)) - effect for each in (mean, effects, adjusted)]
    winners = [float(np.median(each[decided])) for each in (mean, adjusted)]
    print(f"effect {effect}: median bias of mean, effect in sd, adjusted: {np.round(bias, 3)}")
    print(
        f"decided {decided.mean():.2f}, medians of mean and adjusted: {np.round(winners, 2)}; seeds {seeds.mean():.1f}"
    )
    assert np.median(mean) - effect == pytest.approx(bias_of_mean, abs=0.012)
    assert abs(np.median(effects) - effect) < 0.02  # in standard deviations of the seeds: unbiased
    assert abs(np.median(adjusted) - effect) < 0.04
    assert np.median(adjusted[decided]) <= np.median(mean[decided])
    few = slice(0, 20)
    single = [
        median_unbiased(m, int(n), Variance(s * s, n - 1), boundary=dataclasses.replace(BOUNDARY, margin=0.05 / s))
        for m, s, n in zip(mean[few], std[few], seeds[few], strict=True)
    ]
    assert single == pytest.approx(adjusted[few], abs=0.08)
