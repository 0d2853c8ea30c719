"""The verdict on a contrast, from its simultaneous interval and the margin of equivalence."""

from typing import Literal

Verdict = Literal[
    "better", "worse", "better, within the margin", "worse, within the margin", "equivalent", "undecided", "withheld"
]


def verdict(low: float, high: float, *, margin: float) -> Verdict:
    """Return the verdict on a contrast.

    Better or worse: the interval excludes zero; "within the margin" is added if all of it lies inside the margin.
    Equivalent: it includes zero and lies inside the margin. Everything else, and an interval that is NaN, is undecided.

    Args:
        low, high: ends of the simultaneous interval, in points.
        margin: largest difference without practical meaning, in points; above 0.
    """
    inside = -margin < low and high < margin
    if low > 0:
        return "better, within the margin" if inside else "better"
    if high < 0:
        return "worse, within the margin" if inside else "worse"
    return "equivalent" if inside else "undecided"
