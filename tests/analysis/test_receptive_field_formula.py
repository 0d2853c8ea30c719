"""Receptive fields by the formula, against values by hand and gradients."""

import pytest
import torch
from einops import rearrange
from torch import nn

from slbench.analysis.effective_receptive_field import boxes, effective_field, support
from slbench.analysis.receptive_field import contrast
from slbench.analysis.receptive_field_formula import reach, receptive_field, resnet50, stride_of
from slbench.backbones import default_spec, meta_network, resolve_network
from slbench.backbones.layers import Backbone
from slbench.backbones.receptive_part import grid_of
from slbench.backbones.specs import BackboneSpec, PiTSpec, ResNetSpec, SwinSpec, T2TSpec, ViTSpec
from slbench.backbones.t2t import T2T, WINDOW
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.receptive_steps import Step, steps_of
from slbench.methods.spt import OverlappingConv, Shift
from tests.analysis.helpers import network_of_size

HALVING = Step("conv", 3, 2, 1)


def shaped(backbone: str, method: str, size: int) -> Backbone:
    """Return the paper's network on the meta device."""
    shape = ImageShape((size, size), 3, 10)
    return meta_network(*resolve_network(default_spec(backbone), METHODS[method], shape=shape), shape=shape)


def sides(backbone: str, method: str, size: int = 32) -> list[int]:
    return [receptive_field(part.chain) for part in shaped(backbone, method, size).receptive_chain()]


def test_kernel_3_at_stride_2_twice_reads_7() -> None:
    assert receptive_field([HALVING]) == 3
    assert receptive_field([HALVING, HALVING]) == 7
    assert receptive_field([HALVING, HALVING], r_trans=2) == 11
    assert stride_of([HALVING, HALVING]) == 4
    assert receptive_field([]) == 1


def test_the_first_output_reaches_into_the_padding() -> None:
    assert reach([HALVING, HALVING], 0) == (-3, 3)
    assert reach([HALVING, HALVING], 5) == (17, 23)


def test_a_vit_of_patch_16_sees_16_px_and_resnet_50_sees_483_or_427() -> None:
    assert [(row["field"], row["stride"], row["image_size"]) for row in contrast()] == [
        (16, 16, 224),
        (32, 16, 224),  # with SPT
        (483, 32, 224),  # the original layout: arXiv:2112.13492
        (427, 32, 224),  # torchvision's
    ]


def test_torchvisions_resnet_50_has_the_layers_of_the_second_layout() -> None:
    from torchvision.models import resnet50 as theirs

    with torch.device("meta"):
        modules = dict(theirs().named_modules())
    layers = [module for name, module in modules.items() if "downsample" not in name]
    chain = tuple(
        step for module in layers if isinstance(module, nn.Conv2d | nn.MaxPool2d) for step in steps_of(module)
    )
    assert chain == resnet50("3x3")
    assert receptive_field(chain) == 427
    assert len(chain) == len(resnet50("1x1")) == 50
    assert sum(step.name == "conv" for step in chain) == 49  # and the last linear layer


@pytest.mark.parametrize(
    ("backbone", "method", "expected"),
    [
        ("vit", "none", [4]),
        ("vit", "spt", [8]),
        ("vit", "spt-1px-cardinal", [6]),
        ("vit", "overlapping-conv", [8]),
        ("vit", "lsa", [4]),
        ("vit", "conv-stem", [7]),
        ("vit", "cct", [5]),
        ("vit", "cct-3x2", [13]),
        ("cait", "both", [8]),
        ("t2t", "none", [7]),
        ("t2t", "spt", [9]),  # and a pixel on either side
        ("pit", "none", [2, 6, 14]),
        ("pit", "spt", [4, 10, 22]),
        ("pit", "spt-no-pool", [4, 8, 16]),
        ("swin", "none", [2, 4, 8]),
        ("swin", "spt", [4, 10, 22]),
        ("swin", "spt-no-pool", [4, 6, 10]),
        ("swin", "overlapping-conv-pool", [4, 10, 22]),
    ],
)
def test_at_32_px_the_papers_networks_read(backbone: str, method: str, expected: list[int]) -> None:
    assert sides(backbone, method) == expected


def test_t2t_at_64_px_has_a_third_split() -> None:
    assert sides("t2t", "none", 64) == [15]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_spt_reads_a_patch_and_twice_the_ratio_of_it(ratio: float) -> None:
    network = network_of_size(ViTSpec(patch_size=8, dim=6, depth=1, num_heads=1), METHODS["spt"], (40, 40))
    assert receptive_field(network.receptive_chain()[0].chain) == 16
    wider = network_of_size(
        ViTSpec(patch_size=8, dim=6, depth=1, num_heads=1), Method(shift="diagonal", shift_ratio=ratio), (40, 40)
    )
    assert receptive_field(wider.receptive_chain()[0].chain) == (1 + 2 * ratio) * 8


