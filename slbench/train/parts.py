"""The parts of a training that a recipe chooses: loss, optimizer, learning rate schedule and weight average.

The loop only calls them, so that a new one is written here or beside, and chosen in `make_parts`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from slbench.backbones.layers import Backbone
from slbench.spec import RunSpec
from slbench.train.loss import CrossEntropy, Loss
from slbench.train.optim import averaged, learning_rate, make_optimizer

Schedule = Callable[[int], float]  # step, counted from 0 over the whole run -> learning rate of all parameter groups


@dataclass(frozen=True, kw_only=True)
class TrainingParts:
    """Loss, optimizer, schedule and weight average of one network."""

    loss: Loss
    optimizer: Optimizer  # over the network's parameters
    schedule: Schedule
    averaged: AveragedModel | None = None  # updated after every step; None: the network itself is evaluated


def make_parts(spec: RunSpec, network: Backbone) -> TrainingParts:
    """Return the parts that a run's recipe asks for.

    Args:
        network: the network to train, on its device.
    """
    recipe = spec.recipe
    return TrainingParts(
        loss=CrossEntropy(recipe.label_smoothing),
        optimizer=make_optimizer(network, recipe),
        schedule=partial(learning_rate, recipe, steps_per_epoch=spec.steps_per_epoch),
        averaged=None if recipe.ema_decay is None else averaged(network, recipe.ema_decay),
    )
