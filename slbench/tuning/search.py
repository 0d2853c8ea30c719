"""The search itself: it asks Optuna for settings, hands out their runs, and tells what came of them.

It knows runs by what they are and by the validation accuracies that `curve` gives; no record, no test number comes
here. A trial trains its seeds one after the other; its steps are the epochs trained so far, of all seeds together:
after each epoch of the first seed its accuracy, then after each further seed the mean over the seeds that have ended.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from slbench.errors import InputError
from slbench.record import Pruned
from slbench.rng import derive
from slbench.study import StudyRun
from slbench.tuning.space import Space, Value
from slbench.tuning.strategy import PrunerName, SamplerName, make_pruner, make_sampler, standard_error
from slbench.tuning.target import TuningTarget

if TYPE_CHECKING:
    import optuna

State = Literal["complete", "pruned", "failed", "running"]

TYPICAL = 80.0  # accuracy in % by which the noise of the validation images is reckoned
ATTEMPTS = 20  # at a setting that was not tried before
STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
BASELINE, SETTING, RUNS, FAILED, REPEATS, DIVERGED = "baseline", "setting", "runs", "failed", "repeats", "diverged"


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How a search goes about it."""

    name: str
    trials: int  # in all, over all times that it is started
    seeds: int  # of a trial
    sampler: SamplerName
    pruner: PrunerName
    seed: int = 0  # of the sampler
    parallel: bool = False  # several trials at a time


@dataclass(eq=False)
class Trial:
    """A trial on its way: the runs of its seeds, one after the other."""

    row: "MethodSearch"
    handle: "optuna.Trial"
    setting: Mapping[str, Value]
    runs: tuple[StudyRun, ...]
    reported: int = 0  # the last step that Optuna knows
    value: float | None = None  # and what it was told then
    at: int = 0  # the seed that is trained
    finals: list[float] = field(default_factory=list)  # of the seeds that have ended

    @property
    def number(self) -> int:
        return self.handle.number

    @property
    def is_baseline(self) -> bool:
        return bool(self.handle.user_attrs.get(BASELINE))

    @property
    def run(self) -> StudyRun:
        return self.runs[self.at]


@dataclass(frozen=True)
class TrialOutcome:
    """What a trial came to, for whoever shows it."""

    method: str
    number: int
    setting: Mapping[str, Value]
    state: State
    value: float | None  # validation accuracy in %: of a pruned one the last that was seen


