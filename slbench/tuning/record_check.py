"""Check of the record of a search against the runs in the store, for summaries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import mean

from slbench.store import Store
from slbench.tuning.from_optuna import winner
from slbench.tuning.record import MethodRecord, SearchRecord, TrialRecord
from slbench.tuning.validation import curve_of_folder

TOLERANCE = 1e-9  # of a stored difference of means


@dataclass(frozen=True)
class RecordCheck:
    """Check of one record of a search; `lines` has a line for each contradiction.

    Args:
        curve: returns the validation accuracy of a run by epoch; empty without the run.
        tested: test accuracies of the finished runs of the comparisons by run id.
    """

    curve: Callable[[str], tuple[float, ...]]
    tested: Mapping[str, float]
    epochs: int
    lines: list[str] = field(default_factory=list)

    def method(self, result: MethodRecord) -> MethodRecord:
        """Return a method with the values of its runs, and the winner by these."""
        trials = tuple(self.trial(result.method, trial) for trial in result.trials)
        chosen = winner(trials)
        if chosen != result.winner:
            self.lines.append(f"{result.method}: winner is trial {chosen}, not {result.winner} as recorded")
        comparison = result.comparison
        if chosen != result.winner or not self.agrees(result):
            self.lines.append(f"{result.method}: comparison does not fit the runs and is left out; search again")
            comparison = None
        return result.model_copy(update={"trials": trials, "winner": chosen, "comparison": comparison})

    def trial(self, method: str, trial: TrialRecord) -> TrialRecord:
        """Return a trial with the values of its runs; as it is if they are gone."""
        curves = [self.curve(run_id) for run_id in trial.run_ids]
        finals = tuple(curve[-1] for curve in curves if len(curve) == self.epochs)
        if trial.state != "complete":
            return trial
        if len(finals) < len(curves) or not finals:
            gone = [run_id for run_id, curve in zip(trial.run_ids, curves, strict=True) if len(curve) < self.epochs]
            self.lines.append(
                f"{method}: trial {trial.number}: runs {' '.join(gone)} are gone from the store or unfinished; "
                f"{trial.value} % cannot be checked"
            )
            return trial.model_copy(update={"by_seed": finals}) if finals else trial
        if (trial.value, trial.by_seed) == (mean(finals), finals):
            return trial
        self.lines.append(
            f"{method}: trial {trial.number}: recorded {trial.value} %, its runs {mean(finals):g} %; the runs count"
        )
        return trial.model_copy(update={"value": mean(finals), "by_seed": finals, "curve": curves[0]})

    def agrees(self, result: MethodRecord) -> bool:
        """Return whether a comparison has the test accuracies of its runs, or has none of its runs in the store."""
        comparison = result.comparison
        known = [] if comparison is None else [self.tested.get(run_id) for run_id in comparison.run_ids]
        if comparison is None or None in known:
            return True
        difference = comparison.difference
        return {*comparison.tuned, *comparison.own} <= set(known) and (
            difference is None
            or not comparison.seeds
            or abs(difference - (mean(comparison.tuned) - mean(comparison.own))) < TOLERANCE
        )


def checked(record: SearchRecord, store: Store) -> tuple[SearchRecord, tuple[str, ...]]:
    """Return a record with the values of its runs, and a line for each contradiction, which are notes of it too."""
    folders = store.ids()
    compared = {run_id for row in record.rows if row.comparison for run_id in row.comparison.run_ids}
    check = RecordCheck(
        lambda run_id: curve_of_folder(folders.get(run_id)),
        {each.run_id: each.final_test_top1 for each in store.records(sorted(compared))},
        record.epochs,
    )
    rows = tuple(check.method(row) for row in record.rows)
    between = record.between if [row.winner for row in rows] == [row.winner for row in record.rows] else ()
    lines = tuple(check.lines)
    return record.model_copy(update={"rows": rows, "between": between, "notes": (*record.notes, *lines)}), lines
