"""Small searches with simulated training."""

import warnings
from collections.abc import Mapping

import optuna

from benchmarks.world import World as AnyWorld
from slbench.study import StudyRun
from slbench.tuning.search import MethodSearch, SearchConfig
from slbench.tuning.search_file import space_of
from slbench.tuning.space import SHIFT, TEMPERATURE
from slbench.tuning.strategy import PrunerName, SamplerName
from slbench.tuning.target import TuningTarget

SMALL = {
    "recipe.epochs": 4,
    "backbone.patch_size": 8,
    "backbone.dim": 8,
    "backbone.depth": 1,
    "backbone.num_heads": 1,
}
PAPER = {TEMPERATURE: 1.0, SHIFT: 4}


def target(method: str = "both", **changes: object) -> TuningTarget:
    return TuningTarget("vit", "fashion-mnist-12k", method, changes={**SMALL, **changes})


def config(
    *,
    trials: int = 8,
    seeds: int = 2,
    sampler: SamplerName = "random",
    pruner: PrunerName = "none",
    parallel: bool = False,
) -> SearchConfig:
    return SearchConfig(name="search", trials=trials, seeds=seeds, sampler=sampler, pruner=pruner, parallel=parallel)


DEFAULT_CONFIG = config()


def curve_of(run: StudyRun) -> tuple[float, ...]:
    """Return accuracies: best at temperature 0.5 and shift 3 px, rising by epoch; seeds differ by a point."""
    method = run.spec.method
    pixels = 4 if method.shift_pixels is None else method.shift_pixels
    top = 80 - 4 * abs(method.initial_temperature - 0.5) - abs(pixels - 3) + run.spec.seed
    return tuple(top - 20 / epoch for epoch in range(1, run.spec.recipe.epochs + 1))


class World(AnyWorld):
    """Simulated training with `curve_of` by default."""

    def __init__(self, curve=curve_of, **settings) -> None:  # type: ignore[no-untyped-def]
        super().__init__(curve, **settings)

    def method_search(
        self, study: optuna.Study, method: str = "both", *, config: SearchConfig = DEFAULT_CONFIG
    ) -> MethodSearch:
        target_ = target(method)
        return MethodSearch(target_, space_of(target_), study, config=config)


def new_study() -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.create_study(direction="maximize", study_name="search-both")


def states(study: optuna.Study) -> list[tuple[str, Mapping[str, object], float | None]]:
    """Return state, setting and value of each trial."""
    return [(trial.state.name, trial.user_attrs.get("setting", {}), trial.value) for trial in study.get_trials()]
