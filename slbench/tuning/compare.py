"""Compare the winners of a search with their default settings and with each other, on fresh seeds and the test images.

All comparisons of a search are one family: their intervals hold jointly.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slbench.rng import derive
from slbench.spec import Protocol
from slbench.stats.cells import ACCURACY
from slbench.stats.contrast import Contrast
from slbench.stats.judge import Result, judge
from slbench.stats.settings import DEFAULT_STATISTICS
from slbench.store import Store
from slbench.study import StudyRun
from slbench.text import distinct, plural
from slbench.tuning.record import Comparison, MethodComparison, MethodRecord, SearchRecord
from slbench.tuning.space import Space
from slbench.tuning.target import TuningTarget

PROTOCOL: Protocol = "full"  # trains on the validation images too; no model selection
REFERENCE = "none"  # method that all others are compared with, if it is searched
NOTHING_TO_COMPARE = "no setting beats the default on the validation images: nothing to compare"
BLOCK, BLOCKS = 100, 100_000  # fresh seeds of a search start at a multiple of BLOCK


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
    level: float  # of each interval; all hold jointly at `Statistics.level`


def compare(results: Sequence[MethodRecord], runs: Sequence[FreshRuns | None], store: Store) -> Compared:
    """Compare each winner with its default setting, and the winners with each other, as `slbench.contrasts` does."""
    whole = {
        result.method: each
        for result, each in zip(results, runs, strict=True)
        if each is not None and all(store.has_ended(run.spec) for run in (*each.tuned, *each.default))
    }
    judged = judge_settings(whole, store)
    return Compared(
        tuple(
            default_comparison(whole[result.method], judged.get((result.method, default_of(result.method))), store)
            if result.method in whole
            else None
            for result in results
        ),
        tuple(method_comparison(*pair, judged[pair]) for pair in method_pairs(list(whole)) if pair in judged),
        next((result.level for result in judged.values()), DEFAULT_STATISTICS.level),
    )


def judge_settings(whole: Mapping[str, FreshRuns], store: Store) -> dict[tuple[str, str], Result]:
    """Return the results of all comparisons of a search, one family, by the names of the two settings.

    The tuned setting of a method has the method's name, its default setting that of `default_of`.
    """
    import pandas as pd

    changed = [method for method, runs in whole.items() if runs.tuned != runs.default]
    pairs = [*((method, default_of(method)) for method in changed), *method_pairs(list(whole))]
    rows = [outcome(method, run, store) for method, runs in whole.items() for run in runs.tuned]
    rows += [outcome(default_of(method), run, store) for method in changed for run in whole[method].default]
    questions = [Contrast(method=method, reference=reference) for method, reference in pairs]
    found = judge(pd.DataFrame(rows), questions, strict=False) if pairs else []
    asked = [result for result in found if result.family == "primary"]
    return {(str(each.answer.contrast.method), str(each.answer.contrast.reference)): each for each in asked}


def default_of(method: str) -> str:
    """Return the name of a method's default setting in comparisons."""
    return f"{method}, default setting"


def outcome(setting: str, run: StudyRun, store: Store) -> dict[str, object]:
    """Return the row of an ended run in the frame of `slbench.contrasts`, with the name of its setting as method."""
    record = store.record(run.spec.run_id)
    return {
        "backbone": run.labels.backbone,
        "dataset": run.labels.dataset,
        "method": setting,
        "seed": run.spec.seed,
        "status": "diverged" if record is None else "finished",
        ACCURACY: math.nan if record is None else record.final_test_top1,
    }


def method_pairs(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Return every method with REFERENCE if that is among them, else all pairs."""
    if REFERENCE in methods:
        return [(method, REFERENCE) for method in methods if method != REFERENCE]
    return list(itertools.combinations(methods, 2))


def default_comparison(runs: FreshRuns, found: Result | None, store: Store) -> Comparison:
    """Return the comparison of a method's winner with its default setting as recorded.

    Args:
        found: None if the default setting has won.
    """
    tuned, default = accuracies(runs.tuned, store), accuracies(runs.default, store)
    seeds = tuple(seed for seed in tuned if seed in default)
    return Comparison(
        protocol=PROTOCOL,
        seeds=seeds,
        tuned=tuple(tuned[seed] for seed in seeds),
        own=tuple(default[seed] for seed in seeds),
        difference=None if found is None else number(found.estimate),
        low=None if found is None else number(found.low),
        high=None if found is None else number(found.high),
        verdict="undecided" if found is None else found.verdict,
        words=NOTHING_TO_COMPARE if found is None else words(found),
        run_ids=distinct(run.spec.run_id for run in (*runs.tuned, *runs.default)),
    )


def accuracies(runs: Sequence[StudyRun], store: Store) -> dict[int, float]:
    """Return the test accuracies in % of the finished ones of some runs by seed."""
    records = [store.record(run.spec.run_id) for run in runs]
    return {record.spec.seed: record.final_test_top1 for record in records if record is not None}


def method_comparison(method: str, reference: str, found: Result) -> MethodComparison:
    """Return a difference between the winners of two methods as recorded."""
    return MethodComparison(
        method=method,
        reference=reference,
        difference=number(found.estimate),
        low=number(found.low),
        high=number(found.high),
        verdict=found.verdict,
        words=words(found),
    )


def words(found: Result) -> str:
    """Return a difference with its interval, the number of seeds and the diverged runs as text."""
    if not found.n:
        difference = "no difference"
    elif found.has_interval:
        difference = f"{found.estimate:+.2f} points ({found.low:+.2f} to {found.high:+.2f})"
    else:
        why = ", no spread" if math.isnan(found.std) and found.n > 1 else ""
        difference = f"{found.estimate:+.2f} points (no interval{why})"
    diverged = f"; diverged: {found.answer.failed}" if found.answer.failed else ""
    return f"{difference}, {plural(found.n, 'seed')}{diverged}"


def number(value: float) -> float | None:
    """Return a number as it is recorded; None for NaN."""
    return None if math.isnan(value) else value
