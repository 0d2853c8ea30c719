"""Levels of single intervals that hold together over a family of contrasts.

Every contrast gets the same level and its own Student quantile. One critical value of |t| for contrasts with different
degrees of freedom would err in 7 to 10 of 100 families of 15 contrasts at three and two seeds.
"""

from collections.abc import Sequence

MIN_CORRELATION_DF = 10  # below, correlations between contrasts are too uncertain to use
DRAWS = 20_000  # simulated families


def sidak_level(level: float, count: int) -> float:
    """Return the level of each of `count` intervals that hold together with probability `level` or more.

    Exact for independent contrasts, and conservative for correlated two-sided t statistics (Sidak 1967, J. Am. Stat.
    Assoc. 62).
    """
    return float(level ** (1 / max(count, 1)))


def min_p_level(values: Sequence[Sequence[float]], *, level: float) -> float:
    """Return the level of each interval from the joint distribution of the smallest p value (Westfall and Young 1993).

    Families without any effect are simulated with the correlations of the given values over seeds, and normal noise.

    Args:
        values: of each contrast, over the same seeds.
    Raises:
        ValueError: for fewer than 11 seeds, or a contrast without spread.
    """
    import numpy as np
    from scipy.special import stdtr

    observed = np.asarray(values, dtype=float)
    count, seeds = observed.shape
    if seeds <= MIN_CORRELATION_DF:
        raise ValueError(f"correlations between contrasts need at least {MIN_CORRELATION_DF + 1} seeds (got {seeds})")
    if not (observed.std(axis=1) > 0).all():
        raise ValueError("a contrast has no spread over seeds")
    factor = np.linalg.cholesky(np.corrcoef(observed).reshape(count, count) + 1e-9 * np.eye(count))
    source, smallest = np.random.default_rng(0), np.empty(DRAWS)
    for first in range(0, DRAWS, 1000):
        noise = factor @ source.standard_normal((1000, count, seeds))
        t = noise.mean(axis=2) / noise.std(axis=2, ddof=1) * np.sqrt(seeds)
        smallest[first : first + 1000] = 2 * stdtr(seeds - 1, -np.abs(t)).min(axis=1)
    return float(1 - np.quantile(smallest, 1 - level))
