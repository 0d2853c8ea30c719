"""DHVT's MLP: a depth-wise convolution over the patches between its linear maps, and a gate on the class token."""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.layers import MLP
from slbench.methods import Method
from slbench.methods.token_grid import TokenGrid

SQUEEZE = 4  # channels of a token / hidden channels of the gate, as in the released code


class DepthwiseMLP(MLP):
    """MLP over patches with a 3 x 3 depth-wise convolution: h = GELU(BN(x W_1)), h + GELU(BN(conv(h))), BN(h W_2).

    Tokens before the patches (class token, registers) skip it: they are multiplied by W_4 GELU(W_3 m) of the mean m of
    the new patches, a gate without a sigmoid.

    Args:
        tokens: the grid of patches and the tokens before it; without any there is no gate.
    Source: arXiv:2210.05958, section 3.3 (dynamic aggregation feed forward). Its maps have biases that the batch norms
    cancel; here they have none, which are 2 hidden + dim parameters fewer. Registers are gated like the class token.
    """

    def __init__(self, dim: int, hidden: int, *, tokens: TokenGrid) -> None:
        super().__init__(dim, hidden, bias=False)
        self.prefix, self.rows = tokens.prefix, tokens.height
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in (hidden, hidden, dim))
        squeezed = max(1, dim // SQUEEZE)
        gate = nn.Sequential(nn.Linear(dim, squeezed), nn.GELU(), nn.Linear(squeezed, dim))
        self.gate = gate if self.prefix else None

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        widen, activate, narrow = list(self)[:3]
        hidden = activate(self.norms[0](self.to_grid(widen(x[:, self.prefix :]))))
        hidden = hidden + activate(self.norms[1](self.depthwise(hidden)))
        patches = self.norms[2](self.to_grid(narrow(to_tokens(hidden))))
        if self.gate is None:
            return to_tokens(patches)
        gated = x[:, : self.prefix] * self.gate(patches.mean(dim=(2, 3)))[:, None]
        return torch.cat([gated.to(patches.dtype), to_tokens(patches)], dim=1)

    def to_grid(self, tokens: Float[Tensor, "b n d"]) -> Float[Tensor, "b d h w"]:
        return rearrange(tokens, "b (h w) d -> b d h w", h=self.rows)


def to_tokens(grid: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n d"]:
    return rearrange(grid, "b d h w -> b (h w) d")


def make_mlp(method: Method, dim: int, hidden: int, tokens: TokenGrid) -> nn.Module:
    """Return the MLP of a method for a block over tokens of `dim` channels."""
    return MLP(dim, hidden) if method.mlp == "default" else DepthwiseMLP(dim, hidden, tokens=tokens)
