"""Simulation: family-wise error and coverage of the seed rule, for several laws of noise and sizes of the family.

Noise is shared by the methods of a seed, so that none and lsa, spt and both correlate by .95 over seeds, the others by
.3. Every cell (backbone on a data set) has the contrasts of spt, lsa and both against none.
"""

from typing import Any

import numpy as np
import pytest
from scipy.special import stdtrit

from slbench.stats.contrast import Contrast
from slbench.stats.moderation import Variance, priors
from slbench.stats.sequential import SequentialDesign, Series, interim_analyses, priors_of
from slbench.stats.settings import Statistics
from slbench.study import SeedRule

RULE = SeedRule(min=3, max=10, until="decided")
LAWS = ("normal", "skewed", "t(3)", "10 % bad runs")
METHODS = ("none", "spt", "lsa", "both")
CELLS = {1: 1, 3: 1, 6: 2, 15: 5, 60: 20}  # by contrasts of the family
Array = np.ndarray[Any, np.dtype[np.float64]]


def noise(law: str, draw: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return noise with mean 0 and variance 1."""
    if law == "normal":
        return np.asarray(draw.normal(size=shape))
    if law == "skewed":
        return np.asarray(draw.exponential(size=shape) - 1)
    if law == "t(3)":
        return np.asarray(draw.standard_t(3, size=shape) / 3**0.5)
    return np.asarray((draw.normal(size=shape) - 6 * (draw.random(shape) < 0.1) + 0.6) / (1 + 0.09 * 36) ** 0.5)


def differences(count: int, law: str, studies: int, *, unequal: float, seeds: int = RULE.max, random: int = 0) -> Array:
    """Return differences to none without a true effect: study, contrast, cell, seed.

    Args:
        unequal: standard deviation of the logarithm of a cell's spread.
    """
    draw, cells = np.random.default_rng([count, LAWS.index(law), random]), CELLS[count]
    share = 0.3 / 0.95
    common, group = draw.normal(size=(studies, cells, 1, seeds)), noise(law, draw, (studies, cells, 2, seeds))
    shared = share**0.5 * common + (1 - share) ** 0.5 * group
    runs = 0.95**0.5 * shared[:, :, [0, 1, 0, 1]] + 0.05**0.5 * noise(law, draw, (studies, cells, 4, seeds))
    runs *= np.exp(draw.normal(0, unequal, (studies, cells, 1, 1)))
    contrasts: Array = np.stack([runs[:, :, method] - runs[:, :, 0] for method in (1, 2, 3)], axis=1)
    return contrasts[:, : count // cells]


def simulated(values: Array, design: SequentialDesign) -> tuple[Array, Array]:
    """Return the seeds at which each comparison stops as better or worse, else the last, and which of them do."""
    rule, (studies, contrasts, cells, _) = design.rule, values.shape
    count = np.arange(1, rule.max + 1)
    mean = values.cumsum(axis=-1) / count
    squares = (values**2).cumsum(axis=-1) - count * mean**2
    scale, weight = np.zeros((studies, contrasts, 1)), np.zeros((studies, contrasts, 1))
    if cells > 1:
        df = np.full(cells, rule.min - 1.0)
        scale, weight = (each[..., None] for each in priors(squares[..., rule.min - 1] / df, df))
    stopped, wrong = np.full(values.shape[:3], rule.max), np.zeros(values.shape[:3], dtype=bool)
    for n in range(rule.min, rule.max + 1):
        df = weight + n - 1
        variance = (weight * scale + squares[..., n - 1]) / df
        df = np.minimum(df, cells * (rule.min - 1) + n - rule.min)
        new = (np.abs(mean[..., n - 1]) > stdtrit(df, (1 + design.interval_level) / 2) * np.sqrt(variance / n)) & ~wrong
        stopped[new], wrong[new] = n, True
    return stopped, wrong


def test_the_simulation_of_arrays_stops_like_interim_analyses() -> None:
    design = SequentialDesign(RULE, 15, Statistics(margin=1e-6))
    values = differences(15, "normal", 12, unequal=0.4) + 1.5
    stopped, decided = simulated(values, design)
    assert 30 < decided.sum() < 165
    for study, contrast in np.ndindex(12, 3):
        cells = [
            {"spt": dict(enumerate(line)), "none": dict.fromkeys(range(10), 0.0)}
            for line in values[study, contrast].tolist()
        ]
        found = interim_analyses(Contrast(method="spt", reference="none"), cells, design)
        assert [each.n for each in found] == stopped[study, contrast].tolist()
        assert [each.state == "decided" for each in found] == decided[study, contrast].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("count", "unequal", "studies"),
    [
        (1, 0.0, 8000),
        (3, 0.0, 8000),
        (6, 0.4, 6000),
        (15, 0.0, 4000),
        (15, 0.4, 4000),
        (60, 0.0, 2000),
        (60, 0.4, 2000),
    ],
)
def test_the_family_wise_error_of_the_rule(law: str, count: int, unequal: float, studies: int) -> None:
    """Without true effects a comparison that says better or worse is one whose interval at stopping does not cover."""
    design = SequentialDesign(RULE, count)
    _, wrong = simulated(differences(count, law, studies, unequal=unequal), design)
    error = wrong.any(axis=(1, 2)).mean()
    print(f"{law}, {count} contrasts, unequal {unequal}: error {error:.3f}, coverage {1 - wrong.mean():.4f}")
    assert error <= 0.06 + 2 * (0.05 * 0.95 / studies) ** 0.5
    assert 1 - wrong.mean() >= 0.95 ** (1 / count) - 0.01


@pytest.mark.slow
def test_without_a_limit_of_the_priors_weight_the_rule_errs_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.stats.moderation.PRIOR_WEIGHT", 1e9)
    _, wrong = simulated(differences(60, "normal", 1000, unequal=0.4), SequentialDesign(RULE, 60))
    assert wrong.any(axis=(1, 2)).mean() > 0.12


def test_variances_without_a_prior_are_those_of_the_cell() -> None:
    one, two, equal = (
        Series(((3, values),), "undecided", 10) for values in ((1.0, 2.0, 4.0), (0.0, 2.0, 5.0), (1.0, 1.0, 1.0))
    )
    assert priors_of([one, equal], "moderated") == [None, None]
    prior, none, _ = priors_of([one, equal, two], "moderated")
    assert none is None and prior is not None and prior.variance.df <= 10
    assert prior.moderate((1.0, 1.0, 1.0), one.first) is None
    assert isinstance(prior.moderate((1.0, 2.0, 4.0), one.first), Variance)
