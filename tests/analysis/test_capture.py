"""Captured attention against the formulas in float64 on queries and keys of each layer."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slbench.analysis import capture
from slbench.backbones import build
from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import CaiTSpec
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from slbench.methods.lsa import AttentionLogits
from tests.analysis.helpers import ATTENDING, captures_of, network_of
from tests.contracts.small import CHANNELS, IMAGES, images

every = pytest.mark.parametrize("backbone", ATTENDING)
rows = pytest.mark.parametrize("method", ["none", "both"])


@contextmanager
def outputs(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """Collect module outputs in float64 by name."""
    given: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: given.__setitem__(name, out.detach().double()))
        for name, module in modules.items()
    ]
    yield given
    for hook in hooks:
        hook.remove()


def owner(network: Backbone, layer: AttentionLayer) -> nn.Module:
    """Return the attention module of a layer's logits."""
    (result,) = (module for module in network.modules() if getattr(module, "logits", None) is layer.logits)
    return result


def heads(tokens: Tensor, count: int) -> Tensor:
    """Rearrange (b n (h d)) to (b h n d)."""
    return tokens.reshape(*tokens.shape[:2], count, -1).transpose(1, 2)


def queries_and_keys(module: Any, given: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    if "q" in given:
        return heads(given["q"], module.num_heads), heads(given["kv"].chunk(2, dim=-1)[0], module.num_heads)
    q, k, _ = given["qkv"].chunk(3, dim=-1)
    return heads(q, getattr(module, "num_heads", 1)), heads(k, getattr(module, "num_heads", 1))


@every
@rows
def test_captured_attention_is_what_the_network_multiplies_its_values_with(backbone: str, method: str) -> None:
    """That each network computes the attention of its paper is tested in tests/backbones."""
    network = network_of(backbone, method)
    for captured in captures_of(network, backbone):
        module: Any = owner(network, captured.layer)
        parts = {name: child for name, child in module.named_children() if name in ("q", "kv", "qkv", "project")}
        with torch.no_grad(), outputs(parts) as given:
            network(images(backbone))
        q, k = queries_and_keys(module, given)
        assert torch.allclose(captured.q.double(), q) and torch.allclose(captured.k.double(), k)
        scale = module.logits.initial_scale if module.logits.scale is None else module.logits.scale[:, None, None]
        products = torch.einsum("bhnd,bhmd->bhnm", q * scale, k)
        assert torch.allclose(captured.products.double(), products, atol=1e-4, rtol=1e-4), captured.layer.name
        assert (captured.layer.mix is not None) is (backbone == "cait")
        values = heads(given["kv"].chunk(2, -1)[-1] if "kv" in given else given["qkv"].chunk(3, -1)[-1], q.shape[1])
        read = (captured.mixed.double() @ values).transpose(1, 2).flatten(2)
        through = read @ module.project.weight.detach().double().T + module.project.bias.detach().double()
        assert torch.allclose(through, given["project"].reshape(through.shape), atol=1e-4), captured.layer.name


@every
def test_layers_are_complete_and_in_order_of_computation(backbone: str) -> None:
    network = network_of(backbone, "both")
    layers = network.attention_layers()
    assert [captured.layer.logits for captured in captures_of(network, backbone)] == [layer.logits for layer in layers]
    assert {layer.logits for layer in layers} == {
        module for module in network.modules() if isinstance(module, AttentionLogits)
    }
    assert len({layer.name for layer in layers}) == len({layer.short for layer in layers}) == len(layers)


FACTS = {  # kind, tokens (down, across), class token among keys and queries, window, shift
    "vit": [("patches", (2, 3), True, True, 0, 0)] * 2,
    "t2t": [
        ("soft split", (7, 9), False, False, 0, 0),
        ("soft split", (4, 5), False, False, 0, 0),
        *[("patches", (2, 3), True, True, 0, 0)] * 2,
    ],
    "cait": [*[("patches", (2, 3), False, False, 0, 0)] * 2, *[("class", (2, 3), True, True, 0, 0)] * 2],
    "pit": [
        ("patches", (8, 12), True, True, 0, 0),
        *[("patches", (4, 6), True, True, 0, 0)] * 2,
        ("patches", (2, 3), True, True, 0, 0),
    ],
    "swin": [
        ("window", (8, 12), False, False, 2, 0),
        ("window", (8, 12), False, False, 2, 1),
        ("window", (4, 6), False, False, 2, 0),
        ("window", (4, 6), False, False, 2, 1),
    ],
}


@every
def test_each_layer_describes_its_tokens(backbone: str) -> None:
    network = network_of(backbone, "none")
    for captured, facts in zip(captures_of(network, backbone), FACTS[backbone], strict=True):
        layer, tokens = captured.layer, captured.layer.tokens
        described = (tokens.size, tokens.class_token, tokens.class_query, tokens.window, tokens.shift)
        assert (layer.kind, *described) == facts, layer.name
        patches = tokens.window**2 or math.prod(tokens.size)
        queries = 1 if layer.kind == "class" else patches + tokens.class_query
        assert captured.scores.shape[-2:] == (queries, patches + tokens.class_token)
        assert len(captured.scores) == IMAGES * tokens.windows


def test_the_class_token_of_the_released_cait_has_patch_keys_only() -> None:
    spec = CaiTSpec(patch_size=4, dim=7, depth=1, class_depth=1, num_heads=3, head_dim=5, variant="released")
    network = build(spec, METHODS["both"], shape=ImageShape((8, 12), CHANNELS, 7), drop_path=0.0, seed=0)
    patches, asking = captures_of(network.eval(), "cait")
    assert (asking.layer.kind, asking.layer.tokens.class_token, asking.layer.tokens.class_query) == (
        "class",
        False,
        True,
    )
    assert asking.scores.shape == (IMAGES, 3, 1, 6)
    assert not asking.layer.tokens.queries_are_keys
    assert not patches.layer.logits.mask_self  # its mask is -1e-9, which masks nothing
    assert patches.weights.diagonal(dim1=-2, dim2=-1).gt(0).all()


def test_hooks_are_removed_afterwards_and_outputs_do_not_change() -> None:
    network = network_of("swin", "both")
    with torch.no_grad():
        before = network(images("swin"))
        result = captures_of(network, "swin")
        count = len(result)
        assert torch.equal(network(images("swin")), before)
    assert len(result) == count
    assert not any(module._forward_hooks for module in network.modules())


def test_pieces_are_whole_images_and_cover_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("swin", "none")
    monkeypatch.setattr(capture, "PIECE", 1)
    for captured in captures_of(network, "swin"):
        pieces = list(captured.pieces())
        assert [len(piece.scores) for piece in pieces] == [captured.layer.tokens.windows] * IMAGES
        assert torch.equal(torch.cat([piece.scores for piece in pieces]), captured.scores)
        assert torch.equal(torch.cat([piece.q for piece in pieces]), captured.q)
