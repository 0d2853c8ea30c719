"""Attention scores of a retrofitted layer: LSA on products and masks that the model itself computes."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from slbench.methods.lsa import AttentionLogits, blend_diagonal
from slbench.methods.method import Method
from slbench.methods.token_grid import TokenGrid

HIDDEN = -50.0  # what a model adds to the score of a key that it hides, or less; its weight is then below 2e-22
UNSEEN = -1e30  # scores of hidden keys where what was added is unknown


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
        mixes: the model mixes heads between products and softmax, so that what it adds is unknown.
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
        mixes: bool = False,
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
        self.num_heads, self.mixes, self.learns_scale = num_heads, mixes, learns_scale
        self.own_scale, self.scale_after, self.heads_axis = own_scale, scale_after, heads_axis
        self.initial_scale = own_scale / method.initial_temperature
        if self.scale is not None:
            nn.init.constant_(self.scale, self.initial_scale)

    @property
    def changes_scores(self) -> bool:
        """Return whether the scores differ from the model's own."""
        return self.scale is not None or self.mask_self or self.initial_scale != self.own_scale

    @property
    def description(self) -> str:
        """Return scale and mask as text."""
        scale = "learned by the model" if self.learns_scale else f"{self.initial_scale:.4g}"
        if self.scale is not None:
            values = sorted({f"{value:.4g}" for value in (self.scale.min().item(), self.scale.max().item())})
            scale = f"learned ({' to '.join(values)}, at first {scale})"
        return f"{scale}{', diagonal masked' if self.mask_self else ''}"

    def scaled(self, products: Tensor) -> Tensor:
        """Return products (... n m), or queries (... n d), times the scale over that of the model."""
        if self.scale is None and self.initial_scale == self.own_scale:
            return products
        if self.scale is None:
            rescaled: Tensor = products * (self.initial_scale / self.own_scale)
            return rescaled
        factor = (self.scale / self.own_scale).to(products.device, products.dtype)
        if self.heads_axis == 0:
            by_head = products.view(-1, self.num_heads, *products.shape[1:]) * factor[:, None, None]
            return by_head.flatten(0, 1)
        scaled: Tensor = products * factor.view(-1, *[1] * (-self.heads_axis - 1))
        return scaled

    def products(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the scaled products of queries (... n d) and keys (... m d), before the model's biases and masks."""
        return self.scaled(q) @ k.transpose(-2, -1) * self.scale_after

    def forward(  # type: ignore[override]
        self,
        q: Tensor,
        k: Tensor,
        *,
        scores: Tensor | None = None,
        products: Tensor | None = None,
        attn_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the scores (... n m) that the softmax receives.

        Args:
            q: queries (... n d).
            k: keys (... m d).
            scores: as the model computed them from `products`, which are scaled already; default: computed here.
            attn_mask: as in `scaled_dot_product_attention`: added, or False where a key is hidden.
        """
        hidden = None
        if scores is None:
            scores = self.products(q, k)
            if attn_mask is not None:
                hidden = ~attn_mask if attn_mask.dtype == torch.bool else attn_mask <= HIDDEN
                added = torch.zeros((), dtype=q.dtype, device=q.device) if attn_mask.dtype == torch.bool else attn_mask
                scores = scores + added
                scores = scores.masked_fill(hidden, -math.inf) if attn_mask.dtype == torch.bool else scores
        elif products is not None and self.mask_self:
            hidden = scores.detach() < UNSEEN
            if products.numel() == scores.numel() and not self.mixes:
                added = scores.detach() - products.detach().view(scores.shape) * self.scale_after
                hidden = hidden | (added <= HIDDEN)
        return self.masked(scores, hidden)

    def masked(self, scores: Tensor, hidden: Tensor | None) -> Tensor:
        """Return scores (... n n) with the diagonal masked where the method does so.

        A query with no other visible key keeps its score: where a sequence has one token, or where a mask of the model
        leaves the other keys no weight.

        Args:
            hidden: where a mask of the model hides keys; None: nowhere.
        """
        n = scores.shape[-1]
        if not self.mask_self or n < 2:
            return scores
        diagonal = torch.eye(n, dtype=torch.bool, device=scores.device)
        if hidden is not None:
            diagonal = diagonal & ~(hidden | diagonal).all(-1, keepdim=True)
        if self.mask_share is None:
            return scores.masked_fill(diagonal, -math.inf)
        return blend_diagonal(scores, self.mask_share, diagonal)

    def extra_repr(self) -> str:
        return f"own_scale={self.own_scale:.4g}, learned={self.scale is not None}, mask_self={self.mask_self}"
