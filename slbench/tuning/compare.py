"""Compare the winners of a search with their default settings and with each other, on fresh seeds and the test images.

All comparisons of a search are one family: their intervals hold jointly.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from slbench.rng import derive
from slbench.spec import Protocol
from slbench.stats.intervals import LEVEL, spread_of, t_interval
from slbench.stats.simultaneous import sidak_level
from slbench.stats.verdict import Verdict, verdict
from slbench.store import Store
from slbench.study import StudyRun
from slbench.text import plural
from slbench.tuning.record import Comparison, MethodComparison, MethodRecord, SearchRecord
from slbench.tuning.space import Space
from slbench.tuning.target import TuningTarget

PROTOCOL: Protocol = "full"  # trains on the validation images too; no model selection
REFERENCE = "none"  # method that all others are compared with, if it is searched
MARGIN = 0.5  # points; smaller differences have no practical meaning
BLOCK, BLOCKS = 100, 100_000  # fresh seeds of a search start at a multiple of BLOCK
BySeed = Mapping[int, float]


def fresh_seeds(recorded: SearchRecord | None, *, name: str, trials: int, searched: int, count: int) -> tuple[int, ...]:
    """Return the seeds of the comparisons: those in the record of the same search, else by its name and trials.

    Another search, or the same one with more trials, has other seeds: its result is no second look at seeds on which an
    earlier one was seen.

    Args:
        searched: number of seeds of a trial, 0, 1, ..., which are not used again.
        count: number of fresh seeds.
    """
    known: tuple[int, ...] = ()
    if recorded is not None and recorded.trials == trials:
        known = recorded.fresh_seeds or next((row.comparison.seeds for row in recorded.rows if row.comparison), ())
    first = BLOCK * (1 + derive(trials, name, "fresh seeds") % BLOCKS)
    after = max(known) + 1 if known else max(first, searched)
    return (*known, *range(after, after + count))[:count]


@dataclass(frozen=True)
class FreshRuns:
    """Runs of a method's winner and of its default setting; the same runs if the default setting has won."""

    tuned: tuple[StudyRun, ...]
    default: tuple[StudyRun, ...]


@dataclass(frozen=True)
class Outcomes:
    """Outcomes of a setting on the fresh seeds."""

    accuracies: BySeed  # test top-1 of the last epoch in %
    diverged: int  # runs without an accuracy


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences in points, with its interval and verdict."""

    estimate: float | None  # None without a common seed
    low: float | None  # None for one seed, or without spread
    high: float | None
    verdict: Verdict
    n: int  # common seeds
    diverged: str = ""  # numbers of diverged runs, if there are any

    @property
    def words(self) -> str:
        """The difference with its interval, the number of seeds and the diverged runs."""
        return f"{self._numbers}, {plural(self.n, 'seed')}{self.diverged}"

    @property
    def _numbers(self) -> str:
        if self.estimate is None:
            return "no difference"
        if self.low is None or self.high is None:
            return f"{self.estimate:+.2f} points (no interval{'' if self.n == 1 else ', no spread'})"
        return f"{self.estimate:+.2f} points ({self.low:+.2f} to {self.high:+.2f})"


def fresh_runs(target: TuningTarget, space: Space, result: MethodRecord, seeds: Sequence[int]) -> FreshRuns | None:
    """Return the runs of a method's winner and of its default setting; None without a winner."""
    winner = result.trial(result.winner)
    if winner is None:
        return None
    default = target.runs({}, seeds=seeds, protocol=PROTOCOL, keep="last")
    if winner.is_baseline:
        return FreshRuns(default, default)
    changes = space.changes(winner.setting)
    return FreshRuns(target.runs(changes, seeds=seeds, protocol=PROTOCOL, keep="last"), default)


@dataclass(frozen=True)
class Compared:
    """Comparisons of a search."""

    with_default: tuple[Comparison | None, ...]  # of each method; None where runs are missing
    between: tuple[MethodComparison, ...]  # of methods with all runs
    level: float  # of each interval; all hold jointly at LEVEL (Sidak)


