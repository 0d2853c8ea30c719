"""Search with Optuna's ask-and-tell interface: ask for settings, hand out their runs, tell the outcomes.

Only specs and validation accuracies (`curve`) of runs are visible here: neither records nor test accuracies. The seeds
of a trial are trained in turn; its step is the number of epochs trained so far, over all seeds. Reported values: the
accuracy after each epoch of the first seed, then after each further seed the mean over finished seeds.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

from slbench.differing import setting_text
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

TYPICAL_ACCURACY = 80.0  # %, for the noise of validation accuracies
MAX_TRIALS, MAX_SEEDS = 10_000, 1000  # of a search, of a trial: Optuna reads all trials again for each new one
ATTEMPTS = 20  # to get an untried setting
STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
BASELINE, SETTING, RUNS, FAILED, REPEATS, DIVERGED = "baseline", "setting", "runs", "failed", "repeats", "diverged"


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Options of a search."""

    name: str
    trials: int  # in total, over restarts
    seeds: int  # per trial
    sampler: SamplerName
    pruner: PrunerName
    seed: int = 0  # of the sampler
    parallel: bool = False  # concurrent trials


@dataclass(eq=False)
class Trial:
    """A running trial: one run per seed, in turn."""

    search: "MethodSearch"
    handle: "optuna.Trial"
    setting: Mapping[str, Value]
    runs: tuple[StudyRun, ...]
    reported: int = 0  # last step reported to Optuna
    value: float | None = None  # value at that step
    seed_index: int = 0  # of the current run
    finals: list[float] = field(default_factory=list)  # last-epoch accuracies of finished seeds

    @property
    def number(self) -> int:
        return self.handle.number

    @property
    def is_baseline(self) -> bool:
        return bool(self.handle.user_attrs.get(BASELINE))

    @property
    def run(self) -> StudyRun:
        return self.runs[self.seed_index]


@dataclass(frozen=True)
class TrialOutcome:
    """Outcome of a trial."""

    method: str
    number: int
    setting: Mapping[str, Value]
    state: State
    value: float | None  # validation accuracy in %; last value of a pruned trial


