"""Augmentation of whole batches with independent draws per image. Images stay uint8."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from slbench.data.augment.policies import DrawnOperations, auto_augment
from slbench.errors import InputError
from slbench.recipes import Recipe
from slbench.registrations import called


def augment(images: UInt8[Tensor, "b c h w"], recipe: Recipe, *, source: torch.Generator) -> UInt8[Tensor, "b c h w"]:
    """Return a batch augmented by flip, padded crop and AutoAugment, before normalisation.

    Args:
        source: a CPU generator. Flip and crop are drawn whether used or not, and AutoAugment and a plugin last, so that
            turning one off does not change the draws of the others.
    """
    count = len(images)
    flipped = torch.rand(count, generator=source) < 0.5
    offsets = torch.randint(0, 2 * recipe.crop_padding + 1, (count, 2), generator=source)
    if recipe.flip:
        images = flip(images, flipped.to(images.device))
    if recipe.crop_padding:
        images = padded_crop(images, offsets.to(images.device), padding=recipe.crop_padding)
    if recipe.auto_augment != "none":
        images = auto_augment(images, recipe.auto_augment, DrawnOperations.sample(count, source=source))
    return own_augmentation(images, recipe.augmentation, source=source) if recipe.augmentation else images


def own_augmentation(
    images: UInt8[Tensor, "b c h w"], reference: str, *, source: torch.Generator
) -> UInt8[Tensor, "b c h w"]:
    """Return a batch augmented by a plugin.

    Raises:
        InputError: if the plugin raises, or returns anything but such images.
    """
    result = called(reference, "augmentation", images, source)
    if not isinstance(result, Tensor) or (result.dtype, result.shape) != (images.dtype, images.shape):
        got = f"{result.dtype} of shape {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        name = reference.partition("@")[0]
        raise InputError(f"augmentation {name}: must return uint8 of shape {list(images.shape)} (got {got})")
    return result


def flip(images: UInt8[Tensor, "b c h w"], chosen: Bool[Tensor, " b"]) -> UInt8[Tensor, "b c h w"]:
    """Return the images, the chosen ones mirrored left to right."""
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


def padded_crop(
    images: UInt8[Tensor, "b c h w"], offsets: Int64[Tensor, "b two"], *, padding: int
) -> UInt8[Tensor, "b c h w"]:
    """Crop each image to its own size from a copy with a zero border.

    Args:
        offsets: (down, right) of each crop in the padded image, in [0, 2 * padding];
            (padding, padding) returns the image unchanged.
    """
    count, channels, height, width = images.shape
    padded = F.pad(images, (padding,) * 4)
    rows = offsets[:, 0, None] + torch.arange(height, device=images.device)
    columns = offsets[:, 1, None] + torch.arange(width, device=images.device)
    image = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
