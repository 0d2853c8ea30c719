"""Sharpness of attention per layer: the KL divergence of arXiv:2112.13492 and further metrics."""

import math
from collections.abc import Callable, Iterable

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.analysis.running_means import RunningMeans
from slbench.backbones.attention_layer import AttentionLayer

EPSILON = 1e-12  # of the released code
MEASURES: dict[str, str] = {
    "kl": "KL(uniform || attention)",
    "kl_support": "KL off the diagonal",
    "entropy": "attention entropy (nats)",
    "self_weight": "attention to itself",
    "distance": "mean attention distance (patches)",
}
REFERENCES: dict[str, tuple[str, Callable[[int], float]]] = {  # by number of keys
    "kl": ("uniform, diagonal masked", lambda keys: masked_uniform(keys)),
    "entropy": ("uniform", lambda keys: math.log(keys)),
    "self_weight": ("uniform", lambda keys: 1 / keys),
}
DEFINITIONS: tuple[str, ...] = (
    "KL(uniform || attention): as arXiv:2112.13492 and its code compute it, "
    "-(1/N) sum_j log(N a_j + 1e-12) over all N keys, averaged over queries, heads and images.",
    "A masked key has a_j = 0 and adds 27.6 / N through the 1e-12: uniform attention without its diagonal scores 0.41 "
    "at N = 65 instead of 0. The diagonal mask thus raises this metric by construction, independent of training; "
    "Swin's shifted windows do so for every method.",
    "KL off the diagonal: the same over the other allowed keys of a query (N - 1; in shifted windows those of its "
    "region) with renormalised weights: comparable between methods with and without the mask.",
    "Attention entropy: of the whole attention of a query, in nats. Attention to itself: weight of a token on itself. "
    "Mean attention distance: from query to key in patches of that layer, weights renormalised over patches, without "
    "class tokens, within windows in Swin (as in arXiv:2010.11929, appendix D.7). The mask removes the key at distance "
    "0, which alone increases that mean.",
)


def divergence(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """Return KL(uniform || attention) per query, -(1/N) sum_j log(N a_j + 1e-12). Source: code of arXiv:2112.13492."""
    return -(weights.shape[-1] * weights + EPSILON).log().mean(dim=-1)


def masked_uniform(keys: int) -> float:
    """Return `divergence` of uniform attention with a masked diagonal: 0.41 at 65 keys."""
    others = keys - 1
    return -(others * math.log(keys / others) + math.log(EPSILON)) / keys if others else 0.0


def artefact(keys: Iterable[int]) -> str:
    """Return a sentence on the contribution of the mask alone for the given numbers of keys."""
    scores = ", ".join(f"{masked_uniform(count):.2f} at N = {count}" for count in sorted(set(keys)))
    return f"KL of uniform attention without its diagonal, in the paper's definition: {scores}."


def divergence_on(
    scores: Float[Tensor, "b h n m"], allowed: Bool[Tensor, "windows n m"] | None
) -> Float[Tensor, "b h n"]:
    """Return the divergence over allowed keys with renormalised weights; NaN for a query without allowed keys.

    Args:
        scores: before the softmax, which keeps precision if nearly all weight is on other keys.
    """
    if allowed is None:
        return divergence(scores.softmax(dim=-1))
    allowed = repeat(allowed, "w n m -> (b w) 1 n m", b=len(scores) // len(allowed)).to(scores.device)
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1)
    size = allowed.sum(dim=-1, keepdim=True)
    terms = (size * weights + EPSILON).log().masked_fill(~allowed, 0.0)
    return -terms.sum(dim=-1) / size[..., 0]


def entropy(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """Return -sum_j a_j log a_j in nats."""
    nats: Tensor = torch.special.entr(weights).sum(dim=-1)
    return nats


def self_weight(layer: AttentionLayer, weights: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n"] | None:
    """Return the attention of each query to itself; None if queries are not keys."""
    if not layer.tokens.queries_are_keys:
        return None
    return weights.diagonal(dim1=-2, dim2=-1)


def distance(layer: AttentionLayer, scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h patches"] | None:
    """Return the mean distance from each patch to its keys in patches; None without patch queries.

    Weights are renormalised over patches. In window layers positions are those in the window.
    """
    if layer.kind == "class":
        return None
    sides, first = layer.tokens.sides, layer.tokens.prefix
    positions = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float32) for side in sides)).to(scores.device)
    weights = scores[..., first:, first:].softmax(dim=-1)
    return (weights * torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist")).sum(dim=-1)


class Sharpness(RunningMeans):
    """Running means of every metric over queries, heads and images per layer."""

    def update(self, capture: AttentionCapture) -> None:
        layer = capture.layer
        allowed = layer.allowed(*capture.scores.shape[-2:])
        for piece in capture.pieces():
            weights = piece.weights
            values_by_metric = {
                "kl": divergence(weights),
                "kl_support": divergence_on(piece.scores, allowed),
                "entropy": entropy(weights),
                "self_weight": self_weight(layer, weights),
                "distance": distance(layer, piece.scores),
            }
            for metric, values in values_by_metric.items():
                if values is not None:
                    self.add(layer, metric, values)

    def compute(self, layer: AttentionLayer) -> dict[str, float]:
        """Return the means of one layer; NaN for metrics that do not apply."""
        return {metric: self.mean(layer, metric) for metric in MEASURES}
