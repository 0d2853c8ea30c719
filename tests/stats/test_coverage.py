"""Simulation: 95 % intervals cover the true value in 93 to 97 % of studies.

The effect of a seed is shared by the methods of a study (their correlation is 0.9). Random numbers are fixed.
"""

from collections.abc import Callable

import numpy as np
import pytest

from slbench.stats.factorial import (
    METHODS_2X2,
    Effect,
    factorial,
    factorial_over,
    gain,
    over_backbones_at_large,
    over_these_backbones,
)
from slbench.stats.intervals import Interval, mean_interval, paired_difference

SHARED_STD, RUN_STD = 0.9, 0.3  # standard deviations over seeds, in points
TRUTH = {"none": 73.8, "spt": 76.3, "lsa": 74.9, "both": 76.9}  # arXiv:2112.13492, Table 5
SPT, LSA, INTERACTION = 2.25, 0.85, -0.5
BOOTSTRAPPED = 25  # seeds

Grid = dict[str, dict[int, float]]


def grids(studies: int, seeds: int, *, random: int = 0, shift: float = 0.0) -> list[Grid]:
    """Return accuracies by method and seed of `studies` studies; `shift` is added to "both"."""
    draw = np.random.default_rng([random, seeds])
    shared = draw.normal(0, SHARED_STD, (studies, 1, seeds))
    values = np.array([*TRUTH.values()])[None, :, None] + shared + draw.normal(0, RUN_STD, (studies, 4, seeds))
    values[:, 3] += shift
    return [
        {method: dict(enumerate(line)) for method, line in zip(METHODS_2X2, study, strict=True)}
        for study in values.tolist()
    ]


def covered(intervals: list[Interval | None], truth: float) -> float:
    return float(np.mean([interval.low <= truth <= interval.high for interval in intervals if interval is not None]))


@pytest.fixture
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.stats.intervals.DRAWS", 999)


def check(interval_of: Callable[[Grid], Interval | None], truth: float, *, seeds: int, studies: int) -> None:
    intervals = [interval_of(grid) for grid in grids(studies, seeds)]
    assert {interval.method for interval in intervals if interval} == {"bootstrap" if seeds >= 20 else "t"}
    assert len(intervals) == studies
    assert 0.93 < covered(intervals, truth) < 0.97


SEEDS = [(2, 2000), (3, 2000), (5, 2000), (10, 2000), pytest.param(BOOTSTRAPPED, 2000, marks=pytest.mark.slow)]


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize(("seeds", "studies"), SEEDS)
def test_the_interval_of_a_mean_covers(seeds: int, studies: int) -> None:
    check(lambda grid: mean_interval([*grid["lsa"].values()]), TRUTH["lsa"], seeds=seeds, studies=studies)


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize(("seeds", "studies"), SEEDS)
def test_the_interval_of_a_paired_difference_covers(seeds: int, studies: int) -> None:
    check(lambda grid: paired_difference(grid["lsa"], grid["none"]).interval, 1.1, seeds=seeds, studies=studies)


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize(("seeds", "studies"), SEEDS)
def test_the_intervals_of_the_three_effects_cover(seeds: int, studies: int) -> None:
    result = [factorial(grid) for grid in grids(studies, seeds)]
    assert 0.93 < covered([effects.spt.interval for effects in result], SPT) < 0.97
    assert 0.93 < covered([effects.lsa.interval for effects in result], LSA) < 0.97
    assert 0.93 < covered([effects.interaction.interval for effects in result], INTERACTION) < 0.97


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize(("seeds", "studies"), [(3, 2000), (10, 1000), pytest.param(25, 2000, marks=pytest.mark.slow)])
def test_the_intervals_of_these_backbones_cover_their_mean_effects(seeds: int, studies: int) -> None:
    backbones = [grids(studies, seeds, random=number, shift=number) for number in (1, 2, 3)]  # both gains 1, 2, 3 more
    result = [
        factorial_over({str(number): grid for number, grid in enumerate(study)}, pool=over_these_backbones)
        for study in zip(*backbones, strict=True)
    ]
    assert 0.93 < covered([effects.spt.interval for effects in result], SPT + 1) < 0.97
    assert 0.93 < covered([effects.lsa.interval for effects in result], LSA + 1) < 0.97
    assert 0.93 < covered([effects.interaction.interval for effects in result], INTERACTION + 2) < 0.97


def test_the_interval_of_these_backbones_covers_with_seed_effects_that_they_share() -> None:
    draw = np.random.default_rng(11)
    gains = 2.0 + draw.normal(0, 1, (3000, 1, 4)) + draw.normal(0, 0.5, (3000, 3, 4))
    result = pooled(gains, over_these_backbones)
    assert 0.93 < covered([effect.interval for effect in result], 2.0) < 0.97


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_interval_of_backbones_at_large_covers_the_population_mean(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    of_backbone = draw.normal(2.96, 1.2, (3000, 5, 1))
    result = pooled(of_backbone + draw.normal(0, 0.5, (3000, 5, seeds)), over_backbones_at_large)
    assert 0.93 < covered([effect.interval for effect in result], 2.96) < 0.97


def test_the_interval_of_these_backbones_does_not_cover_the_population_mean() -> None:
    draw = np.random.default_rng(5)
    of_backbone = draw.normal(2.96, 1.2, (1000, 5, 1))
    result = pooled(of_backbone + draw.normal(0, 0.5, (1000, 5, 5)), over_these_backbones)
    assert covered([effect.interval for effect in result], 2.96) < 0.8  # it estimates the mean of these backbones


def pooled(gains: np.ndarray, pool: Callable[..., Effect]) -> list[Effect]:
    """Return the effect of each study for gains with axes study, backbone and seed."""
    return [
        pool({str(number): dict(enumerate(by_seed)) for number, by_seed in enumerate(study)})
        for study in gains.tolist()
    ]


@pytest.mark.usefixtures("fewer_draws")
@pytest.mark.parametrize("values", [20, pytest.param(40, marks=pytest.mark.slow)])
def test_the_bootstrap_covers_from_its_smallest_number_of_seeds(values: int) -> None:
    drawn = np.random.default_rng(values).normal(0.4, 1.3, (1500, values))
    intervals = [mean_interval(line) for line in drawn.tolist()]
    assert {interval.method for interval in intervals} == {"bootstrap"}
    assert 0.93 < covered([*intervals], 0.4) < 0.97


def test_the_gain_of_one_backbone_equals_the_paired_difference() -> None:
    (grid,) = grids(1, 5)
    effect = over_these_backbones({"ViT": gain(grid["both"], grid["none"])})
    difference = paired_difference(grid["both"], grid["none"])
    assert (effect.estimate, effect.interval, effect.p_value) == (
        difference.estimate,
        difference.interval,
        difference.p_value,
    )
