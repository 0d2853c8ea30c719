"""The optimizer, and its learning rate at each step."""

import math

import torch
from torch import nn

from slbench.recipes import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) on every parameter, with the same decay for all, as in the released code."""
    return torch.optim.AdamW(
        network.parameters(), lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True
    )


def learning_rate(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """The rate of one step, counted from 0 over the whole run.

    Linear from warmup_lr, which step 0 has, to lr, which the first step after the warm-up has; then half
    a cosine, whose min_lr would be reached one step after the last (arXiv:1608.03983, one cycle).
    """
    total = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_steps(steps_per_epoch)
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * step / warmup
    progress = (step - warmup) / (total - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))
