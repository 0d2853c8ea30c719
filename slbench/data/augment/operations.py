"""Operations of AutoAugment on batches of uint8 images with one parameter per image.

Bit-identical to Pillow on single images, on any device and for any number of channels.
"""

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor

Images = UInt8[Tensor, "b c h w"]
Tables = Int64[Tensor, "b tables values"]  # per channel, or one for all channels
LUMA = (19595, 38470, 7471)  # of red, green and blue, in 65536ths (ITU-R 601)


def lookup(images: Images, tables: Tables) -> Images:
    """Map each pixel through the table of its image and channel; entries are clipped to [0, 255]."""
    flat = images.flatten(2).long()
    found = tables.clamp(0, 255).to(torch.uint8).expand(-1, images.shape[1], -1).gather(2, flat)
    return found.reshape(images.shape)


def values(device: torch.device) -> Int64[Tensor, "values"]:
    """Return 0 to 255."""
    return torch.arange(256, device=device)


def inverted(count: int, device: torch.device) -> Tables:
    """Return the table 255 - value."""
    return (255 - values(device)).expand(count, 1, -1)


def posterized(bits: Int64[Tensor, " b"]) -> Tables:
    """Return the table that keeps the highest bits."""
    shift = 8 - bits[:, None, None]
    return values(bits.device).expand(len(bits), 1, -1) >> shift << shift


def solarized(threshold: Float64[Tensor, " b"]) -> Tables:
    """Return the table that inverts values from the threshold on."""
    all_values = values(threshold.device).expand(len(threshold), 1, -1)
    return torch.where(all_values < threshold[:, None, None], all_values, 255 - all_values)


def brightened(factor: Float32[Tensor, " b"]) -> Tables:
    """Return the table value * factor."""
    return blended(torch.zeros_like(factor)[:, None, None], values(factor.device).expand(len(factor), 1, -1), factor)


def contrasted(images: Images, factor: Float32[Tensor, " b"]) -> Tables:
    """Return the table that scales the distance from the image's mean grey."""
    mean = grey(images).flatten(1).double().mean(dim=1)
    middle = (mean + 0.5).floor().float()[:, None, None]
    return blended(middle, values(factor.device).expand(len(factor), 1, -1), factor)


def autocontrasted(images: Images) -> Tables:
    """Return the table that stretches each channel to [0, 255]; a constant channel is unchanged."""
    flat = images.flatten(2)
    low, high = flat.amin(dim=2, keepdim=True).double(), flat.amax(dim=2, keepdim=True).double()
    scale = torch.full_like(low, 255) / (high - low).clamp(min=1)  # not 255 / x, which is 255 * (1 / x)
    all_values = values(images.device).expand(*images.shape[:2], -1)
    stretched = (all_values * scale - low * scale).trunc().long()
    return torch.where(high > low, stretched, all_values)


def equalized(images: Images) -> Tables:
    """Return the table that equalizes the histogram of each channel; one of few values is unchanged."""
    count, channels = images.shape[:2]
    flat = images.flatten(2).long()
    start = torch.arange(count * channels, device=images.device).reshape(count, channels, 1) * 256
    histogram = torch.bincount((flat + start).flatten(), minlength=count * channels * 256).reshape(count, channels, 256)
    last = histogram.gather(2, flat.amax(dim=2, keepdim=True))
    step = (flat.shape[2] - last) // 255
    before = histogram.cumsum(dim=2) - histogram
    spread = (before + step // 2) // step.clamp(min=1)
    return torch.where(step > 0, spread, values(images.device))


def blended(first: Tensor, second: Tensor, factor: Float32[Tensor, " b"]) -> Int64[Tensor, "..."]:
    """Return first + factor * (second - first), clipped to [0, 255] and truncated to integers."""
    first, second = first.float(), second.float()
    weight = factor.reshape(-1, *[1] * (second.ndim - 1))
    return (first + weight * (second - first)).clamp(0, 255).trunc().long()


def grey(images: Images) -> UInt8[Tensor, "b 1 h w"]:
    """Return the brightness of each pixel: luma of RGB, mean of any other channels."""
    if images.shape[1] != 3:
        return images.float().mean(dim=1, keepdim=True).round().to(torch.uint8)
    red, green, blue = (images[:, i : i + 1].int() * LUMA[i] for i in range(3))
    return ((red + green + blue + 0x8000) >> 16).to(torch.uint8)


def coloured(images: Images, factor: Float32[Tensor, " b"]) -> Images:
    """Scale the distance of each pixel from its grey; one-channel images are unchanged."""
    if images.shape[1] == 1:
        return images
    return blended(grey(images), images, factor).to(torch.uint8)


def sharpened(images: Images, factor: Float32[Tensor, " b"]) -> Images:
    """Scale the distance of each pixel from its smoothed neighbourhood; the border is unchanged."""
    return blended(smoothed(images), images, factor).to(torch.uint8)


def smoothed(images: Images) -> Images:
    """Return weighted means of 3 x 3 pixels, the centre counted five times; the border is unchanged."""
    height, width = images.shape[2:]
    if min(height, width) < 3:
        return images
    wide = images.int()
    rows = wide[:, :, :-2] + wide[:, :, 1:-1] + wide[:, :, 2:]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[:, :, 1:-1, 1:-1]
    out = images.clone()
    out[:, :, 1:-1, 1:-1] = ((2 * total + 13) // 26).to(torch.uint8)  # round to nearest; 13ths have no ties
    return out


def moved(images: Images, matrices: Float64[Tensor, "b 6"]) -> Images:
    """Resample each image at (a x + b y + c, d x + e y + f), nearest neighbour, black outside.

    Args:
        matrices: (a, b, c, d, e, f) per image; x and y are pixel centres.
    """
    channels, height, width = images.shape[1:]
    a, b, c, d, e, f = fixed(matrices)
    x = torch.arange(width, device=images.device)
    y = torch.arange(height, device=images.device)[:, None]
    column, row = ((k * x + m * y + n) >> 16 for k, m, n in ((a, b, c), (d, e, f)))
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).flatten(1)
    pixels = images.flatten(2).gather(2, index[:, None].expand(-1, channels, -1)).reshape(images.shape)
    return pixels * inside[:, None]


def fixed(matrices: Float64[Tensor, "b 6"]) -> list[Int64[Tensor, "b 1 1"]]:
    """Return matrices in 65536ths, as in Pillow; offsets refer to the centre of the first pixel."""
    a, b, c, d, e, f = matrices.unbind(dim=1)
    parts = (a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5)
    return [(part * 65536 + 0.5).floor().long()[:, None, None] for part in parts]
