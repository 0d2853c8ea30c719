"""Stored trials are checked against their runs."""

import math
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from slbench.tuning.from_optuna import read_method
from slbench.tuning.search_file import space_of
from slbench.tuning.trial_check import TrialCheck, rewritten
from tests.support import missing
from tests.tuning.simulation import World, config, curve_of, new_study, states, target


def searched(**options: Any) -> tuple[optuna.Study, World]:
    study, world = new_study(), World()
    world.search([world.method_search(study, config=config(trials=5, **options))])
    return study, world


def check_of(world: World, **more: Any) -> TrialCheck:
    return TrialCheck(target(), space_of(target()), 2, world._curve, **more)


def tampered(study: optuna.Study, change: Callable[[FrozenTrial], None]) -> optuna.Study:
    """Return the study with trial 3 changed."""
    trials = study.get_trials()
    change(trials[3])
    return rewritten(study, trials)


def test_an_untouched_study_is_not_rewritten() -> None:
    study, world = searched()
    check = check_of(world)
    assert check.correct(study) is study
    assert check.lines == []


def value_of(value: float) -> Callable[[FrozenTrial], None]:
    return lambda trial: setattr(trial, "_values", [value])


@pytest.mark.parametrize("value", [99.0, -5.0, 0.0, 1e300])
def test_the_runs_count_and_not_the_stored_value(value: float) -> None:
    study, world = searched()
    before = states(study)
    check = check_of(world)
    assert states(check.correct(tampered(study, value_of(value)))) == before
    (line,) = check.lines
    assert not missing(line, "both", "trial 3", f"{value}", f"{before[3][2]:g}")


def test_a_reported_step_is_that_of_the_runs() -> None:
    study, world = searched()
    before = study.get_trials()[3].intermediate_values
    check = check_of(world)
    corrected = check.correct(tampered(study, lambda trial: trial.intermediate_values.update({2: 77.0})))
    assert corrected.get_trials()[3].intermediate_values == before
    assert not missing(check.lines[0], "trial 3", "step 2", "77.0")


def test_a_complete_trial_that_is_stored_as_pruned_is_complete() -> None:
    study, world = searched()
    before = states(study)
    method = world.method_search(study, config=config(trials=5))
    record = read_method(method, curve=world._curve)

    def prune(trial: FrozenTrial) -> None:
        trial.state, trial.values = TrialState.PRUNED, None

    check = check_of(world, recorded=record)
    assert states(check.correct(tampered(study, prune))) == before
    assert check.lines


@pytest.mark.parametrize(
    "change",
    [
        lambda trial: trial.user_attrs.update(setting={"method.initial_temperature": 0.5}),
        lambda trial: trial.user_attrs.update(setting="rubbish"),
        lambda trial: trial.user_attrs.update(runs=["a", "b"]),
        lambda trial: trial.user_attrs.update(runs=7),
        lambda trial: trial.user_attrs.update(baseline=True),
        lambda trial: trial.user_attrs.clear(),
    ],
)
def test_a_trial_that_contradicts_itself_is_dropped_and_tried_again(change: Callable[[FrozenTrial], None]) -> None:
    study, world = searched()
    record = read_method(world.method_search(study, config=config(trials=5)), curve=world._curve)
    check = check_of(world, recorded=record)
    corrected = check.correct(tampered(study, change))
    lost = check.lost(corrected)
    assert lost == [record.trials[3].setting]
    assert not missing(check.lines[0], "trial 3", "dropped") and not missing(check.lines[1], "trials 3")
    again = World(done=dict(world.done))
    from slbench.tuning.search import MethodSearch

    method = MethodSearch(target(), space_of(target()), corrected, config=config(trials=5), lost=lost)
    again.search([method])
    assert again.done == world.done
    assert read_method(method, curve=world._curve).trial(record.winner) is not None
    winner = read_method(method, curve=world._curve)
    assert winner.trial(winner.winner).setting == record.trial(record.winner).setting  # type: ignore[union-attr]


def test_a_running_trial_that_contradicts_itself_is_dropped() -> None:
    study, world = new_study(), World(steps=3)
    world.search([world.method_search(study, config=config(trials=5))])
    trials = study.get_trials()
    trials[0].user_attrs["runs"] = 7
    corrected = check_of(world).correct(rewritten(study, trials))
    assert [state for state, *_ in states(corrected)] == ["FAIL"]


def test_a_trial_without_its_runs_is_named_and_wins_only_alone() -> None:
    study, world = searched()
    method = world.method_search(study, config=config(trials=5))
    record = read_method(method, curve=world._curve)
    best = record.trial(record.winner)
    assert best is not None
    del world.done[best.run_ids[1]]
    check = check_of(world)
    assert check.correct(study) is study
    assert not missing(check.lines[0], f"trial {best.number}", best.run_ids[1], "gone")
    second = read_method(method, curve=world._curve).winner
    assert second not in (None, best.number)
    assert read_method(method, curve=lambda run: ()).winner == best.number


def test_an_impossible_value_without_runs_is_dropped() -> None:
    study, _ = searched()
    check = TrialCheck(target(), space_of(target()), 2, lambda run: ())
    corrected = check.correct(tampered(study, value_of(math.inf)))
    assert [state for state, *_ in states(corrected)] == ["COMPLETE"] * 3 + ["FAIL", "COMPLETE"]


def test_an_emptied_storage_tries_the_recorded_trials_again_and_has_the_same_winner() -> None:
    from slbench.tuning.search import MethodSearch

    study, world = searched(sampler="random")
    record = read_method(world.method_search(study, config=config(trials=5)), curve=curve_of)
    check = check_of(world, recorded=record)
    empty = new_study()
    lost = check.lost(check.correct(empty))
    assert len(lost) == 5
    assert not missing(check.lines[0], "0, 1, 2, 3, 4", "search.json")
    method = MethodSearch(target(), space_of(target()), empty, config=config(trials=5), lost=lost)
    World(done=world.done).search([method])
    assert read_method(method, curve=curve_of).trials == record.trials
