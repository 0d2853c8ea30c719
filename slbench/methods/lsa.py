"""Locality self-attention: what it changes are the scores, before the softmax."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from slbench.methods.method import Method


class AttentionLogits(nn.Module):
    """Scores of each query against each key: plain attention, or LSA and its halves.

    Args:
        num_heads: heads; a scale learned per head has one entry a head.
        head_dim: channels per head d_k; the scale starts at d_k ** -0.5 / initial_temperature.
        scale_dim: what stands for d_k in that scale, where it is not head_dim.
        learn_temperature: make the scale a parameter, else it stays a constant.
        temperature_per: "head" or "layer": one scale for each head, or one for all.
        initial_temperature: in multiples of sqrt(d_k).
        mask_self: forbid a token to attend to itself. Needs queries and keys to be the same tokens,
            two or more.
    Raises:
        ValueError: on forward, if `mask_self` and the token counts differ or are 1.
    Source: L(x) = softmax(R^M(x) / tau) of arXiv:2112.13492. What is learned multiplies: it is
    1 / tau, as in the released code.
    """

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
    ) -> None:
        super().__init__()
        self.mask_self = mask_self
        self.scale_dim = scale_dim or head_dim
        self.initial_scale = self.scale_dim**-0.5 / initial_temperature
        self.per_head = temperature_per == "head"
        entries = num_heads if self.per_head else 1
        self.scale = nn.Parameter(torch.full((entries,), self.initial_scale)) if learn_temperature else None

    @classmethod
    def of(
        cls,
        method: Method,
        *,
        num_heads: int,
        head_dim: int,
        scale_dim: int | None = None,
        masks: bool = True,
    ) -> "AttentionLogits":
        """The logits of a row of an ablation.

        Args:
            masks: whether the mask of the row applies: not where one class token reads other tokens.
        """
        return cls(
            num_heads,
            head_dim,
            scale_dim=scale_dim,
            learn_temperature=method.learn_temperature,
            temperature_per=method.temperature_per,
            initial_temperature=method.initial_temperature,
            mask_self=method.mask_self and masks,
        )

    def forward(
        self,
        q: Float[Tensor, "b h n d"],
        k: Float[Tensor, "b h m d"],
        *,
        adjust: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "b h n m"]:
        """Scores of queries q against keys k.

        Args:
            adjust: applied to the scaled scores before the mask, for a backbone that biases or mixes
                them; what it returns may be written to in place.
        """
        # The scale goes into q: that is n * d products in place of n * m.
        q = q * (self.initial_scale if self.scale is None else self.scale[:, None, None])
        scores = q @ k.transpose(-2, -1)
        if adjust is not None:
            scores = adjust(scores)
        return mask_diagonal(scores) if self.mask_self else scores

    def extra_repr(self) -> str:
        return f"initial_scale={self.initial_scale:.4g}, learned={self.scale is not None}, mask_self={self.mask_self}"


def mask_diagonal(scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n m"]:
    """The same tensor with -inf written on its diagonal.

    Autograd is not told, which is exact: the softmax that follows gives such a score the weight 0,
    hence the gradient 0, and a backward pass over n x n scores is saved.

    Raises:
        ValueError: unless there are as many keys as queries, two or more.
    """
    queries, keys = scores.shape[-2:]
    if queries != keys or queries < 2:
        raise ValueError(
            f"masking the diagonal needs the same two or more tokens as queries and keys; "
            f"got {queries} queries and {keys} keys"
        )
    scores.detach().diagonal(dim1=-2, dim2=-1).fill_(float("-inf"))
    return scores
