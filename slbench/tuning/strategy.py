"""Samplers and pruners by name, set up for searches of some tens of trials that are noisy.

Which is the default was decided by `make bench-tune`, in made-up worlds.
"""

import warnings
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import optuna

SamplerName = Literal["tpe", "gp", "random", "grid"]
PrunerName = Literal["hyperband", "median", "none"]
SAMPLERS: dict[str, SamplerName] = {"tpe": "tpe", "gp": "gp", "random": "random", "grid": "grid"}
PRUNERS: dict[str, PrunerName] = {"hyperband": "hyperband", "median": "median", "none": "none"}
DEFAULT_SAMPLER: SamplerName = "tpe"
DEFAULT_PRUNER: PrunerName = "median"

STARTUP = 5  # trials drawn by chance before a sampler models anything, the row's own setting among them
PEERS = 4  # trials that must have come as far before the median of theirs prunes another
REDUCTION = 3  # of Hyperband: one trial in so many goes on from rung to rung


def make_sampler(name: SamplerName, *, seed: int, parallel: bool) -> "optuna.samplers.BaseSampler":
    """A sampler for one question. Made anew for each, so that what it draws depends on the seed and the trials alone.

    Args:
        name: "grid" asks by chance too: its points are lined up by the search, and the sampler has none to choose.
        parallel: trials are on their way while it is asked; TPE then takes them for bad ones, and asks elsewhere.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of settings that are new in Optuna
        if name == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=parallel
            )
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=False)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(name: PrunerName, *, epochs: int, seeds: int) -> "optuna.pruners.BasePruner":
    """A pruner over steps that are the epochs trained, of all seeds together.

    The median looks from the middle of the first seed on: curves cross early, and what is pruned by the noise of its
    first epochs is lost.

    Args:
        epochs: of one run.
        seeds: of a trial.
    """
    import optuna

    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, epochs // 3), max_resource=epochs * seeds, reduction_factor=REDUCTION
        )
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=PEERS, n_warmup_steps=epochs // 2)
    return optuna.pruners.NopPruner()
