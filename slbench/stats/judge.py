"""Intervals and verdicts on contrasts of methods: the one table that every view of results can show."""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, variance
from typing import TYPE_CHECKING, Any, Literal

from slbench.errors import InputError
from slbench.stats.contrasts import Answer, Cell, Contrast, answers, cells, declared
from slbench.stats.intervals import t_bound
from slbench.stats.moderation import ROUNDING, Variance, moderated
from slbench.stats.simultaneous import MIN_CORRELATION_DF, min_p_level, sidak_level
from slbench.stats.verdict import Verdict, verdict
from slbench.text import choices, shown

if TYPE_CHECKING:
    import pandas as pd

    from slbench.stats.contrasts import BySeed

VARIANCES = ("moderated", "own")
FAILURES = ("withhold", "chance")
COLUMNS = (
    "backbone", "dataset", "setting", "contrast", "reference", "estimate", "low", "high", "low_plain", "high_plain",
    "level", "df", "n", "failed", "verdict", "family", "exploratory",
)  # fmt: skip


def contrasts(
    frame: "pd.DataFrame",
    *,
    contrasts: Sequence[Contrast | Mapping[str, Any]] | None = None,
    reference: str = "none",
    margin: float = 0.5,
    variance: Literal["moderated", "own"] = "moderated",
    failures: Literal["withhold", "chance"] = "withhold",
    level: float = 0.95,
) -> "pd.DataFrame":
    """Return one row per contrast of methods and cell: estimate, intervals and verdict.

    A contrast d_s is formed within each seed s, for example d_s = accuracy of spt with seed s - accuracy of none with
    seed s. Its estimate is the mean over the n common seeds, with standard error sqrt(v / n). The variance v is that of
    the d_s with n - 1 degrees of freedom ("own"), or is moderated towards the variance of the same contrast in the
    other cells, which adds degrees of freedom where these agree; see `slbench.stats.moderation` (Smyth 2004).

    `low_plain` to `high_plain` is the Student interval at `level` for this contrast alone. `low` to `high` holds
    jointly over the family: each contrast has the level 1 - a with its own Student quantile, where a is Sidak's
    1 - level ** (1 / m) for m contrasts, or, from 11 seeds common to all, the quantile of the smallest p value under
    the observed correlations (Westfall and Young 1993).

    Args:
        frame: runs as `slbench.load_runs` returns them; with a column `kind`, only runs of grids are used.
        contrasts: the questions of the study, the primary family: keys `method` and `reference`; or `effect` ("spt",
            "lsa" or "interaction" of the 2x2 of none, spt, lsa, both); or `method`, `trend` (a field such as
            "method.initial_temperature") and `scale` ("linear" or "log"), with or without `reference`. All other
            methods against `reference` follow as exploratory rows, a family of their own. None: every method
            against `reference` is primary.
        reference: method to compare with where a contrast names none.
        margin: largest difference in points without practical meaning; above 0. Of a trend over its whole range.
        variance: "moderated" or "own".
        failures: how diverged runs count. "withhold": they are left out, and there is no verdict where the methods of a
            contrast have different numbers of them; "chance": as the accuracy of guessing.
        level: joint confidence level of a family, in (0, 1).
    Returns:
        Columns `backbone`, `dataset`, `setting`, `contrast`, `reference`, `estimate`, `low`, `high`, `low_plain`,
        `high_plain` (points), `level` (of `low` to `high`), `df`, `n` (seeds), `failed`, `verdict` ("better", "worse",
        either with ", within the margin", "equivalent", "undecided", "withheld"), `family`, `exploratory`. Intervals
        are NaN for one seed or without spread, and the verdict is then "undecided".
    Raises:
        InputError: for an unknown key, value or method, or a contrast that no runs answer.
    """
    import pandas as pd

    check_settings(margin=margin, variance=variance, failures=failures, level=level)
    if "kind" in frame:
        frame = frame[frame["kind"] == "grid"]
    groups = cells(frame)
    methods = list(dict.fromkeys(frame["method"])) if len(frame) else []
    primary = default_contrasts(methods, reference) if contrasts is None else [
        declared(entry, reference=reference) for entry in contrasts
    ]  # fmt: skip
    check_methods(primary, methods)
    rest = [] if contrasts is None else [one for one in default_contrasts(methods, reference) if one not in primary]
    rows = list[dict[str, Any]]()
    for family, questions in (("primary", primary), ("exploratory", rest)):
        found = answered(groups, questions, failures=failures, must=family == "primary" and contrasts is not None)
        rows += judged(found, margin=margin, variance_of=variance, failures=failures, level=level, family=family)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def check_settings(*, margin: float, variance: str, failures: str, level: float) -> None:
    """Raise InputError for a setting that makes no sense."""
    if not margin > 0 or math.isinf(margin):
        raise InputError(f"margin: must be above 0 (got {shown(margin)})")
    if not 0 < level < 1:
        raise InputError(f"level: must be above 0 and below 1 (got {shown(level)})")
    for name, value, allowed in (("variance", variance, VARIANCES), ("failures", failures, FAILURES)):
        if value not in allowed:
            raise InputError(f"{name}: unknown value (got {shown(value)}){choices(allowed, value)}")


