"""Level of each interim analysis of sequential t tests, and coverage at stopping."""

from typing import Any

import numpy as np
import pytest
from scipy.special import stdtr

from slbench.stats.intervals import t_bound
from slbench.stats.pocock import chance_to_cross, sequential_level
from slbench.stats.simultaneous import sidak_level
from slbench.study import SeedRule

# The 5 % quantile of the lowest p value in 2,000,000 simulated studies; it has a standard error of some 0.5 %.
LEVELS = {(2, 3): 0.0278, (2, 10): 0.0099, (3, 5): 0.0230, (3, 10): 0.0120, (5, 10): 0.0174, (5, 20): 0.0098}
RULE = SeedRule(min=3, max=10, until="decided")
Array = np.ndarray[Any, np.dtype[np.float64]]


def p_values(differences: Array, rule: SeedRule) -> Array:
    """Return the p values of the paired t test per study and look, for differences (study, seed)."""
    looks = []
    for n in range(rule.min, rule.max + 1):
        first = differences[:, :n]
        looks.append(2 * stdtr(n - 1, -np.abs(first.mean(axis=1) / first.std(axis=1, ddof=1) * n**0.5)))
    return np.stack(looks, axis=1)


def studies(count: int, *, effect: float = 0.0, seed: int = 1) -> Array:
    """Return differences of two methods (study, seed), in standard deviations."""
    return np.random.default_rng(seed).normal(effect, 1, (count, RULE.max))


def stopped_at(differences: Array, level: float) -> Array:
    """Return the seeds of each study at the first p value below the level, else the last."""
    below = p_values(differences, RULE) < level
    return np.where(below.any(axis=1), RULE.min + below.argmax(axis=1), RULE.max)


def coverage(differences: Array, seeds: Array, level: float, truth: float) -> float:
    """Return how often the t interval over the seeds of each study contains the true value."""
    within = [
        abs(line[:n].mean() - truth) <= t_bound(n - 1, level) * line[:n].std(ddof=1) / n**0.5
        for line, n in zip(differences, seeds.tolist(), strict=True)
    ]
    return float(np.mean(within))


@pytest.mark.parametrize(
    ("looks", "level"),
    [pytest.param(*entry, marks=() if entry[0] in ((2, 3), (3, 5)) else pytest.mark.slow) for entry in LEVELS.items()],
)
def test_the_level_of_each_look_equals_the_simulated_one(looks: tuple[int, int], level: float) -> None:
    assert sequential_level(*looks, 0.05) == pytest.approx(level, rel=0.015)


def test_the_error_rate_of_two_looks_equals_a_geometric_integral() -> None:
    """Three differences without a mean are a random direction; t is large near that of (1, 1, 0), or of (1, 1, 1)."""
    level = 0.03
    cosines = [
        bound / (n - 1 + bound**2) ** 0.5 for n, bound in ((2, t_bound(1, 1 - level)), (3, t_bound(2, 1 - level)))
    ]
    angles = (np.arange(4000) + 0.5) / 4000 * np.pi / 2  # from (1, 1, 0) towards (1, -1, 0)
    heights = (np.arange(4000) + 0.5) / 2000 - 1  # along (0, 0, 1), uniform on a sphere
    flat = np.cos(angles)[:, None] * np.sqrt(1 - heights**2)
    passed = (np.cos(angles)[:, None] > cosines[0]) | (np.abs(2**0.5 * flat + heights) / 3**0.5 > cosines[1])
    assert chance_to_cross(level, 2, 3) == pytest.approx(passed.mean(), abs=5e-5)


@pytest.mark.parametrize("n", [2, 3, 7, 30])
def test_the_error_rate_of_a_single_look_is_its_level(n: int) -> None:
    assert chance_to_cross(0.03, n, n) == pytest.approx(0.03, abs=1e-5)
    assert sequential_level(n, n, 0.05) == pytest.approx(0.05)


@pytest.mark.parametrize("error", [1e-12, 1e-4, 0.9999])
def test_any_error_rate_has_a_level(error: float) -> None:
    assert error / 2 <= sequential_level(3, 4, error) * 1.00001 < error * 1.00002


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 60])
def test_the_level_of_a_small_error_rate_is_that_of_a_finer_integration(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = 1 - sidak_level(0.95, count)
    level = sequential_level(3, 10, error)
    monkeypatch.setattr("slbench.stats.pocock.NODES", 801)
    monkeypatch.setattr("slbench.stats.pocock.POINTS", 128)
    assert chance_to_cross(level, 3, 10) == pytest.approx(error, rel=0.003)


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 15, 60])
def test_the_level_of_a_small_error_rate_equals_the_simulated_one(count: int) -> None:
    error, crossed, draw = 1 - sidak_level(0.95, count), 0, np.random.default_rng(count)
    level = sequential_level(3, 10, error)
    for _ in range(20):
        crossed += int((p_values(draw.normal(0, 1, (100_000, 10)), RULE).min(axis=1) < level).sum())
    assert crossed / 2_000_000 == pytest.approx(error, abs=4 * (error / 2_000_000) ** 0.5)


def test_the_level_decreases_with_the_looks_and_exceeds_that_of_bonferroni() -> None:
    levels = {last: sequential_level(3, last, 0.05) for last in (3, 4, 5, 10)}
    assert list(levels.values()) == sorted(levels.values(), reverse=True)
    assert all(0.05 / (last - 2) < level < 0.05 for last, level in levels.items() if last > 3)


@pytest.mark.parametrize(("first", "last"), [(2, 4), pytest.param(3, 10, marks=pytest.mark.slow), (5, 9)])
def test_the_integral_equals_a_simulation(first: int, last: int) -> None:
    rule = SeedRule(min=first, max=last, until="decided")
    lowest = p_values(np.random.default_rng(last).normal(0, 3, (60_000, last)), rule).min(axis=1)
    for level in (0.05, 0.02, 0.005):
        chance = chance_to_cross(level, first, last)
        assert (lowest < level).mean() == pytest.approx(chance, abs=4 * (chance / 60_000) ** 0.5)


def test_naive_stopping_has_an_error_rate_of_17_percent_and_the_rule_of_5() -> None:
    equal = studies(40_000)
    lowest = p_values(equal, RULE).min(axis=1)
    assert (lowest < 0.05).mean() == pytest.approx(0.167, abs=0.01)
    assert (lowest < sequential_level(3, 10, 0.05)).mean() == pytest.approx(0.05, abs=0.005)


def test_a_95_percent_interval_after_naive_stopping_covers_83_percent() -> None:
    equal = studies(20_000)
    assert coverage(equal, stopped_at(equal, 0.05), 0.95, 0.0) == pytest.approx(0.833, abs=0.01)


@pytest.mark.parametrize(
    "effect", [0.0, *(pytest.param(effect, marks=pytest.mark.slow) for effect in (0.3, 1.5, 4.0)), 0.7]
)
def test_the_reported_interval_covers_after_sequential_stopping(effect: float) -> None:
    drawn = studies(20_000, effect=effect)
    level = sequential_level(3, 10, 0.05)
    seeds = stopped_at(drawn, level)
    assert coverage(drawn, seeds, 1 - level, effect) > 0.945


@pytest.mark.parametrize("effect", [0.0, 0.7])
def test_the_interval_of_a_comparison_without_influence_on_stopping_covers(effect: float) -> None:
    stopping = studies(20_000, effect=effect)
    other = 0.8 * (stopping - effect) + 0.6 * studies(20_000, seed=2)
    level = sequential_level(3, 10, 0.05)
    assert coverage(other, stopped_at(stopping, level), 1 - level, 0.0) > 0.945
