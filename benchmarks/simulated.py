"""Simulated studies of the 2x2 as arrays, and their intervals and verdicts.

`slbench.contrasts` judges one study in a few milliseconds; here thousands are judged at once. Only the arithmetic of
`slbench.stats.judge`, `moderation` and `sequential` is repeated for arrays; levels come from `slbench.stats`. A test
compares the results with those of `slbench.contrasts`.

Axes of all arrays: study, contrast (spt, lsa, both against none), cell (backbone on a data set), seed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma, stdtrit

from slbench.stats.moderation import PRIOR_WEIGHT, Variance
from slbench.stats.moderation import moderated as moderated_by
from slbench.stats.robust_prior import robust_priors

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
LAWS = ("normal", "skewed", "t(3)", "10 % bad runs")
METHODS = ("none", "spt", "lsa", "both")
CONTRASTS = METHODS[1:]
PAIR, OTHER = 0.95, 0.3  # correlation over seeds of none with lsa and spt with both, and of all other methods


def noise(law: str, source: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return noise with mean 0 and variance 1; a bad run lies six standard deviations of the others below them."""
    if law == "normal":
        return np.asarray(source.normal(size=shape))
    if law == "skewed":
        return np.asarray(source.exponential(size=shape) - 1)
    if law == "t(3)":
        return np.asarray(source.standard_t(3, size=shape) / 3**0.5)
    bad = source.random(shape) < 0.1
    return np.asarray((source.normal(size=shape) - 6 * bad + 0.6) / (1 + 0.09 * 36) ** 0.5)


def differences(
    source: np.random.Generator,
    shape: tuple[int, int, int],
    law: str = "normal",
    *,
    unequal: float = 0.0,
    missing: float = 0.0,
) -> Array:
    """Return differences to none without a true effect; NaN where one of the two runs is missing.

    Args:
        shape: studies, cells, seeds.
        unequal: standard deviation of the logarithms of the cells' spreads.
        missing: share of runs that are missing.
    """
    studies, cells, seeds = shape
    share = OTHER / PAIR
    common = source.normal(size=(studies, 1, cells, seeds))
    group = noise(law, source, (studies, 2, cells, seeds))
    shared = share**0.5 * common + (1 - share) ** 0.5 * group
    runs = PAIR**0.5 * shared[:, [0, 1, 0, 1]] + (1 - PAIR) ** 0.5 * noise(law, source, (studies, 4, cells, seeds))
    runs *= np.exp(source.normal(0, unequal, (studies, 1, cells, 1)))
    runs[source.random(runs.shape) < missing] = np.nan
    return np.asarray(runs[:, 1:] - runs[:, :1])


def differences_like(source: np.random.Generator, shape: tuple[int, int, int], covariance: Array) -> Array:
    """Return normal differences to none with the covariance of the four methods' accuracies."""
    studies, cells, seeds = shape
    runs = np.linalg.cholesky(covariance) @ source.normal(size=(studies, cells, seeds, 4, 1))
    return np.moveaxis(runs[..., 1:, 0] - runs[..., :1, 0], 3, 1)


@dataclass(frozen=True)
class Prior:
    """Scale, weight and degrees of freedom of all cells, by study and contrast; weight 0 for fewer than two cells."""

    scale: Array
    weight: Array
    most: Array


@dataclass(frozen=True)
class Spread:
    """Variance of a contrast and its degrees of freedom, by cell; NaN for fewer than two seeds."""

    variance: Array
    df: Array


