"""Learning-rate schedule, weight decay by kind of parameter, and averaged weights."""

import math

import pytest
import torch
from torch import nn

from slbench.recipes import Recipe
from slbench.train.optim import averaged, learning_rate, make_optimizer
from tests.contracts.small import SMALL, small

RECIPE = Recipe(epochs=10, lr=1.0, warmup_epochs=1, warmup_lr=0.0, min_lr=0.2)


def rate(step: int) -> float:
    return learning_rate(RECIPE, step, steps_per_epoch=4)


def test_warmup_is_linear_up_to_the_full_rate() -> None:
    assert [rate(step) for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]


def test_the_rate_falls_by_half_a_cosine_to_the_minimum() -> None:
    assert rate(4 + 18) == pytest.approx(0.6)  # mean of 1 and 0.2
    assert rate(4 + 9) == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi / 4)))
    assert rate(40) == pytest.approx(0.2)
    rates = [rate(step) for step in range(4, 40)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("warmup_epochs", "epochs", "steps"), [(10.0, 100, 700), (10.0, 20, 140), (0.5, 6, 35), (10.0, 1, 7), (0.0, 5, 0)]
)
def test_warmup_takes_at_most_a_tenth_of_the_steps(warmup_epochs: float, epochs: int, steps: int) -> None:
    assert Recipe(epochs=epochs, warmup_epochs=warmup_epochs).warmup_steps(70) == steps


def test_without_warmup_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(Recipe(epochs=1, lr=0.5, warmup_epochs=0), 0, steps_per_epoch=7) == 0.5


def test_weight_decay_and_betas_of_a_recipe_apply_to_all_parameters_by_default() -> None:
    optimizer = make_optimizer(small("resnet56", "none"), Recipe(weight_decay=0.3, betas=(0.8, 0.9)))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3]
    assert optimizer.defaults["betas"] == (0.8, 0.9)


@pytest.mark.parametrize(
    ("backbone", "kind", "count"),
    [
        ("vit", "norm", 12),
        ("vit", "temperature", 2),
        ("vit", "position", 1),
        ("vit", "class_token", 1),
        ("swin", "position", 5),
        ("swin", "class_token", 0),
    ],
)
def test_kinds_of_parameters_are_found_in_a_network(backbone: str, kind: str, count: int) -> None:
    network = small(backbone, "both")
    assert [network.parameter_kind(name) for name, _ in network.named_parameters()].count(kind) == count  # type: ignore[arg-type]


def test_no_decay_exempts_only_the_named_kinds() -> None:
    """A step with zero gradients changes parameters only by decay."""
    network = small("vit", "both")
    exempt = {name for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = make_optimizer(network, Recipe(lr=0.5, weight_decay=0.1, no_decay=("norm", "temperature")))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        is_exempt = name.rpartition(".")[0] in exempt or name.endswith("logits.scale")
        torch.testing.assert_close(parameter, before[name] * (1.0 if is_exempt else 0.95), rtol=1e-6, atol=0)


@pytest.mark.parametrize("backbone", SMALL)
def test_the_average_of_a_constant_network_is_that_network_including_integer_buffers(backbone: str) -> None:
    """0.9 * 7 + 0.1 * 7 in float32, truncated to an integer, would be 6."""
    network = small(backbone, "none")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(7)
    average = averaged(network, 0.9)
    for _ in range(100):
        average.update_parameters(network)
    buffers = dict(average.module.named_buffers())
    for name, buffer in network.named_buffers():
        assert torch.equal(buffers[name], buffer), name
    for parameter, averaged_parameter in zip(network.parameters(), average.module.parameters(), strict=True):
        torch.testing.assert_close(averaged_parameter, parameter)
