"""The small networks of the self-test, which tests share, and their loss."""

import torch
from torch import nn

from slbench.selftest import CHANNELS, CLASSES, IMAGES, PAIRS, SMALL, images, small

__all__ = ["CHANNELS", "CLASSES", "IMAGES", "PAIRS", "SMALL", "images", "loss", "small"]


def loss(network: nn.Module, backbone: str) -> torch.Tensor:
    """Cross-entropy of the images with labels 0, 1, ..."""
    logits = network(images(backbone))
    return nn.functional.cross_entropy(logits.float(), torch.arange(IMAGES))
