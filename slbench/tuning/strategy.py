"""Samplers and pruners by name."""

import warnings
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import optuna

SamplerName = Literal["tpe", "gp", "random", "grid"]
PrunerName = Literal["hyperband", "median", "none"]
SAMPLERS: dict[str, SamplerName] = {name: name for name in get_args(SamplerName)}
PRUNERS: dict[str, PrunerName] = {name: name for name in get_args(PrunerName)}
DEFAULT_SAMPLER: SamplerName = "gp"
DEFAULT_PRUNER: PrunerName = "hyperband"


def make_sampler(name: SamplerName, *, seed: int, parallel: bool) -> "optuna.samplers.BaseSampler":
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=parallel)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=5, deterministic_objective=False)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(name: PrunerName, *, epochs: int, seeds: int) -> "optuna.pruners.BasePruner":
    import optuna

    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs * seeds, reduction_factor=3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1)
    return optuna.pruners.NopPruner()
