"""Convolutional tokenizers of rival methods: tokens (b n d), row by row, from an image (b c h w)."""

import math
from itertools import pairwise
from typing import ClassVar

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods.method import CCT_LAYERS

CCT_HIDDEN = 64  # channels between the layers of a CCT tokenizer, arXiv:2104.05704


class CCTTokenizer(nn.Module):
    """CCT's tokenizer: layers of MaxPool(ReLU(Conv(x))), each of which halves the grid, rounded up.

    The convolutions are 3 x 3 with stride 1 and without bias, the pooling is 3 x 3 with stride 2, both padded by 1.

    Args:
        layers: of convolution and pooling; channels between them are 64.
    Source: arXiv:2104.05704, section 3.3 and "CCT-7/3x1": one layer at 32 px, so 16 x 16 tokens.
    """

    def __init__(self, in_channels: int, dim: int, *, layers: int) -> None:
        super().__init__()
        channels = [in_channels, *[CCT_HIDDEN] * (layers - 1), dim]
        self.layers = nn.Sequential(
            *[
                nn.Sequential(
                    nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                    nn.ReLU(),
                    nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
                )
                for before, after in pairwise(channels)
            ]
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = rearrange(self.layers(x), "b d h w -> b (h w) d")
        return tokens


class ChannelAffine(nn.Module):
    """A learned factor and offset per channel of a grid, at first 1 and 0."""

    parameter_kinds: ClassVar[dict[str, str]] = {"weight": "norm", "bias": "norm"}

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class ConvStem(nn.Module):
    """DHVT's overlapping patch embedding: log2(P) layers of GELU(BatchNorm(Conv(x))) between two affine maps.

    The convolutions are 3 x 3 with stride 2, padded by 1 and without bias; their channels double up to dim. It gives
    one token per P x P patch.

    Args:
        patch_size: side P of a patch, a power of two from 2 on.
    Source: arXiv:2210.05958, section 3.2. The formula has a GELU in every layer; the released code leaves out the last
    one at P = 4 and 16.
    """

    def __init__(self, in_channels: int, dim: int, *, patch_size: int) -> None:
        super().__init__()
        layers = int(math.log2(patch_size))
        channels = [in_channels, *(max(1, dim // 2**left) for left in range(layers - 1, -1, -1))]
        self.before = ChannelAffine(in_channels)
        self.layers = nn.Sequential(
            *[
                nn.Sequential(
                    nn.Conv2d(narrow, wide, kernel_size=3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(wide),
                    nn.GELU(),
                )
                for narrow, wide in pairwise(channels)
            ]
        )
        self.after = ChannelAffine(dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n d"]:
        tokens: Tensor = rearrange(self.after(self.layers(self.before(x))), "b d h w -> b (h w) d")
        return tokens


def conv_tokenizer(embedding: str, in_channels: int, dim: int, *, patch_size: int) -> nn.Module:
    """Return the tokenizer of `Method.embedding`; a CCT tokenizer does not depend on the patch."""
    if embedding in CCT_LAYERS:
        return CCTTokenizer(in_channels, dim, layers=CCT_LAYERS[embedding])
    assert embedding == "conv-stem", embedding
    return ConvStem(in_channels, dim, patch_size=patch_size)
