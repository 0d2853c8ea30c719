"""Effective receptive field against its definition, and derived sizes."""

import numpy as np
import pytest
import torch

from slbench.analysis.effective_receptive_field import Box, effective_field, effective_side, support
from slbench.backbones import BACKBONES
from slbench.backbones.specs import ViTSpec
from slbench.methods import METHODS
from slbench.rng import generator
from tests.analysis.helpers import network_of_size
from tests.contracts.small import images, small

SIZE = (12, 20)


def test_the_field_of_a_linear_tokenizer_is_its_signed_weights() -> None:
    network = network_of_size(ViTSpec(patch_size=4, dim=6, depth=1, num_heads=1), METHODS["none"], SIZE)
    result = effective_field(network, torch.randn(33, 2, *SIZE), output="tokens", seed=3)
    signs = [  # in two batches
        torch.randint(0, 2, (count, 6), generator=generator(3, "signs", start)) * 2.0 - 1
        for start, count in ((0, 32), (32, 1))
    ]
    weight: torch.Tensor = network.tokenizer.project.weight  # type: ignore[union-attr, assignment]
    gradients = (torch.cat(signs) @ weight).reshape(33, 4, 4, 2)  # a patch is flattened channels last
    assert np.allclose(result[4:8, 8:12], gradients.abs().sum(dim=3).mean(dim=0).detach().numpy())
    assert np.count_nonzero(result) == 16


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_input_of_the_head_depends_on_the_image_in_every_backbone(backbone: str) -> None:
    """A plain sum over the channels would vanish: all but the CNNs end in a layer norm."""
    network = small(backbone, "none").eval()
    inputs = images(backbone)
    for output in ("tokens", "class"):
        values = effective_field(network, inputs, output=output)
        assert values.shape == tuple(inputs.shape[2:])
        assert values.sum() > (1e-9 if backbone == "efficientnet-b0" else 1e-3)  # whose gates shrink at the start
        assert np.array_equal(values, effective_field(network, inputs, output=output))


def test_sides_and_shares_by_hand() -> None:
    values = np.zeros((7, 11))
    values[2:5, 3:5] = 1.0  # 3 x 2
    values[6, 10] = 0.04  # faint
    values[0, 3] = 0.05  # not faint
    assert support(values) == Box(0, 3, 6, 10)
    assert support(values).side == 8
    assert effective_side(values) == pytest.approx(7**0.5)
    assert Box(2, 3, 4, 4).share(values) == pytest.approx(6 / 6.09)
    assert Box(-5, 3, 4, 99).cut((7, 11)) == Box(0, 3, 4, 10)
