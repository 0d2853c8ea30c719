"""Samplers and pruners by name, configured for noisy searches of some tens of trials.

The defaults are the best of `make bench-tune`. Pruning is off by default: it saves about half of the images, but drops
good settings if the noise of a seed is as large as the differences between settings.
"""

import math
import warnings
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import optuna

SamplerName = Literal["tpe", "gp", "random", "grid"]
PrunerName = Literal["hyperband", "median", "none"]
SAMPLERS: dict[str, SamplerName] = {"tpe": "tpe", "gp": "gp", "random": "random", "grid": "grid"}
PRUNERS: dict[str, PrunerName] = {"hyperband": "hyperband", "median": "median", "none": "none"}
DEFAULT_SAMPLER: SamplerName = "gp"
DEFAULT_PRUNER: PrunerName = "none"

MAX_SAMPLER_SEED = 2**32 - 1
STARTUP = 5  # random trials before a sampler fits a model, including the default setting
PEERS = 4  # other trials at the same step needed for pruning
REDUCTION = 3  # reduction factor of Hyperband


def make_sampler(name: SamplerName, *, seed: int, parallel: bool) -> "optuna.samplers.BaseSampler":
    """Return a sampler for one trial; a new one per trial makes draws depend on seed and trials alone.

    Args:
        name: "grid" is a random sampler too: the search enqueues the grid points.
        parallel: other trials are running; TPE then counts them as bad ("constant liar").
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # experimental options
        if name == "tpe":
            return optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=STARTUP, multivariate=True, constant_liar=parallel
            )
        if name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP, deterministic_objective=False)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(name: PrunerName, *, epochs: int, seeds: int, margin: float) -> "optuna.pruners.BasePruner":
    """Return a pruner; steps are epochs trained, over all seeds.

    The median pruner starts at the middle of the first seed, after most curves have crossed, and prunes trials below
    the median by more than a margin, since one seed on some thousand images cannot rank settings near the median.

    Args:
        epochs: per run.
        seeds: per trial.
        margin: noise of an accuracy in points; see `standard_error`.
    """
    import optuna

    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(
            min_resource=max(1, epochs // 3), max_resource=epochs * seeds, reduction_factor=REDUCTION
        )
    if name == "median":
        return median_pruner(first=epochs // 2, margin=margin)
    return optuna.pruners.NopPruner()


def median_pruner(*, first: int, margin: float) -> "optuna.pruners.BasePruner":
    """Return a pruner of trials below the median of the other trials at the same step by more than a margin.

    Optuna's median pruner compares with finished trials only, a biased set once others were pruned, and has no margin.

    Args:
        first: first step that can be pruned.
    """
    import optuna

    class Median(optuna.pruners.BasePruner):
        def prune(self, study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> bool:
            step = trial.last_step
            if step is None or step < first:
                return False
            others = [
                other.intermediate_values[step]
                for other in study.get_trials(deepcopy=False)
                if step in other.intermediate_values and other.number != trial.number
            ]
            return len(others) >= PEERS and trial.intermediate_values[step] < median(others) - margin

    return Median()


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error in points of an accuracy in % measured on `images` images."""
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)
