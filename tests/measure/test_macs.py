"""Multiply-adds: products and convolutions, nothing else, by two counters and by hand."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slbench.backbones import build
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import ViTSpec
from slbench.measure.macs import count
from slbench.methods import METHODS
from tests.contracts.small import CHANNELS, PAIRS, images, small


def vit(method: str) -> Backbone:
    """The paper's, for 64 px and 200 classes."""
    size, row = ViTSpec().resolved((64, 64)), METHODS[method]
    return build(size, row, image_size=(64, 64), in_channels=3, num_classes=200, drop_path=0.0, seed=0)


def by_hand(*, patches: int, read: int, classes: int) -> int:
    """The paper's ViT: width 192, 9 blocks of 12 heads, MLP of 384; `read` values enter each token."""
    tokens, width, hidden = patches + 1, 192, 384
    block = tokens * width * 3 * width  # queries, keys, values
    block += 2 * tokens * tokens * width  # q k^T, and the weighted sum of values
    block += tokens * width * width  # projection
    block += 2 * tokens * width * hidden  # MLP
    return patches * read * width + 9 * block + width * classes


@pytest.mark.parametrize(
    ("method", "read", "macs"), [("none", 192, 189_522_816), ("lsa", 192, 189_522_816), ("both", 960, 198_960_000)]
)
def test_vit_at_64_px_and_200_classes_has_these_macs(method: str, read: int, macs: int) -> None:
    """8 x 8 patches of 8 px: 8 * 8 * 3 = 192 values, and five times that with four shifted copies."""
    assert by_hand(patches=64, read=read, classes=200) == macs
    assert count(vit(method), image_size=(64, 64), in_channels=3).macs == macs


@pytest.mark.parametrize(("backbone", "method"), PAIRS)
def test_torchs_own_counter_agrees_on_every_backbone_and_row(backbone: str, method: str) -> None:
    """It counts two operations for each multiply-add, of products and convolutions alone."""
    network, one = small(backbone, method).eval(), images(backbone, count=1)
    with FlopCounterMode(display=False) as counter:
        network(one)
    height, width = one.shape[-2:]
    assert 2 * count(network, image_size=(height, width), in_channels=CHANNELS).macs == counter.get_total_flops()


def test_norms_are_counted_apart() -> None:
    network = nn.Sequential(nn.Flatten(), nn.LayerNorm(2 * 3 * 5), nn.Linear(2 * 3 * 5, 7))
    cost = count(network, image_size=(3, 5), in_channels=2)
    assert cost.macs == 30 * 7
    assert cost.norm_operations > 0
    assert cost.params == 2 * 30 + 30 * 7 + 7


def test_what_is_not_counted_is_listed_in_the_order_of_names() -> None:
    network = nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(6, 2), nn.Softmax(dim=1), nn.GELU())
    cost = count(network, image_size=(2, 3), in_channels=1)
    assert cost.uncounted_operators == {"gelu": 2, "softmax": 1}
    assert list(cost.uncounted_operators) == ["gelu", "softmax"]


def test_counting_changes_nothing_of_the_network() -> None:
    network = small("vit", "both").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    count(network, image_size=(8, 12), in_channels=CHANNELS)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
