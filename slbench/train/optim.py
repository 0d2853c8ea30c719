"""Optimizer, weight decay by kind of parameter, learning rate schedule and weight averaging."""

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slbench.backbones.layers import Backbone
from slbench.recipes import Recipe

Tensors = list[Tensor] | tuple[Tensor, ...]


def make_optimizer(network: Backbone, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW (arXiv:1711.05101), without weight decay for the kinds of parameters in the recipe's no_decay.

    Raises:
        InputError: if the kind of a parameter is unknown.
    """
    assert recipe.lr is not None, "a resolved recipe has a rate"
    decaying, exempt = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in network.named_parameters():
        (decaying if network.decays(name, recipe.no_decay) else exempt).append(parameter)
    groups = [{"params": decaying}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})  # type: ignore[dict-item]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def learning_rate(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """Return the learning rate of a step, counted from 0 over the whole run.

    Linear from warmup_lr at step 0 to lr at the first step after the warm-up, then half a cosine that would reach
    min_lr one step after the last (arXiv:1608.03983, one cycle).
    """
    assert recipe.lr is not None, "a resolved recipe has a rate"
    total = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_steps(steps_per_epoch)
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * step / warmup
    progress = (step - warmup) / (total - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of a network that keeps exponential moving averages of its parameters and running statistics.

    Integer buffers, such as the indices into Swin's bias table, are copied: averaging an 11 in float32 could
    truncate it to 10.
    """
    moving = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, count: Tensor | int) -> None:
        if averages[0].is_floating_point():  # one dtype per call
            moving(averages, values, count)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(value)

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)
