"""Prior of variances that a few outlying cells do not determine, and less weight of it for those cells.

A backbone whose gains vary far more than those of the others widens every interval and gets one that is too narrow
itself. Here the prior is estimated from log variances whose tails are cut off (Winsorized), and each cell's weight
falls with the probability that it is an outlier.

Source: Phipson et al. 2016, Ann. Appl. Stat. 10(2), sections 3 and 4, and the defaults of limma's squeezeVar(robust =
TRUE): 5 % of the lower and 10 % of the upper tail are cut off. Of fewer than ten cells none would be, so that the
estimate is Smyth's.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from slbench.stats.moderation import Priors, Variance, common_prior, inverse_trigamma, unbiased_logs
from slbench.stats.settings import VarianceKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TAILS = (0.05, 0.1)  # shares of the lowest and the highest variances that are cut off
MIN_CELLS = 10  # of which a tail has one
NODES = 128  # of each integral over probabilities
SMALLEST_TAIL = 1e-12  # of a variance whose degrees of freedom are changed


def robust_priors(variances: Sequence[Variance], limit: float | None = None) -> list[Variance]:
    """Return the prior of each of several variances: one scale, and the weight for that cell in degrees of freedom.

    Args:
        variances: of the same contrast in each cell, all above zero.
        limit: of the weight where `common_prior` is used.
    """
    import numpy as np

    if len(variances) < MIN_CELLS:
        return common_prior(variances, limit)
    plain, df = smyth_prior(variances), max(variance.df for variance in variances)
    logs = np.log([at_df(variance, plain, df) for variance in variances])
    low, high = np.quantile(logs, [TAILS[0], 1 - TAILS[1]])
    cut = np.clip(logs, low, high)
    weight = weight_of(float(cut.var(ddof=1)), df, least=plain.df)
    scale = math.exp(float(cut.mean()) - winsorized_moments(df, weight)[0])
    return [Variance(scale, float(each)) for each in weights(np.exp(logs) / scale, df, weight)]


def smyth_prior(variances: Sequence[Variance]) -> Variance:
    """Return Smyth's prior: scale and weight by the moments of log variances, both without a limit of the weight."""
    import numpy as np
    from scipy.special import digamma, polygamma

    values, df = (np.array([getattr(each, name) for each in variances], dtype=float) for name in ("value", "df"))
    logs = unbiased_logs(values, df)
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2).mean())
    if excess <= 0:
        return Variance(float(values.mean()), math.inf)
    half = float(inverse_trigamma(np.array([excess]))[0])
    return Variance(math.exp(float(logs.mean() + digamma(half))) / half, 2 * half)


def at_df(variance: Variance, prior: Variance, df: float) -> float:
    """Return the variance of `df` degrees of freedom at the same quantile of its F distribution under a prior."""
    import numpy as np

    if variance.df == df:
        return variance.value
    tail = max(f_tail(variance.value / prior.value, variance.df, prior.df), SMALLEST_TAIL)
    return prior.value * float(f_quantiles(np.array([1 - tail]), df, prior.df)[0])


def weight_of(variance_of_logs: float, df: float, *, least: float) -> float:
    """Return the weight under which Winsorized log variances have a given variance; infinite if none is so small."""
    from scipy.optimize import brentq

    if math.isinf(least) or variance_of_logs <= winsorized_moments(df, math.inf)[1]:
        return math.inf

    def excess(share: float) -> float:  # the weight is share / (1 - share)
        return math.log(variance_of_logs / winsorized_moments(df, share / (1 - share) if share < 1 else math.inf)[1])

    start = least / (1 + least)
    return least if excess(start) >= 0 else from_share(float(brentq(excess, start, 1.0, xtol=1e-8)))


def from_share(share: float) -> float:
    return share / (1 - share) if share < 1 else math.inf


def winsorized_moments(df: float, weight: float) -> tuple[float, float]:
    """Return mean and variance of log F(df, weight), cut off at the quantiles of TAILS.

    Both are integrals of the quantile function over probabilities.
    """
    import numpy as np

    nodes, shares = gauss()
    low, high = TAILS[0], 1 - TAILS[1]
    logs = np.log(f_quantiles(np.concatenate([low + (high - low) * nodes, [low, high]]), df, weight))
    shares = np.concatenate([(high - low) * shares, TAILS])
    mean = float(logs @ shares)
    return mean, float((logs - mean) ** 2 @ shares)


@cache
def gauss() -> "tuple[Array, Array]":
    """Return nodes and weights of Gauss and Legendre between 0 and 1."""
    import numpy as np

    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    return (1 + nodes) / 2, shares / 2


def weights(ratios: "Array", df: float, weight: float) -> "Array":
    """Return the weight of the prior for each cell: less for those above what their number lets expect.

    The probability that the k-th highest of n is no outlier is its tail probability over its expected one, (k - 1/2) /
    n. An outlier has the weight under which the highest would be the median; with an infinite weight, that of all cells
    together times the probability. No cell has more weight than one that lies lower.

    Args:
        ratios: variances over the scale of the prior.
    """
    import numpy as np

    order = np.argsort(-ratios, kind="stable")  # the highest first
    tails = np.array([f_tail(float(ratio), df, weight) for ratio in ratios[order]])
    regular = np.minimum(tails / ((np.arange(len(ratios)) + 0.5) / len(ratios)), 1)
    if (regular == 1).all():
        return np.full(len(ratios), weight)
    if math.isinf(weight):
        ranked = np.maximum.accumulate(np.where(regular < 1, regular * df * len(ratios), np.inf))
    else:
        outlying = outlying_weight(float(ratios.max()), df, weight)
        ranked = regular * weight + (1 - regular) * outlying
        averages = ranked.cumsum() / np.arange(1, len(ratios) + 1)
        lowest = int(averages.argmin())
        ranked[: lowest + 1] = averages[lowest]
        ranked = np.maximum.accumulate(ranked)
    found = np.empty(len(ratios))
    found[order] = ranked
    return found


def outlying_weight(highest: float, df: float, weight: float) -> float:
    """Return about the weight under which the highest ratio is the median, by two steps on the log of its tail."""
    for _ in range(2):
        tail = f_tail(highest, df, weight)
        if tail == 0:
            return 0.0
        weight *= math.log(0.5) / math.log(tail)
    return weight


def f_tail(ratio: float, df: float, weight: float) -> float:
    """Return the probability that F(df, weight) is above a ratio; the weight may be infinite."""
    from scipy.special import chdtrc, fdtrc

    return float(chdtrc(df, df * ratio) if math.isinf(weight) else fdtrc(df, weight, ratio))


def f_quantiles(probabilities: "Array", df: float, weight: float) -> "Array":
    """Return quantiles of F(df, weight); the weight may be infinite."""
    import numpy as np
    from scipy.special import chdtri, fdtri

    return np.asarray(
        chdtri(df, 1 - probabilities) / df if math.isinf(weight) else fdtri(df, weight, probabilities), dtype=np.float64
    )


PRIORS: Mapping[VarianceKind, Priors] = {"moderated": common_prior, "robust": robust_priors}
