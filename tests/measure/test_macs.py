"""Counts beside multiply-adds, which test_compute_budget.py and tests/golden/test_macs.py compare."""

from functools import cache

import pytest
import torch
from torch import nn

from slbench.image_shape import ImageShape
from slbench.measure.macs import ComputeCost, count
from slbench.methods import METHODS
from tests.contracts.small import CHANNELS, small


@cache
def cost_of_vit(method: str) -> ComputeCost:
    """Return the cost of a ViT of 2 x 3 patches of 4 px, 6 channels and 12 hidden units: two blocks."""
    return count(small("vit", method), shape=ImageShape((8, 12), CHANNELS, 7))


def test_norms_are_counted_separately() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(2 * 3 * 5), nn.Linear(2 * 3 * 5, 7))
    cost = count(network, shape=ImageShape((3, 5), 2, 2))
    assert cost.macs == 30 * 7
    assert cost.norm_operations > 0
    assert cost.params == 2 * 30 + 30 * 7 + 7


def test_uncounted_operators_are_listed_in_the_order_of_names() -> None:
    network = nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(6, 2), nn.Softmax(dim=1), nn.GELU())
    cost = count(network, shape=ImageShape((2, 3), 1, 2))
    assert cost.uncounted_operators == {"gelu": 2, "softmax": 1}
    assert list(cost.uncounted_operators) == ["gelu", "softmax"]


@pytest.mark.parametrize("method", [name for name in METHODS if METHODS[name].additions])
def test_only_elementwise_operators_of_rival_methods_are_not_counted(method: str) -> None:
    """By torch's names: convolutions, products of matrices and batch norms would be missing here."""
    elementwise = {"div", "exp", "neg", "pad", "square", "sum", "mean", "max_pool2d"}
    assert set(cost_of_vit(method).uncounted_operators) <= set(cost_of_vit("none").uncounted_operators) | elementwise


def test_the_convolutions_and_gates_of_dhvt_are_counted() -> None:
    plain, stem, mlp = (cost_of_vit(name).macs for name in ("none", "conv-stem", "dw-mlp"))
    patches = 6 * 4 * 4 * CHANNELS * 6
    assert stem - plain == (4 * 6 * 9 * CHANNELS * 3 + 6 * 9 * 3 * 6) - patches
    depthwise, gate, of_class_token = 6 * 9 * 12, 2 * 6 * 1, 2 * 6 * 12
    assert mlp - plain == 2 * (depthwise + gate - of_class_token)


def test_counting_does_not_change_the_network_or_the_random_state() -> None:
    network = small("vit", "both").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    count(network, shape=ImageShape((8, 12), CHANNELS, 2))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
