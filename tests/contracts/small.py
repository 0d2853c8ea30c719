"""The small networks of the GPU check, variants with the layers of the ImageNet presets, and their loss."""

import copy
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from slbench import gpu_check
from slbench.backbones.layers import Backbone
from slbench.gpu_check import CHANNELS, CLASSES, IMAGES

__all__ = ["CHANNELS", "CLASSES", "IMAGES", "PAIRS", "SMALL", "fresh", "images", "loss", "small"]

PRESETS: dict[str, Any] = {
    "vit": {"qkv_bias": True},
    "pit": {"variant": "original"},
    "swin": {"absolute_positions": False},
}
VARIANTS: gpu_check.Sizes = {
    f"{name}-as-preset": (replace(gpu_check.SMALL[name][0], **fields), gpu_check.SMALL[name][1])
    for name, fields in PRESETS.items()
}
SMALL: gpu_check.Sizes = {**gpu_check.SMALL, **VARIANTS}
PAIRS = [
    *gpu_check.PAIRS,
    *((name, method) for name in VARIANTS for plain, method in gpu_check.PAIRS if plain == VARIANTS[name][0].name),
]
images = partial(gpu_check.images, sizes=SMALL)
fresh = partial(gpu_check.small, sizes=SMALL)  # a new small network
built = cache(fresh)


def small(backbone: str, method: str, *, seed: int = 0, drop_path: float = 0.0) -> Backbone:
    """Return a copy of a cached small network, since drawing initial values is slow."""
    return copy.deepcopy(built(backbone, method, seed=seed, drop_path=drop_path))


def loss(network: nn.Module, backbone: str) -> torch.Tensor:
    """Return the cross-entropy of the images with labels 0, 1, ..."""
    logits = network(images(backbone))
    return nn.functional.cross_entropy(logits.float(), torch.arange(IMAGES))
