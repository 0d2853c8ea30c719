"""Accuracies of real runs of the 2x2, and their spreads and correlations over seeds."""

import csv
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.special import chdtri

from benchmarks.simulated import METHODS, Array
from slbench.stats.correlation import correlation

ACCURACIES = Path(__file__).with_name("verdict_runs.csv")


def measured() -> dict[str, Array]:
    """Return the accuracies of the real runs by method, in order of their seeds."""
    lines = [line for line in ACCURACIES.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, dict[int, float]] = {method: {} for method in METHODS}
    for row in csv.DictReader(lines):
        found[row["method"]][int(row["seed"])] = float(row["final_test_top1"])
    return {method: np.array([values[seed] for seed in sorted(values)]) for method, values in found.items()}


def spread_rows(accuracies: dict[str, Array]) -> Iterator[tuple[str, ...]]:
    """Yield standard deviations of the methods and of their differences to none."""
    for method, values in accuracies.items():
        gain = values - accuracies["none"]
        difference = (f"{gain.mean():+.2f}", interval_of_std(gain)) if method != "none" else ("", "")
        yield method, str(values.size), f"{values.mean():.2f}", interval_of_std(values), *difference


def interval_of_std(values: Array) -> str:
    """Return a standard deviation with its 95 % interval (chi-squared)."""
    df, std = values.size - 1, float(values.std(ddof=1))
    low, high = (std * (df / chdtri(df, tail)) ** 0.5 for tail in (0.025, 0.975))
    return f"{std:.2f} ({low:.2f} to {high:.2f})"


def correlation_rows(accuracies: dict[str, Array]) -> Iterator[tuple[str, ...]]:
    """Yield the correlations of two methods over the seeds."""
    for one, other in combinations(METHODS, 2):
        found = correlation(list(zip(accuracies[one].tolist(), accuracies[other].tolist(), strict=True)))
        assert found is not None
        yield f"{one}, {other}", f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