class MethodSearch:
    """One row's search: an Optuna study, and the trials of it that are on their way.

    Args:
        margin: of the pruner; unless given, the standard error of an accuracy on the validation images.
    """

    def __init__(
        self,
        subject: TuningTarget,
        space: Space,
        study: "optuna.Study",
        *,
        plan: SearchConfig,
        margin: float | None = None,
    ) -> None:
        self.subject, self.space, self.study, self.plan = subject, space, study, plan
        spec = subject.spec()
        self.epochs = spec.recipe.epochs
        if margin is None:
            margin = standard_error(TYPICAL, spec.dataset.num_validation)
        self.study.pruner = make_pruner(plan.pruner, epochs=self.epochs, seeds=plan.seeds, margin=margin)
        self.failures = 0  # of this process; those of earlier ones are tried again
        self.running: list[Trial] = []
        self.tried = {tuple(trial.user_attrs[RUNS]) for trial in self._counted()}
        self._again: list[dict[str, Value]] = []
        self._over = False

    @property
    def total(self) -> int:
        """Trials that are wanted: as many as were asked for, or as there are settings."""
        points = len(self.space.grid()) if self.plan.sampler == "grid" else self.space.size
        return self.plan.trials if points is None else min(self.plan.trials, points)

    @property
    def asked(self) -> int:
        """Trials that are over or on their way, those that failed before this process apart."""
        return len(self._counted()) + self.failures

    @property
    def left(self) -> int:
        """Trials that are still to be asked for."""
        return 0 if self._over else max(0, self.total - self.asked)

    def told(self) -> list[TrialOutcome]:
        """What the trials that are over came to."""
        return [
            TrialOutcome(
                self.subject.method, trial.number, trial.user_attrs[SETTING], STATES[trial.state.name], trial.value
            )
            for trial in self._counted()
            if trial.state.is_finished()
        ]

    def adopt(self) -> list[Trial]:
        """Take over the trials that a process left running when it died; those that had no setting yet are given up.

        Also notes the settings whose runs failed, to try them again.
        """
        import optuna
        from optuna.trial import TrialState

        adopted = list[Trial]()
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if RUNS not in frozen.user_attrs:
                self.study.tell(frozen.number, state=TrialState.FAIL)
                continue
            handle = optuna.Trial(self.study, frozen._trial_id)  # there is no other way to go on with a trial
            setting, told = frozen.user_attrs[SETTING], frozen.intermediate_values
            reported = max(told, default=0)
            adopted.append(Trial(self, handle, setting, self.runs(setting), reported, told.get(reported)))
        self.running += adopted
        self.tried |= {tuple(trial.handle.user_attrs[RUNS]) for trial in adopted}
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        lost = {tuple(trial.user_attrs[RUNS]): trial.params for trial in failed if FAILED in trial.user_attrs}
        self._again = [params for runs, params in lost.items() if runs not in self.tried]
        return adopted

    def ask(self) -> Trial | None:
        """A further trial; None if there are as many as were asked for, or nothing is left to try."""
        if self._over or self.asked >= self.total:
            return None
        for _ in range(ATTEMPTS):
            if not self._enqueue():
                break
            trial = self._ask()
            if trial is not None:
                self.running.append(trial)
                return trial
        self._over = True
        return None

    def _enqueue(self) -> bool:
        """Line up the setting that comes next, if it is not for the sampler to choose; False if none is left."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:
            return True
        if not self.tried and not self._again:
            self.study.enqueue_trial(self.space.start, user_attrs={BASELINE: True})
        elif self._again:
            params = self._again.pop(0)
            is_baseline = self.space.setting(params) == self.space.start
            self.study.enqueue_trial(params, user_attrs={BASELINE: True} if is_baseline else None)
        elif self.plan.sampler == "grid":
            untried = self._untried(iter(self.space.grid()))
            if untried is None:
                return False
            self.study.enqueue_trial(untried)
        return True

    def _untried(self, settings: Iterator[dict[str, Value]]) -> dict[str, Value] | None:
        """The first of some settings whose runs no trial has."""
        return next((setting for setting in settings if self._ids(setting) not in self.tried), None)

    def _ask(self) -> Trial | None:
        """A trial of a setting that no other has; None if the sampler came back to one that another has."""
        from optuna.trial import TrialState

        self.study.sampler = make_sampler(
            self.plan.sampler,
            seed=derive(self.plan.seed, self.subject.method, len(self.study.get_trials(deepcopy=False))) % 2**32,
            parallel=self.plan.parallel,
        )
        handle = self.study.ask(distributions(self.space))
        setting = self.space.setting(handle.params)
        try:
            ids = self._ids(setting)
        except InputError:  # of two parameters together: each by itself was looked at before
            self.study.tell(handle, state=TrialState.FAIL)
            return None
        if ids in self.tried:
            handle.set_user_attr(REPEATS, True)
            self.study.tell(handle, state=TrialState.FAIL)
            self._enqueue_another(setting)
            return None
        handle.set_user_attr(SETTING, setting)
        handle.set_user_attr(RUNS, ids)
        self.tried.add(ids)
        return Trial(self, handle, setting, self.runs(setting))

    def _enqueue_another(self, setting: Mapping[str, Value]) -> None:
        """After the sampler came back to a setting: one near it; where they are counted, any that was not tried."""
        chance = random.Random(derive(self.plan.seed, "another", len(self.study.get_trials(deepcopy=False))))
        if self.space.size is None:
            self.study.enqueue_trial(self.space.near(setting, chance))
            return
        settings = list(self.space.settings())
        chance.shuffle(settings)
        untried = self._untried(iter(settings))
        if untried is not None:
            self.study.enqueue_trial(untried)

    def runs(self, setting: Mapping[str, Value]) -> tuple[StudyRun, ...]:
        """The runs of a setting, one a seed."""
        return self.subject.runs(self.space.changes(setting), seeds=range(self.plan.seeds))

    def _ids(self, setting: Mapping[str, Value]) -> tuple[str, ...]:
        return tuple(run.spec.run_id for run in self.runs(setting))

    def _counted(self) -> list["optuna.trial.FrozenTrial"]:
        """Trials that are over and count, and those on their way."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        return [trial for trial in self.study.get_trials(deepcopy=False, states=states) if RUNS in trial.user_attrs]


