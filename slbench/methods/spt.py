"""Shifted patch tokenization (SPT) and its controls: tokens from a grid of pixels or features."""

import dataclasses
from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods.conv_tokenizers import conv_tokenizer
from slbench.methods.method import DIRECTIONS, Method
from slbench.methods.receptive_steps import Step
from slbench.registrations import called


class Shift(nn.Module):
    """Concatenate the input and its shifted copies on channels: (b c h w) to (b (1 + copies) c h w).

    Args:
        directions: (down, right) steps in {-1, 0, 1}, one pair per copy, in the order of the output;
            the copy for (1, 0) holds at row i the row i - pixels of the input.
        pixels: length of a step in px; vacated pixels are 0.
    Raises:
        ValueError: in forward, if a shift is not smaller than the image.
    Source: arXiv:2112.13492, section on SPT.
    """

    def __init__(self, directions: tuple[tuple[int, int], ...], *, pixels: int) -> None:
        super().__init__()
        self.directions = directions
        self.pixels = pixels
        offset = pixels * max((abs(step) for direction in directions for step in direction), default=0)
        self.receptive_steps = (Step("shift", 1 + 2 * offset, padding=offset),)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b copies_c h w"]:
        height, width = x.shape[-2:]
        s = self.pixels
        if s >= min(height, width):
            raise ValueError(f"a shift of {s} px leaves nothing of a {height} x {width} image")
        padded = F.pad(x, (s, s, s, s))
        copies = [
            padded[..., s - down * s : s - down * s + height, s - right * s : s - right * s + width]
            for down, right in self.directions
        ]
        return torch.cat([x, *copies], dim=1)

    def extra_repr(self) -> str:
        return f"directions={self.directions}, pixels={self.pixels}"


class Patches(nn.Module):
    """Flatten non-overlapping P x P patches, row by row, each pixel by pixel, channels last."""

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.receptive_steps = (Step("patch", patch_size, patch_size),)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n features"]:
        p = self.patch_size
        return rearrange(x, "b c (h p1) (w p2) -> b (h w) (p1 p2 c)", p1=p, p2=p)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}"


def pad_half_patch(x: Float[Tensor, "b c h w"], patch_size: int) -> Float[Tensor, "b c h_pad w_pad"]:
    """Pad the grid with zeros so that 2P windows at stride P are centred on the patches.

    For an odd P the right and the bottom get one more than the left and the top.
    """
    before, after = patch_size // 2, patch_size - patch_size // 2
    return F.pad(x, (before, after, before, after))


def window_step(patch_size: int) -> Step:
    """Return kernel, stride and padding of 2P windows, one around each patch."""
    before, after = patch_size // 2, patch_size - patch_size // 2
    return Step("window", 2 * patch_size, patch_size, padding=before, padding_after=after)


class Windows(nn.Module):
    """Flatten overlapping 2P x 2P windows at stride P, one around each patch, channels first."""

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.receptive_steps = (window_step(patch_size),)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n features"]:
        p = self.patch_size
        return F.unfold(pad_half_patch(x, p), kernel_size=2 * p, stride=p).transpose(1, 2)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}"


