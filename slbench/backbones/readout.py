"""Readout: what the classes are read from after the last block."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods import Method
from slbench.methods.token_grid import TokenGrid


class ClassTokenReadout(nn.Module):
    """The class token, normed."""

    def forward(self, x: Float[Tensor, "b n d"], norm: nn.Module) -> Float[Tensor, "b d"]:
        token: Tensor = norm(x[:, 0])
        return token


class MeanReadout(nn.Module):
    """The mean of the normed patches.

    Args:
        prefix: tokens before the patches, which are left out.
    """

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix

    def forward(self, x: Float[Tensor, "b n d"], norm: nn.Module) -> Float[Tensor, "b d"]:
        patches: Tensor = norm(x[:, self.prefix :])
        return patches.mean(dim=1)


class SequenceReadout(MeanReadout):
    """CCT's sequence pooling: a mean of the normed patches x, weighted by softmax(g(x)) with a learned linear map g.

    Source: arXiv:2104.05704, section 3.2. The bias of g is kept as published, though the softmax cancels it.
    """

    def __init__(self, dim: int, prefix: int) -> None:
        super().__init__(prefix)
        self.score = nn.Linear(dim, 1)

    def forward(self, x: Float[Tensor, "b n d"], norm: nn.Module) -> Float[Tensor, "b d"]:
        patches: Tensor = norm(x[:, self.prefix :])
        weights: Tensor = self.score(patches).softmax(dim=1)
        return (weights.transpose(1, 2) @ patches)[:, 0]


def has_class_token(method: Method) -> bool:
    """Return whether a backbone with a class token keeps it."""
    return method.global_pool == "default"


def readout(method: Method, dim: int, tokens: TokenGrid) -> nn.Module:
    """Return the readout of a method: tokens (b n d) and the last norm to features (b d).

    Args:
        tokens: of the last block; without a class token a method that changes nothing reads the mean.
    """
    if method.global_pool == "sequence":
        return SequenceReadout(dim, tokens.prefix)
    return ClassTokenReadout() if tokens.class_token else MeanReadout(tokens.prefix)


class Registers(nn.Module):
    """Insert learned registers after the class token, without positions; the readout leaves them out.

    Args:
        count: at least 1.
        after: tokens before them: 1 with a class token, else 0.
    Source: arXiv:2309.16588.
    """

    def __init__(self, dim: int, count: int, *, after: int) -> None:
        super().__init__()
        self.reg_token = nn.Parameter(torch.zeros(1, count, dim))
        self.after = after

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b m d"]:
        registers = self.reg_token.expand(len(x), -1, -1).to(x.dtype)
        return torch.cat([x[:, : self.after], registers, x[:, self.after :]], dim=1)


def registers(method: Method, dim: int, tokens: TokenGrid) -> nn.Module:
    """Return the module that inserts the registers of a method; without any, the identity."""
    if not method.registers:
        return nn.Identity()
    return Registers(dim, method.registers, after=int(tokens.class_token))