class MethodSearch:
    """Search of one method: an Optuna study and its running trials.

    Args:
        margin: of the pruner; default: standard error of an accuracy on the validation images.
        lost: settings of earlier trials that the study lacks, which are tried first.
    """

    def __init__(
        self,
        target: TuningTarget,
        space: Space,
        study: "optuna.Study",
        *,
        config: SearchConfig,
        margin: float | None = None,
        lost: Sequence[dict[str, Value]] = (),
    ) -> None:
        self.target, self.space, self.study, self.config = target, space, study, config
        spec = target.spec()
        self.epochs = spec.recipe.epochs
        if margin is None:
            margin = standard_error(TYPICAL_ACCURACY, spec.dataset.num_validation)
        self.study.pruner = make_pruner(config.pruner, epochs=self.epochs, seeds=config.seeds, margin=margin)
        self.failures = 0  # in this process; earlier failures are retried
        self.running: list[Trial] = []
        self.tried = {tuple(trial.user_attrs[RUNS]) for trial in self._counted()}
        self._lost = list(lost)
        self._retries: list[dict[str, Value]] = []
        self._exhausted = False

    @property
    def total(self) -> int:
        """Return the number of trials: as requested, at most the number of settings."""
        points = len(self.space.grid()) if self.config.sampler == "grid" else self.space.size
        return self.config.trials if points is None else min(self.config.trials, points)

    @property
    def asked(self) -> int:
        """Return the number of finished and running trials, without failures of earlier processes."""
        return len(self._counted()) + self.failures

    @property
    def remaining(self) -> int:
        """Return the number of trials still to start."""
        return 0 if self._exhausted else max(0, self.total - self.asked)

    def outcomes(self) -> list[TrialOutcome]:
        """Return the outcomes of all finished trials."""
        return [
            TrialOutcome(
                self.target.method, trial.number, trial.user_attrs[SETTING], STATES[trial.state.name], trial.value
            )
            for trial in self._counted()
            if trial.state.is_finished()
        ]

    def resume(self) -> list[Trial]:
        """Resume trials of a dead process, drop those without a setting, and schedule retries of failures."""
        import optuna
        from optuna.trial import TrialState

        resumed = list[Trial]()
        for frozen in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if RUNS not in frozen.user_attrs:
                self.study.tell(frozen.number, state=TrialState.FAIL)
                continue
            handle = optuna.Trial(self.study, frozen._trial_id)  # Optuna has no public way to resume a trial
            setting, values = frozen.user_attrs[SETTING], frozen.intermediate_values
            reported = max(values, default=0)
            runs = self._marked(frozen.number, setting)
            resumed.append(Trial(self, handle, setting, runs, reported, values.get(reported)))
        self.running += resumed
        self.tried |= {tuple(trial.handle.user_attrs[RUNS]) for trial in resumed}
        failed = self.study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        failed_params = {tuple(trial.user_attrs[RUNS]): trial.params for trial in failed if FAILED in trial.user_attrs}
        retries = [params for runs, params in failed_params.items() if runs not in self.tried]
        self._retries = [*self._lost, *(params for params in retries if params not in self._lost)]
        return resumed

    def ask(self) -> Trial | None:
        """Return a new trial; None if all trials are started or no setting is left."""
        if self._exhausted or self.asked >= self.total:
            return None
        for _ in range(ATTEMPTS):
            if not self._enqueue():
                break
            trial = self._ask()
            if trial is not None:
                self.running.append(trial)
                return trial
        self._exhausted = True
        return None

    def _enqueue(self) -> bool:
        """Enqueue the next fixed setting (default, retry, grid point), if any; return False if a grid is exhausted."""
        from optuna.trial import TrialState

        waiting = self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if waiting:
            return True
        if not self.tried and not self._retries:
            self.study.enqueue_trial(self.space.start, user_attrs={BASELINE: True})
        elif self._retries:
            params = self._retries.pop(0)
            is_baseline = self.space.setting(params) == self.space.start
            self.study.enqueue_trial(params, user_attrs={BASELINE: True} if is_baseline else None)
        elif self.config.sampler == "grid":
            untried = self._untried(iter(self.space.grid()))
            if untried is None:
                return False
            self.study.enqueue_trial(untried)
        return True

    def _untried(self, settings: Iterator[dict[str, Value]]) -> dict[str, Value] | None:
        """Return the first untried setting."""
        return next((setting for setting in settings if self._ids(setting) not in self.tried), None)

    def _ask(self) -> Trial | None:
        """Return a trial with an untried setting; None if the sampler repeated one."""
        from optuna.trial import TrialState

        self.study.sampler = make_sampler(
            self.config.sampler,
            seed=derive(self.config.seed, self.target.method, len(self.study.get_trials(deepcopy=False))) % 2**32,
            parallel=self.config.parallel,
        )
        handle = self.study.ask(distributions(self.space))
        setting = self.space.setting(handle.params)
        try:
            ids = self._ids(setting)
        except InputError:  # invalid combination; single parameters were checked before
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
        return Trial(self, handle, setting, self._marked(handle.number, setting))

    def _enqueue_another(self, setting: Mapping[str, Value]) -> None:
        """After a repeated setting, enqueue a nearby one, or any untried one in a finite space."""
        generator = random.Random(derive(self.config.seed, "another", len(self.study.get_trials(deepcopy=False))))
        if self.space.size is None:
            self.study.enqueue_trial(self.space.near(setting, generator))
            return
        settings = list(self.space.settings())
        generator.shuffle(settings)
        untried = self._untried(iter(settings))
        if untried is not None:
            self.study.enqueue_trial(untried)

    def runs(self, setting: Mapping[str, Value]) -> tuple[StudyRun, ...]:
        """Return the runs of a setting, one per seed."""
        return self.target.runs(self.space.changes(setting), seeds=range(self.config.seeds))

    def _marked(self, number: int, setting: Mapping[str, Value]) -> tuple[StudyRun, ...]:
        """Return the runs of a trial, which say of which trial and with which setting they are."""
        settings = tuple(setting_text(path, value) for path, value in self.space.changes(setting).items())
        trial = f"trial {number} of {self.study.study_name}"
        return tuple(replace(run, settings=settings, trial=trial) for run in self.runs(setting))

    def _ids(self, setting: Mapping[str, Value]) -> tuple[str, ...]:
        return tuple(run.spec.run_id for run in self.runs(setting))

    def _counted(self) -> list["optuna.trial.FrozenTrial"]:
        """Return complete, pruned and running trials that have runs."""
        from optuna.trial import TrialState

        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        return [trial for trial in self.study.get_trials(deepcopy=False, states=states) if RUNS in trial.user_attrs]


