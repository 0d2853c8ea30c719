"""Median-unbiased estimates after sequential stopping.

A comparison that stops because its difference looks large has, on average, overestimated it. The estimate here starts
from the effect, in standard deviations, under which results above and below the observed one are equally likely.
Results are ordered by stage: "better" above everything else, earlier above later, "worse" mirrored, and by the t
statistic within a stage; results that are equivalent or not decided lie between, ordered by their effect. Points follow
from the observed standard deviation over its median at stopping under that effect. Probabilities and medians are those
of a simulation with fixed random numbers and normal noise.

Simulated for 3 to 10 seeds and one comparison, in standard deviations: median bias of the mean and of this estimate
+.005 and +.003 at a true effect of .3, +.010 and +.009 at .5, +.032 and +.008 at .8, +.039 and -.008 at 1.2, +.023 and
-.023 at 2. Neither is unbiased among the decided comparisons alone: at .5 their medians are .99 and .95.

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
STAGE = 1e12  # distance between two stages in the order of results; above any t


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

    std = math.sqrt(spread.value)
    observed, _ = boundary.score(np.array(estimate / std), np.array(1.0), n)
    effect, usual_std = effect_of(float(observed), boundary)
    return effect * std / usual_std


@cache
def effect_of(observed: float, boundary: Boundary) -> tuple[float, float]:
    """Return the effect under which half of the results lie above the observed one, and the median std at stopping.

    Both in true standard deviations.
    """
    import numpy as np

    def is_too_low(effect: float) -> bool:
        return float((simulated(effect, boundary)[0] < observed).mean()) > 0.5

    low, high = -1.0, 1.0
    while not is_too_low(low):
        low *= 2
    while is_too_low(high):
        high *= 2
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if is_too_low(middle) else (low, middle)
    return high, float(np.median(simulated(high, boundary)[1]))


def simulated(effect: float, boundary: Boundary) -> "tuple[Array, Array]":
    """Return score and standard deviation of each simulated study when it stops."""
    import numpy as np

    means, squares, prior = draws(boundary)
    scores, stds, going = np.zeros(STUDIES), np.zeros(STUDIES), np.ones(STUDIES, dtype=bool)
    for n in range(boundary.first, boundary.last + 1):
        std = np.sqrt((prior + squares[n - 1]) / (boundary.prior_df + n - 1))
        score, stops = boundary.score(means[n - 1] + effect, std, n)
        ending = going & stops
        scores[ending], stds[ending] = score[ending], std[ending]
        going &= ~stops
    return scores, stds


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
