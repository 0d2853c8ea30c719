"""The contract of every backbone with every applicable method; new backbones are tested once listed."""

import copy
import io
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from slbench.backbones.layers import Backbone, DropPath
from slbench.methods import METHODS
from slbench.methods.lsa import AttentionLogits
from tests.contracts.small import CLASSES, IMAGES, PAIRS, SMALL, fresh, images, loss, small
from tests.support import naming


def pairs(sample: Callable[[str, str], bool]) -> pytest.MarkDecorator:
    """Parametrize a test with every pair; those outside a sample are slow."""
    marked = [pytest.param(*pair, marks=() if sample(*pair) else pytest.mark.slow) for pair in PAIRS]
    return pytest.mark.parametrize(("backbone", "method"), marked)


def is_sample(backbone: str, method: str) -> bool:
    """Return whether the quick tests include a pair: few methods on variants of presets, some rivals on ViT alone."""
    if METHODS[method].additions:
        return backbone == "vit" and method in (
            "impulse-init",
            "gmm-mean-pool",
            "cct",
            "conv-stem",
            "dw-mlp",
            "registers",
        )
    return not backbone.endswith("-as-preset") or method in ("none", "overlapping-conv", "both", "both-no-pool")


def is_small_sample(backbone: str, method: str) -> bool:
    """Return whether the other quick tests include a pair: every method on ViT, the plain one and both on all."""
    return backbone == "vit" or method == "both" or (method == "none" and not backbone.endswith("-as-preset"))


every_pair = pairs(is_sample)
some_pairs = pairs(is_small_sample)
every_backbone = pytest.mark.parametrize("backbone", SMALL)
learning_pairs = pytest.mark.parametrize(
    ("backbone", "method"), [pair for pair in PAIRS if METHODS[pair[1]].learn_temperature]
)
masked_pairs = pytest.mark.parametrize(("backbone", "method"), [pair for pair in PAIRS if METHODS[pair[1]].mask_self])


def attentions(network: nn.Module) -> dict[str, AttentionLogits]:
    return {name: module for name, module in network.named_modules() if isinstance(module, AttentionLogits)}


@every_pair
def test_logits_have_their_shape_and_every_parameter_a_finite_gradient(backbone: str, method: str) -> None:
    network = small(backbone, method)
    logits = network(images(backbone))
    assert logits.shape == (IMAGES, CLASSES)
    logits.square().sum().backward()
    unread = unread_parameters(network)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if name != "readout.score.bias":  # which the softmax of sequence pooling cancels up to rounding
            assert (parameter.grad.abs().sum() > 0) == (name not in unread), name


def unread_parameters(network: Backbone) -> set[str]:
    """Return the mask of Gaussians of the last block if a class token is read, which attends without the mask."""
    last = network.attention_layers()[-1:]
    masks = [layer.logits.mixture for layer in last if layer.tokens.class_token]
    parameters = [parameter for mask in masks for parameter in mask.parameters()]
    return {name for name, each in network.named_parameters() if any(each is parameter for parameter in parameters)}


@some_pairs
def test_initial_values_depend_on_the_seed(backbone: str, method: str) -> None:
    first, second, different_seed = small(backbone, method), fresh(backbone, method), small(backbone, method, seed=1)
    values = zip(first.named_parameters(), second.named_parameters(), different_seed.named_parameters(), strict=True)
    for (name, value), (_, same), (_, different) in values:
        assert torch.equal(value, same), name
        if value.min() < value.max() and not name.endswith("inverse_sigma"):
            assert not torch.equal(value, different), name
    first.eval()
    second.eval()
    assert torch.equal(first(images(backbone)), second(images(backbone)))


@some_pairs
def test_parameters_shared_with_the_plain_method_have_the_same_initial_values(backbone: str, method: str) -> None:
    plain, changed = (dict(small(backbone, name).named_parameters()) for name in ("none", method))
    shared = [name for name in plain if name in changed and plain[name].shape == changed[name].shape]
    assert len(shared) > len(plain) / 2
    structured = METHODS[method].initialization != "default"
    others = {name for name in shared if not torch.equal(plain[name], changed[name])}
    weights = {name for name in shared if name.endswith((".qkv.weight", "attention.project.weight"))}
    attention = {name for name in weights if name.startswith("blocks.")}  # not in soft splits
    assert others == (attention if structured else set())


