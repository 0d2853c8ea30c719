"""Quantile of Student's t for intervals of means over seeds, and the interval of a proportion.

Quantiles come from scipy.special, which imports faster than scipy.stats.
"""

import math
from statistics import NormalDist

LEVEL = 0.95


def t_bound(freedom: float, level: float) -> float:
    """Return the two-sided quantile of |t| at this level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def wilson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the bounds of Wilson's interval of a proportion.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
