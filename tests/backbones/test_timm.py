"""Whole ViT, PiT and Swin with the layers of the ImageNet presets against timm with the same weights.

The epsilon of norms is 1e-6 in timm's ViT and PiT, as in their sources; here it is 1e-5.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from slbench.backbones.specs import PiTSpec, SwinSpec, ViTSpec
from tests.backbones.helpers import perturbed, tokens


def load(theirs: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Return timm's module in float64 with these weights and our epsilon in norms."""
    theirs.double().load_state_dict(state)
    for module in theirs.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-5
    return theirs.eval()


NAMES = {  # patterns of our names, and timm's names
    "attention_norm": "norm1",
    "mlp_norm": "norm2",
    "attention.qkv": "attn.qkv",
    "attention.project": "attn.proj",
    "attention.relative_bias": "attn.relative_position_bias_table",
    r"mlp\.0": "mlp.fc1",
    r"mlp\.2": "mlp.fc2",
    "class_token": "cls_token",
    "positions": "pos_embed",
}


def whole(network: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return all weights of a network under timm's names."""
    state = {}
    for name, value in network.state_dict().items():
        for pattern, theirs in {**NAMES, **names}.items():
            name = re.sub(pattern, theirs, name)
        state[name] = value
    return state


def as_convolution(weight: Tensor, patch_size: int) -> Tensor:
    """Return the weights of a linear map of flattened patches (channels last) as those of a convolution."""
    return rearrange(weight, "d (p q c) -> d c p q", p=patch_size, q=patch_size)


def assert_same(ours: nn.Module, theirs: nn.Module, image_size: tuple[int, int]) -> None:
    assert sum(value.numel() for value in ours.parameters()) == sum(value.numel() for value in theirs.parameters())
    images = tokens(2, 5, *image_size)
    torch.testing.assert_close(ours.eval()(images), theirs(images), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_a_vit_with_a_qkv_bias_is_timms() -> None:
    from timm.models.vision_transformer import VisionTransformer

    spec = ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3, qkv_bias=True)
    ours = perturbed(spec, "none", (8, 12))
    state = whole(ours, {"tokenizer.project": "patch_embed.proj"})
    state["patch_embed.proj.weight"] = as_convolution(state["patch_embed.proj.weight"], 4)
    size: dict[str, Any] = {"img_size": (8, 12), "patch_size": 4, "in_chans": 5, "num_classes": 7}
    theirs = VisionTransformer(**size, embed_dim=6, depth=2, num_heads=3, mlp_ratio=2.0)
    assert_same(ours, load(theirs, state), (8, 12))


@torch.no_grad()
def test_the_original_pit_is_timms() -> None:
    from timm.models.pit import PoolingVisionTransformer

    spec = PiTSpec(patch_size=2, dims=(6, 12, 24), depths=(1, 2, 1), num_heads=(3, 2, 1), variant="original")
    ours = perturbed(spec, "none", (16, 24))
    stages = {0: "0.blocks.0", 1: "1.pool", 2: "1.blocks.0", 3: "1.blocks.1", 4: "2.pool", 5: "2.blocks.0"}
    named = {rf"^blocks\.{number}\.": f"transformers.{stage}." for number, stage in stages.items()}
    pool = {r"pool\.grid\.each": "pool.conv", r"pool\.class_token|pool\.cls_token": "pool.fc"}
    state = whole(ours, {"tokenizer.conv": "patch_embed.conv", **named, **pool})
    state["pos_embed"] = rearrange(state["pos_embed"], "one (h w) d -> one d h w", h=7)  # 8 x 12 patches, 7 x 11 tokens
    size: dict[str, Any] = {"img_size": (16, 24), "patch_size": 4, "stride": 2, "in_chans": 5, "num_classes": 7}
    theirs = PoolingVisionTransformer(**size, base_dims=(2, 6, 24), depth=(1, 2, 1), heads=(3, 2, 1), mlp_ratio=2.0)
    assert_same(ours, load(theirs, state), (16, 24))


@torch.no_grad()
def test_a_swin_without_absolute_positions_is_timms() -> None:
    from timm.models.swin_transformer import SwinTransformer

    heads, depths = (3, 2), (2, 2)
    spec = SwinSpec(patch_size=2, window_size=2, dims=(6, 12), depths=depths, num_heads=heads, absolute_positions=False)
    ours = perturbed(spec, "none", (16, 24))
    stages = {0: "0.blocks.0", 1: "0.blocks.1", 2: "1.downsample", 3: "1.blocks.0", 4: "1.blocks.1"}
    named = {rf"^blocks\.{number}\.": f"layers.{stage}." for number, stage in stages.items()}
    pool = {r"downsample\.grid\.norm": "downsample.norm", r"downsample\.grid\.project": "downsample.reduction"}
    embedding = {"tokenizer.project": "patch_embed.proj", "embedding_norm": "patch_embed.norm", "^head": "head.fc"}
    state = whole(ours, {**embedding, **named, **pool})
    state["patch_embed.proj.weight"] = as_convolution(state["patch_embed.proj.weight"], 2)
    for name in (
        "norm.weight",
        "norm.bias",
        "reduction.weight",
    ):  # timm's merging goes down first within four neighbours
        key = f"layers.1.downsample.{name}"
        state[key] = rearrange(state[key], "... (h w c) -> ... (w h c)", h=2, w=2)
    size: dict[str, Any] = {"img_size": (16, 24), "patch_size": 2, "in_chans": 5, "num_classes": 7}
    theirs = SwinTransformer(**size, embed_dim=6, depths=depths, num_heads=heads, window_size=2, mlp_ratio=2.0)
    assert_same(ours, load(theirs, state), (16, 24))
