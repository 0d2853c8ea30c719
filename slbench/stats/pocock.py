"""Level of each interim analysis of a sequential t test, so that all of them together have a given error rate.

Pocock's boundary for Student's t: the analyses after `min` to `max` paired seeds share one level a'. Testing at 5 %
after every seed from 3 to 10 would err in 17 of 100 studies.

Sources: Pocock 1977, Biometrika 64; Jennison and Turnbull 2000, Group Sequential Methods, chapters 2 and 9; Armitage,
McPherson and Rowe 1969, J. R. Stat. Soc. A 132, for the integration.
"""

import math
from functools import cache
from typing import TYPE_CHECKING

from slbench.stats.intervals import t_bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

NODES = 201  # of the interpolation over angles
POINTS = 64  # of each quadrature over the next difference
TAIL = 10.0  # standard deviations


@cache
def sequential_level(first: int, last: int, error: float) -> float:
    """Return the two-sided level a' of tests after `first`, ..., `last` seeds that together have an error rate.

    Args:
        error: probability that any of the tests is significant without an effect, in (0, 1). The result keeps it to
            1 % of itself, from 0.0001 to 0.2 and up to 100 seeds.
    """
    assert 2 <= first <= last, (first, last)
    if first == last:
        return error
    from scipy.optimize import brentq

    def excess(log_level: float) -> float:
        return math.log(chance_to_cross(math.exp(log_level), first, last) / error)

    bonferroni, single = math.log(error / (last - first + 1)), math.log(error)  # analyses are dependent: between them
    if excess(bonferroni) >= 0:  # so small that the integral is too rough
        return math.exp(bonferroni)
    return math.exp(float(brentq(excess, bonferroni, single, xtol=1e-6)))


def chance_to_cross(level: float, first: int, last: int) -> float:
    """Return the error rate: the probability that any test after `first`, ..., `last` seeds is significant under H0.

    Write t of n differences as sqrt(n - 1) tan(a); a has density ~ cos(a) ** (n - 2). Let tan(b) be the next difference
    over the root of the sum of squares so far; then sin(a') = (sqrt(n) sin(a) cos(b) + sin(b)) / sqrt(n + 1), where b
    has density ~ cos(b) ** (n - 1) and, by rotational symmetry of the normal distribution, is independent of earlier
    angles. So the angles are a Markov chain, and the probability to cross a bound is integrated backwards. Crossing is
    integrated, not staying below: small error rates keep their digits.
    """
    import numpy as np

    cross: Array = np.zeros(NODES)  # probability of a later crossing, at the angles of analysis n
    for n in range(last - 1, first - 1, -1):
        cross = later_crossing(n, angles_of(level, n), angles_of(level, n + 1), cross)
    middles, weights = quadrature(0.0, bound(level, first))
    later = density(middles, first - 2) * np.interp(middles, angles_of(level, first), cross)
    return level + 2 * float((weights * later).sum())


def bound(level: float, n: int) -> float:
    """Return the angle beyond which the paired t test of n seeds is significant."""
    return math.atan(t_bound(n - 1, 1 - level) / math.sqrt(n - 1))


def angles_of(level: float, n: int) -> "Array":
    """Return angles from 0 to the bound of analysis n, closer together towards the bound."""
    import numpy as np

    return np.asarray(bound(level, n) * np.sin(np.linspace(0, np.pi / 2, NODES)))


def quadrature(low: float, high: float) -> "tuple[Array, Array]":
    """Return nodes and weights of an integral."""
    nodes, weights = gauss(4 * POINTS)
    return low + (high - low) * (1 + nodes) / 2, weights * (high - low) / 2


@cache
def gauss(points: int) -> "tuple[Array, Array]":
    """Return nodes and weights of Gauss and Legendre between -1 and 1; finding them takes as long as an integral."""
    import numpy as np

    return np.polynomial.legendre.leggauss(points)


def density(angles: "Array", power: int) -> "Array":
    """Return the density ~ cos(angle) ** power between -pi/2 and pi/2."""
    import numpy as np

    log_normalizer = math.log(math.pi) / 2 + math.lgamma((power + 1) / 2) - math.lgamma(power / 2 + 1)
    values: Array = np.abs(np.cos(angles)) ** power * math.exp(-log_normalizer)
    return values


def later_crossing(n: int, angles: "Array", further: "Array", cross: "Array") -> "Array":
    """Return the probability to cross the bound of analysis n + 1 or a later one, at each angle of analysis n.

    With u = b + f and tan(f) = sqrt(n) sin(a), sin(a') = R sin(u) / sqrt(n + 1), R = sqrt(1 + n sin(a) ** 2): the next
    analysis is below its bound for u around 0, and around pi, where an extreme difference inflates the spread, and
    beyond it between.

    Args:
        further, cross: angles of analysis n + 1 up to its bound, and the probability from there on.
    """
    import numpy as np

    size, turn = np.sqrt(1 + n * np.sin(angles) ** 2), np.arctan(math.sqrt(n) * np.sin(angles))
    reach = np.arcsin(np.minimum(math.sqrt(n + 1) * math.sin(further[-1]) / size, 1))
    far = min(math.pi / 2, TAIL / math.sqrt(n))  # b has almost no density beyond
    nodes, weights = gauss(POINTS)
    total = np.zeros_like(angles)
    for low, high, below in (
        (-reach, reach, True),
        (math.pi - reach, math.pi + reach, True),
        (reach, math.pi - reach, False),
        (reach - math.pi, -reach, False),
    ):
        low, high = np.maximum(low, turn - far), np.minimum(high, turn + far)
        half = np.maximum(high - low, 0)[:, None] / 2
        u = low[:, None] + half * (1 + nodes)
        values = density(u - turn[:, None], n - 1)
        if below:
            after = np.arcsin(np.minimum(np.abs(size[:, None] * np.sin(u)) / math.sqrt(n + 1), 1))
            values = values * np.interp(after, further, cross)
        total += (half * weights * values).sum(axis=1)
    return total
