"""Softmax attention of all backbones: its plain definition, and the kernels that may compute it instead."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from slbench.kernel_choice import Form, attention_kernel
from slbench.methods.lsa import AttentionLogits, mask_diagonal

Function = Callable[[Tensor], Tensor]  # of scores or weights


def attend(
    scores: AttentionLogits,
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h m d"],
    v: Float[Tensor, "b h m e"],
    *,
    adjust: Function | None = None,
    mix: Function | None = None,
) -> Float[Tensor, "b h n e"]:
    """Return the attention of queries over values, by the kernel of slbench.kernel_choice.

    Args:
        adjust: see `AttentionLogits.forward`.
        mix: function of the weights, applied after the softmax.
    """
    form: Form = "general" if adjust is not None or mix is not None else form_of(scores)
    precision: Literal["bf16", "fp32"] = "bf16" if q.dtype == torch.bfloat16 else "fp32"
    if attention_kernel(form, k.shape[-2], device_kind=q.device.type, precision=precision) == "fused":
        return fused(scores, q, k, v)
    return plain(scores, q, k, v, adjust=adjust, mix=mix)


def form_of(scores: AttentionLogits) -> Form:
    """Return what a module softmaxes; "general" also where a hook reads the scores, which no other kernel has."""
    if scores.observed or not scores.is_lsa:
        return "general"
    return "masked" if scores.mask_self else "bare"


def plain(
    scores: AttentionLogits,
    q: Float[Tensor, "b h n d"],
    k: Float[Tensor, "b h m d"],
    v: Float[Tensor, "b h m e"],
    *,
    adjust: Function | None = None,
    mix: Function | None = None,
) -> Float[Tensor, "b h n e"]:
    """Return softmax(scores) v: the definition."""
    weights = (scores(q, k) if adjust is None else scores(q, k, adjust=adjust)).softmax(dim=-1)
    return (weights if mix is None else mix(weights)) @ v


def fused(
    scores: AttentionLogits, q: Float[Tensor, "b h n d"], k: Float[Tensor, "b h m d"], v: Float[Tensor, "b h m e"]
) -> Float[Tensor, "b h n e"]:
    """Return the same by `scaled_dot_product_attention`, for scores that are "bare" or "masked".

    The scale, learned or not, is in the queries, and a masked diagonal is a bias that all heads and images share.
    """
    bias = None
    if scores.mask_self:
        bias = mask_diagonal(torch.zeros(1, 1, q.shape[-2], k.shape[-2], dtype=q.dtype, device=q.device))
    return F.scaled_dot_product_attention(scores.scaled(q), k, v, attn_mask=bias, scale=1.0)
