"""The operations of AutoAugment on batches of uint8 images, each image with a parameter of its own.

They give what Pillow gives for one image, to the last bit, on any device and for any number of channels.
"""

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

Images = UInt8[Tensor, "b c h w"]
Tables = Int64[Tensor, "b tables values"]  # one for each channel, or one for all
LUMA = (19595, 38470, 7471)  # of red, green and blue, in 65536ths (ITU-R 601)


def lookup(images: Images, tables: Tables) -> Images:
    """Each pixel replaced by its value's entry in the table of its image and channel; entries are cut to [0, 255]."""
    flat = images.flatten(2).long()
    found = tables.clamp(0, 255).to(torch.uint8).expand(-1, images.shape[1], -1).gather(2, flat)
    return found.reshape(images.shape)


def values(device: torch.device) -> Int64[Tensor, "values"]:
    """0 to 255."""
    return torch.arange(256, device=device)


def inverted(count: int, device: torch.device) -> Tables:
    """255 less the value."""
    return (255 - values(device)).expand(count, 1, -1)


def posterized(bits: Int64[Tensor, " b"]) -> Tables:
    """The highest bits of the value."""
    shift = 8 - bits[:, None, None]
    return values(bits.device).expand(len(bits), 1, -1) >> shift << shift


def solarized(threshold: Float64[Tensor, " b"]) -> Tables:
    """Values from the threshold on, inverted."""
    all_values = values(threshold.device).expand(len(threshold), 1, -1)
    return torch.where(all_values < threshold[:, None, None], all_values, 255 - all_values)


def brightened(factor: Float32[Tensor, " b"]) -> Tables:
    """The value times the factor."""
    return blended(torch.zeros_like(factor)[:, None, None], values(factor.device).expand(len(factor), 1, -1), factor)


def contrasted(images: Images, factor: Float32[Tensor, " b"]) -> Tables:
    """The value's distance from the image's mean grey times the factor."""
    mean = grey(images).flatten(1).double().mean(dim=1)
    middle = (mean + 0.5).floor().float()[:, None, None]
    return blended(middle, values(factor.device).expand(len(factor), 1, -1), factor)


def autocontrasted(images: Images) -> Tables:
    """The values of each channel stretched to [0, 255]; a channel of one value stays."""
    flat = images.flatten(2)
    low, high = flat.amin(dim=2, keepdim=True).double(), flat.amax(dim=2, keepdim=True).double()
    scale = torch.full_like(low, 255) / (high - low).clamp(min=1)  # not 255 / x, which is 255 * (1 / x)
    all_values = values(images.device).expand(*images.shape[:2], -1)
    stretched = (all_values * scale - low * scale).trunc().long()
    return torch.where(high > low, stretched, all_values)


def equalized(images: Images) -> Tables:
    """The values of each channel spread so that their histogram is flat; one of few values stays."""
    count, channels = images.shape[:2]
    flat = images.flatten(2).long()
    place = torch.arange(count * channels, device=images.device).reshape(count, channels, 1) * 256
    histogram = torch.bincount((flat + place).flatten(), minlength=count * channels * 256).reshape(count, channels, 256)
    last = histogram.gather(2, flat.amax(dim=2, keepdim=True))
    step = (flat.shape[2] - last) // 255
    before = histogram.cumsum(dim=2) - histogram
    spread = (before + step // 2) // step.clamp(min=1)
    return torch.where(step > 0, spread, values(images.device))


def blended(first: Tensor, second: Tensor, factor: Float32[Tensor, " b"]) -> Int64[Tensor, "..."]:
    """first + factor * (second - first), cut to [0, 255] and then to whole numbers."""
    first, second = first.float(), second.float()
    weight = factor.reshape(-1, *[1] * (second.ndim - 1))
    return (first + weight * (second - first)).clamp(0, 255).trunc().long()


def grey(images: Images) -> UInt8[Tensor, "b 1 h w"]:
    """The brightness of each pixel: of red, green and blue by luma, of any other channels their mean."""
    if images.shape[1] != 3:
        return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
    red, green, blue = (images[:, i : i + 1].int() * LUMA[i] for i in range(3))
    return ((red + green + blue + 0x8000) >> 16).to(torch.uint8)


def coloured(images: Images, factor: Float32[Tensor, " b"]) -> Images:
    """Each pixel's distance from its grey times the factor; an image of one channel stays."""
    if images.shape[1] == 1:
        return images
    return blended(grey(images), images, factor).to(torch.uint8)


def sharpened(images: Images, factor: Float32[Tensor, " b"]) -> Images:
    """Each pixel's distance from its smoothed neighbourhood times the factor; the border stays."""
    return blended(smoothed(images), images, factor).to(torch.uint8)


def smoothed(images: Images) -> Images:
    """Means of 3 x 3 pixels, the middle one five times; the border as it was."""
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    wide = images.int()
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[:, :, 1:-1, 1:-1]
    out = images.clone()
    out[:, :, 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)  # to the nearest; 13ths have no halves
    return out


def moved(images: Images, matrices: Float64[Tensor, "b 6"]) -> Images:
    """Each pixel from the nearest one at (a x + b y + c, d x + e y + f) of its own image, black from outside.

    Args:
        matrices: (a, b, c, d, e, f) of each image; x and y are the middles of pixels.
    """
    channels, height, width = images.shape[1:]
    a, b, c, d, e, f = fixed(matrices)
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    column, row = ((k * x + m * y + n) >> 16 for k, m, n in ((a, b, c), (d, e, f)))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
    found = images.flatten(2).gather(2, place[:, None].expand(-1, channels, -1)).reshape(images.shape)
    return found * inside[:, None]


def fixed(matrices: Float64[Tensor, "b 6"]) -> list[Int64[Tensor, "b 1 1"]]:
    """Matrices in 65536ths, as Pillow computes them; the offsets are those of the first pixel's middle."""
    a, b, c, d, e, f = matrices.unbind(dim=1)
    parts = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [(part * 65536 + 0.5).floor().long()[:, None, None] for part in parts]
