"""A data set and an augmentation of one's own.

plugins = ["my_data.py"] above [grid] of a study, and below it

    dataset = "stripes"
    "recipe.augmentation" = "darken"
"""

import numpy as np
import torch
from torch import Tensor

from slbench.plugins import register_augmentation, register_dataset


@register_dataset("stripes")
def stripes() -> dict[str, np.ndarray]:
    """Return images of 16 x 16 px with stripes in one of four directions, under noise."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[0:16, 0:16]
    patterns = np.stack([down, across, down + across, down - across]) // 2 % 2
    parts: dict[str, np.ndarray] = {}
    for part, count in (("train", 400), ("test", 100)):
        labels = np.arange(count) % len(patterns)
        noise = rng.integers(0, 128, (count, 16, 16))
        parts |= {f"{part}_images": (127 * patterns[labels] + noise).astype(np.uint8), f"{part}_labels": labels}
    return parts


@register_augmentation("darken")
def darken(images: Tensor, source: torch.Generator) -> Tensor:
    """Return the images, each darkened by a factor between 1/2 and 1; all chance is from the generator."""
    factors = 0.5 + 0.5 * torch.rand(len(images), 1, 1, 1, generator=source)
    return (images * factors.to(images.device)).to(torch.uint8)
