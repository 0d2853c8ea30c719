"""Attention scores of a retrofitted layer: LSA on products and masks that the model itself computes."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from slbench.methods.lsa import AttentionLogits, blend_diagonal
from slbench.methods.method import Method
from slbench.methods.token_grid import TokenGrid

HIDDEN_BELOW = 50.0  # a key whose score is this far below the query's own has a softmax weight below 2e-22


class RetrofittedScores(AttentionLogits):
    """Scores of an attention layer of a foreign model, with LSA or one of its halves.

    The learned scale starts at the scale that the model itself applies, divided by the initial temperature.

    Args:
        num_heads: number of heads.
        head_dim: channels of a query.
        own_scale: factor that the model applies to the products of queries and keys.
        scale_after: part of `own_scale` that the model applies to the products after they are computed; the rest is
            in the queries. Only analyses need it.
        heads_axis: axis of the heads in the scores, counted from the end, such as -3 of (b h n m); 0: they are folded
            into the first axis, (b h) n m.
        learns_scale: the model learns a scale per head already, so that none is added.
        method: its temperature and mask.
        can_mask: whether queries and keys are the same tokens.
        tokens: where the tokens lie in the image; None: unknown.
    Source: arXiv:2112.13492, section on LSA.
    """

    parameter_kinds: ClassVar[dict[str, str]] = {"scale": "temperature"}

    def __init__(
        self,
        num_heads: int,
        head_dim: int,
        *,
        own_scale: float,
        scale_after: float = 1.0,
        heads_axis: int = -3,
        learns_scale: bool = False,
        method: Method,
        can_mask: bool,
        tokens: TokenGrid | None = None,
    ) -> None:
        super().__init__(
            num_heads,
            head_dim,
            learn_temperature=method.learn_temperature and not learns_scale,
            temperature_per=method.temperature_per,
            mask_self=method.mask_self and can_mask,
            blend_mask=method.mask_warmup > 0,
            tokens=tokens,
        )
        self.num_heads = num_heads
        self.own_scale, self.scale_after, self.heads_axis = own_scale, scale_after, heads_axis
        self.initial_scale = own_scale / method.initial_temperature
        if self.scale is not None:
            nn.init.constant_(self.scale, self.initial_scale)

    @property
    def changes_scores(self) -> bool:
        """Return whether the scores differ from the model's own."""
        return self.scale is not None or self.mask_self or self.initial_scale != self.own_scale

    @property
    def observed(self) -> bool:
        """Return whether an analysis reads the scores through a forward hook."""
        return bool(self._forward_hooks)

    def scaled(self, products: Tensor) -> Tensor:
        """Return products (... n m), or queries (... n d), times the scale over that of the model."""
        if self.scale is None and self.initial_scale == self.own_scale:
            return products
        if self.scale is None:
            rescaled: Tensor = products * (self.initial_scale / self.own_scale)
            return rescaled
        factor = self.scale / self.own_scale
        if self.heads_axis == 0:
            by_head = products.view(-1, self.num_heads, *products.shape[1:]) * factor[:, None, None]
            return by_head.flatten(0, 1)
        scaled: Tensor = products * factor.view(-1, *[1] * (-self.heads_axis - 1))
        return scaled

    def products(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the scaled products of queries (... n d) and keys (... m d), before the model's biases and masks."""
        return self.scaled(q) @ k.transpose(-2, -1) * self.scale_after

    def forward(  # type: ignore[override]
        self, q: Tensor, k: Tensor, *, scores: Tensor | None = None, attn_mask: Tensor | None = None
    ) -> Tensor:
        """Return the scores (... n m) that the softmax receives.

        Args:
            q: queries (... n d).
            k: keys (... m d).
            scores: scores as the model computed them from products that are scaled already; default: computed here.
            attn_mask: as in `scaled_dot_product_attention`: added, or False where a key is hidden.
        """
        if scores is None:
            scores, hidden = self.products(q, k), attn_mask is not None
            if attn_mask is not None and attn_mask.dtype == torch.bool:
                scores = scores.masked_fill(~attn_mask, -math.inf)
            elif attn_mask is not None:
                scores = scores + attn_mask
        else:
            hidden = True
        return self.masked(scores, some_hidden=hidden)

    def masked(self, scores: Tensor, *, some_hidden: bool) -> Tensor:
        """Return scores (... n n) with the diagonal masked where the method does so.

        A query with no other visible key keeps its score: where a sequence has one token, or where a mask of the model
        leaves the other keys no weight.

        Args:
            some_hidden: whether the scores may contain a mask of the model.
        """
        n = scores.shape[-1]
        if not self.mask_self or n < 2:
            return scores
        diagonal = torch.eye(n, dtype=torch.bool, device=scores.device)
        if some_hidden:
            values = scores.detach()
            own = values.diagonal(dim1=-2, dim2=-1)
            others = values.masked_fill(diagonal, -math.inf).amax(-1)
            diagonal = diagonal & (others > own - HIDDEN_BELOW)[..., None]
        if self.mask_share is None:
            return scores.masked_fill(diagonal, -math.inf)
        return blend_diagonal(scores, self.mask_share, diagonal)

    def extra_repr(self) -> str:
        return f"own_scale={self.own_scale:.4g}, learned={self.scale is not None}, mask_self={self.mask_self}"
