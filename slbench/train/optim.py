"""The optimizer, which parameters it decays, its learning rate at each step, and the average of the weights."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slbench.methods.lsa import AttentionLogits
from slbench.recipes import ParameterKind, Recipe

Tensors = list[Tensor] | tuple[Tensor, ...]
POSITIONS = ("positions", "relative_bias")  # learned ones, and Swin's bias of relative places


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (arXiv:1711.05101) on every parameter; those of a kind in the recipe's no_decay do not decay."""
    assert recipe.lr is not None, "a resolved recipe has a rate"
    exempt = [parameter for parameter, kind in kinds(network) if kind in recipe.no_decay]
    groups = [{"params": [parameter for parameter, kind in kinds(network) if kind not in recipe.no_decay]}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})  # type: ignore[dict-item]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def kinds(network: nn.Module) -> Iterator[tuple[nn.Parameter, ParameterKind | None]]:
    """Every parameter once, in order, with its kind; None for weights, and for what has no kind of its own."""
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            yield parameter, kind_of(module, name)


def kind_of(module: nn.Module, name: str) -> ParameterKind | None:
    """The kind of a module's own parameter. The bias of a norm is a norm's."""
    if isinstance(module, AttentionLogits):
        return "temperature"
    if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
        return "norm"
    if name in POSITIONS:
        return "position"
    if name == "class_token":
        return "class_token"
    return "bias" if name == "bias" else None


def learning_rate(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """The rate of one step, counted from 0 over the whole run.

    Linear from warmup_lr, which step 0 has, to lr, which the first step after the warm-up has; then half
    a cosine, whose min_lr would be reached one step after the last (arXiv:1608.03983, one cycle).
    """
    assert recipe.lr is not None, "a resolved recipe has a rate"
    total = recipe.epochs * steps_per_epoch
    warmup = recipe.warmup_steps(steps_per_epoch)
    if step < warmup:
        return recipe.warmup_lr + (recipe.lr - recipe.warmup_lr) * step / warmup
    progress = (step - warmup) / (total - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of a network whose weights and running statistics follow its own as exponential moving averages.

    Whole numbers among the buffers, such as the places in Swin's table of biases, are copied: in float32 0.0001 and
    0.9999 of an 11 do not add up to 11, and would be cut to 10.
    """
    moving = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def follow(averages: Tensors, values: Tensors, count: Tensor | int) -> None:
        if averages[0].is_floating_point():  # the lists are of one kind
            moving(averages, values, count)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(value)

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