def test_the_field_of_a_cnn_is_computed_from_its_layers() -> None:
    """Stem and 3 stages of 18 kernels of 3; the first of a stage has the stride of the stage before."""
    assert sides("resnet56", "none") == [1 + 2 * (1 + 18 + 1) + 4 * (17 + 1) + 8 * 17]
    assert sides("resnet110", "none")[0] > sides("resnet56", "none")[0]
    assert sides(
        "efficientnet-b0", "none"
    ) == [  # stages of kernel 3, 3, 5, 3, 5, 5, 3, at steps of 1, 1, 2, 4, 8, 8, 16
        1 + 2 + 2 + (2 + 4) + (8 + 16) + (8 + 32) + 96 + (32 + 192) + 32
    ]


def test_layers_count_by_kernel_dilation_and_shift() -> None:
    assert steps_of(nn.Conv2d(1, 1, 3, stride=2, padding=1, dilation=2)) == (Step("conv", 5, 2, 1),)
    assert steps_of(nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.MaxPool2d(2))) == (
        Step("conv", 1),
        Step("pool", 2, 2),
    )
    assert steps_of(Shift(((-1, 0), (1, 0), (0, 1), (0, -1)), pixels=3)) == (Step("shift", 7, 1, 3),)
    assert steps_of(OverlappingConv(1, 1, patch_size=5)) == (Step("window", 10, 5, 2, 3),)
    assert steps_of(nn.LayerNorm(3)) == ()


SMALL_VIT = ViTSpec(patch_size=4, dim=6, depth=1, num_heads=1)


@pytest.mark.parametrize(
    "method", ["none", "spt", "spt-1px-cardinal", "spt-all8", "overlapping-conv", "window-2p", "conv-stem"]
)
def test_gradients_are_nonzero_exactly_in_the_box_of_the_formula(method: str) -> None:
    size = (28, 20)
    network = network_of_size(SMALL_VIT, METHODS[method], size)
    images = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    assert support(effective_field(network, images, output="tokens")) == boxes(network, size)[0]


def test_an_odd_patch_is_centred_like_the_window() -> None:
    size = (25, 35)
    network = network_of_size(ViTSpec(patch_size=5, dim=6, depth=1, num_heads=1), METHODS["overlapping-conv"], size)
    images = torch.randn(2, 2, *size, generator=torch.Generator().manual_seed(0))
    assert support(effective_field(network, images, output="tokens")) == boxes(network, size)[0]


@pytest.mark.parametrize("method", ["none", "spt"])
def test_soft_splits_without_attention_reach_the_box_of_the_formula(method: str) -> None:
    size = (40, 40)
    network = network_of_size(T2TSpec(num_splits=2, token_dim=4, dim=6, depth=1, num_heads=1), METHODS[method], size)
    assert isinstance(network, T2T)
    images = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0))
    assert support(effective_field(network, images, output="tokens")).side == 40  # by attention
    channels = 2 * (5 if method == "spt" else 1)
    network.token_transformers[0] = nn.Linear(WINDOW**2 * channels, 4)
    assert support(effective_field(network, images, output="tokens")) == boxes(network, size)[0]


@pytest.mark.parametrize("method", ["none", "spt", "spt-no-pool", "overlapping-conv-pool"])
@pytest.mark.parametrize(
    "spec",
    [
        PiTSpec(patch_size=4, dims=(4, 8), depths=(1, 1), num_heads=(1, 2)),
        SwinSpec(patch_size=4, window_size=2, dims=(4, 8), depths=(1, 1), num_heads=(1, 2)),
    ],
    ids=["pit", "swin"],
)
def test_tokens_of_a_second_stage_without_attention_reach_the_box_of_the_formula(
    spec: BackboneSpec, method: str
) -> None:
    size = (48, 64)
    network = network_of_size(spec, METHODS[method], size)
    part = network.receptive_chain()[1]
    (pool,) = (block for block in network.blocks if hasattr(block, "grid"))  # type: ignore[union-attr]
    images = torch.randn(3, 2, *size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    grid = rearrange(network.tokenizer(images), "b (h w) d -> b d h w", h=size[0] // 4)  # type: ignore[operator]
    down, across = part.grid(size)
    tokens = rearrange(pool.grid(grid), "b (h w) d -> b h w d", h=down)
    place = down // 2, across // 2
    signs = torch.randn(tokens.shape[-1], generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((tokens[:, place[0], place[1]] * signs).sum(), images)
    result = support(gradient.abs().sum(dim=(0, 1)).double().numpy())
    assert (result.top, result.bottom) == reach(part.chain, place[0])
    assert (result.left, result.right) == reach(part.chain, place[1])


def test_gradients_of_a_cnn_reach_the_box_of_the_formula() -> None:
    size = (62, 62)
    network = network_of_size(ResNetSpec(width=4, blocks_per_stage=1), METHODS["none"], size)
    images = torch.randn(8, 2, *size, generator=torch.Generator().manual_seed(0))
    formula = boxes(network, size)[0]
    assert formula.side == 1 + 2 * (1 + 2 + 1) + 4 * (1 + 1) + 8 * 1
    assert support(effective_field(network, images, output="tokens")) == formula.cut(size)


def test_a_padded_grid_is_rounded_up_and_one_without_padding_down() -> None:
    assert grid_of((HALVING, HALVING), (30, 50)) == (8, 13)
    assert grid_of((Step("conv", 16, 8),), (224, 224)) == (27, 27)
