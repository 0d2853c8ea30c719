"""Intervals and verdicts on contrasts of methods: the one table that every view of results shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, variance
from typing import TYPE_CHECKING, Any, Literal

from slbench.errors import InputError
from slbench.stats.cells import ACCURACY, TRAINING, values_of, varies
from slbench.stats.contrast import (
    Contrast,
    check_methods,
    check_values,
    declared,
    default_contrasts,
    effect_contrasts,
)
from slbench.stats.contrasts import Answer, BySeed, answers
from slbench.stats.correlation import Correlation, correlation
from slbench.stats.intervals import t_bound
from slbench.stats.moderation import PLAIN_WEIGHT, PRIOR_WEIGHT, ROUNDING, Variance, moderated
from slbench.stats.robust_prior import PRIORS
from slbench.stats.settings import DEFAULT_STATISTICS, Statistics, VarianceKind
from slbench.stats.simultaneous import MIN_CORRELATION_DF, min_p_level, sidak_level
from slbench.stats.verdict import Verdict, verdict
from slbench.text import choices, distinct, shown
from slbench.validation import checked

if TYPE_CHECKING:
    import pandas as pd

Family = Literal["primary", "exploratory"]
FIELDS = (*TRAINING, "protocol", "method_", "backbone_")  # prefixes of fields of a run
COLUMNS = (
    "backbone", "dataset", "setting", "contrast", "reference", "estimate", "low", "high", "low_plain", "high_plain",
    "level", "std", "df", "n", "over", "failed", "verdict", "family", "exploratory", "correlation", "correlation_low",
    "correlation_high", "sequential",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Result:
    """Estimate, intervals and verdict of one contrast in one cell; see `slbench.contrasts` for the terms."""

    answer: Answer
    estimate: float
    n: int  # values behind it
    low: float  # of the simultaneous interval; NaN without one
    high: float
    low_plain: float  # of the interval of this contrast alone
    high_plain: float
    level: float  # of low to high
    std: float  # of the values, moderated; NaN for one value or without spread
    df: float
    verdict: Verdict
    family: Family
    family_size: int  # contrasts that the intervals hold for together
    sequential: bool = False  # a seed rule decided how many seeds there are, from their results
    correlation: Correlation | None = None  # of method and reference over the seeds

    @property
    def over(self) -> str:
        """Unit of the values."""
        return "backbones" if self.answer.contrast.over == "backbones at large" else "seeds"

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    def row(self) -> dict[str, Any]:
        """Return the values of COLUMNS."""
        answer, contrast, together = self.answer, self.answer.contrast, self.correlation
        values = (
            answer.backbone, answer.dataset, answer.shown_setting, contrast.name, contrast.reference_text,
            self.estimate, self.low, self.high, self.low_plain, self.high_plain, self.level, self.std, self.df, self.n,
            self.over, answer.failed, self.verdict, self.family, self.family == "exploratory",
            *((together.value, together.low, together.high) if together else (math.nan,) * 3),
            self.sequential,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))


def contrasts(
    frame: "pd.DataFrame",
    *,
    contrasts: Sequence[Contrast | Mapping[str, Any]] | None = None,
    reference: str = "none",
    margin: float = 0.5,
    variance: VarianceKind = "moderated",
    failures: Literal["withhold", "chance"] = "withhold",
    level: float = 0.95,
    accuracy: str = ACCURACY,
) -> "pd.DataFrame":
    """Return one row per contrast of methods and cell: estimate, intervals and verdict.

    A contrast d_s is formed within each seed s, for example d_s = accuracy of spt with seed s - accuracy of none with
    seed s. Its estimate is the mean over the n common seeds, with standard error sqrt(v / n). The variance v is that of
    the d_s with n - 1 degrees of freedom ("own"), or is moderated towards the variance of the same contrast in the
    other cells, which adds degrees of freedom where these agree; see `slbench.stats.moderation` (Smyth 2004). "robust"
    is moderated too, from ten cells on by a prior that outlying cells do not determine (Phipson et al. 2016).

    `low_plain` to `high_plain` is the Student interval at `level` for this contrast alone, whose variance may borrow
    more from the other cells (`slbench.stats.moderation.PLAIN_WEIGHT`); `df` and `std` are those of `low` to `high`.
    That interval holds jointly over the family: each contrast has the level 1 - a with its own Student quantile, where
    a is Sidak's 1 - level ** (1 / m) for m contrasts, or, from 11 seeds common to all, the quantile of the smallest p
    value under the observed correlations (Westfall and Young 1993).

    Args:
        frame: runs as `slbench.load_runs` returns them; with a column `kind`, only runs of grids are used.
        contrasts: the questions of the study, the primary family: keys `method` and `reference`; or `effect` ("spt",
            "lsa" or "interaction" of the 2x2 of none, spt, lsa, both); or `method`, `trend` (a field such as
            "method.initial_temperature" or "dataset.fraction") and `scale` ("linear" or "log"), with or without
            `reference`; or `field`, `value` and `reference`: two values of a field of training, compared for each
            method between runs that differ in it alone (the column `setting` names the method). Each with or without
            `over` ("backbones": mean over these; "backbones at large": over five or more as an independent sample).
            None: every method against `reference` is primary. What else the runs can answer follows as exploratory
            rows, a family of their own: other methods against `reference`, the effects of the 2x2, means over the
            backbones.
        reference: method to compare with where a contrast names none.
        margin: largest difference in points without practical meaning; above 0. Of a trend over its whole range.
        variance: "moderated", "robust" or "own".
        failures: how diverged runs (status "diverged") count. "withhold": they are left out, and there is no verdict
            where the methods of a contrast have different numbers of them; "chance": as the accuracy of guessing.
        level: joint confidence level of a family, in (0, 1).
        accuracy: column of the compared accuracies, in %.
    Returns:
        Columns `backbone`, `dataset`, `setting`, `contrast`, `reference`, `estimate`, `low`, `high`, `low_plain`,
        `high_plain` (points), `level` (of `low` to `high`), `std` (of the values, moderated), `df`, `n` (values),
        `over` ("seeds", or "backbones" for backbones at large), `failed` ("2 of 5 spt"), `verdict` ("better", "worse",
        either with ", within the margin", "equivalent", "undecided", "withheld"; of trends and interactions
        "positive", "negative", "negligible" in place of the first four), `family`, `exploratory`,
        `correlation` of the two methods over the seeds with its 95 % interval, `sequential` (False here: a seed rule is
        part of a study, whose report knows it). Intervals are NaN for one seed or
        without spread, and the verdict is then "undecided"; and where the verdict is withheld.
    Raises:
        InputError: for an unknown key, value or method, a contrast that no runs answer, or two runs of a method that
            differ in nothing.
    """
    import pandas as pd
    import pandas.api.types as types

    needed = ["backbone", "dataset", "method", "seed", accuracy]
    needed += ["dataset_num_classes"] if failures == "chance" else []
    lacking = [name for name in needed if name not in frame]
    if lacking and len(frame):
        raise InputError(f"frame: no such column (got '{lacking[0]}'); see slbench.load_runs")
    if len(frame) and not types.is_numeric_dtype(frame[accuracy]):
        raise InputError(f"accuracy: not a column of numbers (got '{accuracy}')")
    if len(frame) and not (types.is_numeric_dtype(frame["seed"]) and (frame["seed"] % 1 == 0).all()):
        raise InputError("frame: seed: not a column of whole numbers; see slbench.load_runs")
    given = {"margin": margin, "variance": variance, "failures": failures, "level": level}
    statistics: Statistics = checked(Statistics, given, where="contrasts")
    questions = None if contrasts is None else [declared(entry, reference=reference) for entry in contrasts]
    results = judge(frame, questions, statistics=statistics, reference=reference, accuracy=accuracy)
    return pd.DataFrame([result.row() for result in results], columns=list(COLUMNS))


def judge(
    frame: "pd.DataFrame",
    questions: Sequence[Contrast] | None = None,
    *,
    statistics: Statistics = DEFAULT_STATISTICS,
    reference: str = "none",
    accuracy: str = ACCURACY,
    strict: bool = True,
) -> list[Result]:
    """Return the results of a study's questions, then of exploratory ones; see `contrasts`.

    Args:
        strict: raise InputError for a question that no runs answer; else it has no result.
    """
    if "kind" in frame:
        frame = frame[frame["kind"] == "grid"]
    if not len(frame):
        return []
    frame = frame.assign(**{ACCURACY: frame[accuracy].astype(float)})
    methods = list(distinct(map(str, frame["method"])))
    primary = default_contrasts(methods, reference) if questions is None else list(distinct(questions))
    for question in primary if strict else ():
        check_methods(question, methods)
        check_field(question, frame)
    rest = [one for one in exploratory(primary, methods, reference) if one not in primary]
    found = answers(frame, [*primary, *rest], failures=statistics.failures)
    for question in primary if strict and questions is not None else ():
        if not found[question]:
            raise InputError(f"contrast: {question.name}: {why_unanswered(question)}")
    asked, others = ([each for question in group for each in found[question]] for group in (primary, rest))
    return [
        *judged(asked, family="primary", statistics=statistics),
        *judged(others, family="exploratory", statistics=statistics),
    ]


def check_field(question: Contrast, frame: "pd.DataFrame") -> None:
    """Raise InputError for a field in which no runs differ, or a value that no run has."""
    column = question.column
    if question.field is None or column is None:
        return
    fields = [str(name) for name in frame if str(name).startswith(FIELDS) and varies(frame[name])]
    if column not in fields:
        allowed = choices(fields, column)
        raise InputError(f"contrast: field: no runs differ in it (got {shown(question.field)}){allowed}")
    check_values(question, values_of(frame, column).dropna().unique().tolist())


def exploratory(primary: Sequence[Contrast], methods: Sequence[str], reference: str) -> list[Contrast]:
    """Return the questions beside the declared ones that a frame may answer."""
    asked = [*primary, *(default_contrasts(methods, reference) if reference in methods else ())]
    asked += effect_contrasts(methods)
    cells = [each for each in asked if each.over is None]
    pools: tuple[Literal["backbones", "backbones at large"], ...] = ("backbones", "backbones at large")
    return list(distinct([*cells, *(replace(each, over=pool) for each in cells for pool in pools)]))


def why_unanswered(question: Contrast) -> str:
    """Return why no runs answer a question."""
    if question.over == "backbones at large":
        return "needs five or more backbones with its methods on one data set"
    if question.over == "backbones":
        return "needs two or more backbones with its methods and a common seed on one data set"
    if question.field is not None:
        return f"needs runs of one method with a common seed that differ in {question.field} alone"
    if question.trend is not None:
        return f"needs runs with a common seed at two or more values of {question.trend}"
    return "no runs with a common seed answer it; run the methods it names"


def judged(found: Sequence[Answer], *, family: Family, statistics: Statistics) -> list[Result]:
    """Return the results of one family."""
    spreads, plain = (spreads_of(found, statistics.variance, limit) for limit in (PRIOR_WEIGHT, PLAIN_WEIGHT))
    joint = joint_level(found, statistics.level)
    return [
        result_of(answer, *both, level=joint, family=family, family_size=len(found), statistics=statistics)
        for answer, *both in zip(found, spreads, plain, strict=True)
    ]


def result_of(
    answer: Answer,
    spread: Variance | None,
    plain: Variance | None,
    *,
    level: float,
    family: Family,
    family_size: int,
    statistics: Statistics,
) -> Result:
    """Return the result of one contrast; without intervals where its verdict is withheld, lest one is read off them.

    Args:
        spread: variance behind the simultaneous interval.
        plain: variance behind the plain interval, which is not wider than the simultaneous one.
        level: of the simultaneous interval.
    """
    n = len(answer.values)
    estimate = mean(answer.values.values()) if n else math.nan
    is_withheld = statistics.failures == "withhold" and answer.unequal_failures
    low, high = interval(estimate, None if is_withheld else spread, n=n, level=level)
    low_plain, high_plain = interval(estimate, None if is_withheld else plain, n=n, level=statistics.level)
    decided = verdict(low, high, margin=statistics.margin / answer.span, is_sign=answer.contrast.is_sign)
    return Result(
        answer=answer,
        estimate=estimate,
        n=n,
        low=low,
        high=high,
        low_plain=max(low, low_plain),
        high_plain=min(high, high_plain),
        level=level,
        std=math.sqrt(spread.value) if spread else math.nan,
        df=spread.df if spread else math.nan,
        verdict="withheld" if is_withheld else decided,
        family=family,
        family_size=family_size,
        correlation=correlation(answer.pairs),
    )


def spreads_of(found: Sequence[Answer], kind: VarianceKind, limit: float) -> list[Variance | None]:
    """Return the variance of each answer; None for one seed or without spread.

    Args:
        limit: of the weight of the prior, in degrees of freedom of one cell.

    Moderated variances borrow only from the same contrast in other cells of the same setting, whose runs are others:
    variants of a swept method share their reference, so that their variances are not independent.
    """
    own = [own_variance(answer.values) for answer in found]
    if kind == "own":
        return own
    shared = list(own)
    for group in distinct(map(sharing, found)):
        places = [i for i, answer in enumerate(found) if sharing(answer) == group is not None and own[i] is not None]
        known = [spread for place in places if (spread := own[place]) is not None]
        for place, spread in zip(places, moderated(known, PRIORS[kind], limit), strict=True):
            shared[place] = spread
    return shared


def sharing(answer: Answer) -> tuple[Contrast, str] | None:
    """Return what answers with exchangeable variances have in common; None for one that keeps its own.

    Diverged runs that count as guessing give a cell a spread of its own, and backbones at large are the same in all
    data sets.
    """
    if answer.contrast.over == "backbones at large" or answer.failed:
        return None
    return answer.contrast, answer.setting


def own_variance(values: BySeed) -> Variance | None:
    """Return the variance of a contrast over its seeds; None for one seed or without spread."""
    if len(values) < 2 or (spread := variance(values.values())) <= ROUNDING:
        return None
    return Variance(spread, len(values) - 1)


def joint_level(found: Sequence[Answer], level: float) -> float:
    """Return the level of each interval of a family."""
    over_seeds = all(answer.contrast.over != "backbones at large" for answer in found)
    shared = set.intersection(*(set(answer.values) for answer in found)) if found and over_seeds else set()
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
