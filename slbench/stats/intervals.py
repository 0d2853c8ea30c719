"""Quantile of Student's t for intervals of means over seeds.

Quantiles come from scipy.special, which imports faster than scipy.stats.
"""

LEVEL = 0.95


def t_bound(freedom: float, level: float) -> float:
    """Return the two-sided quantile of |t| at this level."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))