class Tokenizer(nn.Module):
    """Patch embedding: shift, flatten, normalise and project a grid (b c h w) to tokens (b n d).

    Args:
        in_channels: channels of the grid.
        dim: channels of a token.
        patch_size: side P of a patch; must divide both sides of the grid.
        directions: (down, right) of the shifted copies (SPT); `()` for none.
        shift_pixels: shift of the copies in px.
        window: 1 reads the P x P patch, 2 the 2P x 2P window around it.
        layer_norm: normalise each flattened patch or window before the linear map.
    Raises:
        ValueError: in forward, if the patch does not divide the grid.
    Source: S(x) = LN(P([x, s^1 ... s^Ns])) E of arXiv:2112.13492; without copies and norm it is the
    patch embedding of ViT, arXiv:2010.11929.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int,
        *,
        patch_size: int,
        directions: tuple[tuple[int, int], ...] = (),
        shift_pixels: int = 0,
        window: int = 1,
        layer_norm: bool = False,
    ) -> None:
        super().__init__()
        features = in_channels * (1 + len(directions)) * (window * patch_size) ** 2
        self.patch_size = patch_size
        self.shift = Shift(directions, pixels=shift_pixels) if directions else nn.Identity()
        self.flatten = Patches(patch_size) if window == 1 else Windows(patch_size)
        self.norm = nn.LayerNorm(features) if layer_norm else nn.Identity()
        self.project = nn.Linear(features, dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        require_divisible(x, self.patch_size)
        tokens: Tensor = self.project(self.norm(self.flatten(self.shift(x))))
        return tokens


class OverlappingConv(nn.Module):
    """Patch embedding by one convolution of kernel 2P and stride P, each window centred on its patch.

    Computes the same functions as SPT at ratio 1/2 without layer norm. Args and errors as for `Tokenizer`.
    """

    def __init__(self, in_channels: int, dim: int, *, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.receptive_steps = (window_step(patch_size),)
        self.conv = nn.Conv2d(in_channels, dim, kernel_size=2 * patch_size, stride=patch_size)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        require_divisible(x, self.patch_size)
        grid: Tensor = self.conv(pad_half_patch(x, self.patch_size))
        return rearrange(grid, "b d h w -> b (h w) d")


def require_divisible(x: Tensor, patch_size: int) -> None:
    """Raise ValueError unless the patch divides both sides of the grid (b c h w)."""
    height, width = x.shape[-2:]
    if height % patch_size or width % patch_size:
        raise ValueError(f"a patch of {patch_size} px does not divide a {height} x {width} grid")


def tokenizer(
    method: Method, in_channels: int, dim: int, *, patch_size: int, default: nn.Module | None = None
) -> nn.Module:
    """Return the tokenizer of a method: (b c h w) to (b n d), n = h w / P^2 tokens row by row; CCT's has its own n.

    Shifted copies enter the convolutions of a convolutional tokenizer.

    Args:
        default: the backbone's embedding, for methods that keep it (its n may differ); if None, a linear
            map of non-overlapping patches.
    """
    method = method.resolved(pools=method.s_pool == "yes")
    if default is not None and not method.changes_tokenizer:
        return default
    directions = DIRECTIONS[method.shift]
    if method.embedding != "default":
        channels = in_channels * (1 + len(directions))
        shift = Shift(directions, pixels=method.pixels(patch_size)) if directions else nn.Identity()
        layers = conv_tokenizer(method.embedding, channels, dim, patch_size=patch_size)
        return nn.Sequential(OrderedDict(shift=shift, convolutions=layers))
    if method.own_tokenizer:
        made: nn.Module = called(method.own_tokenizer, "tokenizer", in_channels, dim, patch_size=patch_size)
        return made
    if method.window == 2 and not method.layer_norm:
        return OverlappingConv(in_channels, dim, patch_size=patch_size)
    return Tokenizer(
        in_channels,
        dim,
        patch_size=patch_size,
        directions=directions,
        shift_pixels=method.pixels(patch_size),
        window=method.window,
        layer_norm=bool(method.layer_norm),
    )


def pooling(method: Method, in_channels: int, dim: int, *, default: nn.Module) -> nn.Module:
    """Return the pooling between two stages: (b c h w) to (b n d), n = h w / 4 tokens row by row.

    With S_pool it is the tokenizer of the method with patch 2 and a shift of 1 px.

    Args:
        default: the backbone's pooling, for methods without S_pool.
    Source: S_pool of arXiv:2112.13492.
    """
    if method.s_pool != "yes":
        return default
    if method.embedding != "default":  # without the norm that S_pool has
        method = dataclasses.replace(method, embedding="default", layer_norm=None)
    method = dataclasses.replace(method, shift_ratio=None, shift_pixels=None if method.shift == "none" else 1)
    return tokenizer(method, in_channels, dim, patch_size=2)
