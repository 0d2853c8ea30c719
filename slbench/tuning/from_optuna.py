"""Convert Optuna studies to the record of a search."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slbench.methods import model_title
from slbench.study import StudyRun
from slbench.tuning.record import Comparison, MethodRecord, TrialRecord
from slbench.tuning.search import BASELINE, DIVERGED, FAILED, RUNS, SETTING, STATES, MethodSearch

if TYPE_CHECKING:
    import optuna

MIN_TRIALS = 10  # complete trials needed for importances; of fewer they are noise


def read_method(
    search: MethodSearch, *, curve: Callable[[StudyRun], tuple[float, ...]], comparison: Comparison | None = None
) -> MethodRecord:
    """Return the current state of a method's search."""
    trial_state = search.study.get_trials(deepcopy=False)
    trials = tuple(read_trial(search, trial, curve) for trial in trial_state if RUNS in trial.user_attrs)
    label = search.target.runs({}, seeds=[0])[0].labels.backbone
    return MethodRecord(
        method=search.target.method,
        title=model_title(label, search.target.method),
        space=tuple(parameter.description for parameter in search.space.parameters),
        parameters=tuple(parameter.path for parameter in search.space.parameters),
        log=tuple(parameter.path for parameter in search.space.parameters if parameter.log),
        trials=trials,
        importance=importance(search.study),
        winner=winner(trials),
        comparison=comparison,
    )


def read_trial(
    search: MethodSearch, trial_state: "optuna.trial.FrozenTrial", curve: Callable[[StudyRun], tuple[float, ...]]
) -> TrialRecord:
    """Return a trial with all validation accuracies of its runs, including those after pruning."""
    setting = trial_state.user_attrs[SETTING]
    runs = search.runs(setting)
    curves = [curve(run) for run in runs]
    trained = sum(map(len, curves))
    reported = trial_state.intermediate_values
    return TrialRecord(
        number=trial_state.number,
        state=STATES[trial_state.state.name],
        is_baseline=bool(trial_state.user_attrs.get(BASELINE)),
        setting=setting,
        value=trial_state.value if trial_state.state.name == "COMPLETE" else None,
        last_value=reported[max(reported)] if reported else None,
        by_seed=tuple(values[-1] for values in curves if len(values) == search.epochs),
        curve=curves[0],
        epochs=trained,
        images=trained * runs[0].spec.samples_per_epoch,
        run_ids=tuple(trial_state.user_attrs[RUNS]),
        note=trial_state.user_attrs.get(FAILED) or trial_state.user_attrs.get(DIVERGED) or "",
    )


def winner(trials: Sequence[TrialRecord]) -> int | None:
    """Return the number of the complete trial with the highest mean validation accuracy; ties: the first.

    A trial without all of its runs, whose value cannot be checked, wins only if there are no others.
    """
    complete = [trial for trial in trials if trial.value is not None]
    checked = [trial for trial in complete if len(trial.by_seed) == len(trial.run_ids)] or complete
    return max(checked, key=lambda trial: (trial.value, -trial.number)).number if checked else None


def importance(study: "optuna.Study") -> dict[str, float] | None:
    """Return Optuna's importance of each parameter; None if undefined."""
    import optuna

    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < MIN_TRIALS or len({trial.value for trial in complete}) == 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental evaluators
        try:
            shares = optuna.importance.get_param_importances(study)
        except (ValueError, RuntimeError):  # parameters that never varied
            return None
    return {name: float(share) for name, share in shares.items()}
