"""What so many seeds can show: how many an effect takes, the smallest effect that shows, the limit of rank tests."""

from collections.abc import Sequence
from functools import cache

LEVEL = 0.95
POWER = 0.8  # with which so many seeds would show an effect
MAX_SEEDS = 1000


def seeds_needed(std: float, effect: float, *, level: float = LEVEL, power: float = POWER) -> int | None:
    """Seeds with which a paired t test shows an effect of this size with this power; None if no number seen here does.

    Args:
        std: of the paired differences, as far as it is known.
    """
    if std == 0 or effect == 0:
        return None
    first = 2
    while first <= MAX_SEEDS:  # by stretches: few are needed as a rule, and a large shift of many is no number
        stretch = range(first, min(2 * first, MAX_SEEDS + 1))
        shown = [
            n for n, reached in zip(stretch, powers(abs(effect) / std, stretch, level), strict=True) if reached >= power
        ]
        if shown:
            return shown[0]
        first = stretch.stop
    return None


def powers(size: float, numbers: Sequence[int], level: float) -> list[float]:
    """With which each number of seeds shows an effect of so many standard deviations, on either side."""
    import numpy as np
    from scipy.special import stdtrit
    from scipy.stats import nct

    n = np.asarray(numbers, dtype=float)
    bound, shift = stdtrit(n - 1, (1 + level) / 2), size * np.sqrt(n)
    wrong_side = np.nan_to_num(nct.cdf(-bound, n - 1, shift))  # scipy has no number for some below 1e-10
    return [float(power) for power in nct.sf(bound, n - 1, shift) + wrong_side]


def smallest_effect(std: float, n: int, *, level: float = LEVEL, power: float = POWER) -> float:
    """The smallest true difference that a paired t test of n seeds shows with this power: `seeds_needed` turned round.

    Args:
        std: of the paired differences; the result is in its unit.
        n: seeds, two or more.
    """
    return std * smallest_size(n, level, power)


@cache
def smallest_size(n: int, level: float, power: float) -> float:
    """The smallest effect that n seeds show, in standard deviations of the paired differences."""
    if n < 2:
        raise ValueError(f"an effect shows with two seeds or more, got {n}")
    low, high = 0.0, 1.0
    while powers(high, [n], level)[0] < power:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if powers(middle, [n], level)[0] >= power else (middle, high)
    return high


def smallest_rank_p(n: int) -> float:
    """The lowest two-sided p value that a rank or sign test of n paired seeds can give: 2 / 2 ** n."""
    return 2.0 ** (1 - n)


def rank_words(n: int) -> str:
    """What a rank test of so many seeds could say at best."""
    lowest, seeds = smallest_rank_p(n), f"{n} paired seed{'' if n == 1 else 's'}"
    if lowest > 1 - LEVEL:
        return f"With {seeds} a rank test cannot go below p = {lowest:.4g}, whatever the difference: none is claimed."
    return f"With {seeds} a rank test can go down to p = {lowest:.4g}."
