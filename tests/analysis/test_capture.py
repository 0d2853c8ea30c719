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
from slbench.backbones.swin import OTHER_REGION, WindowAttention
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


def window_terms(module: WindowAttention) -> Tensor:
    """Return relative bias plus region mask, entry by entry: (windows h n n)."""
    down, across = module.tokens.size
    side, shift = module.tokens.window, module.tokens.shift
    terms = torch.zeros(down // side * (across // side), module.num_heads, side**2, side**2, dtype=torch.float64)
    bias = module.relative_bias.detach().double()

    def region(place: int, length: int) -> int:
        if not shift:
            return 0
        return 2 if place >= length - shift else 1 if place >= length - side else 0

    for window, row in enumerate(terms):
        top, left = window // (across // side) * side, window % (across // side) * side
        for query in range(side**2):
            for key in range(side**2):
                (qy, qx), (ky, kx) = divmod(query, side), divmod(key, side)
                row[:, query, key] = bias[(qy - ky + side - 1) * (2 * side - 1) + qx - kx + side - 1]
                places = [(region(top + y, down), region(left + x, across)) for y, x in ((qy, qx), (ky, kx))]
                if places[0] != places[1]:
                    row[:, query, key] += OTHER_REGION
    return terms


def expected(module: Any, layer: AttentionLayer, q: Tensor, k: Tensor) -> Tensor:
    """Return attention by the formulas of the papers."""
    scale: Any = module.logits.scale
    scale = module.logits.initial_scale if scale is None else scale.detach().double()[:, None, None]
    scores = torch.einsum("bhnd,bhmd->bhnm", q, k) * scale
    if isinstance(module, WindowAttention):
        scores = scores + window_terms(module).repeat(IMAGES, 1, 1, 1)
    if layer.mix is not None:
        scores = torch.einsum("bfnm,fh->bhnm", scores, module.mix_scores.weight.detach().double())
    powers = scores.exp()
    if layer.logits.mask_self:
        powers = powers * (1 - torch.eye(powers.shape[-1], dtype=torch.float64))
    weights: Tensor = powers / powers.sum(dim=-1, keepdim=True)
    return weights


@every
@rows
def test_captured_attention_matches_the_formulas_and_multiplies_the_values(backbone: str, method: str) -> None:
    network = network_of(backbone, method)
    for captured in captures_of(network, backbone):
        module = owner(network, captured.layer)
        parts = {name: child for name, child in module.named_children() if name in ("q", "kv", "qkv", "project")}
        with torch.no_grad(), outputs(parts) as given:
            network(images(backbone))
        q, k = queries_and_keys(module, given)
        assert torch.allclose(captured.q.double(), q) and torch.allclose(captured.k.double(), k)
        weights = expected(module, captured.layer, q, k)
        assert torch.allclose(captured.weights.double(), weights, atol=1e-5), captured.layer.name
        assert torch.allclose(captured.products.double(), expected_products(module, q, k), atol=1e-4, rtol=1e-4), (
            captured.layer.name
        )
        if captured.layer.mix is not None:
            mixed = torch.einsum("bfnm,fh->bhnm", weights, captured.layer.mix.get_parameter("weight").detach().double())
            assert torch.allclose(captured.mixed.double(), mixed, atol=1e-5)
            weights = mixed
        else:
            assert torch.equal(captured.mixed, captured.weights)
        values = heads(
            given.get("kv", given.get("qkv", torch.empty(0))).chunk(2 if "kv" in given else 3, -1)[-1], q.shape[1]
        )
        read = (weights @ values).transpose(1, 2).flatten(2)
        project = module.get_submodule("project")
        assert isinstance(project, nn.Linear)
        through = read @ project.weight.detach().double().T + project.bias.detach().double()
        assert torch.allclose(through, given["project"].reshape(through.shape), atol=1e-4), captured.layer.name


def expected_products(module: Any, q: Tensor, k: Tensor) -> Tensor:
    scale = module.logits.scale
    factor = module.logits.initial_scale if scale is None else scale.detach().double()[None, :, None, None]
    products: Tensor = torch.einsum("bhnd,bhmd->bhnm", q, k) * factor
    return products


@every
@rows
def test_every_row_sums_to_one_and_a_masked_diagonal_is_zero(backbone: str, method: str) -> None:
    for captured in captures_of(network_of(backbone, method), backbone):
        weights = captured.weights
        assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), atol=1e-6)
        assert captured.layer.logits.mask_self == (method == "both" and captured.layer.kind != "class")
        if captured.layer.logits.mask_self:
            assert weights.diagonal(dim1=-2, dim2=-1).eq(0).all()
            assert captured.products.isfinite().all()
        else:
            assert weights.gt(0).any()


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
