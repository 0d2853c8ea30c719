"""Self-relation R_ii of tokens against R_ij: the argument of arXiv:2112.13492 for its diagonal mask, measured."""

import math
from collections.abc import Callable

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.analysis.running_means import RunningMeans
from slbench.backbones.attention_layer import AttentionLayer

MEASURES: dict[str, str] = {
    "excess": "R_ii − mean R_ij",
    "excess_share": "(R_ii − mean R_ij) / SD",
    "self_largest": "share with R_ii largest",
    "query_norm": "query norm",
    "key_norm": "key norm",
}
REFERENCES: dict[str, tuple[str, Callable[[int], float]]] = {  # by number of keys
    "excess": ("no relation", lambda keys: 0.0),
    "excess_share": ("no relation", lambda keys: 0.0),
    "self_largest": ("by chance", lambda keys: 1 / keys),
}
DEFINITIONS: tuple[str, ...] = (
    "R_ij: query i times key j, times the layer's scale (1/sqrt(d_k) or learned), before relative bias, mix of heads "
    "and masks; methods with the diagonal mask thus have an R_ii too.",
    "R_ii − mean R_ij: over the other allowed keys j (in Swin's shifted windows those of the "
    "same region), averaged over queries, heads and images. SD: the root of the mean variance of R_ij over the same "
    "keys; the quotient is independent of the scale. Share with R_ii largest: of the queries whose own key has the "
    "highest score; 1 / N by chance, more in shifted windows, where fewer than N keys are allowed.",
    "Norms of queries and keys are means over tokens, heads and images, before scaling. Class attention is excluded: "
    "its query is not among the patch keys.",
)


class SelfRelation(RunningMeans):
    """Running means over queries, heads and images per layer; class attention is skipped.

    The variance of R_ij is over the keys of one query, averaged over queries.
    """

    def update(self, capture: AttentionCapture) -> None:
        layer = capture.layer
        if layer.kind == "class":
            return
        allowed = layer.allowed(*capture.scores.shape[-2:])
        assert allowed is not None
        for piece in capture.pieces():
            values_by_metric = self_statistics(piece.products, allowed)
            values_by_metric |= {"query_norm": piece.q.norm(dim=-1), "key_norm": piece.k.norm(dim=-1)}
            for metric, values in values_by_metric.items():
                self.add(layer, metric, values)

    def compute(self, layer: AttentionLayer) -> dict[str, float]:
        """Return the means of one layer; NaN without data."""
        deviation = math.sqrt(self.mean(layer, "variance"))
        share = self.mean(layer, "excess") / deviation if deviation > 0 else math.nan
        return {metric: share if metric == "excess_share" else self.mean(layer, metric) for metric in MEASURES}


def self_statistics(products: Float[Tensor, "b h n n"], allowed: Bool[Tensor, "windows n n"]) -> dict[str, Tensor]:
    """Return per query (b h n): R_ii minus the mean of allowed R_ij, their variance, and whether R_ii is largest.

    NaN for a query without allowed keys.
    """
    allowed = repeat(allowed, "w n m -> (b w) 1 n m", b=len(products) // len(allowed)).to(products.device)
    self_scores, size = products.diagonal(dim1=-2, dim2=-1), allowed.sum(dim=-1)
    mean = products.masked_fill(~allowed, 0.0).sum(dim=-1) / size
    deviation = (products - mean[..., None]).masked_fill(~allowed, 0.0)
    highest = products.masked_fill(~allowed, -math.inf).amax(dim=-1)
    return {
        "excess": self_scores - mean,
        "variance": deviation.square().sum(dim=-1) / size,
        "self_largest": torch.where(size > 0, (self_scores > highest).float(), math.nan),
    }
