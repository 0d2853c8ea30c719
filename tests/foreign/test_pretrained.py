"""Initial weights of foreign models from files."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from slbench import user_files
from slbench.backbones import build
from slbench.backbones.specs.foreign import ForeignSpec
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.methods import Method
from tests.foreign.helpers import VIT, sized
from tests.foreign.test_constructors import SWIN
from tests.support import missing, naming

SIZES = {key: value for key, value in VIT.items() if key != "name"}


def source(**arguments: Any) -> nn.Module:
    torch.manual_seed(7)
    sizes = {"img_size": 32, "num_classes": 5, **SIZES, **arguments}
    model: nn.Module = timm.create_model("vit_tiny_patch16_224", **sizes)
    return model


def loaded(spec: ForeignSpec, shape: ImageShape) -> dict[str, torch.Tensor]:
    network: Any = build(spec, Method(), shape=shape, drop_path=0.0, seed=0)
    state: dict[str, torch.Tensor] = network.model.state_dict()
    return state


def test_a_model_of_timm_starts_with_the_weights_of_the_file(tmp_path: Path) -> None:
    model = source().eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    spec = sized({**VIT, "pretrained": "w.safetensors"}, tmp_path)
    network = build(spec, Method(), shape=ImageShape((32, 32), 3, 5), drop_path=0.0, seed=0).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(images), model(images))


def test_head_channels_and_positions_are_adapted_as_timm_does(tmp_path: Path) -> None:
    model: Any = source()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    state = loaded(sized({**VIT, "pretrained": "w.safetensors"}, tmp_path), ImageShape((16, 16), 1, 7))
    assert state["head.weight"].shape == (7, 12)
    assert torch.equal(state["blocks.0.attn.qkv.weight"], model.blocks[0].attn.qkv.weight)
    torch.testing.assert_close(state["patch_embed.proj.weight"], model.patch_embed.proj.weight.sum(1, keepdim=True))
    positions = timm.layers.pos_embed.resample_abs_pos_embed(model.pos_embed, new_size=[2, 2], num_prefix_tokens=1)
    torch.testing.assert_close(state["pos_embed"], positions)


def test_a_model_of_torchvision_takes_exact_names_and_keeps_a_head_of_other_classes(tmp_path: Path) -> None:
    arguments = {key: value for key, value in SWIN.items() if key != "name"}
    model: Any = torchvision.models.SwinTransformer(**arguments, num_classes=5)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    state = loaded(sized({**SWIN, "pretrained": "w.safetensors"}, tmp_path), ImageShape((16, 16), 3, 7))
    assert state["head.weight"].shape[0] == 7
    assert torch.equal(state["features.0.0.weight"], model.features[0][0].weight)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"depth": 2}, ["lacks", "blocks.1.norm1.weight"]),
        ({"embed_dim": 24}, ["does not fit", "cls_token"]),
        ({"class_token": False, "global_pool": "avg"}, ["does not fit", "w.safetensors"]),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path: Path, arguments: dict[str, Any], words: list[str]) -> None:
    save_file(source().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError) as caught:
        loaded(sized({**VIT, **arguments, "pretrained": "w.safetensors"}, tmp_path), ImageShape((32, 32), 3, 5))
    assert not missing(str(caught.value), *words)
    assert "\n" not in str(caught.value)


def test_weights_are_identified_by_content_and_checked_before_they_are_loaded(tmp_path: Path) -> None:
    save_file(source().state_dict(), tmp_path / "w.safetensors")
    spec = sized({**VIT, "pretrained": "w.safetensors"}, tmp_path)
    (tmp_path / "w.safetensors").rename(tmp_path / "moved.safetensors")
    assert sized({**VIT, "pretrained": "moved.safetensors"}, tmp_path) == spec
    user_files.named.clear()
    with pytest.raises(InputError, match=naming("pretrained weights", "--plugin")):
        loaded(spec, ImageShape((32, 32), 3, 5))
    user_files.add(tmp_path / "moved.safetensors")
    (tmp_path / "moved.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match=naming("changed")):
        loaded(spec, ImageShape((32, 32), 3, 5))


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match=naming("w.safetensors", "safetensors file")):
        loaded(sized({**VIT, "pretrained": "w.safetensors"}, tmp_path), ImageShape((32, 32), 3, 5))
