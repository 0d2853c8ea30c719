"""ViT and the shared layers."""

import pytest
import torch

from slbench.backbones import build
from slbench.backbones.layers import MLP, Attention, Block, DropPath
from slbench.backbones.specs import ViTSpec
from slbench.backbones.specs.base import default_patch_size
from slbench.backbones.vit import ViT
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from slbench.methods.token_grid import TokenGrid


def test_initial_values_have_the_spread_of_the_released_code() -> None:
    network = build(ViTSpec(), METHODS["none"], shape=ImageShape((32, 32), 3, 100), drop_path=0.0, seed=0)
    assert isinstance(network, ViT)
    assert network.positions.std().item() == pytest.approx(1, abs=0.03)
    weight = dict(network.named_parameters())["blocks.0.attention.qkv.weight"]
    assert weight.std().item() == pytest.approx((2 / (192 + 576)) ** 0.5, rel=0.02)
    assert network.get_parameter("head.bias").abs().sum() == 0


def test_a_convolution_starts_with_the_spread_of_the_linear_map_that_it_is() -> None:
    spread = {}
    for method in ("overlapping-conv", "spt-no-layer-norm"):
        network = build(ViTSpec(), METHODS[method], shape=ImageShape((32, 32), 3, 2), drop_path=0.0, seed=0)
        names = dict(network.named_parameters())
        spread[method] = next(names[name].std().item() for name in names if name.startswith("tokenizer."))
    assert spread["overlapping-conv"] == pytest.approx((2 / (4 * 48 + 192)) ** 0.5, rel=0.02)
    assert spread["spt-no-layer-norm"] == pytest.approx((2 / (5 * 48 + 192)) ** 0.5, rel=0.02)


def test_stochastic_depth_leaves_out_whole_samples_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    out = DropPath(0.25)(torch.ones(4001, 3, 5))
    per_sample = out.flatten(1)
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert per_sample.eq(per_sample[:, :1]).all()
    assert out.mean().item() == pytest.approx(1, abs=0.04)


def test_a_block_with_both_branches_dropped_is_the_identity() -> None:
    attention = Attention(6, num_heads=3, head_dim=2, method=METHODS["none"], tokens=TokenGrid(height=1, width=5))
    block = Block(6, attention=attention, mlp=MLP(6, 12), drop_path=0.999999)
    x = torch.randn(2, 5, 6)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize(
    ("size", "patch"),
    [((32, 32), 4), ((64, 64), 8), ((28, 28), 4), ((224, 224), 28), ((32, 48), 4), ((30, 30), 3), ((7, 7), 1)],
)
def test_the_patch_is_an_eighth_of_the_image_rounded_to_a_divisor(size: tuple[int, int], patch: int) -> None:
    assert default_patch_size(size, tokens_per_side=8) == patch
