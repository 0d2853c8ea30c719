"""A search with simulated training."""

import itertools
from statistics import mean

import optuna
import pytest

from slbench.study import StudyRun
from slbench.tuning.from_optuna import read_method
from slbench.tuning.search import MethodSearch
from slbench.tuning.search_file import space_of
from slbench.tuning.space import SHIFT, TEMPERATURE
from slbench.tuning.strategy import PRUNERS, SAMPLERS, PrunerName, SamplerName
from tests.support import missing
from tests.tuning.simulation import PAPER, World, config, curve_of, new_study, states, target


@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_the_default_setting_is_the_first_trial_and_the_methods_own_run(sampler: SamplerName) -> None:
    study, world = new_study(), World()
    assert world.search([world.method_search(study, config=config(trials=3, sampler=sampler))])
    first = study.get_trials()[0]
    assert first.user_attrs["setting"] == PAPER
    assert first.user_attrs["baseline"] is True
    assert tuple(first.user_attrs["runs"]) == tuple(run.spec.run_id for run in target().runs({}, seeds=range(2)))
    assert world.started[0].spec.method.shift_ratio == 0.5  # not 4 px, which would be another run


def test_the_value_of_a_trial_is_the_mean_last_epoch_accuracy_over_seeds() -> None:
    study, world = new_study(), World()
    world.search([world.method_search(study, config=config(trials=2, seeds=3))])
    for trial in study.get_trials():
        runs = target().runs({} if trial.user_attrs.get("baseline") else trial.user_attrs["setting"], seeds=range(3))
        finals = [curve_of(run)[-1] for run in runs]
        assert trial.value == pytest.approx(mean(finals))
        first = dict(enumerate(curve_of(runs[0]), start=1))
        assert trial.intermediate_values == pytest.approx({**first, 8: mean(finals[:2]), 12: mean(finals)})


@pytest.mark.parametrize("slots", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("sampler", SAMPLERS.values())
def test_every_sampler_completes_the_requested_number_of_trials(sampler: SamplerName, slots: int) -> None:
    study, world = new_study(), World(slots=slots)
    world.search([world.method_search(study, config=config(trials=7, sampler=sampler, parallel=slots > 1))])
    assert [state for state, *_ in states(study)].count("COMPLETE") == 7
    settings = [tuple(setting.items()) for _, setting, _ in states(study) if setting]
    assert len(set(settings)) == 7
    again = World(done=world.done)
    again.search([again.method_search(study, config=config(trials=7, sampler=sampler))])
    assert again.started == []
    more = World(done=world.done)
    more.search([more.method_search(study, config=config(trials=9, sampler=sampler))])
    assert len(more.started) == 2 * 2


@pytest.mark.parametrize("pruner", ["hyperband", "median"])
def test_a_bad_trial_is_pruned_and_the_default_setting_never(pruner: PrunerName) -> None:
    def hopeless(run: StudyRun) -> tuple[float, ...]:
        own = run.spec.method.initial_temperature == 1.0
        return tuple((10 if own else 90 - run.spec.method.initial_temperature * 20) + epoch for epoch in range(4))

    study, world = new_study(), World(hopeless)
    world.search([world.method_search(study, config=config(trials=20, seeds=3, pruner=pruner))])
    by_state = {
        state: [setting for other, setting, _ in states(study) if other == state] for state, *_ in states(study)
    }
    assert PAPER in by_state["COMPLETE"]
    assert len(by_state["PRUNED"]) >= 4
    assert len(by_state["PRUNED"]) + len(by_state["COMPLETE"]) == 20
    assert world.epochs < 20 * 3 * 4
    for pruned in world.pruned.values():
        assert not missing(pruned.reason, "pruned", "search", f"trial {pruned.trial}")


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        pytest.param(sampler, pruner, marks=() if pruner == "hyperband" or sampler == "tpe" else pytest.mark.slow)
        for sampler, pruner in itertools.product(SAMPLERS.values(), PRUNERS.values())
    ],
)
def test_a_search_killed_anywhere_continues_like_an_uninterrupted_one(sampler: SamplerName, pruner: PrunerName) -> None:
    options = config(trials=8, sampler=sampler, pruner=pruner)
    uninterrupted, world = new_study(), World()
    world.search([world.method_search(uninterrupted, config=options)])
    killed, left = new_study(), World(steps=3)
    while not left.search([left.method_search(killed, config=options)]):
        left = World(done=left.done, steps=5, pruned={})
    assert states(killed) == states(uninterrupted)
    assert left.done == world.done