def own_spread(values: Array) -> Spread:
    """Return the variance over the seeds of each cell."""
    df = np.isfinite(values).sum(axis=-1) - 1.0
    squares = np.nansum((values - means(values)[..., None]) ** 2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Spread(np.where(df > 0, squares / df, np.nan), np.where(df > 0, df, np.nan))


def means(values: Array) -> Array:
    """Return the means over the available seeds; NaN without one."""
    count = np.isfinite(values).sum(axis=-1)
    return np.asarray(np.where(count, np.nansum(values, axis=-1) / np.maximum(count, 1), np.nan))


def prior_of(own: Spread, limit: float = PRIOR_WEIGHT) -> Prior:
    """Return what `moderation.estimate_prior` gives for each contrast of each study.

    Args:
        limit: of the weight, in degrees of freedom of one cell.
    """
    half, cells = own.df / 2, np.isfinite(own.df).sum(axis=-1, keepdims=True)
    most = np.nansum(own.df, axis=-1, keepdims=True)
    scale = np.nansum(own.variance * own.df, axis=-1, keepdims=True) / np.maximum(most, 1)
    logs = np.log(own.variance) - (digamma(half) - np.log(half))
    centre = np.nansum(logs, axis=-1, keepdims=True) / np.maximum(cells, 1)
    between = np.nansum((logs - centre) ** 2, axis=-1, keepdims=True) / np.maximum(cells - 1, 1)
    excess = between - np.nansum(polygamma(1, half), axis=-1, keepdims=True) / np.maximum(cells, 1)
    largest = limit * np.nanmax(np.nan_to_num(own.df), axis=-1, keepdims=True)
    weight = np.where(excess > 0, 2 * inverse_trigamma(np.maximum(excess, 1e-9)), np.inf)
    return Prior(scale, np.where(cells > 1, np.minimum(weight, largest), 0.0), most)


def inverse_trigamma(value: Array) -> Array:
    """Return `moderation.inverse_trigamma` of arrays."""
    x = 0.5 + 1 / value
    for _ in range(12):
        now = polygamma(1, x)
        x = x + now * (1 - now / value) / polygamma(2, x)
    return np.asarray(x)


def moderate(own: Spread, prior: Prior, extra: float = 0.0, limit: float = PRIOR_WEIGHT) -> Spread:
    """Return variances moderated towards the prior.

    Args:
        extra: seeds of each cell beyond those that the prior rests on.
        limit: of the prior's weight, in degrees of freedom of one cell.
    """
    weight = np.minimum(prior.weight, limit * own.df)
    df = weight + own.df
    variance = (weight * prior.scale + own.df * own.variance) / df
    most = np.where(prior.weight > 0, prior.most + extra, np.inf)
    return Spread(variance, np.minimum(df, most))


def spread_of(values: Array, *, moderated: bool, limit: float = PRIOR_WEIGHT) -> Spread:
    """Return the spreads on which a fixed design's intervals rest.

    Args:
        limit: of the prior's weight, in degrees of freedom of one cell.
    """
    own = own_spread(values)
    return moderate(own, prior_of(own, limit), limit=limit) if moderated else own


def robust_spread_of(values: Array, limit: float = PRIOR_WEIGHT) -> Spread:
    """Return the spreads of `variance = "robust"`, see `spread_of`; no run is missing."""
    own = own_spread(values)
    found = np.empty((2, *own.df.shape))
    for place in np.ndindex(own.df.shape[:2]):
        cells = [Variance(*each) for each in zip(own.variance[place].tolist(), own.df[place].tolist(), strict=True)]
        found[:, *place] = np.transpose([(each.value, each.df) for each in moderated_by(cells, robust_priors, limit)])
    return Spread(*found)


def half_width(spread: Spread, count: Any, level: Any) -> Array:
    """Return half the width of Student intervals of means over `count` seeds."""
    return np.asarray(stdtrit(spread.df, (1 + level) / 2) * np.sqrt(spread.variance / count))


@dataclass(frozen=True)
class Verdicts:
    """Verdicts on comparisons; those within the margin count as better or worse."""

    better: Mask
    worse: Mask
    equivalent: Mask

    @property
    def decided(self) -> Mask:
        return np.asarray(self.better | self.worse | self.equivalent)


def verdicts(estimate: Array, half: Array, *, margin: float, equivalence_half: Array | None = None) -> Verdicts:
    """Return `slbench.stats.verdict` of intervals.

    Args:
        equivalence_half: half the width of another interval for equivalence.
    """
    better, worse = estimate > half, estimate < -half
    inside = np.abs(estimate) + (half if equivalence_half is None else equivalence_half) < margin
    return Verdicts(better, worse, inside & ~better & ~worse)


def sequential_verdicts(
    values: Array, *, first: int, level: float, margin: float, equivalence_level: float | None = None
) -> tuple[Verdicts, Array]:
    """Return the verdicts of a seed rule, and the seeds at which each comparison stops.

    Args:
        values: up to the rule's largest number of seeds, without missing runs.
        first: seeds of every cell.
        level: of the interval of each analysis, `SequentialDesign.interval_level`.
        equivalence_level: of another interval for equivalence.
    """
    last, prior = values.shape[-1], prior_of(own_spread(values[..., :first]))
    stopped, found = np.full(values.shape[:3], float(last)), np.zeros((3, *values.shape[:3]), dtype=bool)
    for n in range(first, last + 1):
        spread = moderate(own_spread(values[..., :n]), prior, extra=n - first)
        half, inner = (half_width(spread, n, each) for each in (level, equivalence_level or level))
        now = verdicts(means(values[..., :n]), half, margin=margin, equivalence_half=inner)
        new = now.decided & ~found.any(axis=0)
        stopped[new] = n
        found |= new & np.stack([now.better, now.worse, now.equivalent])
    return Verdicts(*found), stopped
