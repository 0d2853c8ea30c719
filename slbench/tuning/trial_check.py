"""Check of a search's stored trials against the runs in the store: runs are trusted, the storage is not.

A trial whose values differ from those of its runs gets the values of the runs; one that contradicts itself is dropped,
and its setting is tried again. Every correction is one line of text.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean
from typing import TYPE_CHECKING

from slbench.errors import InputError
from slbench.study import StudyRun
from slbench.text import shown
from slbench.tuning.record import MethodRecord, TrialRecord
from slbench.tuning.search import BASELINE, RUNS, SETTING
from slbench.tuning.space import Space, Value
from slbench.tuning.target import TuningTarget

if TYPE_CHECKING:
    import optuna

DAMAGE = (TypeError, ValueError, LookupError, AttributeError, OverflowError)  # of content with other types; InputError


class ContradictionError(Exception):
    """A trial that contradicts itself."""


@dataclass(frozen=True)
class TrialCheck:
    """Check of the trials of one method.

    Args:
        curve: returns the validation accuracy of a run by epoch.
        seeds: number of runs of a trial.
        recorded: the search's earlier record of the method, which says which trials there were.
    """

    target: TuningTarget
    space: Space
    seeds: int
    curve: Callable[[StudyRun], tuple[float, ...]]
    recorded: MethodRecord | None = None
    lines: list[str] = field(default_factory=list)  # a line for each correction

    def correct(self, study: "optuna.Study") -> "optuna.Study":
        """Return the study, rewritten if the runs contradict it."""
        before = study.get_trials(deepcopy=False)
        after = [self.checked(trial) for trial in study.get_trials()]
        return study if list(map(repr, after)) == list(map(repr, before)) else rewritten(study, after)

    def checked(self, trial: "optuna.trial.FrozenTrial") -> "optuna.trial.FrozenTrial":
        """Return a trial with the values of its runs; failed and without runs if it contradicts itself."""
        from optuna.trial import TrialState

        if RUNS not in trial.user_attrs and trial.state != TrialState.COMPLETE:
            return trial
        try:
            self.check_setting(trial)
            self.take_values(trial)
        except (ContradictionError, *DAMAGE) as error:
            problem = error if isinstance(error, ContradictionError) else f"is damaged ({type(error).__name__})"
            self.add(trial.number, f"{problem}; it is dropped")
            trial.state, trial.values = TrialState.FAIL, None
            trial.user_attrs, trial.intermediate_values = {}, {}
            trial.datetime_complete = trial.datetime_complete or datetime.now()  # which Optuna wants of a failed one
        return trial

    def add(self, number: int, problem: object) -> None:
        self.lines.append(f"{self.target.method}: trial {number}: {problem}")

    def check_setting(self, trial: "optuna.trial.FrozenTrial") -> None:
        """Raise ContradictionError if parameters, setting, runs and the mark of the default do not belong together."""
        setting, ids = trial.user_attrs.get(SETTING), trial.user_attrs.get(RUNS)
        if setting != self.space.setting(trial.params):
            raise ContradictionError(f"setting {shown(setting)} is not that of its parameters {trial.params}")
        if not isinstance(ids, list | tuple) or tuple(ids) != self.ids(setting):
            raise ContradictionError(f"runs {shown(ids)} are not those of its setting {setting}")
        if bool(trial.user_attrs.get(BASELINE)) != (self.ids(setting) == self.ids(self.space.start)):
            raise ContradictionError("mark of the default setting is wrong")

    def runs(self, setting: Mapping[str, Value]) -> tuple[StudyRun, ...]:
        return self.target.runs(self.space.changes(setting), seeds=range(self.seeds))

    def ids(self, setting: Mapping[str, Value]) -> tuple[str, ...]:
        return tuple(run.spec.run_id for run in self.runs(setting))

    def take_values(self, trial: "optuna.trial.FrozenTrial") -> None:
        """Give a trial the values of its runs, as far as the store has them."""
        from optuna.trial import TrialState

        runs = self.runs(trial.user_attrs[SETTING])
        curves = [self.curve(run) for run in runs]
        finals = [curve[-1] for curve, run in zip(curves, runs, strict=True) if len(curve) == run.spec.recipe.epochs]
        if trial.state == TrialState.PRUNED and len(finals) == len(runs) and self.was_complete(trial):
            self.add(trial.number, "storage says pruned, search.json and its runs complete; it is complete")
            trial.state = TrialState.COMPLETE
        if trial.state == TrialState.COMPLETE:
            self.take_final(trial, runs, curves, finals)
        self.take_steps(trial, expected_steps(runs, curves))

    def was_complete(self, trial: "optuna.trial.FrozenTrial") -> bool:
        ids = tuple(trial.user_attrs[RUNS])
        return any(each.run_ids == ids and each.state == "complete" for each in self.earlier())

    def take_final(
        self,
        trial: "optuna.trial.FrozenTrial",
        runs: Sequence[StudyRun],
        curves: Sequence[tuple[float, ...]],
        finals: Sequence[float],
    ) -> None:
        """Give a complete trial the mean of its runs. Raises ContradictionError without them and a possible value."""
        value = trial.values[0] if trial.values else None
        if len(finals) == len(runs):
            if value != mean(finals):
                self.add(trial.number, f"storage says {value} %, its runs {mean(finals):g} %; the runs count")
            trial.values = [mean(finals)]
            return
        lacking = [run.spec.run_id for run, curve in zip(runs, curves, strict=True) if len(curve) < len_of(run)]
        if not is_accuracy(value):
            raise ContradictionError(f"value {value} is impossible, and its runs ({' '.join(lacking)}) are gone")
        self.add(
            trial.number,
            f"runs {' '.join(lacking)} are gone from the store or unfinished; {value:g} % cannot be checked, "
            "so that it wins only if no other trial can be",
        )

    def take_steps(self, trial: "optuna.trial.FrozenTrial", expected: Mapping[int, float]) -> None:
        """Give a trial the accuracies of its runs at the reported steps; drop impossible ones without a run."""
        stored = trial.intermediate_values
        wrong = {step: value for step, value in stored.items() if expected.get(step, value) != value}
        wrong |= {step: value for step, value in stored.items() if step not in expected and not is_accuracy(value)}
        if wrong:
            step, value = next(iter(wrong.items()))
            now = f"{expected[step]:g} %; the runs count" if step in expected else "nothing; it is dropped"
            self.add(trial.number, f"storage says {value} % at step {step}, its runs {now}")
        kept = {step: expected.get(step, value) for step, value in stored.items()}
        trial.intermediate_values = {step: value for step, value in kept.items() if is_accuracy(value)}

    def earlier(self) -> tuple[TrialRecord, ...]:
        return () if self.recorded is None else self.recorded.trials

    def lost(self, study: "optuna.Study") -> list[dict[str, Value]]:
        """Return the settings of recorded trials that the study lacks, to be tried again; their runs are kept."""
        stored = {tuple(trial.user_attrs.get(RUNS, ())) for trial in study.get_trials(deepcopy=False)}
        lost = [trial for trial in self.earlier() if trial.run_ids not in stored and self.is_ours(trial)]
        if lost:
            numbers = ", ".join(str(trial.number) for trial in lost)
            self.lines.append(
                f"{self.target.method}: trials {numbers} of search.json are not in the storage; "
                "they are tried again with their runs"
            )
        return [dict(trial.setting) for trial in lost]

    def is_ours(self, trial: TrialRecord) -> bool:
        """Return whether a recorded trial is of this search: a setting of its space, and the runs of that."""
        try:
            inside = all(each.holds(trial.setting[each.path]) for each in self.space.parameters)
            return inside and self.ids(trial.setting) == trial.run_ids
        except (InputError, LookupError, TypeError):
            return False


def len_of(run: StudyRun) -> int:
    return run.spec.recipe.epochs


def is_accuracy(value: object) -> bool:
    """Return whether a value can be an accuracy in %."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100  # False for NaN


