"""Samplers and pruners by name, set up for searches of some tens of trials that are noisy.

The defaults are what `make bench-tune` found best over its worlds. No pruner is the default: one saves about half of
the images, and where one seed's noise is as large as the differences between settings it loses good ones.
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

STARTUP = 5  # trials drawn by chance before a sampler models anything, the row's own setting among them
PEERS = 4  # other trials that must have come as far before their median prunes one
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


def make_pruner(name: PrunerName, *, epochs: int, seeds: int, margin: float) -> "optuna.pruners.BasePruner":
    """A pruner over steps that are the epochs trained, of all seeds together.

    The median looks from the middle of the first seed on, where curves have mostly crossed, and prunes what lies below
    the median of all trials that came as far by more than a margin: half of the settings lie below the median, and one
    seed on some thousand images does not tell which of those near it.

    Args:
        epochs: of one run.
        seeds: of a trial.
        margin: points that chance makes of a difference; see `standard_error`.
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
    """Prunes what is below the median, by more than a margin, of the other trials at the same step.

    Optuna's own compares with finished trials alone, which are the better ones once others were pruned, and knows no
    noise.

    Args:
        first: step that it looks at first.
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
    """Points by which chance moves an accuracy, in %, that is measured on so many images."""
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)
