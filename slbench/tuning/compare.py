"""After a search: the winner and the row's own setting trained anew, with seeds and images that chose neither."""

from collections.abc import Sequence

from slbench.spec import Protocol
from slbench.stats.intervals import paired_difference
from slbench.store import Store
from slbench.study import StudyRun
from slbench.tuning.record import Comparison, MethodRecord
from slbench.tuning.space import Space
from slbench.tuning.target import TuningTarget

PROTOCOL: Protocol = "full"  # trains on the validation images too, and selects nothing
Pair = tuple[tuple[StudyRun, ...], tuple[StudyRun, ...]]  # of the winner, and of the row's own setting


def comparison_runs(subject: TuningTarget, space: Space, row: MethodRecord, seeds: Sequence[int]) -> Pair | None:
    """The runs of a row's winner and of its own setting; None if the search chose the latter, or nothing."""
    won = row.trial(row.winner)
    if won is None or won.is_baseline:
        return None
    changes = space.changes(won.setting)
    tuned = subject.runs(changes, seeds=seeds, protocol=PROTOCOL, keep="last")
    return tuned, subject.runs({}, seeds=seeds, protocol=PROTOCOL, keep="last")


def compare(row: MethodRecord, pair: Pair | None, seeds: Sequence[int], store: Store) -> Comparison | None:
    """The winner against the row's own setting on the test images, paired by seed; None if runs are missing."""
    if pair is None:
        return nothing_won(row)
    accuracies = [accuracies_of(runs, store) for runs in pair]
    tuned, own = accuracies
    if tuned is None or own is None:
        return None
    difference = paired_difference(tuned, own)
    interval = difference.interval
    return Comparison(
        protocol=PROTOCOL,
        seeds=tuple(seeds),
        tuned=tuple(tuned.values()),
        own=tuple(own.values()),
        difference=difference.estimate,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        verdict=difference.verdict,
        words=difference.summary,
        run_ids=tuple(run.spec.run_id for runs in pair for run in runs),
    )


def nothing_won(row: MethodRecord) -> Comparison | None:
    """What is said where the search chose the row's own setting."""
    if row.winner is None:
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
        words="the search found nothing above the row's own setting on the validation images: nothing to compare",
        run_ids=(),
    )


def accuracies_of(runs: Sequence[StudyRun], store: Store) -> dict[int, float] | None:
    """Test accuracy of the last epoch by seed; None unless all are finished."""
    records = [store.record(run.spec.run_id) for run in runs]
    found = {record.spec.seed: record.final_test_top1 for record in records if record is not None}
    return found if len(found) == len(runs) else None