class Search:
    """Searches of all methods: hands out runs to free slots and handles their progress by run id.

    Args:
        curve: returns the validation accuracy of a run by epoch.
        stop: stops a running run.
        on_outcome: called with the outcome of each trial.
        may_start: called before a new trial; False starts no more.
    """

    def __init__(
        self,
        searches: Sequence[MethodSearch],
        *,
        curve: Callable[[StudyRun], tuple[float, ...]],
        stop: Callable[[StudyRun, Pruned], None],
        on_outcome: Callable[[TrialOutcome], None] = lambda outcome: None,
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        self.searches = searches
        self.curve, self.stop, self.on_outcome, self.may_start = curve, stop, on_outcome, may_start
        self._next_seed = deque(trial for search in searches for trial in search.resume())
        self._trials: dict[str, Trial] = {}

    def next(self) -> StudyRun | None:
        """Return the next run: the next seed of a running trial, else the first of a new one; None if there is none."""
        trial = self._next_seed.popleft() if self._next_seed else self._ask()
        if trial is None:
            return None
        self._trials[trial.run.spec.run_id] = trial
        return trial.run

    def _ask(self) -> Trial | None:
        if not self.may_start():
            return None
        for search in sorted(self.searches, key=lambda search: search.asked):
            if (trial := search.ask()) is not None:
                return trial
        return None

    def on_epoch(self, run_id: str) -> None:
        """Report new epochs of a run, and stop it if its trial is pruned."""
        trial = self._trials.get(run_id)
        if trial is None or trial.seed_index > 0:
            return
        values = self.curve(trial.run)
        for step, value in enumerate(values, start=1):
            if step > trial.reported and self._report(trial, value, step):
                pruned = self._pruned(trial, f"after epoch {step} of seed {trial.run.spec.seed}", epochs=step)
                self.stop(trial.run, pruned)
                return

    def on_finished(self, run_id: str) -> None:
        """Handle a finished run."""
        trial = self._trials.get(run_id)
        if trial is None:
            return
        self.on_epoch(run_id)
        if self._trials.pop(run_id, None) is None:
            return  # pruned after its last epoch
        trial.finals.append(self.curve(trial.run)[-1])
        value, last = mean(trial.finals), len(trial.finals) == len(trial.runs)
        step = len(trial.finals) * trial.search.epochs
        if last:
            if step > trial.reported:
                self._report(trial, value, step)
            trial.search.study.tell(trial.handle, value)
            self._finish(trial, "complete", value)
        elif trial.seed_index > 0 and step > trial.reported and self._report(trial, value, step):
            self._pruned(trial, f"after {len(trial.finals)} seeds", epochs=trial.search.epochs)
        else:
            trial.seed_index += 1
            self._next_seed.append(trial)

    def on_failed(self, run_id: str, *, kind: str, reason: str) -> None:
        """Handle a failed run that will not be retried."""
        from optuna.trial import TrialState

        trial = self._trials.pop(run_id, None)
        if trial is None:
            return
        diverged = kind == "diverged"
        trial.handle.set_user_attr(DIVERGED if diverged else FAILED, reason)
        trial.search.study.tell(trial.handle, state=TrialState.PRUNED if diverged else TrialState.FAIL)
        if not diverged:
            trial.search.failures += 1
        self._finish(trial, "pruned" if diverged else "failed", None)

    def _report(self, trial: Trial, value: float, step: int) -> bool:
        """Report a value; return whether to prune the trial. The default setting is never pruned."""
        trial.handle.report(value, step)
        trial.reported, trial.value = step, value
        is_last = step == trial.search.epochs * len(trial.runs)
        return not trial.is_baseline and not is_last and trial.handle.should_prune()

    def _pruned(self, trial: Trial, when: str, *, epochs: int) -> Pruned:
        from optuna.trial import TrialState

        config = trial.search.config
        self._trials.pop(trial.run.spec.run_id, None)
        trial.search.study.tell(trial.handle, state=TrialState.PRUNED)
        self._finish(trial, "pruned", trial.value)
        return Pruned(
            search=config.name,
            trial=trial.number,
            epochs=epochs,
            reason=f"pruned by the search '{config.name}' (trial {trial.number}) {when}",
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _finish(self, trial: Trial, state: State, value: float | None) -> None:
        trial.search.running.remove(trial)
        self.on_outcome(TrialOutcome(trial.search.target.method, trial.number, trial.setting, state, value))


def distributions(space: Space) -> dict[str, Any]:
    """Return the Optuna distributions of a space."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    by_path: dict[str, Any] = {}
    for parameter in space.parameters:
        if parameter.choices:
            by_path[parameter.path] = CategoricalDistribution(parameter.choices)
        elif parameter.whole:
            assert isinstance(parameter.low, int) and isinstance(parameter.high, int)
            by_path[parameter.path] = IntDistribution(parameter.low, parameter.high, log=parameter.log)
        else:
            assert parameter.low is not None and parameter.high is not None
            by_path[parameter.path] = FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return by_path
