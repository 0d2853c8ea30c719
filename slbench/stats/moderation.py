"""Variances of one contrast in several cells, moderated towards each other by empirical Bayes.

With three seeds a variance has two degrees of freedom, and Student's t pays for that with wide intervals. Where the
same contrast is seen in several cells (backbones, data sets, settings), their variances are taken as draws from a
scaled inverse chi-squared law, whose scale and weight are estimated from the variances themselves. Different contrasts
are never mixed: methods correlate unequally over seeds, so that a variance common to all contrasts does not cover.

Source: Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3(1), article 3, sections 4 to 6 (the "moderated t").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# Largest weight of the prior, in degrees of freedom of one cell: for simultaneous and for plain intervals.
PRIOR_WEIGHT, PLAIN_WEIGHT = 3, 30
ROUNDING = 1e-18  # points squared; a smaller variance is rounding error


@dataclass(frozen=True)
class Variance:
    """A variance and the degrees of freedom it rests on."""

    value: float
    df: float


# The prior of each variance (scale, weight) under a limit of the weight; None: PRIOR_WEIGHT.
Priors = Callable[[Sequence[Variance], float | None], Sequence[Variance]]


def moderated(
    variances: Sequence[Variance], priors_of: Priors | None = None, limit: float | None = None
) -> list[Variance]:
    """Return the posterior variances (d0 s0^2 + d s^2) / (d0 + d), each with d0 + d degrees of freedom.

    The degrees of freedom never exceed the sum over all cells. A single cell, and cells without spread, keep their own
    variance.

    Args:
        variances: of the same contrast in each cell.
        priors_of: estimator of the priors; None: `common_prior`.
        limit: of the weight of the prior, in degrees of freedom of one cell; None: PRIOR_WEIGHT.
    """
    usable = [variance for variance in variances if variance.value > ROUNDING and variance.df > 0]
    if len(usable) < 2:
        return list(variances)
    priors = iter((priors_of or common_prior)(usable, limit))
    most = sum(variance.df for variance in usable)
    return [
        posterior(variance, next(priors), most, limit) if variance in usable else variance for variance in variances
    ]


def posterior(own: Variance, prior: Variance, most: float, limit: float | None = None) -> Variance:
    """Return one variance moderated towards the prior; at most `most` degrees of freedom."""
    weight = min(prior.df, (limit or PRIOR_WEIGHT) * own.df)
    value = (weight * prior.value + own.df * own.value) / (weight + own.df)
    return Variance(value, min(weight + own.df, most))


def common_prior(variances: Sequence[Variance], limit: float | None = None) -> list[Variance]:
    """Return `estimate_prior` for each of the variances."""
    return [estimate_prior(variances, limit)] * len(variances)


def estimate_prior(variances: Sequence[Variance], limit: float | None = None) -> Variance:
    """Return scale and weight (as degrees of freedom) of the prior.

    The weight follows Smyth's moments of log variances, up to `limit` times the degrees of freedom of one cell.
    PRIOR_WEIGHT is ours: the strict levels of many contrasts look far into the tails, where a few variances cannot
    show that they are equal. Without it 6 to 14 of 100 families of 15 or 60 contrasts without effects say better or
    worse at two and three seeds if the logarithms of the spreads have a standard deviation of .4; with it 0 to 6, and
    intervals are 0 to 9 % wider (`make bench-verdict`). A plain interval does not look as far: PLAIN_WEIGHT limits
    little, and its coverage is .94 to .97 for normal noise, where PRIOR_WEIGHT gives up to .99 (20 cells, two seeds).

    The scale is the mean of the variances, weighted by degrees of freedom, in place of Smyth's geometric one: over the
    two to ten cells of an ablation the latter covers .91 to .94 of a promised .95 at two and three seeds, the mean .944
    to .963 (normal noise, equal spreads and spreads that differ as above).
    """
    import numpy as np

    values = np.array([variance.value for variance in variances])
    scale, weight = priors(values, np.array([variance.df for variance in variances], dtype=float), limit)
    return Variance(float(scale), float(weight))


def priors(values: "Array", df: "Array", limit: float | None = None) -> "tuple[Array, Array]":
    """Return scales and weights of many priors; see `estimate_prior`.

    Args:
        values: variances (..., cells).
        df: their degrees of freedom (cells).
    """
    import numpy as np
    from scipy.special import polygamma

    most = (limit or PRIOR_WEIGHT) * df.max()
    scale = (values * df).sum(axis=-1) / df.sum()
    excess = unbiased_logs(values, df).var(axis=-1, ddof=1) - polygamma(1, df / 2).mean()
    weight = np.full(excess.shape, most)
    light = excess > polygamma(1, most / 2)  # trigamma decreases: all others are above the limit
    weight[light] = 2 * inverse_trigamma(excess[light])
    return scale, weight


def unbiased_logs(values: "Array", df: "Array") -> "Array":
    """Return the logarithms of variances less the expectation of log(s^2 / sigma^2)."""
    import numpy as np
    from scipy.special import digamma

    return np.asarray(np.log(values) - (digamma(df / 2) - np.log(df / 2)))


def inverse_trigamma(values: "Array") -> "Array":
    """Return the x > 0 with trigamma(x) = value, by Newton's method on 1 / trigamma, which is almost linear."""
    import numpy as np
    from scipy.special import polygamma

    x = 0.5 + 1 / np.asarray(values, dtype=float)
    for _ in range(50):
        now = polygamma(1, x)
        step = now * (1 - now / values) / polygamma(2, x)
        x = x + step
        if (np.abs(step) < 1e-10 * x).all():
            break
    return x
