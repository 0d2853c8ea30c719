"""The smallest network of every backbone in which each of its parts is there, and the rows that it takes."""

import torch
from torch import nn

from slbench.backbones import BACKBONES, build, check_method, fitted
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import (
    BackboneSpec,
    CaiTSpec,
    EfficientNetSpec,
    PiTSpec,
    ResNetSpec,
    SwinSpec,
    T2TSpec,
    ViTSpec,
)
from slbench.errors import InapplicableError
from slbench.methods import METHODS

IMAGES, CHANNELS, CLASSES = 2, 5, 7

SMALL: dict[str, tuple[BackboneSpec, tuple[int, int]]] = {  # sizes, and an image (height, width) in px
    "vit": (ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3), (8, 12)),
    "t2t": (T2TSpec(num_splits=3, token_dim=5, dim=6, depth=2, num_heads=3), (13, 17)),
    "cait": (CaiTSpec(patch_size=4, dim=7, depth=2, class_depth=2, num_heads=3, head_dim=5), (8, 12)),
    "pit": (PiTSpec(patch_size=2, dims=(6, 12, 24), depths=(1, 2, 1), num_heads=(3, 2, 1)), (16, 24)),
    "swin": (SwinSpec(patch_size=2, dims=(6, 15), depths=(2, 2), num_heads=(3, 5)), (16, 24)),
    "resnet56": (ResNetSpec(width=5, blocks_per_stage=2), (13, 17)),
    "resnet110": (ResNetSpec(name="resnet110", width=3, blocks_per_stage=3), (13, 17)),
    "efficientnet-b0": (
        EfficientNetSpec(stem=5, dims=(3, 7, 7, 11, 13, 13, 17), depths=(1, 2, 1, 1, 1, 1, 1)),
        (33, 34),
    ),
}


def applies(backbone: str, method: str) -> bool:
    """Whether a row means something on a backbone."""
    try:
        check_method(SMALL[backbone][0], METHODS[method])
    except InapplicableError:
        return False
    return True


PAIRS = [(backbone, method) for backbone in BACKBONES for method in METHODS if applies(backbone, method)]


def small(backbone: str, method: str, *, seed: int = 0, drop_path: float = 0.0) -> Backbone:
    """A small network of a pair."""
    given, image_size = SMALL[backbone]
    spec, row = fitted(given, METHODS[method], image_size=image_size, in_channels=CHANNELS, num_classes=CLASSES)
    return build(
        spec,
        row,
        image_size=image_size,
        in_channels=CHANNELS,
        num_classes=CLASSES,
        drop_path=drop_path,
        seed=seed,
    )


def images(backbone: str, *, count: int = IMAGES) -> torch.Tensor:
    """The same random images for a backbone each time."""
    return torch.randn(count, CHANNELS, *SMALL[backbone][1], generator=torch.Generator().manual_seed(0))


def loss(network: nn.Module, backbone: str) -> torch.Tensor:
    """Cross-entropy of the images with labels 0, 1, ..."""
    logits = network(images(backbone))
    return nn.functional.cross_entropy(logits.float(), torch.arange(IMAGES))