def expected_steps(runs: Sequence[StudyRun], curves: Sequence[tuple[float, ...]]) -> dict[int, float]:
    """Return what a trial reports by step, as `slbench.tuning.search` does, as far as its runs are trained."""
    steps = dict(enumerate(curves[0], start=1))
    finals = list(finals_in_order(runs, curves))
    return steps | {len_of(runs[0]) * count: mean(finals[:count]) for count in range(2, len(finals) + 1)}


def finals_in_order(runs: Sequence[StudyRun], curves: Sequence[tuple[float, ...]]) -> Iterator[float]:
    """Yield the last-epoch accuracies of the finished runs before the first unfinished one."""
    for run, curve in zip(runs, curves, strict=True):
        if len(curve) < len_of(run):
            return
        yield curve[-1]


def rewritten(study: "optuna.Study", trials: "Sequence[optuna.trial.FrozenTrial]") -> "optuna.Study":
    """Replace the trials of a study. If it is interrupted, the lost ones are tried again, with their finished runs."""
    import optuna

    name, storage, attributes = study.study_name, study._storage, study.user_attrs
    optuna.delete_study(study_name=name, storage=storage)
    new = optuna.create_study(storage=storage, study_name=name, direction="maximize")
    for key, value in attributes.items():
        new.set_user_attr(key, value)
    new.add_trials(trials)
    return new
