"""How tokens score themselves against others: the argument of arXiv:2112.13492 for its diagonal mask, measured."""

import math
from collections import defaultdict
from collections.abc import Callable

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.analysis.layers import AttentionLayer

MEASURES: dict[str, str] = {
    "excess": "excess of R_ii",
    "excess_share": "excess / spread",
    "self_largest": "R_ii largest",
    "query_norm": "norm of q",
    "key_norm": "norm of k",
}
REFERENCES: dict[str, tuple[str, Callable[[int], float]]] = {  # by the number of keys
    "excess": ("no relation", lambda keys: 0.0),
    "excess_share": ("no relation", lambda keys: 0.0),
    "self_largest": ("by chance", lambda keys: 1 / keys),
}
DEFINITIONS: tuple[str, ...] = (
    "R_ij: query i times key j, times the layer's own scale (1/sqrt(d_k) in rows with a fixed temperature, else what "
    "was learned in its place), before relative bias, mix of heads and any mask; so rows with the diagonal mask "
    "have an R_ii too.",
    "Excess of R_ii: of each query R_ii less the mean of R_ij over the keys j that it may read other than itself (in "
    "Swin's shifted windows those of its region); averaged over queries, heads and images. Excess / spread: that "
    "average over the root of the mean variance of R_ij over the same keys, which no scale changes. R_ii largest: "
    "share of queries whose own key scores above every other; 1 / N by chance, and more in shifted windows, where "
    "fewer than N may be read.",
    "Norms of queries and keys are means over tokens, heads and images, before any scale. Class attention is left "
    "out: its one query is no key of the patches.",
)


class SelfRelation:
    """Means over queries, heads and images, layer by layer: shown each batch by `see`. Layers of class attention pass.

    The variance of R_ij is that over the keys of one query; its mean over queries is kept.
    """

    def __init__(self) -> None:
        self.sums = defaultdict[tuple[int, str], float](float)
        self.counts = defaultdict[tuple[int, str], int](int)

    def see(self, seen: AttentionCapture) -> None:
        layer = seen.layer
        if layer.kind == "class":
            return
        allowed = layer.allowed(*seen.scores.shape[-2:])
        assert allowed is not None
        for piece in seen.pieces():
            found = compared(piece.products, allowed)
            found |= {"query_norm": piece.q.norm(dim=-1), "key_norm": piece.k.norm(dim=-1)}
            for measure, values in found.items():
                known = values[~values.isnan()].cpu().double()
                self.sums[layer.number, measure] += known.sum().item()
                self.counts[layer.number, measure] += known.numel()

    def of(self, layer: AttentionLayer) -> dict[str, float]:
        """The means of one layer; NaN where nothing was seen."""

        def mean(measure: str) -> float:
            count = self.counts[layer.number, measure]
            return self.sums[layer.number, measure] / count if count else math.nan

        deviation = math.sqrt(mean("variance")) if self.counts[layer.number, "variance"] else math.nan
        share = mean("excess") / deviation if deviation > 0 else math.nan
        return {measure: share if measure == "excess_share" else mean(measure) for measure in MEASURES}


def compared(products: Float[Tensor, "b h n n"], allowed: Bool[Tensor, "windows n n"]) -> dict[str, Tensor]:
    """Of each query (b h n): R_ii less the mean of the allowed R_ij, their variance, and whether R_ii is above all.

    NaN for a query that may read no other.
    """
    allowed = repeat(allowed, "w n m -> (b w) 1 n m", b=len(products) // len(allowed)).to(products.device)
    own, size = products.diagonal(dim1=-2, dim2=-1), allowed.sum(dim=-1)
    mean = products.masked_fill(~allowed, 0.0).sum(dim=-1) / size
    apart = (products - mean[..., None]).masked_fill(~allowed, 0.0)
    highest = products.masked_fill(~allowed, -math.inf).amax(dim=-1)
    return {
        "excess": own - mean,
        "variance": apart.square().sum(dim=-1) / size,
        "self_largest": torch.where(size > 0, (own > highest).float(), math.nan),
    }
