"""Convolutional tokenizers against loops in float64, their grids and their parameters."""

import math

import pytest
import torch
from torch import Tensor, nn

from slbench.backbones import check_method, count_parameters, default_spec, meta_network, resolve_network
from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.conv_tokenizers import CCTTokenizer, ConvStem
from slbench.methods.receptive_steps import steps_of
from slbench.methods.spt import Shift, tokenizer
from tests.support import naming

SHAPE = ImageShape((32, 32), 3, 100)


def convolve(x: Tensor, weight: Tensor, *, stride: int) -> Tensor:
    """Return a 3 x 3 convolution padded by 1, output by output."""
    batch, _, height, width = x.shape
    rows, columns = -(-height // stride), -(-width // stride)
    padded = torch.zeros(batch, x.shape[1], height + 2, width + 2, dtype=x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    output = torch.zeros(batch, len(weight), rows, columns, dtype=x.dtype)
    for row in range(rows):
        for column in range(columns):
            window = padded[:, :, row * stride : row * stride + 3, column * stride : column * stride + 3]
            output[:, :, row, column] = torch.einsum("bcij,ocij->bo", window, weight)
    return output


def largest(x: Tensor) -> Tensor:
    """Return the largest value of 3 x 3 windows at stride 2, of values not below 0, so that zeros may surround them."""
    batch, channels, height, width = x.shape
    padded = torch.zeros(batch, channels, height + 2, width + 2, dtype=x.dtype)
    padded[:, :, 1:-1, 1:-1] = x
    rows, columns = -(-height // 2), -(-width // 2)
    output = torch.zeros(batch, channels, rows, columns, dtype=x.dtype)
    for row in range(rows):
        for column in range(columns):
            output[:, :, row, column] = padded[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].amax(
                dim=(2, 3)
            )
    return output


def row_by_row(grid: Tensor) -> Tensor:
    return torch.stack([grid[:, :, row, column] for row in range(grid.shape[2]) for column in range(grid.shape[3])], 1)


@pytest.mark.parametrize("layers", [1, 2])
def test_cct_equals_convolution_relu_and_pooling_in_loops(layers: int) -> None:
    torch.manual_seed(0)
    module = CCTTokenizer(2, 5, layers=layers).double()
    images = torch.randn(2, 2, 7, 9, dtype=torch.float64)
    expected = images
    for weight in module.parameters():
        expected = largest(convolve(expected, weight.detach(), stride=1).clamp(min=0))
    assert torch.allclose(module(images), row_by_row(expected), atol=1e-12)


def normed(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def test_the_conv_stem_equals_its_formula_in_loops() -> None:
    torch.manual_seed(0)
    module = ConvStem(2, 6, patch_size=4).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    images = torch.randn(3, 2, 8, 12, dtype=torch.float64)
    x = images * module.before.weight[:, None, None] + module.before.bias[:, None, None]
    layers = [list(layer.children())[:2] for layer in module.layers]
    for conv, norm in layers:
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        x = normed(convolve(x, conv.weight, stride=2), norm)
        x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    x = x * module.after.weight[:, None, None] + module.after.bias[:, None, None]
    assert torch.allclose(module(images), row_by_row(x), atol=1e-10)
    assert [conv.out_channels for conv, _ in layers] == [3, 6]


@pytest.mark.parametrize(("patch", "layers"), [(2, 1), (4, 2), (8, 3), (16, 4)])
def test_the_conv_stem_gives_a_token_per_patch(patch: int, layers: int) -> None:
    module = tokenizer(METHODS["conv-stem"], 3, 32, patch_size=patch)
    assert module(torch.randn(2, 3, 32, 48)).shape == (2, (32 // patch) * (48 // patch), 32)
    assert [str(step) for step in steps_of(module)] == ["conv 3/2"] * layers


@pytest.mark.parametrize(("name", "tokens"), [("cct-3x1", 14 * 15), ("cct-3x2", 7 * 8)])
def test_the_grid_of_cct_is_that_of_its_tokens(name: str, tokens: int) -> None:
    method = Method(embedding=name)  # type: ignore[arg-type]
    assert math.prod(method.grid((28, 29), patches=(7, 7))) == tokens
    assert tokenizer(method, 3, 5, patch_size=4)(torch.randn(2, 3, 28, 29)).shape == (2, tokens, 5)


@pytest.mark.parametrize("name", ["cct-3x1", "conv-stem"])
def test_with_spt_the_shifted_copies_enter_the_convolutions(name: str) -> None:
    torch.manual_seed(0)
    shifted = Method(shift="diagonal", embedding=name)  # type: ignore[arg-type]
    assert not shifted.resolved(pools=False).layer_norm
    module = tokenizer(shifted, 3, 8, patch_size=4)
    (convolutions,) = list(module.children())[1:]
    images = torch.randn(2, 3, 8, 12)
    copies = Shift(((-1, -1), (-1, 1), (1, -1), (1, 1)), pixels=2)(images)
    assert copies.shape[1] == 15
    assert torch.equal(module(images), convolutions(copies))


def parameters(name: str) -> int:
    return count_parameters(*resolve_network(default_spec("vit"), METHODS[name], shape=SHAPE), shape=SHAPE)


def test_cct_on_the_papers_vit_has_the_parameters_of_its_parts() -> None:
    patches = 4 * 4 * 3 * 192 + 192
    more_positions = (16 * 16 - 8 * 8) * 192
    assert parameters("cct-tokenizer") - parameters("none") == 5_184 - patches + more_positions
    class_token = 2 * 192  # and its position
    assert parameters("seq-pool") - parameters("mean-pool") == 193
    assert parameters("mean-pool") - parameters("none") == -class_token
    assert parameters("cct") - parameters("cct-tokenizer") == 193 - class_token


def test_the_conv_stem_on_the_papers_vit_has_the_parameters_of_its_formula() -> None:
    layers = 9 * 3 * 96 + 2 * 96 + 9 * 96 * 192 + 2 * 192
    affine = 2 * 3 + 2 * 192
    assert parameters("conv-stem") - parameters("none") == layers + affine - (4 * 4 * 3 * 192 + 192)


@pytest.mark.parametrize("patch", [1, 3, 6])
def test_the_conv_stem_needs_a_patch_that_is_a_power_of_two(patch: int) -> None:
    shape = ImageShape((12, 12), 3, 5)
    with pytest.raises(InputError, match=naming("embedding", f"{patch} px", "patch_size", "2, 4, 8, 16")):
        resolve_network(ViTSpec(patch_size=patch), METHODS["conv-stem"], shape=shape)


@pytest.mark.parametrize(
    ("fields", "words"), [({"window": 2}, ("window", "2")), ({"layer_norm": True}, ("layer_norm",))]
)
def test_flattened_patches_and_convolutions_exclude_each_other(
    fields: dict[str, object], words: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match=naming(*words, "conv-stem")):
        Method(embedding="conv-stem", **fields)  # type: ignore[arg-type]


def test_pooling_of_swin_with_spt_keeps_its_norm_beside_a_conv_stem() -> None:
    method = Method(shift="diagonal", embedding="conv-stem")
    check_method(default_spec("swin"), method)
    shape = ImageShape((32, 32), 3, 10)
    sizes, resolved = resolve_network(default_spec("swin"), method, shape=shape)
    names = [name for name, _ in meta_network(sizes, resolved, shape=shape).named_parameters()]
    assert any(name.endswith("grid.norm.weight") for name in names)
