"""Locality self-attention (LSA): attention scores with a learned temperature and a masked diagonal."""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.errors import InputError
from slbench.methods.gmm import GaussianMixtureMask
from slbench.methods.method import Method
from slbench.methods.token_grid import TokenGrid
from slbench.registrations import load


class AttentionLogits(nn.Module):
    """Attention scores of queries against keys: plain, or with LSA or one of its halves.

    Args:
        num_heads: number of heads; a scale learned per head has one entry per head.
        head_dim: channels per head, d_k; the scale starts at d_k ** -0.5 / initial_temperature.
        scale_dim: d_k in that scale; default: head_dim.
        learn_temperature: make the scale a parameter instead of a constant.
        temperature_per: "head" or "layer": one scale per head, or one for all heads.
        initial_temperature: in multiples of sqrt(d_k).
        mask_self: forbid a token to attend to itself; queries and keys must be the same two or more tokens.
        gaussians: of the mask that multiplies the scores, per head; 0: none. Needs `tokens`.
        blend_mask: let `set_mask_share` blend the mask in; its share is part of the state.
        tokens: where the tokens lie in the image, for positional masks and biases; None: unknown.
    Raises:
        ValueError: in forward, if `mask_self` and the token counts differ or are 1.
    Source: L(x) = softmax(R^M(x) / tau) of arXiv:2112.13492. The learned scale is a factor,
    1 / tau, as in the released code.
    """

    parameter_kinds: ClassVar[dict[str, str]] = {"scale": "temperature"}
    mask_share: Tensor | None  # by which a token's weight on itself is reduced; None: 1

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        *,
        scale_dim: int | None = None,
        learn_temperature: bool = False,
        temperature_per: str = "head",
        initial_temperature: float = 1.0,
        mask_self: bool = False,
        gaussians: int = 0,
        blend_mask: bool = False,
        tokens: TokenGrid | None = None,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.mask_self = mask_self
        self.scale_dim = scale_dim or head_dim
        self.initial_scale = self.scale_dim**-0.5 / initial_temperature
        self.per_head = temperature_per == "head"
        entries = num_heads if self.per_head else 1
        self.scale = nn.Parameter(torch.full((entries,), self.initial_scale)) if learn_temperature else None
        self.mixture = GaussianMixtureMask(num_heads, gaussians, tokens=tokens) if gaussians else nn.Identity()
        self.register_buffer("mask_share", torch.ones(()) if mask_self and blend_mask else None)

    @classmethod
    def from_method(
        cls,
        method: Method,
        *,
        num_heads: int,
        head_dim: int,
        scale_dim: int | None = None,
        can_mask: bool = True,
        tokens: TokenGrid | None = None,
    ) -> "AttentionLogits":
        """Return the scores module of a method.

        Args:
            can_mask: apply the mask of the method; False where a single class token reads other tokens.
            tokens: needed by a mask of Gaussians, which a class token that is the only query does not have.
        """
        only_class = tokens is not None and tokens.class_query_only
        scores = registered_scores(method.own_scores) if method.own_scores else cls
        return scores(
            num_heads,
            head_dim,
            scale_dim=scale_dim,
            learn_temperature=method.learn_temperature,
            temperature_per=method.temperature_per,
            initial_temperature=method.initial_temperature,
            mask_self=method.mask_self and can_mask,
            gaussians=0 if only_class else method.gaussians,
            blend_mask=method.mask_warmup > 0,
            tokens=tokens,
        )

    def forward(
        self,
        q: Float[Tensor, "b h n d"],
        k: Float[Tensor, "b h m d"],
        *,
        adjust: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b h n m"]:
        """Return the scores of queries q against keys k.

        Args:
            adjust: function of the scaled scores, applied after the mask of Gaussians and before that of the
                diagonal, for backbones that bias or mix them; its result may be modified in place.
        """
        scores: Tensor = self.mixture(self.products(q, k))
        if adjust is not None:
            scores = adjust(scores)
        if not self.mask_self:
            return scores
        masked: Tensor = mask_diagonal(scores) if self.mask_share is None else blend_diagonal(scores, self.mask_share)
        return masked

    def products(self, q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h m d"]) -> Float[Tensor, "b h n m"]:
        """Return the scaled products q k^T, before masks and `adjust`."""
        return self.scaled(q) @ k.transpose(-2, -1)

    def scaled(self, q: Float[Tensor, "b h n d"]) -> Float[Tensor, "b h n d"]:
        """Return the queries times the scale, which takes n * d products instead of n * m for the scores."""
        return q * (self.initial_scale if self.scale is None else self.scale[:, None, None])

    @property
    def observed(self) -> bool:
        """Return whether an analysis reads the scores through a forward hook."""
        return bool(self._forward_hooks)

    @property
    def is_lsa(self) -> bool:
        """Return whether the scores are products with a scale and perhaps a masked diagonal, and nothing else."""
        return type(self) is AttentionLogits and isinstance(self.mixture, nn.Identity) and self.mask_share is None

    def extra_repr(self) -> str:
        return f"initial_scale={self.initial_scale:.4g}, learned={self.scale is not None}, mask_self={self.mask_self}"


def registered_scores(reference: str) -> type[AttentionLogits]:
    """Return the class of a plugin. Raises InputError unless it is a subclass of AttentionLogits."""
    found = load(reference, "scores")
    if not isinstance(found, type) or not issubclass(found, AttentionLogits):
        name = reference.partition("@")[0]
        raise InputError(f"scores {name}: must be a subclass of slbench.methods.lsa.AttentionLogits (got {found!r})")
    return found


def mask_diagonal(scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n m"]:
    """Write -inf on the diagonal, in place, and return the tensor.

    The write bypasses autograd, which is exact: the following softmax gives these scores weight 0 and
    so gradient 0. It saves a backward pass over n x n scores.

    Raises:
        ValueError: if the numbers of queries and keys differ or are 1.
    """
    require_same_tokens(scores)
    scores.detach().diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    return scores


def blend_diagonal(
    scores: Float[Tensor, "b h n m"], share: Float[Tensor, ""], masked: Tensor | None = None
) -> Float[Tensor, "b h n m"]:
    """Return scores with log(1 - share) added to the diagonal: a token's weight on itself is multiplied by 1 - share.

    Weights are meant before they are normalised to a sum of 1. A share of 1 masks the diagonal.

    Args:
        masked: which scores are meant, if not the whole diagonal.
    Raises:
        ValueError: if the numbers of queries and keys differ or are 1.
    """
    require_same_tokens(scores)
    if masked is None:
        masked = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    return torch.where(masked, scores + torch.log1p(-share), scores)


def set_mask_share(network: nn.Module, share: float) -> None:
    """Set by how much every mask that is blended in reduces the weight of a token on itself: 0 not at all, 1 fully."""
    for module in network.modules():
        if isinstance(module, AttentionLogits) and module.mask_share is not None:
            module.mask_share.fill_(share)


def require_same_tokens(scores: Float[Tensor, "b h n m"]) -> None:
    """Raise ValueError if the numbers of queries and keys differ or are 1."""
    queries, keys = scores.shape[-2:]
    if queries != keys or queries < 2:
        raise ValueError(
            f"masking the diagonal needs the same two or more tokens as queries and keys; "
            f"got {queries} queries and {keys} keys"
        )
