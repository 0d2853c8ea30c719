"""The verdict on a contrast, from its simultaneous interval and the margin of equivalence."""

from typing import Literal

Verdict = Literal[
    "better", "worse", "better, within the margin", "worse, within the margin", "equivalent",
    "positive", "negative", "positive, within the margin", "negative, within the margin", "negligible",
    "undecided", "withheld",
]  # fmt: skip
SIGNS: dict[Verdict, Verdict] = {  # words for a trend or an interaction, which is not good or bad
    "better": "positive",
    "worse": "negative",
    "better, within the margin": "positive, within the margin",
    "worse, within the margin": "negative, within the margin",
    "equivalent": "negligible",
}


def verdict(low: float, high: float, *, margin: float, is_sign: bool = False) -> Verdict:
    """Return the verdict on a contrast.

    Better or worse: the interval excludes zero; "within the margin" is added if all of it lies inside the margin.
    Equivalent: it includes zero and lies inside the margin. Everything else, and an interval that is NaN, is undecided.

    Args:
        low, high: ends of the simultaneous interval, in points.
        margin: largest difference without practical meaning, in points; above 0.
        is_sign: say positive, negative and negligible; see `Contrast.is_sign`.
    """
    inside = -margin < low and high < margin
    found: Verdict = "equivalent" if inside else "undecided"
    if low > 0:
        found = "better, within the margin" if inside else "better"
    if high < 0:
        found = "worse, within the margin" if inside else "worse"
    return SIGNS.get(found, found) if is_sign else found
