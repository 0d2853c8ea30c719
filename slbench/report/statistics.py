"""stub"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    estimate: float
    interval: Interval | None
    verdict: Literal["better", "worse", "undecided"]
    words: str


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> PairedDifference:
    import statistics

    from scipy.stats import t

    d = [a[s] - b[s] for s in a if s in b]
    m = statistics.mean(d)
    n = len(d)
    h = t.ppf(0.975, n - 1) * statistics.stdev(d) / n**0.5
    v = "better" if m - h > 0 else "worse" if m + h < 0 else "undecided"
    return PairedDifference(m, Interval(m - h, m + h), v, f"{m:+.2f} ({m - h:.2f} to {m + h:.2f})")
