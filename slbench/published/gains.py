"""Judge a published gain or accuracy, which comes from single runs, by several runs of ours.

A published gain is the difference of one run of a method and one run of the plain backbone. Even a perfect replication
differs from it by the spread of single runs, which no number of seeds of ours removes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, variance
from typing import Literal

from slbench.stats.intervals import t_bound
from slbench.stats.moderation import ROUNDING, Variance, moderated
from slbench.stats.verdict import verdict
from slbench.text import signed

MAX_BORROWED = 3  # times the degrees of freedom of a prediction's own variance
GainVerdict = Literal["consistent", "inconsistent", "inconclusive"]
AccuracyVerdict = Literal["within", "outside", "undecided"]


@dataclass(frozen=True)
class ReproducedGain:
    """A published gain over the plain backbone, with the verdict on it."""

    published: float  # in points, of single runs
    ours: float | None  # mean over the common seeds; None without two of them
    low: float | None  # prediction interval of the published gain; None without a spread
    high: float | None
    verdict: GainVerdict
    reason: str  # in a few words

    @property
    def text(self) -> str:
        """The gain with ours and the verdict, such as "+3.11 (+2.95: consistent)"."""
        ours = "" if self.ours is None else f"{signed(self.ours)}: "
        return f"{signed(self.published)} ({ours}{self.verdict})"


@dataclass(frozen=True)
class Prediction:
    """Mean of ours over n seeds, and the variance of a single run from which a published number is predicted."""

    mean: float
    n: int
    spread: Variance | None  # per run: the prediction has this variance times 1 + 1 / n; None without spread

    def interval(self, level: float) -> tuple[float, float]:
        """Return the prediction interval of a published number; NaN without a spread.

        mean ± t sqrt(v (1 + 1/n)), with Student's t at the degrees of freedom of v. Source: Hahn and Meeker 1991,
        Statistical Intervals, section 4.
        """
        if self.spread is None:
            return math.nan, math.nan
        half = t_bound(self.spread.df, level) * math.sqrt(self.spread.value * (1 + 1 / self.n))
        return self.mean - half, self.mean + half

    def limit(self, level: float) -> float:
        """Return the half width of the interval that any number of seeds approaches, at the same spread."""
        return math.nan if self.spread is None else t_bound(math.inf, level) * math.sqrt(self.spread.value)


def predict_gain(method: Mapping[int, float], base: Mapping[int, float]) -> Prediction | None:
    """Return our gain as a prediction of a published one; None with fewer than two common seeds.

    The published gain is a difference of two runs that share nothing with ours and are not taken to be paired with
    each other; our mean gain is paired. The variance of their difference is s_m^2 + s_b^2 + s_d^2 / n, from the
    variances of the method, of the base, and of our n paired differences. That is tr(A S), with S the covariance matrix
    of method and base over the seeds and A = I + (1, -1)(1, -1)' / n. For normal runs with covariance C it has the
    variance 2 tr(A C A C) / (n - 1), so that its degrees of freedom are estimated by (n - 1) tr(A S)^2 / tr(A S A S):
    n - 1 for methods that move together, up to 2 (n - 1) for independent ones. Source: Satterthwaite 1946, Biometrics
    Bulletin 2, with the moments of the Wishart distribution.

    Args:
        method, base: best test accuracies by seed, in %.
    """
    import numpy as np

    seeds = sorted(method.keys() & base.keys())
    n = len(seeds)
    if n < 2:
        return None
    values = np.array([[side[seed] for seed in seeds] for side in (method, base)])
    signs = np.array([1.0, -1.0])
    product = (np.eye(2) + np.outer(signs, signs) / n) @ np.cov(values)
    total, square = float(np.trace(product)), float(np.trace(product @ product))
    spread = Variance(total / (1 + 1 / n), (n - 1) * total**2 / square) if total > ROUNDING else None
    return Prediction(float(signs @ values.mean(axis=1)), n, spread)


def predict_accuracy(method: Mapping[int, float]) -> Prediction | None:
    """Return our accuracy as a prediction of a published one; None with fewer than two seeds.

    Args:
        method: best test accuracies by seed, in %.
    """
    n = len(method)
    if n < 2:
        return None
    spread = variance(method.values())
    return Prediction(mean(method.values()), n, Variance(spread, n - 1) if spread > ROUNDING else None)


def with_moderated_spreads(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions of the same method in several cells, with variances moderated towards each other.

    Degrees of freedom grow at most to MAX_BORROWED times a prediction's own: without that limit, spreads that differ
    between data sets (log sd 0.4) make .13 of 20-cell studies with three seeds call a true gain inconsistent, with it
    .03.
    """
    known = [prediction.spread for prediction in predictions if prediction.spread is not None]
    spreads = iter(
        Variance(spread.value, min(spread.df, MAX_BORROWED * own.df))
        for own, spread in zip(known, moderated(known), strict=True)
    )
    return [
        prediction if prediction.spread is None else replace(prediction, spread=next(spreads))
        for prediction in predictions
    ]


