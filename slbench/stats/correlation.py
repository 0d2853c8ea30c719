"""Correlation of two methods over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import correlation as pearson

Z95 = 1.959963984540054  # two-sided normal quantile


@dataclass(frozen=True)
class Correlation:
    """Pearson's correlation with its 95 % interval."""

    value: float
    low: float
    high: float


def correlation(pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    """Return the correlation of pairs; None for fewer than four, constant or collinear values.

    The interval is Fisher's: normal in atanh(r) with standard error 1 / sqrt(n - 3) (Fisher 1921, Metron 1).
    """
    ones, others = [one for one, _ in pairs], [other for _, other in pairs]
    if len(pairs) < 4 or len(set(ones)) == 1 or len(set(others)) == 1:
        return None
    value = pearson(ones, others)
    if abs(value) > 1 - 1e-12:  # accuracies on a line, such as those of networks that compute the same
        return None
    centre, half = math.atanh(value), Z95 / math.sqrt(len(pairs) - 3)
    return Correlation(value, math.tanh(centre - half), math.tanh(centre + half))