class Search:
    """All rows' searches: gives runs to whoever has a slot free, and is told how they go, by their ids.

    Args:
        curve: validation accuracies of a run after each epoch that has ended.
        stop: ends a run that is running now.
        tell: hears what each trial came to.
        goes_on: asked before a further trial is begun.
    """

    def __init__(
        self,
        rows: Sequence[MethodSearch],
        *,
        curve: Callable[[StudyRun], tuple[float, ...]],
        stop: Callable[[StudyRun, Pruned], None],
        tell: Callable[[TrialOutcome], None] = lambda told: None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self.rows = rows
        self.curve, self.stop, self.tell, self.goes_on = curve, stop, tell, goes_on
        self._waiting = deque(trial for row in rows for trial in row.adopt())
        self._of_run: dict[str, Trial] = {}

    def next(self) -> StudyRun | None:
        """The run to begin with when a slot is free: the next seed of a trial, else the first of a new one."""
        trial = self._waiting.popleft() if self._waiting else self._ask()
        if trial is None:
            return None
        self._of_run[trial.run.spec.run_id] = trial
        return trial.run

    def _ask(self) -> Trial | None:
        if not self.goes_on():
            return None
        for row in sorted(self.rows, key=lambda row: row.asked):
            if (trial := row.ask()) is not None:
                return trial
        return None

    def moved(self, run_id: str) -> None:
        """A run may have ended an epoch."""
        trial = self._of_run.get(run_id)
        if trial is None or trial.at > 0:
            return
        values = self.curve(trial.run)
        for step, value in enumerate(values, start=1):
            if step > trial.reported and self._report(trial, value, step):
                pruned = self._pruned(trial, f"after epoch {step} of seed {trial.run.spec.seed}", epochs=step)
                self.stop(trial.run, pruned)
                return

    def ended(self, run_id: str) -> None:
        """A run has ended with its record."""
        trial = self._of_run.get(run_id)
        if trial is None:
            return
        self.moved(run_id)
        if self._of_run.pop(run_id, None) is None:
            return  # pruned by what its last epochs showed
        trial.finals.append(self.curve(trial.run)[-1])
        value, last = mean(trial.finals), len(trial.finals) == len(trial.runs)
        step = len(trial.finals) * trial.row.epochs
        if last:
            if step > trial.reported:
                self._report(trial, value, step)
            trial.row.study.tell(trial.handle, value)
            self._finish(trial, "complete", value)
        elif trial.at > 0 and step > trial.reported and self._report(trial, value, step):
            self._pruned(trial, f"after {len(trial.finals)} seeds", epochs=trial.row.epochs)
        else:
            trial.at += 1
            self._waiting.append(trial)

    def failed(self, run_id: str, *, kind: str, reason: str) -> None:
        """A run has ended without a record, and will not be tried again."""
        from optuna.trial import TrialState

        trial = self._of_run.pop(run_id, None)
        if trial is None:
            return
        diverged = kind == "diverged"
        trial.handle.set_user_attr(DIVERGED if diverged else FAILED, reason)
        trial.row.study.tell(trial.handle, state=TrialState.PRUNED if diverged else TrialState.FAIL)
        if not diverged:
            trial.row.failures += 1
        self._finish(trial, "pruned" if diverged else "failed", None)

    def _report(self, trial: Trial, value: float, step: int) -> bool:
        """Report a value; whether the trial is not worth going on with. The row's own setting always is."""
        trial.handle.report(value, step)
        trial.reported, trial.value = step, value
        is_last = step == trial.row.epochs * len(trial.runs)
        return not trial.is_baseline and not is_last and trial.handle.should_prune()

    def _pruned(self, trial: Trial, when: str, *, epochs: int) -> Pruned:
        from optuna.trial import TrialState

        plan = trial.row.plan
        self._of_run.pop(trial.run.spec.run_id, None)
        trial.row.study.tell(trial.handle, state=TrialState.PRUNED)
        self._finish(trial, "pruned", trial.value)
        return Pruned(
            search=plan.name,
            trial=trial.number,
            epochs=epochs,
            reason=f"pruned by the search '{plan.name}' (trial {trial.number}) {when}",
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _finish(self, trial: Trial, state: State, value: float | None) -> None:
        trial.row.running.remove(trial)
        self.tell(TrialOutcome(trial.row.subject.method, trial.number, trial.setting, state, value))


def distributions(space: Space) -> dict[str, Any]:
    """A space as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for each in space.parameters:
        if each.choices:
            found[each.path] = CategoricalDistribution(each.choices)
        elif each.whole:
            assert isinstance(each.low, int) and isinstance(each.high, int)
            found[each.path] = IntDistribution(each.low, each.high, log=each.log)
        else:
            assert each.low is not None and each.high is not None
            found[each.path] = FloatDistribution(each.low, each.high, log=each.log)
    return found