def judge_gain(published: float, low: float, high: float, *, margin: float) -> GainVerdict:
    """Return the verdict on a published gain.

    Inconsistent: outside the prediction interval. Consistent: inside, and the interval tells something: it leaves out
    zero, so that no gain at all would have been inconsistent, or lies within the margin around zero, so that any gain
    of note would have been. Inconclusive: inside, but so would be other gains of note, or no interval.

    Args:
        low, high: prediction interval of the published gain, in points.
        margin: largest gain without practical meaning, in points.
    """
    if published < low or published > high:
        return "inconsistent"
    return "inconclusive" if verdict(low, high, margin=margin) == "undecided" else "consistent"


def judge_accuracy(published: float, low: float, high: float, *, margin: float) -> AccuracyVerdict:
    """Return whether a published accuracy is within the margin of ours: by the whole interval of their difference.

    Within: the interval of published - ours lies inside the margin; outside: it lies beyond it; else undecided.

    Args:
        low, high: prediction interval of the published accuracy, in %.
        margin: in points.
    """
    smallest, largest = published - high, published - low
    if -margin < smallest and largest < margin:
        return "within"
    return "outside" if smallest > margin or largest < -margin else "undecided"


def accuracy_verdict(
    published: float, ours: Prediction | None, *, margin: float, level: float
) -> tuple[AccuracyVerdict, str]:
    """Return the verdict on a published accuracy, and the reason."""
    if ours is None or ours.spread is None:
        return "undecided", "one seed has no interval" if ours is None else "no spread over the seeds"
    low, high = ours.interval(level)
    verdict = judge_accuracy(published, low, high, margin=margin)
    text = f"published less ours {published - high:+.2f} to {published - low:+.2f}, margin {margin:g}"
    if verdict == "undecided" and ours.limit(level) >= margin:
        text += f"; no number of seeds decides it, since single runs differ by up to {ours.limit(level):.2f}"
    return verdict, text


def gain_verdict(
    published: float, ours: Prediction | None, *, margin: float, level: float, withheld: str = ""
) -> ReproducedGain:
    """Return a published gain with ours and the verdict on it.

    Args:
        withheld: why there is no verdict but "inconclusive"; empty if there may be one.
    """
    if withheld:
        mean_gain = None if ours is None else ours.mean
        return ReproducedGain(published, mean_gain, None, None, "inconclusive", withheld)
    if ours is None:
        reason = "fewer than two seeds in common with the plain backbone"
        return ReproducedGain(published, None, None, None, "inconclusive", reason)
    if ours.spread is None:
        return ReproducedGain(published, ours.mean, None, None, "inconclusive", "no spread over the seeds")
    low, high = ours.interval(level)
    verdict = judge_gain(published, low, high, margin=margin)
    reason = f"ours {ours.mean:+.2f} ({ours.n} seeds), predicts {low:+.2f} to {high:+.2f} for a gain of single runs"
    if verdict == "inconclusive":
        reason += f", 0 among them; {prospect(published, ours.limit(level), margin=margin)}"
    return ReproducedGain(published, ours.mean, low, high, verdict, reason)


def prospect(published: float, limit: float, *, margin: float) -> str:
    """Return whether more seeds can decide on a published gain.

    Args:
        limit: half width of the prediction interval with any number of seeds, in points.
    """
    if limit < max(abs(published), margin - abs(published)):
        return f"more seeds narrow this to ±{limit:.2f} at best"
    return f"no number of seeds decides it, since gains of single runs differ by up to {limit:.2f}"
