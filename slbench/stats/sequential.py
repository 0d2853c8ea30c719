"""Interim analyses of contrasts while seeds are added: better, worse or equivalent ends a comparison.

Each of m comparisons has the level L = 0.95 ** (1 / m) over all its analyses (Sidak), so that the error of "better" and
"worse" holds for the whole family. The intervals of its analyses share one level (`slbench.stats.pocock`): they are
repeated confidence intervals, which together hold the true value with probability L, hence at any stopping time, also
for contrasts that did not determine the stopping (Jennison and Turnbull 2000, Group Sequential Methods, chapter 9).

Variances are moderated by a prior that is estimated once, from the first `min` seeds of all cells of a contrast, and
then stays: the results do not depend on the order in which runs finish.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import mean
from typing import Literal, Protocol

from slbench.stats.contrast import Contrast
from slbench.stats.contrasts import one_seed
from slbench.stats.judge import interval, own_variance
from slbench.stats.moderation import Variance, posterior
from slbench.stats.pocock import sequential_level
from slbench.stats.robust_prior import PRIORS
from slbench.stats.settings import DEFAULT_STATISTICS, Statistics, VarianceKind
from slbench.stats.simultaneous import sidak_level
from slbench.stats.verdict import Verdict, verdict

Outcome = float | Literal["diverged"]  # test accuracy in percent
BySeed = Mapping[int, Outcome]
State = Literal["decided", "undecided", "waiting", "withheld"]
Values = tuple[float, ...]  # of a contrast, one per usable seed


class StoppingRule(Protocol):
    """Analyze a comparison after each of `min` to `max` paired seeds until it is decided."""

    @property
    def min(self) -> int: ...

    @property
    def max(self) -> int: ...


@dataclass(frozen=True)
class SequentialDesign:
    """Rule and settings of the interim analyses of a family of comparisons."""

    rule: StoppingRule
    count: int  # comparisons of the family
    statistics: Statistics = DEFAULT_STATISTICS

    @property
    def interval_level(self) -> float:
        """Level of the interval of each analysis."""
        error = 1 - sidak_level(self.statistics.level, self.count)
        return 1 - sequential_level(self.rule.min, self.rule.max, error)


@dataclass(frozen=True, kw_only=True)
class InterimAnalysis:
    """A comparison at its latest analysis; all numbers are NaN before the first."""

    state: State  # undecided: after the last seed; waiting: for unfinished runs; withheld: unequal numbers diverged
    seeds: int  # requested of all its methods so far
    verdict: Verdict = "undecided"
    n: int = 0  # usable seeds
    estimate: float = math.nan  # mean of the seeds, in points: biased away from zero where it was decided
    low: float = math.nan  # of the repeated confidence interval; NaN without spread
    high: float = math.nan
    spread: Variance | None = None
    design: SequentialDesign = field(repr=False)

    @cached_property
    def adjusted(self) -> float:
        """Median-unbiased estimate in points, adjusted for the boundary; NaN while it waits and without an interval."""
        from slbench.stats.stopping import Boundary, median_unbiased

        spread, design = self.spread, self.design
        if self.state not in ("decided", "undecided") or spread is None:
            return math.nan
        boundary = Boundary(
            design.rule.min,
            design.rule.max,
            level=design.interval_level,
            margin=round(design.statistics.margin / math.sqrt(spread.value), 2),
            prior_df=round(spread.df - self.n + 1, 2),
        )
        return median_unbiased(self.estimate, self.n, spread, boundary=boundary)


@dataclass(frozen=True)
class Series:
    """Values of a comparison at each of its analyses, and what follows them."""

    looks: tuple[tuple[int, Values], ...]  # requested seeds, values
    end: Literal["waiting", "withheld", "undecided"]
    seeds: int  # requested at the end

    @property
    def first(self) -> Values:
        return self.looks[0][1] if self.looks else ()


@dataclass(frozen=True)
class Prior:
    """Prior of the variance of a contrast in one of its cells, from the first seeds of all."""

    variance: Variance
    df: float  # of the first seeds of all cells together

    def moderate(self, values: Values, first: Values) -> Variance | None:
        """Return the variance of the cell; None without spread.

        Args:
            first: those of the values that the prior rests on.
        """
        own = variance_of(values)
        return None if own is None else posterior(own, self.variance, self.df + len(values) - len(first))


def interim_analyses(
    contrast: Contrast, cells: Sequence[Mapping[str, BySeed]], design: SequentialDesign
) -> list[InterimAnalysis]:
    """Return the state of a contrast in each of its cells.

    The analyses are repeated in order of the seeds until one decides or a run is missing, so neither the order in which
    runs finish nor later seeds matter. With moderated variances, every cell waits for the first seeds of the others.

    Args:
        cells: outcome of each run by side of the contrast and seed. A seed in which all sides diverged is skipped;
            where the numbers of diverged runs differ the verdict is withheld. Replace "diverged" by the accuracy of
            guessing for `failures = "chance"`.
    """
    found = [series(contrast, cell, design.rule) for cell in cells]
    if design.statistics.variance == "own":
        return [analysis(each, None, design, is_sign=contrast.is_sign) for each in found]
    pending = any(each.end == "waiting" and not each.looks for each in found)
    priors = [None] * len(found) if pending else priors_of(found, design.statistics.variance)
    return [
        waiting(each, design) if pending and each.looks else analysis(each, prior, design, is_sign=contrast.is_sign)
        for each, prior in zip(found, priors, strict=True)
    ]


def series(contrast: Contrast, outcomes: Mapping[str, BySeed], rule: StoppingRule) -> Series:
    """Return the values of a comparison at each analysis, up to the first seed of which a run is missing."""
    looks, values = list[tuple[int, Values]](), list[float]()
    lost = dict.fromkeys(contrast.sides, 0)
    for seed in range(rule.max):
        at_seed = {side: outcomes[side].get(seed) for side in contrast.sides}
        if None in at_seed.values():
            return Series(tuple(looks), "waiting", max(seed + 1, rule.min))
        finished = {side: value for side, value in at_seed.items() if isinstance(value, float | int)}
        for side in at_seed.keys() - finished.keys():
            lost[side] += 1
        usable = len(finished) == len(at_seed)
        if usable:
            values.append(one_seed(contrast, finished))
        if seed + 1 < rule.min:
            continue
        if len(set(lost.values())) > 1:
            return Series(tuple(looks), "withheld", seed + 1)
        if len(values) >= rule.min and (usable or not looks):
            looks.append((seed + 1, tuple(values)))
    return Series(tuple(looks), "undecided", rule.max)


def priors_of(found: Sequence[Series], kind: VarianceKind) -> list[Prior | None]:
    """Return the prior of each cell of one contrast, from the first seeds of all cells.

    None for a cell without spread, and for all if fewer than two have one.
    """
    own = [variance_of(each.first) for each in found]
    usable = [variance for variance in own if variance is not None]
    if len(usable) < 2:
        return [None] * len(found)
    priors, df = iter(PRIORS[kind](usable, None)), sum(each.df for each in usable)
    return [None if variance is None else Prior(next(priors), df) for variance in own]


def variance_of(values: Values) -> Variance | None:
    """Return the variance of values; None for one value or without spread."""
    return own_variance(dict(enumerate(values)))


def waiting(found: Series, design: SequentialDesign) -> InterimAnalysis:
    """Return the state of a cell whose first analysis needs runs of other cells."""
    return InterimAnalysis(state="waiting", seeds=found.looks[0][0], design=design)


def analysis(found: Series, prior: Prior | None, design: SequentialDesign, *, is_sign: bool) -> InterimAnalysis:
    """Return the first deciding analysis of a comparison, else the state at its end.

    Args:
        is_sign: of its contrast.
    """
    end: Verdict = "withheld" if found.end == "withheld" else "undecided"
    latest = InterimAnalysis(state=found.end, seeds=found.seeds, verdict=end, design=design)
    for seeds, values in found.looks:
        spread = variance_of(values) if prior is None else prior.moderate(values, found.first)
        estimate, n = mean(values), len(values)
        low, high = interval(estimate, spread, n=n, level=design.interval_level)
        latest = replace(latest, n=n, estimate=estimate, low=low, high=high, spread=spread)
        decided = verdict(low, high, margin=design.statistics.margin, is_sign=is_sign)
        if decided != "undecided":
            return replace(latest, state="decided", seeds=seeds, verdict=decided)
    return latest
