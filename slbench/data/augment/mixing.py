"""CutMix and Mixup: a batch mixed with a permutation of itself, images and labels. One draw per batch.

Source: CutMix arXiv:1905.04899, Mixup arXiv:1710.09412; one of them, or neither, for each batch as in the
released code of arXiv:2112.13492.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from slbench.data.augment.erasing import within
from slbench.recipes import Recipe


@dataclass(frozen=True)
class Mix:
    """Parameters for mixing a batch."""

    kind: str  # "none", "cutmix", "mixup"
    share: float  # weight of the images' own labels; the rest is their partners'
    box: tuple[int, int, int, int]  # CutMix: (top, left, height, width) in px taken from the partner
    partners: Int64[Tensor, " b"]

    @classmethod
    def sample(cls, count: int, recipe: Recipe, *, size: tuple[int, int], source: torch.Generator) -> "Mix":
        """Draw for a batch of `count` images of `size` (height, width) from a CPU generator."""
        chance = torch.rand((), generator=source, dtype=torch.float64).item()
        partners = torch.randperm(count, generator=source)
        numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=source)))
        if chance < recipe.cutmix:
            box = cut(numbers.beta(recipe.cutmix_alpha, recipe.cutmix_alpha), numbers, size)
            return cls("cutmix", 1 - box[2] * box[3] / (size[0] * size[1]), box, partners)
        if chance < recipe.cutmix + recipe.mixup:
            return cls("mixup", numbers.beta(recipe.mixup_alpha, recipe.mixup_alpha), (0, 0, 0, 0), partners)
        return cls("none", 1.0, (0, 0, 0, 0), partners)


def cut(share: float, numbers: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box of area 1 - share with the image's aspect, around a uniform centre, clipped to the image."""
    sides = []
    for length in size:
        reach = int(length * (1 - share) ** 0.5) // 2
        middle = int(numbers.integers(length))
        start, end = max(middle - reach, 0), min(middle + reach, length)
        sides.append((start, end - start))
    (top, tall), (left, wide) = sides
    return top, left, tall, wide


def mixed(images: Float[Tensor, "b c h w"], mix: Mix) -> Float[Tensor, "b c h w"]:
    """Return the images, each mixed with its partner."""
    if mix.kind == "none":
        return images
    others = images[mix.partners.to(images.device)]
    if mix.kind == "mixup":
        return mix.share * images + (1 - mix.share) * others
    height, width = images.shape[2:]
    inside = within(torch.tensor([mix.box], device=images.device), (height, width))
    return torch.where(inside[:, None], others, images)
