"""Samplers and pruners of a search."""

import optuna
import pytest

from slbench.tuning.strategy import PEERS, SAMPLERS, SamplerName, make_pruner, make_sampler, standard_error

SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "temperature": optuna.distributions.FloatDistribution(0.1, 4, log=True)
}


def sampled(name: SamplerName, *, seed: int, trials: int = 12) -> list[float]:
    """Return the values of trials with a new sampler per trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        study.sampler = make_sampler(name, seed=1000 * seed + number, parallel=True)
        trial = study.ask(SPACE)
        study.tell(trial, -abs(trial.params["temperature"] - 0.5))
    return [trial.params["temperature"] for trial in study.trials]


@pytest.mark.parametrize("name", SAMPLERS.values())
def test_a_new_sampler_per_trial_is_reproducible_and_never_repeats(name: SamplerName) -> None:
    assert sampled(name, seed=1) == sampled(name, seed=1)
    assert sampled(name, seed=1) != sampled(name, seed=2)
    assert len(set(sampled(name, seed=1, trials=5))) == 5


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_model_based_samplers_propose_values_near_good_ones(name: SamplerName) -> None:
    late = sampled(name, seed=3, trials=20)[12:]
    by_chance = sampled("random", seed=3, trials=20)[12:]
    assert sum(abs(value - 0.5) for value in late) < sum(abs(value - 0.5) for value in by_chance)


def test_the_median_prunes_below_the_margin_from_the_middle_of_the_first_seed() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=make_pruner("median", epochs=8, seeds=3, margin=2.0))

    def pruned_at(value: float) -> int | None:
        """Return the step at which a trial of this value is pruned."""
        trial = study.ask(SPACE)
        for step in range(1, 9):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return step
        study.tell(trial, value)
        return None

    assert [pruned_at(value) for value in (80.0, 70.0, 78.0, 76.0)] == [None] * PEERS  # median 77
    assert pruned_at(74.9) == 4
    assert pruned_at(75.0) is None  # with the pruned trial the median is 76 and the bound 74
    assert pruned_at(90.0) is None


def test_no_pruner_and_hyperband_are_optunas() -> None:
    assert isinstance(make_pruner("none", epochs=8, seeds=3, margin=1.0), optuna.pruners.NopPruner)
    assert isinstance(make_pruner("hyperband", epochs=8, seeds=3, margin=1.0), optuna.pruners.HyperbandPruner)


def test_the_standard_error_of_an_accuracy_is_the_binomials() -> None:
    assert standard_error(80.0, 1600) == pytest.approx(1.0)
    assert standard_error(50.0, 2500) == pytest.approx(1.0)
