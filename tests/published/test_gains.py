"""Verdicts on published gains and accuracies: by hand, and in simulated studies."""

import math

import numpy as np
import pytest

from slbench.published.gains import (
    Prediction,
    accuracy_verdict,
    gain_verdict,
    judge_accuracy,
    judge_gain,
    predict_accuracy,
    predict_gain,
    with_moderated_spreads,
)
from slbench.stats.moderation import Variance
from slbench.stats.simultaneous import sidak_level
from tests.support import missing


def test_the_variance_of_a_gain_of_single_runs_adds_that_of_both_runs_and_of_our_mean() -> None:
    ours = predict_gain({0: 80.0, 1: 81.0, 2: 82.0, 9: 50.0}, {0: 70.0, 1: 70.0, 2: 73.0})
    assert ours is not None and ours.spread is not None
    assert (ours.mean, ours.n) == pytest.approx((10.0, 3))
    # variances 1 and 3, covariance 1.5, of the differences 10, 11, 9: 1
    assert ours.spread.value * (1 + 1 / 3) == pytest.approx(1 + 3 + 1 / 3)
    # A S = ((4 1 - 1.5, 4 1.5 - 3), (4 1.5 - 1, 4 3 - 1.5)) / 3 with A = ((4, -1), (-1, 4)) / 3
    square = (2.5**2 + 2 * 3 * 5 + 10.5**2) / 9
    assert ours.spread.df == pytest.approx(2 * (13 / 3) ** 2 / square)


def test_methods_that_move_together_have_fewer_degrees_of_freedom_than_independent_ones() -> None:
    base = dict(enumerate((1.0, 2.0, 4.0, 3.0)))
    together = predict_gain({seed: value + 5 for seed, value in base.items()}, base)
    apart = predict_gain({0: 2.0, 1: 4.0, 2: 3.0, 3: 1.0}, base)
    assert together is not None and together.spread is not None and together.spread.df == pytest.approx(3)
    assert apart is not None and apart.spread is not None and 3 < apart.spread.df <= 6


def test_a_prediction_needs_two_common_seeds_and_a_spread() -> None:
    assert predict_gain({0: 1.0, 1: 2.0}, {1: 1.0, 2: 1.0}) is None
    assert predict_accuracy({0: 1.0}) is None
    constant = predict_gain({0: 2.0, 1: 2.0}, {0: 1.0, 1: 1.0})
    assert constant is not None and constant.spread is None and math.isnan(constant.interval(0.95)[0])


@pytest.mark.parametrize(
    ("low", "high", "published", "expected"),
    [
        (1.0, 3.0, 2.0, "consistent"),
        (1.0, 3.0, 0.9, "inconsistent"),
        (1.0, 3.0, 3.1, "inconsistent"),
        (-0.5, 3.0, 2.0, "inconclusive"),  # no gain would have been inside too
        (-0.4, 0.3, 0.03, "consistent"),  # any gain of note would have been outside
        (-0.4, 0.3, 0.4, "inconsistent"),
        (-0.4, 0.6, 0.03, "inconclusive"),
        (-3.0, -1.0, -2.0, "consistent"),
        (math.nan, math.nan, 2.0, "inconclusive"),
    ],
)
def test_a_gain_is_consistent_inside_an_interval_that_tells_it_from_none(
    low: float, high: float, published: float, expected: str
) -> None:
    assert judge_gain(published, low, high, margin=0.5) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(79.5, 80.5, "within"), (79.5, 81.5, "undecided"), (81.5, 82.0, "outside"), (77.0, 78.5, "outside")],
)
def test_an_accuracy_is_within_the_margin_if_the_whole_interval_is(low: float, high: float, expected: str) -> None:
    assert judge_accuracy(80.0, low, high, margin=1.0) == expected


def test_reasons_say_whether_more_seeds_help() -> None:
    wide = Prediction(1.0, 3, Variance(0.2, 3.0))
    gain = gain_verdict(1.1, wide, margin=0.5, level=0.95)
    assert gain.verdict == "inconclusive"
    assert not missing(gain.reason, "+1.00", "3 seeds", "more seeds", f"±{1.96 * 0.2**0.5:.2f}")
    hopeless = gain_verdict(0.6, wide, margin=0.5, level=0.95)
    assert hopeless.verdict == "inconclusive" and "no number of seeds" in hopeless.reason
    verdict, reason = accuracy_verdict(80.0, Prediction(80.0, 3, Variance(0.5, 2)), margin=1.0, level=0.95)
    assert verdict == "undecided" and "no number of seeds" in reason


def test_moderation_over_cells_adds_at_most_twice_the_own_degrees_of_freedom() -> None:
    cells = [Prediction(1.0, 3, Variance(value, 2.0)) for value in (0.1, 0.11, 0.09, 0.1)]
    cells.insert(2, Prediction(1.0, 3, None))
    moderated = with_moderated_spreads(cells)
    assert moderated[2].spread is None
    assert [cell.spread.df for cell in moderated if cell.spread is not None] == [6.0] * 4


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 25])
def test_the_prediction_interval_of_an_accuracy_covers_another_run(seeds: int) -> None:
    inside = []
    for *ours, theirs in np.random.default_rng(seeds).normal(73.8, 0.9, (4000, seeds + 1)).tolist():
        prediction = predict_accuracy(dict(enumerate(ours)))
        assert prediction is not None
        low, high = prediction.interval(0.95)
        inside.append(low <= theirs <= high)
    assert 0.93 < np.mean(inside) < 0.97


def replications(
    studies: int, *, cells: int, seeds: int, gain: float, correlation: float, unequal: float = 0.0
) -> tuple[float, float]:
    """Return the share of cells called consistent, and of studies with a false "inconsistent", if ours are theirs.

    Args:
        unequal: standard deviation of the logarithms of the cells' spreads.
    """
    draw = np.random.default_rng([cells, seeds])
    consistent, false = 0, 0
    for _ in range(studies):
        spreads = 0.3 * np.exp(draw.normal(0, unequal, (cells, 1, 1)))
        shared = draw.normal(0, 1, (cells, 1, seeds)) * math.sqrt(correlation)
        runs = spreads * (shared + math.sqrt(1 - correlation) * draw.normal(0, 1, (cells, 2, seeds)))
        theirs = gain + spreads[:, 0, 0] * draw.normal(0, math.sqrt(2), cells)
        predictions = [predict_gain(dict(enumerate(gain + own)), dict(enumerate(base))) for own, base in runs]
        ours = with_moderated_spreads([prediction for prediction in predictions if prediction is not None])
        level = sidak_level(0.95, cells)
        verdicts = [
            judge_gain(published, *prediction.interval(level), margin=0.5)
            for published, prediction in zip(theirs, ours, strict=True)
        ]
        consistent += verdicts.count("consistent")
        false += "inconsistent" in verdicts
    return consistent / studies / cells, false / studies


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.95])
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(("gain", "share"), [(1.1, 0.0), (2.0, 0.8), (4.0, 0.9)])
def test_a_perfect_replication_is_consistent_where_single_runs_allow_it(
    gain: float, share: float, seeds: int, correlation: float
) -> None:
    for cells in (1, 20):
        studies = 4000 // cells + 1000
        consistent, false = replications(studies, cells=cells, seeds=seeds, gain=gain, correlation=correlation)
        assert false <= 0.06
        assert seeds < 5 or consistent >= share


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_twenty_true_gains_with_unequal_spreads_keep_the_error(seeds: int) -> None:
    _, false = replications(1500, cells=20, seeds=seeds, gain=2.0, correlation=0.3, unequal=0.4)
    assert false <= 0.06