def test_a_repeated_setting_is_replaced_by_an_untried_one() -> None:
    study, world = new_study(), World()
    method = MethodSearch(target("spt"), space_of(target("spt")), study, config=config(trials=20, sampler="tpe"))
    assert method.total == 8  # shifts of 1 to 8 px, and no temperature
    world.search([method])
    done = [setting[SHIFT] for state, setting, _ in states(study) if state == "COMPLETE"]
    assert sorted(done, key=str) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(world.done) == 8 * 2


def test_a_grid_is_searched_in_order_with_the_default_setting_first() -> None:
    study, world = new_study(), World()
    world.search([world.method_search(study, config=config(trials=5, sampler="grid"))])
    points = [(setting[TEMPERATURE], setting[SHIFT]) for _, setting, _ in states(study)]
    assert points == [(1.0, 4), (0.25, 1), (0.25, 2), (0.25, 3), (0.25, 4)]


def test_a_failed_trial_counts_in_this_process_and_is_retried_by_the_next() -> None:
    study, world = new_study(), World()
    method = world.method_search(study, config=config(trials=2))

    class Failing(World):
        def search(self, methods: list[MethodSearch]) -> bool:  # type: ignore[override]
            from slbench.tuning.search import Search

            search = Search(
                methods, curve=lambda run: (), stop=lambda run, pruned: None, on_outcome=self.outcomes.append
            )
            while (run := search.next()) is not None:
                search.on_failed(run.spec.run_id, kind="error", reason="exit code 1")
            return True

    failing = Failing()
    failing.search([method])
    assert [outcome.state for outcome in failing.outcomes] == ["failed", "failed"]
    world.search([world.method_search(study, config=config(trials=2))])
    assert [state for state, *_ in states(study)] == ["FAIL", "FAIL", "COMPLETE", "COMPLETE"]
    complete = study.get_trials()[2:]
    assert complete[0].user_attrs.get("baseline") is True
    assert [trial.user_attrs["setting"] for trial in complete] == [
        trial.user_attrs["setting"] for trial in study.get_trials()[:2]
    ]


def test_a_trial_with_a_diverged_loss_is_pruned() -> None:
    study, world = new_study(), World()
    from slbench.tuning.search import Search

    search = Search(
        [world.method_search(study, config=config(trials=1))], curve=lambda run: (), stop=lambda run, pruned: None
    )
    run = search.next()
    assert run is not None
    search.on_failed(run.spec.run_id, kind="diverged", reason="the loss is nan")
    assert states(study) == [("PRUNED", PAPER, None)]
    assert search.next() is None


def test_methods_alternate_and_get_the_same_number_of_trials() -> None:
    world = World()
    methods = [
        world.method_search(new_study(), name, config=config(trials=4, seeds=1)) for name in ("both", "lsa", "spt")
    ]
    world.search(methods)
    assert [method.asked for method in methods] == [4, 4, 4]
    assert [outcome.method for outcome in world.outcomes] == ["both", "lsa", "spt"] * 4


def test_the_record_of_a_search_has_winner_and_default_setting() -> None:
    study, world = new_study(), World()
    method = world.method_search(study, config=config(trials=12))
    world.search([method])
    read = read_method(method, curve=lambda run: curve_of(run)[: world.done.get(run.spec.run_id, 0)])
    assert len(read.trials) == 12
    assert read.baseline is not None and read.baseline.setting == PAPER
    won = read.trial(read.winner)
    assert won is not None and won.value == max(trial.value or 0 for trial in read.trials)
    assert won.epochs == 2 * 4
    assert won.images == 2 * 4 * world.started[0].spec.samples_per_epoch
    assert set(read.importance or {}) == {TEMPERATURE, SHIFT}
    assert sum((read.importance or {}).values()) == pytest.approx(1)


def test_a_trial_can_be_pruned_after_a_finished_seed() -> None:
    class AfterTwoSeeds(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
            return trial.last_step == 8

    study, world = new_study(), World()
    method = world.method_search(study, config=config(trials=3, seeds=3))
    study.pruner = AfterTwoSeeds()
    world.search([method])
    assert [state for state, *_ in states(study)] == ["COMPLETE", "PRUNED", "PRUNED"]
    assert len(world.started) == 3 + 2 + 2
    assert world.pruned == {}  # no run was stopped: each had ended
