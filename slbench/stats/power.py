"""Power of paired t tests: seeds needed, smallest detectable effect; limit of rank tests."""

from collections.abc import Sequence
from functools import cache

LEVEL = 0.95
POWER = 0.8  # default
MAX_SEEDS = 1000


def seeds_needed(std: float, effect: float, *, level: float = LEVEL, power: float = POWER) -> int | None:
    """Return the seeds that a paired t test needs to detect an effect; None above MAX_SEEDS.

    Args:
        std: of the paired differences.
    """
    if std == 0 or effect == 0:
        return None
    first = 2
    while first <= MAX_SEEDS:  # in stretches, since few are usually needed and scipy returns nan for large shifts
        stretch = range(first, min(2 * first, MAX_SEEDS + 1))
        sufficient = [
            n for n, reached in zip(stretch, powers(abs(effect) / std, stretch, level), strict=True) if reached >= power
        ]
        if sufficient:
            return sufficient[0]
        first = stretch.stop
    return None


def powers(size: float, numbers: Sequence[int], level: float) -> list[float]:
    """Return the two-sided power of each number of seeds for an effect in standard deviations."""
    import numpy as np
    from scipy.special import stdtrit
    from scipy.stats import nct

    n = np.asarray(numbers, dtype=float)
    bound, shift = stdtrit(n - 1, (1 + level) / 2), size * np.sqrt(n)
    wrong_side = np.nan_to_num(nct.cdf(-bound, n - 1, shift))  # scipy returns nan for some values below 1e-10
    return [float(power) for power in nct.sf(bound, n - 1, shift) + wrong_side]


def smallest_effect(std: float, n: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """Return the smallest true difference that a paired t test of n seeds detects; inverse of `seeds_needed`.

    Args:
        std: of the paired differences; the result has its unit.
        n: seeds, two or more.
    """
    return std * smallest_size(n, level, power)


@cache
def smallest_size(n: int, level: float, power: float) -> float:
    """Return the smallest effect that n seeds detect, in standard deviations of the paired differences."""
    if n < 2:
        raise ValueError(f"detecting an effect needs at least two seeds (got {n})")
    low, high = 0.0, 1.0
    while powers(high, [n], level)[0] < power:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if powers(middle, [n], level)[0] >= power else (middle, high)
    return high


def smallest_rank_p(n: int) -> float:
    """Return the lowest two-sided p value of a rank or sign test of n paired seeds: 2 / 2 ** n."""
    return 2.0 ** (1 - n)


def rank_test_sentence(n: int) -> str:
    """Return a sentence on the lowest p value of a rank test."""
    lowest, seeds = smallest_rank_p(n), f"{n} paired seed{'' if n == 1 else 's'}"
    if lowest > 1 - LEVEL:
        return f"With {seeds} a rank test cannot go below p = {lowest:.4g}, so none is reported."
    return f"With {seeds} a rank test can reach p = {lowest:.4g}."
