"""Random erasing of normalised images, one rectangle per chosen image. Source: arXiv:1708.04896."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from slbench.recipes import Recipe

ATTEMPTS = 10  # rectangles drawn per image; the first that fits is used


def rectangles(count: int, recipe: Recipe, *, size: tuple[int, int], source: torch.Generator) -> Int64[Tensor, "b 4"]:
    """Draw (top, left, height, width) in px per image; height and width are 0 for images not chosen.

    Height is sqrt(area * aspect), width sqrt(area / aspect), both rounded and smaller than the image.
    """
    height, width = size
    chosen = torch.rand(count, generator=source, dtype=torch.float64) < recipe.erase
    area = uniform((count, ATTEMPTS), recipe.erase_area, source) * height * width
    if recipe.erase_aspect_draw == "uniform":
        aspect = uniform((count, ATTEMPTS), recipe.erase_aspect, source)
    else:
        low, high = recipe.erase_aspect
        aspect = uniform((count, ATTEMPTS), (math.log(low), math.log(high)), source).exp()
    heights, widths = (area * aspect).sqrt().round().long(), (area / aspect).sqrt().round().long()
    fits = (heights < height) & (widths < width)
    first = fits.long().argmax(dim=1, keepdim=True)
    keep = (chosen & fits.any(dim=1)).long()
    tall, wide = (sides.gather(1, first)[:, 0] * keep for sides in (heights, widths))
    corners = torch.rand(count, 2, generator=source, dtype=torch.float64)
    top = (corners[:, 0] * (height - tall + 1)).long()
    left = (corners[:, 1] * (width - wide + 1)).long()
    return torch.stack([top, left, tall, wide], dim=1)


def uniform(shape: tuple[int, ...], limits: tuple[float, float], source: torch.Generator) -> Float[Tensor, "..."]:
    low, high = limits
    return low + (high - low) * torch.rand(shape, generator=source, dtype=torch.float64)


def erase(
    images: Float[Tensor, "b c h w"], boxes: Int64[Tensor, "b 4"], *, fill: Float[Tensor, "c 1 1"]
) -> Float[Tensor, "b c h w"]:
    """Return the images with their rectangles (top, left, height, width) filled."""
    inside = within(boxes, (images.shape[2], images.shape[3]))
    return torch.where(inside[:, None], fill, images)


def within(boxes: Int64[Tensor, "b 4"], size: tuple[int, int]) -> Tensor:
    """Return a mask (b h w) of the pixels inside the rectangle of their image."""
    top, left, tall, wide = (side[:, None] for side in boxes.unbind(dim=1))
    rows = torch.arange(size[0], device=boxes.device)
    columns = torch.arange(size[1], device=boxes.device)
    in_rows = (rows >= top) & (rows < top + tall)
    in_columns = (columns >= left) & (columns < left + wide)
    return in_rows[:, :, None] & in_columns[:, None, :]
