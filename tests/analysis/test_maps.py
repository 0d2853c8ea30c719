"""Attention maps are bright where the output attends, on every backbone."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from slbench.analysis.capture import capture_attention
from slbench.analysis.maps import (
    Rollout,
    displayed,
    output_attention,
    output_layers_of,
    start,
    step,
    to_previous_layer,
    unpool,
)
from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import ViTSpec
from slbench.methods import Method
from slbench.methods.token_grid import TokenGrid
from tests.analysis.helpers import ATTENDING, PAIRS, network_of, network_of_size
from tests.contracts.small import IMAGES, SMALL, images

every = pytest.mark.parametrize("backbone", ATTENDING)
every_pair = pytest.mark.parametrize(("backbone", "method"), PAIRS)
HIGH = 30.0  # a score that takes all the weight


@contextmanager
def attending_to(layer: AttentionLayer, position: tuple[int, int]) -> Iterator[None]:
    """Make every query of a layer, except the patch itself, attend only to the patch at `position`."""
    down, across = position[0] - layer.tokens.shift, position[1] - layer.tokens.shift
    down, across = down % layer.tokens.size[0], across % layer.tokens.size[1]

    def scores(_module: nn.Module, _inputs: Any, values: Tensor) -> Tensor:
        high = torch.zeros_like(values)
        if layer.tokens.window:
            side = layer.tokens.window
            window = down // side * (layer.tokens.size[1] // side) + across // side
            key = down % side * side + across % side
            high.view(-1, layer.tokens.windows, *values.shape[1:])[:, window, :, :, key] = HIGH
        else:
            high[..., layer.tokens.prefix + down * layer.tokens.size[1] + across] = HIGH
        return high.masked_fill(values == -math.inf, -math.inf)

    hook = layer.logits.register_forward_hook(scores)
    yield
    hook.remove()


def maps_of(network: Backbone, backbone: str, layer: AttentionLayer, *, mixed: bool = False) -> Tensor:
    result: list[Tensor] = []
    with (
        torch.no_grad(),
        capture_attention((layer,), lambda captured: result.append(output_attention(captured, mixed=mixed))),
    ):
        network(images(backbone))
    return result[0]


def brightest(scaled_maps: Tensor, grid: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the token at the maximum of each map (b h w)."""
    height, width = scaled_maps.shape[1:]
    positions = [divmod(int(index), width) for index in scaled_maps.flatten(1).argmax(dim=1)]
    return [(y * grid[0] // height, x * grid[1] // width) for y, x in positions]


@every_pair
def test_the_map_of_a_class_token_that_reads_one_patch_is_bright_there(backbone: str, method: str) -> None:
    network = network_of(backbone, method)
    last = output_layers_of(network.attention_layers())[-1]
    height, width = SMALL[backbone][1]
    for position in [(row, column) for row in range(last.tokens.size[0]) for column in range(last.tokens.size[1])]:
        with attending_to(last, position):
            maps = maps_of(network, backbone, last)
        assert maps.shape == (IMAGES, *last.tokens.size)
        assert maps[:, position[0], position[1]].min() > 2 * maps.flatten(1).mean(dim=1).max()
        assert brightest(displayed(maps, (height, width)), last.tokens.size) == [position] * IMAGES


@every
def test_the_map_of_a_class_token_is_its_attention_to_the_patches(backbone: str) -> None:
    network = network_of(backbone, "none")
    for layer in output_layers_of(network.attention_layers()):
        maps = maps_of(network, backbone, layer)
        total = maps.flatten(1).sum(dim=1)
        if layer.tokens.class_token:
            assert (total < 1).all() and (total > 0).all()  # the rest is on the class token itself
        else:
            assert torch.allclose(total, torch.ones(IMAGES))


def test_negative_mixing_weights_do_not_invert_the_map_of_cait() -> None:
    network = network_of("cait", "both")
    last = output_layers_of(network.attention_layers())[-1]
    assert last.mix is not None
    with torch.no_grad():
        last.mix.get_parameter("weight").copy_(-torch.eye(3))
    for mixed in (False, True):
        with attending_to(last, (1, 2)):
            maps = maps_of(network, "cait", last, mixed=mixed)
        assert brightest(displayed(maps, (8, 12)), last.tokens.size) == [(1, 2)] * IMAGES


def rolled(network: Backbone, backbone: str) -> Tensor:
    rollout = Rollout()
    with torch.no_grad(), capture_attention(network.attention_layers(), rollout.update):
        network(images(backbone))
    return rollout.compute()


@pytest.mark.parametrize("backbone", ["vit", "t2t"])
def test_rollout_is_the_class_tokens_row_of_the_product_of_all_layers(backbone: str) -> None:
    network = network_of(backbone, "both")
    product = torch.eye(7).expand(IMAGES, 7, 7)

    def update(captured: Any) -> None:
        nonlocal product
        if captured.layer.kind == "patches":
            product = (captured.weights.mean(dim=1) + torch.eye(7)) / 2 @ product

    with torch.no_grad(), capture_attention(network.attention_layers(), update):
        network(images(backbone))
    assert torch.allclose(rolled(network, backbone), product[:, 0, 1:].reshape(IMAGES, 2, 3), atol=1e-6)


def test_rollout_without_a_class_token_starts_at_the_mean_of_the_patches_without_registers() -> None:
    method = Method(registers=2, global_pool="mean")
    network = network_of_size(ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3), method, (8, 12))
    taken, attention, rollout = torch.tensor([[0.0] * 2 + [1 / 6] * 6]), list[Tensor](), Rollout()

    def update(captured: Any) -> None:
        attention.append((captured.weights.mean(dim=1) + torch.eye(8)) / 2)
        rollout.update(captured)

    with torch.no_grad(), capture_attention(network.attention_layers(), update):
        network(torch.randn(1, 2, 8, 12))
    for weights in attention[::-1]:
        taken = (taken[:, None] @ weights)[:, 0]
    assert torch.allclose(rollout.compute(), taken[:, 2:].reshape(1, 2, 3), atol=1e-6)


def test_rollout_of_swin_starts_at_the_mean_of_all_tokens() -> None:
    network = network_of("swin", "both")
    layers = network.attention_layers()
    taken = torch.full((IMAGES, 24), 1 / 24)
    dense: list[Tensor] = []

    def update(captured: Any) -> None:
        """Attention between all tokens, entry by entry."""
        layer, weights = captured.layer, captured.weights.mean(dim=1).unflatten(0, (IMAGES, -1))
        rows_, columns = layer.tokens.size
        across = columns // layer.tokens.window
        whole = torch.zeros(IMAGES, rows_ * columns, rows_ * columns)
        for window in range(layer.tokens.windows):
            corner = window // across * layer.tokens.window, window % across * layer.tokens.window
            position = [
                (corner[0] + i + layer.tokens.shift) % rows_ * columns + (corner[1] + j + layer.tokens.shift) % columns
                for i in range(layer.tokens.window)
                for j in range(layer.tokens.window)
            ]
            for query, down in enumerate(position):
                for key, right in enumerate(position):
                    whole[:, down, right] = weights[:, window, query, key]
        dense.append(whole)

    with torch.no_grad(), capture_attention(layers, update):
        network(images("swin"))
    for number in (3, 2, 1, 0):
        if number == 1:  # before it, four tokens were merged to one
            fine = taken.reshape(IMAGES, 4, 6) / 4
            taken = fine.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2).flatten(1)
        taken = (taken[:, None] @ (dense[number] + torch.eye(taken.shape[1])) / 2)[:, 0]
    result = rolled(network, "swin")
    assert torch.allclose(result, taken.reshape(IMAGES, 8, 12), atol=1e-6)
    assert torch.allclose(result.flatten(1).sum(dim=1), torch.ones(IMAGES), atol=1e-5)


