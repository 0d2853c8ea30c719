"""Lower bounds of the size of networks, and what they refuse."""

from math import prod
from typing import Any

import pytest

from slbench.backbones import BACKBONES, NAMED, count_parameters, default_spec, lower_bounds
from slbench.backbones.specs import ViTSpec
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.limits import NETWORK_MACS
from slbench.measure.compute_budget import forward_macs
from slbench.measure.memory_bounds import check_network
from slbench.measure.network import Network
from slbench.methods import Method
from tests.support import naming

SHAPE = ImageShape((224, 224), 3, 1000)


def network(name: str) -> Network:
    return Network.resolve(default_spec(name), Method(), shape=SHAPE)


@pytest.mark.parametrize("name", [name for name in NAMED if name != "resnet110"])  # as resnet56
def test_the_bound_of_parameters_is_below_the_count_but_near(name: str) -> None:
    resolved = network(name)
    count = count_parameters(resolved.backbone, resolved.method, shape=SHAPE)
    assert 0.7 * count <= resolved.backbone.lower_bounds(SHAPE).parameters <= count


@pytest.mark.parametrize("name", BACKBONES)
def test_the_bound_of_activations_is_positive_and_below_the_multiply_adds(name: str) -> None:
    sizes, image_size = BACKBONES[name].small
    small = Network.resolve(sizes, Method(), shape=ImageShape(image_size, 3, 7))
    bounds = small.backbone.lower_bounds(small.shape)
    assert 0 < bounds.largest <= bounds.activations < forward_macs(small)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_bound_of_multiply_adds_is_below_the_count(name: str) -> None:
    sizes, image_size = BACKBONES[name].small
    small = Network.resolve(sizes, Method(), shape=ImageShape(image_size, 3, 7))
    assert 0 < small.backbone.lower_bounds(small.shape).macs <= forward_macs(small)


def test_the_bound_of_multiply_adds_of_vit_is_near_the_count() -> None:
    vit = Network.resolve(default_spec("vit"), Method(), shape=ImageShape((64, 64), 3, 200))
    assert vit.backbone.lower_bounds(vit.shape).macs >= 0.9 * forward_macs(vit)


def test_a_network_is_refused_by_its_multiply_adds_unless_the_limit_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    vit = network("vit")
    macs = vit.backbone.lower_bounds(SHAPE).macs
    for limit, is_refused in ((macs, False), (macs - 1, True)):
        monkeypatch.setenv(NETWORK_MACS.variable, str(limit))
        if not is_refused:
            check_network(vit, 0, batch=1, where="cpu")
            continue
        with pytest.raises(InputError, match=naming("cpu", "multiply-adds", "allowed", NETWORK_MACS.variable)):
            check_network(vit, 0, batch=1, where="cpu")


@pytest.mark.parametrize("patch", [4, 32])
@pytest.mark.parametrize("embedding", ["default", "conv-stem", "cct-3x1", "cct-3x2"])
def test_the_bound_of_parameters_is_below_the_count_with_any_embedding(embedding: Any, patch: int) -> None:
    shape = ImageShape((64, 64), 3, 10)
    sizes = ViTSpec(patch_size=patch, dim=48, depth=1, num_heads=3)
    resolved = Network.resolve(sizes, Method(embedding=embedding), shape=shape)
    bounds = lower_bounds(resolved.backbone, resolved.method, shape=shape)
    assert 0 < bounds.parameters <= count_parameters(resolved.backbone, resolved.method, shape=shape)
    assert bounds.largest == 3 * prod(resolved.method.grid((64, 64), patches=(64 // patch, 64 // patch))) ** 2


def test_a_network_is_refused_by_its_weights_gradients_and_moments() -> None:
    vit = network("vit")
    needed = 16 * vit.backbone.lower_bounds(SHAPE).parameters
    with pytest.raises(InputError, match=r"cpu: ViT .*224 x 224 px.*GB"):
        check_network(vit, needed, batch=1, where="cpu")
    check_network(vit, needed, batch=1, where="cpu", use="forward")
    check_network(vit, 0, batch=1, where="cpu")


def test_a_batch_is_refused_by_its_attention() -> None:
    vit = Network.resolve(default_spec("vit"), Method(), shape=ImageShape((64, 64), 3, 200))
    attention = 2 * 9 * 12 * 64**2 * 100_000
    with pytest.raises(InputError, match="batch 100,000"):
        check_network(vit, attention, batch=100_000, where="cpu")
    check_network(vit, attention, batch=1000, where="cpu")
