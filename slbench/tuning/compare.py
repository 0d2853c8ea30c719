"""Compare the winner of a search with the default setting on fresh seeds and the test images."""

from collections.abc import Sequence

from slbench.spec import Protocol
from slbench.stats.intervals import paired_difference
from slbench.store import Store
from slbench.study import StudyRun
from slbench.tuning.record import Comparison, MethodRecord
from slbench.tuning.space import Space
from slbench.tuning.target import TuningTarget

PROTOCOL: Protocol = "full"  # trains on the validation images too; no model selection
Pair = tuple[tuple[StudyRun, ...], tuple[StudyRun, ...]]  # runs of the winner and of the default setting


def comparison_runs(target: TuningTarget, space: Space, result: MethodRecord, seeds: Sequence[int]) -> Pair | None:
    """Return the runs of a method's winner and of its default setting; None without a winner or if both are equal."""
    winner = result.trial(result.winner)
    if winner is None or winner.is_baseline:
        return None
    changes = space.changes(winner.setting)
    tuned = target.runs(changes, seeds=seeds, protocol=PROTOCOL, keep="last")
    return tuned, target.runs({}, seeds=seeds, protocol=PROTOCOL, keep="last")


def compare(result: MethodRecord, pair: Pair | None, seeds: Sequence[int], store: Store) -> Comparison | None:
    """Compare winner and default setting on the test images, paired by seed; None if runs are missing."""
    if pair is None:
        return empty_comparison(result)
    accuracies = [accuracies_of(runs, store) for runs in pair]
    tuned, default = accuracies
    if tuned is None or default is None:
        return None
    difference = paired_difference(tuned, default)
    interval = difference.interval
    return Comparison(
        protocol=PROTOCOL,
        seeds=tuple(seeds),
        tuned=tuple(tuned.values()),
        own=tuple(default.values()),
        difference=difference.estimate,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        verdict=difference.verdict,
        words=difference.summary,
        run_ids=tuple(run.spec.run_id for runs in pair for run in runs),
    )


def empty_comparison(result: MethodRecord) -> Comparison | None:
    """Return an empty comparison if the search chose the default setting."""
    if result.winner is None:
        return None
    return Comparison(
        protocol=PROTOCOL,
        seeds=(),
        tuned=(),
        own=(),
        difference=None,
        low=None,
        high=None,
        verdict="undecided",
        words="no setting beats the default on the validation images: nothing to compare",
        run_ids=(),
    )


def accuracies_of(runs: Sequence[StudyRun], store: Store) -> dict[int, float] | None:
    """Return the test accuracy of the last epoch by seed; None unless all runs are finished."""
    records = [store.record(run.spec.run_id) for run in runs]
    by_seed = {record.spec.seed: record.final_test_top1 for record in records if record is not None}
    return by_seed if len(by_seed) == len(runs) else None
