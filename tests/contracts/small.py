"""The small networks of the self-test, and beside them those with the layers of the ImageNet presets; their loss."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from slbench import selftest
from slbench.selftest import CHANNELS, CLASSES, IMAGES

__all__ = ["CHANNELS", "CLASSES", "IMAGES", "PAIRS", "SMALL", "images", "loss", "small"]

PRESETS: dict[str, Any] = {
    "vit": {"qkv_bias": True},
    "pit": {"variant": "original"},
    "swin": {"absolute_positions": False},
}
VARIANTS: selftest.Sizes = {
    f"{name}-as-preset": (replace(selftest.SMALL[name][0], **fields), selftest.SMALL[name][1])
    for name, fields in PRESETS.items()
}
SMALL: selftest.Sizes = {**selftest.SMALL, **VARIANTS}
PAIRS = [
    *selftest.PAIRS,
    *((name, method) for name in VARIANTS for plain, method in selftest.PAIRS if plain == VARIANTS[name][0].name),
]
small, images = partial(selftest.small, sizes=SMALL), partial(selftest.images, sizes=SMALL)


def loss(network: nn.Module, backbone: str) -> torch.Tensor:
    """Cross-entropy of the images with labels 0, 1, ..."""
    logits = network(images(backbone))
    return nn.functional.cross_entropy(logits.float(), torch.arange(IMAGES))
