"""Gaussian mixture mask: attention scores that fall with the distance of two patches, in a way that is learned."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods.token_grid import TokenGrid


class GaussianMixtureMask(nn.Module):
    """Multiply attention scores by a mixture of Gaussians of the distance between patches, one mixture per head.

    M_ij = sum_k alpha_k exp(-r_ij^2 / (2 sigma_k^2)), with the distance r_ij in patches. Scores of a class token or a
    register, which lie nowhere, are multiplied by 1. It has 2 x count parameters per head.

    Args:
        count: Gaussians per head.
        tokens: the grid of patches; in windows distances are those within a window.
    Source: arXiv:2309.05375. Ours are the initial values (equal shares alpha = 1 / count, and widths from one patch to
    the side of the grid in equal ratios: equal Gaussians would stay equal) and the learned number 1 / sigma in place of
    sigma, at which the mask has no pole.
    """

    parameter_kinds: ClassVar[dict[str, str]] = {"alpha": "position", "inverse_sigma": "position"}
    squared: Tensor
    index: Tensor

    def __init__(self, num_heads: int, count: int, *, tokens: TokenGrid | None) -> None:
        super().__init__()
        if tokens is None:
            raise ValueError(f"a mask of {count} Gaussians needs the grid of the tokens")
        height, width = tokens.sides
        self.prefix = tokens.prefix
        exponents = torch.linspace(0.0, 1.0, count) if count > 1 else torch.ones(1)
        self.alpha = nn.Parameter(torch.full((num_heads, count), 1 / count))
        self.inverse_sigma = nn.Parameter((1 / max(height, width)) ** exponents.repeat(num_heads, 1))
        squared = torch.arange(height)[:, None] ** 2 + torch.arange(width) ** 2
        down, right = tokens.offsets().abs()
        self.register_buffer("squared", squared.flatten().float(), persistent=False)
        self.register_buffer("index", down * width + right, persistent=False)

    def mask(self) -> Float[Tensor, "h n n"]:
        """Return the factors of the scores of every head, all tokens included."""
        exponents = -self.squared * self.inverse_sigma[..., None].square() / 2
        by_distance = (self.alpha[..., None] * exponents.exp()).sum(dim=1)
        return F.pad(by_distance[:, self.index], (self.prefix, 0, self.prefix, 0), value=1.0)

    def forward(self, scores: Float[Tensor, "b h n n"]) -> Float[Tensor, "b h n n"]:
        return scores * self.mask()

    def extra_repr(self) -> str:
        return f"heads={self.alpha.shape[0]}, gaussians={self.alpha.shape[1]}"