@some_pairs
def test_evaluation_ignores_stochastic_depth(backbone: str, method: str) -> None:
    dropping, whole = small(backbone, method, drop_path=0.9).eval(), small(backbone, method).eval()
    assert torch.equal(dropping(images(backbone)), whole(images(backbone)))


@pytest.mark.parametrize(
    ("backbone", "rates"),
    [(name, "constant") for name in ("vit", "pit", "cait")]
    + [(name, "rising") for name in ("swin", "t2t", "resnet56", "efficientnet-b0")],
)
def test_stochastic_depth_is_constant_or_rises_from_0_depending_on_the_backbone(backbone: str, rates: str) -> None:
    network = small(backbone, "none", drop_path=0.25)
    actual = [module.rate for module in network.modules() if isinstance(module, DropPath)]
    count = len(actual)
    expected = [0.25] * count if rates == "constant" else [0.25 * block / (count - 1) for block in range(count)]
    assert count > 1 and actual == pytest.approx(expected)


@every_backbone
def test_training_applies_stochastic_depth(backbone: str) -> None:
    torch.manual_seed(0)
    dropping, whole = small(backbone, "none", drop_path=0.9), small(backbone, "none")
    assert not torch.equal(dropping(images(backbone)), whole(images(backbone)))


@learning_pairs
def test_every_learned_temperature_changes_in_a_training_step(backbone: str, method: str) -> None:
    network = small(backbone, method)
    scales = {name: module.scale for name, module in attentions(network).items() if module.scale is not None}
    assert scales.keys() == attentions(network).keys()
    before = copy.deepcopy(scales)
    loss(network, backbone).backward()  # type: ignore[no-untyped-call]
    torch.optim.AdamW(network.parameters(), lr=1e-3).step()
    for name, scale in scales.items():
        assert scale.ne(before[name]).all(), name


@masked_pairs
def test_with_the_mask_no_token_attends_to_itself_in_any_layer(backbone: str, method: str) -> None:
    network, attention = small(backbone, method), dict[str, Tensor]()
    for name, module in attentions(network).items():
        module.register_forward_hook(
            lambda _module, _input, scores, name=name: attention.update({name: scores.softmax(-1)})
        )
    network(images(backbone))
    assert attention.keys() == attentions(network).keys()
    for name, weights in attention.items():
        assert torch.isfinite(weights).all(), name
        if name.startswith("class_blocks"):
            assert weights.shape[-2] == 1
            assert (weights > 0).all(), name
        else:
            assert weights.diagonal(dim1=-2, dim2=-1).eq(0).all(), name


@some_pairs
def test_a_loaded_state_reproduces_the_network(backbone: str, method: str) -> None:
    saved, loaded = small(backbone, method), small(backbone, method, seed=1)
    saved(images(backbone))  # changes the statistics of batch norms
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    loaded.load_state_dict(torch.load(file))
    assert torch.equal(saved.eval()(images(backbone)), loaded.eval()(images(backbone)))


@some_pairs
def test_the_loss_in_bf16_is_finite_and_near_that_in_fp32(backbone: str, method: str) -> None:
    network = small(backbone, method)
    exact = loss(network, backbone)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = loss(network, backbone)
    rounded.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(rounded)
    assert rounded.item() == pytest.approx(exact.item(), rel=0.1)
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


@every_backbone
def test_a_wrong_image_size_is_refused(backbone: str) -> None:
    height, width = SMALL[backbone][1]
    with pytest.raises(ValueError, match=naming(height, width)):
        small(backbone, "none")(torch.randn(2, 5, width, height))


@pytest.mark.slow
@every_backbone
def test_networks_can_be_exported_and_compiled(backbone: str) -> None:
    """Runs in its own process, since dynamo cannot trace the shape checks of this one."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.contracts.compiling", backbone]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == [*(method for name, method in PAIRS if name == backbone), "inductor"]