def compare(results: Sequence[MethodRecord], runs: Sequence[FreshRuns | None], store: Store) -> Compared:
    """Compare each winner with its default setting, and the winners with each other, paired by seed."""
    changed = sum(each is not None and each.tuned != each.default for each in runs)
    pairs = method_pairs([result.method for result, each in zip(results, runs, strict=True) if each is not None])
    level = sidak_level(LEVEL, changed + len(pairs))
    tuned = {
        result.method: None if each is None else outcomes_of(each.tuned, store)
        for result, each in zip(results, runs, strict=True)
    }
    return Compared(
        tuple(None if each is None else default_comparison(each, store, level=level) for each in runs),
        tuple(
            method_comparison(one, other, difference(tuned_one, tuned_other, level=level))
            for one, other in pairs
            if (tuned_one := tuned[one]) is not None and (tuned_other := tuned[other]) is not None
        ),
        level,
    )


def method_pairs(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Return every method with REFERENCE if that is among them, else all pairs."""
    if REFERENCE in methods:
        return [(method, REFERENCE) for method in methods if method != REFERENCE]
    return list(itertools.combinations(methods, 2))


def default_comparison(runs: FreshRuns, store: Store, *, level: float) -> Comparison | None:
    """Compare the winner of a method with its default setting; None if runs are missing."""
    tuned, default = outcomes_of(runs.tuned, store), outcomes_of(runs.default, store)
    if tuned is None or default is None:
        return None
    same = runs.tuned == runs.default
    found = None if same else difference(tuned, default, level=level)
    seeds = common_seeds(tuned, default)
    words = "no setting beats the default on the validation images: nothing to compare"
    return Comparison(
        protocol=PROTOCOL,
        seeds=seeds,
        tuned=tuple(tuned.accuracies[seed] for seed in seeds),
        own=tuple(default.accuracies[seed] for seed in seeds),
        difference=None if found is None else found.estimate,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        verdict="undecided" if found is None else found.verdict,
        words=words if found is None else found.words,
        run_ids=tuple(run.spec.run_id for run in (runs.tuned if same else (*runs.tuned, *runs.default))),
    )


def method_comparison(method: str, reference: str, found: Difference) -> MethodComparison:
    """Return a difference between the winners of two methods as recorded."""
    return MethodComparison(
        method=method,
        reference=reference,
        difference=found.estimate,
        low=found.low,
        high=found.high,
        verdict=found.verdict,
        words=found.words,
    )


def difference(one: Outcomes, other: Outcomes, *, level: float) -> Difference:
    """Return the mean of one - other over the common seeds, with Student's interval at this level.

    There is no verdict where different numbers of runs diverged: a mean over the other runs is not that of a setting.
    """
    values = [one.accuracies[seed] - other.accuracies[seed] for seed in common_seeds(one, other)]
    lost = f"; {one.diverged} and {other.diverged} runs diverged" if one.diverged or other.diverged else ""
    unequal = one.diverged != other.diverged
    if not spread_of(values):
        estimate = mean(values) if values else None
        return Difference(estimate, None, None, "withheld" if unequal else "undecided", len(values), lost)
    interval = t_interval(values, level=level)
    found: Verdict = "withheld" if unequal else verdict(interval.low, interval.high, margin=MARGIN)
    return Difference(interval.estimate, interval.low, interval.high, found, len(values), lost)


def common_seeds(one: Outcomes, other: Outcomes) -> tuple[int, ...]:
    """Return the seeds with an accuracy of both settings."""
    return tuple(seed for seed in one.accuracies if seed in other.accuracies)


def outcomes_of(runs: Sequence[StudyRun], store: Store) -> Outcomes | None:
    """Return the outcomes of a setting on the fresh seeds; None unless all its runs have ended."""
    records = [store.record(run.spec.run_id) for run in runs]
    accuracies = {record.spec.seed: record.final_test_top1 for record in records if record is not None}
    diverged = sum(store.diverged(run.spec.run_id) is not None for run in runs)
    return Outcomes(accuracies, diverged) if len(accuracies) + diverged == len(runs) else None
