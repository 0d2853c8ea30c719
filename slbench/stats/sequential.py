"""Sequential tests for adaptive seeds, with an overall error rate of 5 %.

Stopping when a 95 % interval excludes zero, after every seed from 3 to 10, has an error rate of 17 %. Here the interim
analyses after `min` to `max` paired seeds share one stricter level a', so that the overall error rate is 5 %: Pocock's
constant boundary, for Student's t. The interval at level 1 - a' is a repeated confidence interval: its coverage is 95 %
over all analyses jointly, hence at any stopping time, also for contrasts that did not determine the stopping.

Sources: Pocock 1977, Biometrika 64; Jennison and Turnbull 2000, Group Sequential Methods, chapters 2 and 9; Armitage,
McPherson and Rowe 1969, J. R. Stat. Soc. A 132, for the integration.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, Protocol

from slbench.stats.intervals import LEVEL, PairedDifference, Verdict, paired_difference, t_bound, t_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

NODES = 201  # of the interpolation over angles
POINTS = 64  # of each quadrature over the next difference
TAIL = 10.0  # standard deviations

State = Literal["decided", "undecided", "waiting"]


class StoppingRule(Protocol):
    """Test a comparison after each of `min` to `max` paired seeds until it is decided."""

    @property
    def min(self) -> int: ...

    @property
    def max(self) -> int: ...


@dataclass(frozen=True)
class InterimAnalysis:
    """State of a comparison under a stopping rule."""

    state: State  # undecided: after the last seed; waiting: for unfinished runs
    seeds: int  # requested of both methods so far
    difference: PairedDifference | None  # at the last analysis, at the rule's level; None before the first

    @property
    def verdict(self) -> Verdict:
        """Verdict of the last analysis."""
        return "undecided" if self.difference is None else self.difference.verdict


def interim_analysis(one: Mapping[int, float], other: Mapping[int, float], rule: StoppingRule) -> InterimAnalysis:
    """Return the state of the comparison of two methods from their accuracies by seed.

    The analyses of seeds 0 to n - 1 are repeated in order until one decides or a seed is missing, so neither the order
    in which runs finish nor later seeds matter.
    """
    difference = None
    for n in range(rule.min, rule.max + 1):
        if not all(seed in one and seed in other for seed in range(n)):
            return InterimAnalysis("waiting", n, difference)
        first = {seed: one[seed] for seed in range(n)}
        difference = sequential_difference(first, other, rule)
        if difference.verdict != "undecided":
            return InterimAnalysis("decided", n, difference)
    return InterimAnalysis("undecided", rule.max, difference)


def sequential_difference(
    one: Mapping[int, float], other: Mapping[int, float], rule: StoppingRule | None
) -> PairedDifference:
    """Return one - other over the common seeds at the rule's level; without a rule, at 95 %."""
    if rule is None:
        return paired_difference(one, other)
    return paired_difference(one, other, level=confidence(rule), interval=t_interval)


def confidence(rule: StoppingRule | None) -> float:
    """Return the level of each interval: 1 - a' under a rule, else 0.95."""
    return LEVEL if rule is None else 1 - sequential_level(rule.min, rule.max)


@cache
def sequential_level(first: int, last: int) -> float:
    """Return the two-sided level a' at which tests after `first`, ..., `last` seeds have an overall error rate of 5 %.

    Computed by integration; the error rate is exact to 0.002 points for 10 analyses, to 0.02 points for 100.
    """
    assert 2 <= first <= last, (first, last)
    if first == last:
        return 1 - LEVEL
    target = math.log(1 - LEVEL)
    one, other = target - math.log(last - first + 1), target  # log levels: Bonferroni, single analysis
    at_one = math.log(chance_to_cross(math.exp(one), first, last))
    while abs(other - one) > 1e-6:  # secant method; the logarithms are almost linear
        at_other = math.log(chance_to_cross(math.exp(other), first, last))
        slope = (at_other - at_one) / (other - one)
        one, at_one, other = other, at_other, other + (target - at_other) / slope
    return math.exp(other)


def chance_to_cross(level: float, first: int, last: int) -> float:
    """Return the error rate: the probability that any test after `first`, ..., `last` seeds is significant under H0.

    Write t of n differences as sqrt(n - 1) tan(a); a has density ~ cos(a) ** (n - 2). Let tan(b) be the next difference
    over the root of the sum of squares so far; then sin(a') = (sqrt(n) sin(a) cos(b) + sin(b)) / sqrt(n + 1), where b
    has density ~ cos(b) ** (n - 1) and, by rotational symmetry of the normal distribution, is independent of earlier
    angles. So the angles are a Markov chain, and the probability to stay below every bound is integrated backwards.
    """
    import numpy as np

    stay: Array = np.ones(NODES)  # probability of no later crossing, at angles from 0 to the bound of analysis n
    for n in range(last - 1, first - 1, -1):
        angles, further = np.linspace(0, bound(level, n), NODES), np.linspace(0, bound(level, n + 1), NODES)
        stay = uncrossed(n, angles, further, stay)
    angles = np.linspace(0, bound(level, first), NODES)
    return 1 - 2 * float(np.trapezoid(density(angles, first - 2) * stay, angles))


def bound(level: float, n: int) -> float:
    """Return the angle beyond which the paired t test of n seeds is significant."""
    return math.atan(t_bound(n - 1, 1 - level) / math.sqrt(n - 1))


def density(angles: "Array", power: int) -> "Array":
    """Return the density ~ cos(angle) ** power between -pi/2 and pi/2."""
    import numpy as np

    log_normalizer = math.log(math.pi) / 2 + math.lgamma((power + 1) / 2) - math.lgamma(power / 2 + 1)
    values: Array = np.cos(angles) ** power * math.exp(-log_normalizer)
    return values


def uncrossed(n: int, angles: "Array", further: "Array", stay: "Array") -> "Array":
    """Return the probability to stay below the bounds of analyses n + 1 and later, at each angle of analysis n.

    With u = b + f and tan(f) = sqrt(n) sin(a), sin(a') = R sin(u) / sqrt(n + 1), R = sqrt(1 + n sin(a) ** 2): the next
    analysis is below its bound for u around 0, and around pi, where an extreme difference inflates the spread.

    Args:
        further, stay: angles of analysis n + 1 up to its bound, and the probability from there on.
    """
    import numpy as np

    size, turn = np.sqrt(1 + n * np.sin(angles) ** 2), np.arctan(math.sqrt(n) * np.sin(angles))
    reach = np.arcsin(np.minimum(math.sqrt(n + 1) * math.sin(further[-1]) / size, 1))
    far = min(math.pi / 2, TAIL / math.sqrt(n))  # b has almost no density beyond
    nodes, weights = np.polynomial.legendre.leggauss(POINTS)
    total = np.zeros_like(angles)
    for low, high in ((-reach, reach), (math.pi - reach, math.pi + reach)):
        low, high = np.maximum(low, turn - far), np.minimum(high, turn + far)
        half = np.maximum(high - low, 0)[:, None] / 2
        u = low[:, None] + half * (1 + nodes)
        after = np.arcsin(np.minimum(np.abs(size[:, None] * np.sin(u)) / math.sqrt(n + 1), 1))
        total += (half * weights * density(u - turn[:, None], n - 1) * np.interp(after, further, stay)).sum(axis=1)
    return total
