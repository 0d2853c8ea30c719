"""Averages that single bad runs move little."""

from collections.abc import Sequence
from statistics import mean


def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of the values, with ends weighted where a quarter is not whole.

    Source: Agarwal et al. 2021 (arXiv:2108.13264), who recommend it for few runs.
    """
    ordered, quarter = sorted(values), len(values) / 4
    weights = [min(1.0, max(0.0, min(i + 1, len(ordered) - quarter) - max(i, quarter))) for i in range(len(ordered))]
    total = sum(weights)
    return sum(w * v for w, v in zip(weights, ordered, strict=True)) / total if total else mean(ordered)
