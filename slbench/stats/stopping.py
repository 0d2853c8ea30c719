"""Median-unbiased estimates after sequential stopping.

A comparison that stops because its difference looks large has, on average, overestimated it. The estimate here is the
true difference under which results above and below the observed one are equally likely, where results are ordered by
stage: "better" above everything else, earlier above later, "worse" mirrored, and by the t statistic within a stage;
results that are equivalent or not decided lie between, ordered by their estimate in standard deviations.

The probabilities are those of a simulation with fixed random numbers, in units of the standard deviation, which is taken
as known at its estimate where it turns the margin and the result into points.

Source: Jennison and Turnbull 2000, Group Sequential Methods, chapter 8 (stage-wise ordering).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from slbench.stats.intervals import t_bound
from slbench.stats.moderation import Variance

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

STUDIES = 4000  # simulated
STAGE = 1e6  # distance between two stages in the order of results; far above any t
FARTHEST = 50.0  # largest effect that is looked for, in standard deviations


@dataclass(frozen=True)
class Boundary:
    """When a comparison stops, in standard deviations of its seeds.

    Args:
        first, last: seeds of the first and the last analysis.
        level: of the interval of each analysis.
        margin: of equivalence.
        prior_df: degrees of freedom of the variance beyond those of the comparison's own seeds.
    """

    first: int
    last: int
    level: float
    margin: float
    prior_df: float

    def score(self, estimate: "Array", std: "Array", n: int) -> "tuple[Array, np.ndarray]":
        """Return the place of results in the order, and which of them stop.

        Args:
            estimate, std: at the analysis of n seeds.
        """
        import numpy as np

        error = std / math.sqrt(n)
        half = t_bound(self.prior_df + n - 1, self.level) * error
        decided = np.abs(estimate) > half
        stage = np.where(decided, (self.last - n + 1) * STAGE, 0.0)
        score = np.where(decided, np.sign(estimate) * (stage + np.abs(estimate) / error), estimate / std)
        return score, decided | (np.abs(estimate) + half < self.margin) | (n == self.last)


def median_unbiased(estimate: float, n: int, spread: Variance, *, boundary: Boundary) -> float:
    """Return the median-unbiased estimate of a true difference, in the unit of the estimate.

    Args:
        estimate: mean of the n seeds at the last analysis.
        spread: variance at the last analysis.
        boundary: in units of its root.
    """
    import numpy as np
    from scipy.special import chdtri

    std = math.sqrt(spread.value)
    observed, _ = boundary.score(np.array(estimate / std), np.array(1.0), n)
    usual = math.sqrt(spread.df / float(chdtri(spread.df, 0.5)))  # a standard deviation is most often underestimated
    return solve(float(observed), boundary) * std * usual


@cache
def solve(observed: float, boundary: Boundary) -> float:
    """Return the effect, in standard deviations, under which half of the results lie above the observed one."""
    low, high = -FARTHEST, FARTHEST
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if chance_below(observed, middle, boundary) > 0.5 else (low, middle)
    return (low + high) / 2


def chance_below(observed: float, effect: float, boundary: Boundary) -> float:
    """Return the probability of a result below the observed one."""
    import numpy as np

    total, squares, prior = draws(boundary)
    scores, going = np.zeros(STUDIES), np.ones(STUDIES, dtype=bool)
    for n in range(boundary.first, boundary.last + 1):
        mean = total[n - 1] + effect
        own, df = squares[n - 1], boundary.prior_df
        score, stops = boundary.score(mean, np.sqrt((prior + own) / (df + n - 1)), n)
        scores[going & stops] = score[going & stops]
        going &= ~stops
    return float((scores < observed).mean())


@cache
def draws(boundary: Boundary) -> "tuple[Array, Array, Array]":
    """Return means and sums of squares after each seed (seed, study), and the prior's sum of squares."""
    import numpy as np

    source = np.random.default_rng(0)
    noise = source.standard_normal((boundary.last, STUDIES))
    count = np.arange(1, boundary.last + 1)[:, None]
    mean = noise.cumsum(axis=0) / count
    squares = (noise**2).cumsum(axis=0) - count * mean**2
    prior = source.chisquare(boundary.prior_df, STUDIES) if boundary.prior_df > 0.01 else np.zeros(STUDIES)
    return mean, squares, prior
