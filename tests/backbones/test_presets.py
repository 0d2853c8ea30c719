"""The ImageNet presets of Table 3 and their layers that differ from the paper's small backbones."""

import dataclasses
from typing import Any

import pytest
import torch

from slbench.backbones import count_parameters, default_spec, resolve_network
from slbench.backbones.pit import GroupedConvPool, Pool
from slbench.backbones.specs import BackboneSpec, PiTSpec
from slbench.errors import InputError
from slbench.gpu_check import applies
from slbench.image_shape import ImageShape
from slbench.methods import METHODS
from tests.backbones.helpers import perturbed, tokens
from tests.support import missing

TIMM = {"vit-tiny": "deit_tiny_patch16_224", "pit-xs": "pit_xs_224", "swin-tiny": "swin_tiny_patch4_window7_224"}
ORIGINAL = PiTSpec(patch_size=2, dims=(6, 12), depths=(1, 1), num_heads=(3, 2), variant="original")
SIDES = (12, 20)  # 6 x 10 patches; 5 x 9 windows of 4 px at stride 2


def parameters(spec: BackboneSpec, name: str) -> int:
    sized, method = resolve_network(spec, METHODS[name], shape=ImageShape((224, 224), 3, 1000))
    return count_parameters(sized, method, shape=ImageShape((224, 224), 3, 1000))


@pytest.mark.parametrize("preset", TIMM)
def test_a_preset_has_exactly_the_parameters_of_timms_model(preset: str) -> None:
    import timm

    with torch.device("meta"):
        theirs = timm.create_model(TIMM[preset], pretrained=False)
    assert parameters(default_spec(preset), "none") == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize(
    ("spec", "without", "more"),
    [
        (default_spec("vit-tiny"), {"qkv_bias": False}, 12 * 3 * 192),
        (default_spec("swin-tiny"), {"absolute_positions": True}, -56 * 56 * 96),
    ],
)
def test_a_field_changes_only_its_own_layers(spec: Any, without: dict[str, Any], more: int) -> None:
    for name in ("none", "both"):
        assert parameters(spec, name) - parameters(dataclasses.replace(spec, **without), name) == more


def test_the_original_pit_has_27_x_27_tokens_at_224_px_and_with_spt_28_x_28() -> None:
    spec = default_spec("pit-xs").resolved((224, 224))
    assert isinstance(spec, PiTSpec)
    assert spec.grid((224, 224), default_embedding=True) == (27, 27)
    assert spec.grid((224, 224), default_embedding=False) == (28, 28)
    assert PiTSpec(patch_size=8).grid((224, 224), default_embedding=True) == (28, 28)


@pytest.mark.parametrize("name", [name for name in METHODS if applies("pit", name) and name != "none-wide"])
def test_positions_of_the_original_follow_the_grid_of_the_method_and_the_class_token_has_none(name: str) -> None:
    network = perturbed(ORIGINAL, name, SIDES)
    default_embedding = not METHODS[name].changes_tokenizer
    positions = network.get_parameter("positions")
    assert positions.shape == (1, 5 * 9 if default_embedding else 6 * 10, 6)
    with torch.no_grad():
        assert network(tokens(2, 5, *SIDES)).shape == (2, 7)


@pytest.mark.parametrize("name", ["both-no-pool", "both"])
def test_s_pool_replaces_the_pooling_of_the_original(name: str) -> None:
    (pool,) = (module for module in perturbed(ORIGINAL, name, SIDES).modules() if isinstance(module, Pool))
    assert isinstance(pool.grid, GroupedConvPool) is (name == "both-no-pool")
    with torch.no_grad():
        assert pool(tokens(2, 1 + 6 * 10, 6)).shape == (2, 1 + 3 * 5, 12)


def test_an_image_of_one_patch_leaves_the_original_no_token() -> None:
    flat = PiTSpec(patch_size=8, dims=(6,), depths=(1,), num_heads=(3,), variant="original")
    assert flat.resolved((16, 16)) == flat
    with pytest.raises(InputError) as refused:
        flat.resolved((8, 16))
    assert not missing(str(refused.value), "patch_size", "8", "8 x 16 px", "original", "16 x 16 px")
