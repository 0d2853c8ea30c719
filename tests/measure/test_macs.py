"""What is counted beside multiply-adds: those are compared in test_compute_budget.py and tests/golden/test_macs.py."""

import torch
from torch import nn

from slbench.image_shape import ImageShape
from slbench.measure.macs import count
from tests.contracts.small import CHANNELS, small


def test_norms_are_counted_apart() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(2 * 3 * 5), nn.Linear(2 * 3 * 5, 7))
    cost = count(network, shape=ImageShape((3, 5), 2, 2))
    assert cost.macs == 30 * 7
    assert cost.norm_operations > 0
    assert cost.params == 2 * 30 + 30 * 7 + 7


def test_what_is_not_counted_is_listed_in_the_order_of_names() -> None:
    network = nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(6, 2), nn.Softmax(dim=1), nn.GELU())
    cost = count(network, shape=ImageShape((2, 3), 1, 2))
    assert cost.uncounted_operators == {"gelu": 2, "softmax": 1}
    assert list(cost.uncounted_operators) == ["gelu", "softmax"]


def test_counting_changes_nothing_of_the_network() -> None:
    network = small("vit", "both").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    count(network, shape=ImageShape((8, 12), CHANNELS, 2))
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