@every_pair
def test_rollout_is_bright_at_the_position_that_all_layers_read(backbone: str, method: str) -> None:
    network = network_of(backbone, method)
    layers = network.attention_layers()
    final = output_layers_of(layers)[-1].tokens.size
    position = (final[0] - 1, 1)
    hooks = []
    for layer in layers:
        scaled = position[0] * layer.tokens.size[0] // final[0], position[1] * layer.tokens.size[1] // final[1]
        hooks.append(attending_to(layer, scaled))
    for hook in hooks:
        hook.__enter__()
    maps = rolled(network, backbone)
    for hook in hooks:
        hook.__exit__(None, None, None)
    assert (maps >= 0).all() and (maps.flatten(1).sum(dim=1) <= 1 + 1e-5).all()
    assert brightest(displayed(maps, SMALL[backbone][1]), final) == [position] * IMAGES


def test_a_class_block_updates_the_class_token_only() -> None:
    layers = network_of("cait", "none").attention_layers()
    asking = layers[-1]
    relevance = torch.tensor([[0.5, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]])
    attention = torch.tensor([[[0.4, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]]])
    moved = step(asking, attention, relevance)
    assert moved[0].tolist() == pytest.approx([0.35, 0.25, 0.1, 0.1, 0.1, 0.05, 0.05])
    assert to_previous_layer(moved, asking, layers[1])[0].tolist() == pytest.approx([0.25, 0.1, 0.1, 0.1, 0.05, 0.05])
    assert start(asking, images=2).tolist() == [[1, 0, 0, 0, 0, 0, 0]] * 2


def test_the_relevance_of_a_pooled_token_is_divided_equally() -> None:
    coarse, fine = TokenGrid(height=1, width=2), TokenGrid(height=2, width=4)
    assert unpool(torch.tensor([[4.0, 8.0]]), coarse, fine).tolist() == [[1, 1, 2, 2, 1, 1, 2, 2]]


def test_maps_are_scaled_to_0_1_and_a_flat_one_is_0() -> None:
    maps = torch.tensor([[[0.1, 0.1], [0.1, 0.2]], [[0.3, 0.3], [0.3, 0.3 + 1e-8]]])
    scaled_maps = displayed(maps, (8, 8))
    assert scaled_maps[0].min() == 0 and scaled_maps[0].max() == 1
    assert brightest(scaled_maps[:1], (2, 2)) == [(1, 1)]
    assert scaled_maps[1].eq(0).all()
