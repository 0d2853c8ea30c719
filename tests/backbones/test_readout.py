"""Readouts without class token, registers, and the depth-wise MLP, against loops in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from slbench.backbones import build, count_parameters, default_spec, meta_network, resolve_network
from slbench.backbones.depthwise_mlp import DepthwiseMLP
from slbench.backbones.layers import Backbone
from slbench.backbones.readout import ClassTokenReadout, MeanReadout, Registers, SequenceReadout
from slbench.backbones.specs import ViTSpec
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.methods.token_grid import TokenGrid

SHAPE = ImageShape((8, 12), 3, 5)
TINY = ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3)


def built(method: Method) -> Backbone:
    sizes, resolved = resolve_network(TINY, method, shape=SHAPE)
    return build(sizes, resolved, shape=SHAPE, drop_path=0.0, seed=0)


def tokens(count: int = 7, dim: int = 5) -> Tensor:
    return torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_sequence_pooling_is_a_weighted_mean_of_the_patches() -> None:
    torch.manual_seed(0)
    readout, norm = SequenceReadout(5, prefix=2).double(), nn.LayerNorm(5).double()
    x = tokens()
    for image, result in zip(x, readout(x, norm), strict=True):
        patches = [norm(token) for token in image[2:]]
        scores = [readout.score(token).exp() for token in patches]
        expected = sum(score * token for score, token in zip(scores, patches, strict=True)) / sum(scores)
        assert torch.allclose(result, expected, atol=1e-12)


def test_the_mean_leaves_out_registers_and_the_class_token_everything_else() -> None:
    norm, x = nn.LayerNorm(5).double(), tokens()
    mean = sum(norm(x[:, patch]) for patch in (3, 4, 5, 6)) / 4
    assert torch.allclose(MeanReadout(3)(x, norm), mean, atol=1e-12)
    assert torch.equal(ClassTokenReadout()(x, norm), norm(x[:, 0]))


@pytest.mark.parametrize("after", [0, 1])
def test_registers_come_before_the_patches(after: int) -> None:
    module, x = Registers(5, 3, after=after).double(), tokens()
    nn.init.normal_(module.reg_token)
    result = module(x)
    assert torch.equal(result[:, after : after + 3], module.reg_token.expand(2, -1, -1))
    assert torch.equal(torch.cat([result[:, :after], result[:, after + 3 :]], dim=1), x)


def test_four_registers_are_four_tokens_of_parameters_and_have_no_position() -> None:
    network, plain = built(METHODS["registers"]), built(METHODS["none"])
    names = {name for name, _ in network.named_parameters()} - {name for name, _ in plain.named_parameters()}
    assert names == {"registers.reg_token"}
    assert network.get_parameter("registers.reg_token").shape == (1, 4, 6)
    assert network.parameter_kind("registers.reg_token") == "class_token"
    assert network.attention_layers()[0].tokens == TokenGrid(height=2, width=3, class_token=True, registers=4)


@pytest.mark.parametrize("pool", ["mean", "sequence"])
def test_without_a_class_token_the_patches_start_as_in_the_plain_network(pool: str) -> None:
    network, plain = built(Method(global_pool=pool)), built(Method())  # type: ignore[arg-type]
    positions = plain.get_parameter("positions")
    assert torch.equal(network.get_parameter("positions"), positions[:, 1:])
    assert "class_token" not in dict(network.named_parameters())
    assert network.attention_layers()[0].tokens == TokenGrid(height=2, width=3)


def test_the_mean_of_the_patches_is_what_the_head_reads() -> None:
    network = built(METHODS["mean-pool"]).eval()
    read = list[Tensor]()
    network.head.register_forward_hook(lambda _module, inputs, _output: read.append(inputs[0]))
    last = list[Tensor]()
    network.get_submodule("blocks").register_forward_hook(lambda _module, _inputs, output: last.append(output))
    network(torch.randn(2, 3, 8, 12))
    norm = network.get_submodule("norm")
    assert torch.allclose(read[0], sum(norm(last[0][:, patch]) for patch in range(6)) / 6, atol=1e-6)


def test_registers_change_nothing_else_in_a_readout_by_the_mean() -> None:
    network = built(Method(registers=2, global_pool="mean"))
    assert network.attention_layers()[0].tokens == TokenGrid(height=2, width=3, registers=2)
    assert network(torch.randn(2, 3, 8, 12)).shape == (2, 5)


def batch_norm(x: Tensor, norm: nn.Module) -> Tensor:
    """Return x (b n d) normed over images and patches, channel by channel."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean = x.mean(dim=(0, 1))
    variance = (x - mean).square().mean(dim=(0, 1))
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def depthwise(x: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """Return a 3 x 3 depth-wise convolution of tokens (b n d), neighbour by neighbour."""
    output = torch.zeros_like(x)
    for row in range(height):
        for column in range(width):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    if 0 <= row + down < height and 0 <= column + right < width:
                        neighbour = x[:, (row + down) * width + column + right]
                        output[:, row * width + column] += neighbour * weight[:, 0, down + 1, right + 1]
    return output


@pytest.mark.parametrize("prefix", [0, 1, 3])
def test_the_depthwise_mlp_equals_its_formula_in_loops(prefix: int) -> None:
    torch.manual_seed(0)
    grid = TokenGrid(height=2, width=3, class_token=prefix > 0, registers=max(0, prefix - 1))
    module = DepthwiseMLP(8, 11, tokens=grid).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    weights = dict(module.named_parameters())
    x = tokens(prefix + 6, 8)
    hidden = gelu(batch_norm(x[:, prefix:] @ weights["0.weight"].T, module.norms[0]))
    hidden = hidden + gelu(batch_norm(depthwise(hidden, weights["depthwise.weight"], 2, 3), module.norms[1]))
    patches = batch_norm(hidden @ weights["2.weight"].T, module.norms[2])
    expected = patches
    if prefix:
        squeezed = gelu(patches.mean(dim=1) @ weights["gate.0.weight"].T + weights["gate.0.bias"])
        factor = squeezed @ weights["gate.2.weight"].T + weights["gate.2.bias"]
        expected = torch.cat([x[:, :prefix] * factor[:, None], patches], dim=1)
    assert torch.allclose(module(x), expected, atol=1e-10)


def test_the_depthwise_mlp_of_the_papers_vit_has_the_parameters_of_its_formula() -> None:
    """0.22 M in the paper, which counts biases of its three convolutions too; batch norms cancel those."""
    shape = ImageShape((32, 32), 3, 100)
    with_it, plain = (
        count_parameters(*resolve_network(default_spec("vit"), METHODS[name], shape=shape), shape=shape)
        for name in ("dw-mlp", "none")
    )
    dim, hidden = 192, 384
    norms = 2 * (hidden + hidden + dim)
    gate = dim * 48 + 48 + 48 * dim + dim
    assert with_it - plain == 9 * (9 * hidden + norms + gate - hidden - dim)
    published = with_it - plain + 9 * (2 * hidden + dim)
    assert published / 1e6 == pytest.approx(0.22, abs=0.005)


def test_without_tokens_before_the_patches_the_depthwise_mlp_has_no_gate() -> None:
    shape = ImageShape((32, 32), 3, 10)
    network = meta_network(*resolve_network(default_spec("swin"), METHODS["dw-mlp"], shape=shape), shape=shape)
    assert not any("gate" in name for name, _ in network.named_parameters())