def default_contrasts(methods: Iterable[str], reference: str) -> list[Contrast]:
    """Return every method against the reference."""
    return [Contrast(method=method, reference=reference) for method in methods if method != reference]


def check_methods(questions: Iterable[Contrast], methods: Sequence[str]) -> None:
    """Raise InputError for a method that no run has."""
    for contrast in questions:
        for key, name in (("method", contrast.method), ("reference", contrast.reference)):
            if name is not None and name not in methods:
                raise InputError(f"contrast: {key}: no run has this method (got {shown(name)}){choices(methods, name)}")


def answered(
    groups: Sequence[Cell], questions: Sequence[Contrast], *, failures: Literal["withhold", "chance"], must: bool
) -> list[Answer]:
    """Return the values of all contrasts in all cells.

    Raises:
        InputError: if `must` and a contrast has no common seed in any cell.
    """
    found = list[Answer]()
    for contrast in questions:
        own = [answer for cell in groups for answer in answers(cell, contrast, failures=failures) if answer.values]
        if must and not own:
            raise InputError(
                f"contrast: {contrast.name}: no runs with a common seed answer it; run the methods it names"
            )
        found += own
    return found


def judged(
    found: Sequence[Answer], *, margin: float, variance_of: str, failures: str, level: float, family: str
) -> list[dict[str, Any]]:
    """Return the rows of one family."""
    spreads = spreads_of(found, variance_of)
    joint = joint_level(found, level)
    rows = []
    for answer, spread in zip(found, spreads, strict=True):
        estimate = mean(answer.values.values())
        low, high = interval(estimate, spread, n=len(answer.values), level=joint)
        low_plain, high_plain = interval(estimate, spread, n=len(answer.values), level=level)
        decided: Verdict = verdict(low, high, margin=margin / answer.span)
        if failures == "withhold" and answer.unequal_failures:
            decided = "withheld"
        contrast = answer.contrast
        rows.append(
            {
                "backbone": answer.backbone, "dataset": answer.dataset, "setting": answer.setting,
                "contrast": contrast.name, "reference": contrast.reference or "", "estimate": estimate,
                "low": low, "high": high, "low_plain": low_plain, "high_plain": high_plain, "level": joint,
                "df": spread.df if spread else math.nan, "n": len(answer.values), "failed": answer.failed,
                "verdict": decided, "family": family, "exploratory": family == "exploratory",
            }
        )  # fmt: skip
    return rows


def spreads_of(found: Sequence[Answer], variance_of: str) -> list[Variance | None]:
    """Return the variance of each answer; None for one seed or without spread.

    Moderated variances borrow only from the same contrast in other cells.
    """
    own = [own_variance(answer.values) for answer in found]
    if variance_of == "own":
        return own
    result = list(own)
    for contrast in dict.fromkeys(answer.contrast for answer in found):
        places = [i for i, answer in enumerate(found) if answer.contrast == contrast and own[i] is not None]
        for place, moderate in zip(places, moderated([v for i in places if (v := own[i]) is not None]), strict=True):
            result[place] = moderate
    return result


def own_variance(values: "BySeed") -> Variance | None:
    """Return the variance of a contrast over its seeds; None for one seed or without spread."""
    if len(values) < 2 or (spread := variance(values.values())) <= ROUNDING:
        return None
    return Variance(spread, len(values) - 1)


def joint_level(found: Sequence[Answer], level: float) -> float:
    """Return the level of each interval of a family."""
    shared = set.intersection(*(set(answer.values) for answer in found)) if found else set()
    if len(found) > 1 and len(shared) > MIN_CORRELATION_DF and all(own_variance(answer.values) for answer in found):
        try:
            return min_p_level([[answer.values[seed] for seed in sorted(shared)] for answer in found], level=level)
        except ValueError:  # no spread over the shared seeds
            pass
    return sidak_level(level, len(found))


def interval(estimate: float, spread: Variance | None, *, n: int, level: float) -> tuple[float, float]:
    """Return the Student interval of a mean over n seeds; NaN without a variance."""
    if spread is None:
        return math.nan, math.nan
    half = t_bound(spread.df, level) * math.sqrt(spread.value / n)
    return estimate - half, estimate + half
