"""The learning rate at each step, what the optimizer is given, and what an average of weights follows."""

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


def test_warm_up_is_linear_from_its_start_to_the_full_rate() -> None:
    assert [rate(step) for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]


def test_then_half_a_cosine_to_the_smallest_rate() -> None:
    assert rate(4 + 18) == pytest.approx(0.6)  # half way, the mean of 1 and 0.2
    assert rate(4 + 9) == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi / 4)))
    assert rate(40) == pytest.approx(0.2)
    rates = [rate(step) for step in range(4, 40)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("asked", "epochs", "steps"), [(10.0, 100, 700), (10.0, 20, 140), (0.5, 6, 35), (10.0, 1, 7), (0.0, 5, 0)]
)
def test_the_warm_up_is_at_most_a_tenth_of_the_steps(asked: float, epochs: int, steps: int) -> None:
    assert Recipe(epochs=epochs, warmup_epochs=asked).warmup_steps(70) == steps


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    assert learning_rate(Recipe(epochs=1, lr=0.5, warmup_epochs=0), 0, steps_per_epoch=7) == 0.5


def test_decay_falls_on_every_parameter() -> None:
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


def test_what_is_exempt_does_not_shrink_and_the_rest_does() -> None:
    """A step on gradients of zero moves nothing but by decay."""
    network = small("vit", "both")
    exempt = {name for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = make_optimizer(network, Recipe(lr=0.5, weight_decay=0.1, no_decay=("norm", "temperature")))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        stays = name.rpartition(".")[0] in exempt or name.endswith("logits.scale")
        torch.testing.assert_close(parameter, before[name] * (1.0 if stays else 0.95), rtol=1e-6, atol=0)


@pytest.mark.parametrize("backbone", SMALL)
def test_the_average_of_a_network_that_stands_still_is_that_network_with_every_table_of_places(backbone: str) -> None:
    """0.9 of a 7 and 0.1 of a 7 in float32, cut to a whole number, would be a 6."""
    network = small(backbone, "none")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.num_batches_tracked is not None
            module.num_batches_tracked.fill_(7)
    follower = averaged(network, 0.9)
    for _ in range(100):
        follower.update_parameters(network)
    theirs = dict(follower.module.named_buffers())
    for name, buffer in network.named_buffers():
        assert torch.equal(theirs[name], buffer), name
    for parameter, average in zip(network.parameters(), follower.module.parameters(), strict=True):
        torch.testing.assert_close(average, parameter)
