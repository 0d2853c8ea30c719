"""Structured initial values of self-attention: mimetic and impulse initialisation.

They replace the values of queries, keys, values and the projection after `initialize` has drawn all parameters, so that
every other parameter starts as in the plain network.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from slbench.backbones.layers import Backbone, SelfAttention
from slbench.methods import Method
from slbench.rng import generator

# (down, right) of the attended patch, by head. Source: the released code of arXiv:2505.19985.
OFFSETS = ((0, 0), (-1, 0), (0, 1), (0, -1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
IMPULSE, IMPULSE_NOISE = 1000.0, 1.8  # score of the attended patch, and standard deviation of the others, likewise
IMPULSE_NORM = 7.0  # Frobenius norm of W_q and of W_k of a head, likewise


@dataclass(frozen=True)
class Factors:
    """Two matrices whose product approximates a target."""

    left: Float[Tensor, "... d r"]
    right: Float[Tensor, "... r d"]

    @classmethod
    def of(cls, target: Float[Tensor, "... d d"], *, rank: int) -> "Factors":
        """Return the best approximation of a rank, each factor with the square roots of the singular values.

        Signs of singular vectors are fixed by the largest entry of each left one, as algorithms differ in them.
        """
        u, s, vt = torch.linalg.svd(target)
        u, s, vt = u[..., :rank], s[..., :rank].sqrt(), vt[..., :rank, :]
        sign = u.gather(-2, u.abs().argmax(dim=-2, keepdim=True)).sign()
        return cls(u * sign * s[..., None, :], vt * sign.mT * s[..., :, None])

    def with_norm(self, norm: float) -> "Factors":
        """Return both factors scaled to a Frobenius norm."""
        sides = (self.left, self.right)
        return Factors(*(norm * each / torch.linalg.matrix_norm(each, keepdim=True) for each in sides))


@dataclass(frozen=True)
class AttentionValues:
    """Initial values of an attention with heads of d_k channels over tokens of d channels."""

    query: Float[Tensor, "h d d_k"]
    key: Float[Tensor, "h d d_k"]
    value: Float[Tensor, "d h_d_k"]
    output: Float[Tensor, "h_d_k d"]

    @classmethod
    def from_factors(cls, scores: Factors, mixed: Factors) -> "AttentionValues":
        """Return the values of which W_q W_k^T of each head and W_v W_o are products."""
        return cls(scores.left, scores.right.mT, mixed.left, mixed.right)

    @classmethod
    def of(cls, attention: SelfAttention) -> "AttentionValues":
        """Return the current values."""
        query, key, value = attention.qkv.weight.double().chunk(3)
        heads = attention.num_heads
        query, key = (rearrange(each, "(h k) d -> h d k", h=heads) for each in (query, key))
        return cls(query, key, value.mT, attention.project.weight.double().mT)

    def store(self, attention: SelfAttention) -> None:
        """Write the values into the parameters; biases stay."""
        query, key = (rearrange(each, "h d k -> (h k) d") for each in (self.query, self.key))
        attention.qkv.weight.copy_(torch.cat([query, key, self.value.mT]))
        attention.project.weight.copy_(self.output.mT)

    def with_norms_of(self, other: "AttentionValues") -> "AttentionValues":
        """Return these values with the Frobenius norms of others: of queries and keys head by head."""
        norms = torch.linalg.matrix_norm
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("query", "key", "value", "output"))
        return AttentionValues(*(mine * (norms(its) / norms(mine))[..., None, None] for mine, its in pairs))


def structure_attention(network: Backbone, method: Method, *, seed: int) -> None:
    """Replace the initial values of self-attention by those of `Method.initialization`, if any.

    Noise is drawn from (seed, name of the attention). Attention whose input is not as wide as its output, as in the
    soft splits of T2T, keeps its values.
    """
    if method.initialization == "default":
        return
    attentions = {name: each for name, each in network.named_modules() if isinstance(each, SelfAttention)}
    impulses = None if method.initialization == "mimetic" else Impulses(network)
    first = 0
    with torch.no_grad():
        for name, attention in attentions.items():
            source = generator(seed, "attention", name)
            width, heads = attention.qkv.in_features, attention.num_heads
            mixed = mimetic_mix(width, source=source)
            if impulses is None:
                scores = mimetic_scores(width, heads, source=source)
            else:
                scores = impulses.scores(first, heads, source=source)
            values = AttentionValues.from_factors(scores, mixed)
            if method.initialization == "impulse-norms":
                values = AttentionValues.of(attention).with_norms_of(values)
            values.store(attention)
            first += heads


def mimetic_scores(width: int, heads: int, *, source: torch.Generator) -> Factors:
    """Return the factors W_q, W_k^T of each head, whose product is 0.7 Z + 0.7 I at best, Z normal of variance 1 / d.

    Their rank is the width of a head. Source: arXiv:2305.09828, section 4.
    """
    target = 0.7 * noise((heads, width, width), source) + 0.7 * torch.eye(width, dtype=torch.float64)
    return Factors.of(target, rank=width // heads)


def mimetic_mix(width: int, *, source: torch.Generator) -> Factors:
    """Return the factors W_v, W_o of all heads together, whose product is 0.4 Z - 0.4 I.

    Source: arXiv:2305.09828, section 4. Its released code stores both factors transposed, so that their product is
    another matrix; here it is the target.
    """
    target = 0.4 * noise((width, width), source) - 0.4 * torch.eye(width, dtype=torch.float64)
    return Factors.of(target, rank=width)


def noise(shape: tuple[int, ...], source: torch.Generator) -> Float[Tensor, "... d d"]:
    """Return normal values of variance 1 / d, d the last side."""
    return torch.randn(shape, dtype=torch.float64, generator=source) / math.sqrt(shape[-1])


class Impulses:
    """Factors of attention scores that start as a shift of the grid of patches by one offset per head.

    softmax(P W_q W_k^T P^T / sqrt(d_k)) is then near the matrix Z of the shift, with the positions P of the patches,
    layer-normalised as in attention: W_q W_k^T is P^+ (1000 Z + noise) P^+T, of which the rank is cut to that of a
    head, with both factors scaled to the Frobenius norm 7. Queries at the border whose patch lies outside have noise
    alone. The values and the projection are those of mimetic initialisation.

    Departures: heads are numbered through all layers, so that with fewer than nine heads several layers have all nine
    offsets (published: each layer starts anew); the pseudo-inverse is whole (the released code cuts it to the rank of a
    head, at which 16 channels a head lose half of the shifts of 8 x 8 patches); positions are not multiplied by 18,
    since ours start from a standard normal and those of the released code from a deviation of 0.02.
    Source: arXiv:2505.19985, section 4.
    """

    def __init__(self, network: Backbone) -> None:
        self.grid = network.attention_layers()[0].tokens.size
        count = self.grid[0] * self.grid[1]
        positions = network.get_parameter("positions").detach()[0, -count:].double()
        self.width = positions.shape[-1]
        self.inverse = torch.linalg.pinv(F.layer_norm(positions, positions.shape[-1:]))
        height, width = self.grid  # a shift as long as a side leaves nothing
        self.offsets = [offset for offset in OFFSETS if abs(offset[0]) < height and abs(offset[1]) < width]

    def scores(self, first: int, heads: int, *, source: torch.Generator) -> Factors:
        """Return the factors of heads that are numbered from `first`."""
        numbers = range(first, first + heads)
        shifts = torch.stack([shift_matrix(self.grid, self.offsets[each % len(self.offsets)]) for each in numbers])
        noise = IMPULSE_NOISE * torch.randn(shifts.shape, dtype=shifts.dtype, generator=source)
        target = self.inverse @ torch.where(shifts > 0, IMPULSE, noise) @ self.inverse.mT
        return Factors.of(target, rank=self.width // heads).with_norm(IMPULSE_NORM)


def shift_matrix(grid: tuple[int, int], offset: tuple[int, int]) -> Float[Tensor, "n n"]:
    """Return 1 where patch j lies at an offset (down, right) from patch i, else 0, in row-major order."""
    down, right = (torch.diag(torch.ones(side - abs(step)), step) for side, step in zip(grid, offset, strict=True))
    return torch.kron(down, right).double()
