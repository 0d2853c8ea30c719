"""How sharp attention is, layer by layer: arXiv:2112.13492's measure, and others beside it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.analysis.layers import AttentionLayer

EPSILON = 1e-12  # in the released code's logarithm
MEASURES: dict[str, str] = {
    "kl": "KL, the paper's",
    "kl_support": "KL, off the diagonal",
    "entropy": "entropy (nats)",
    "self_weight": "weight on itself",
    "distance": "distance (patches)",
}
REFERENCES: dict[str, tuple[str, Callable[[int], float]]] = {  # by the number of keys
    "kl": ("uniform, diagonal masked", lambda keys: masked_uniform(keys)),
    "entropy": ("uniform", lambda keys: math.log(keys)),
    "self_weight": ("uniform", lambda keys: 1 / keys),
}
DEFINITIONS: tuple[str, ...] = (
    "KL, the paper's: KL(uniform || attention) as arXiv:2112.13492 and its code compute it, "
    "-(1/N) sum_j log(N a_j + 1e-12) over all N keys, averaged over queries, heads and images.",
    "A key that is masked has a_j = 0, and 1e-12 alone makes it count 27.6 / N: a uniform attention without its "
    "diagonal scores 0.41 at N = 65, where 0 is meant. So this measure rises in rows with the diagonal mask by "
    "construction, whatever they have learned; in Swin's shifted windows it does so in every row.",
    "KL, off the diagonal: the same over the keys that a query may read other than itself (N - 1; in shifted windows "
    "those of its region), the weights renormalised over them: rows with and without the mask are comparable here.",
    "Entropy of the whole attention, in nats. Weight on itself: what a token gives to itself. Distance: mean distance "
    "from query to key in patches of that layer, weights renormalised over patches, class tokens left out, within "
    "windows in Swin (as in arXiv:2010.11929, appendix D.7). The mask takes the key at distance 0 away, which by "
    "itself lengthens that mean.",
)


def divergence(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """-(1/N) sum_j log(N a_j + 1e-12): KL(uniform || attention) of each query. Source: code of arXiv:2112.13492."""
    return -(weights.shape[-1] * weights + EPSILON).log().mean(dim=-1)


def masked_uniform(keys: int) -> float:
    """What `divergence` gives a uniform attention whose diagonal is masked: 0.41 at 65 keys."""
    others = keys - 1
    return -(others * math.log(keys / others) + math.log(EPSILON)) / keys if others else 0.0


def artefact(keys: Iterable[int]) -> str:
    """A sentence on what the mask alone adds where layers have so many keys."""
    told = ", ".join(f"{masked_uniform(count):.2f} at N = {count}" for count in sorted(set(keys)))
    return f"A uniform attention without its diagonal scores in the paper's definition here: {told}."


def divergence_on(
    scores: Float[Tensor, "b h n m"], allowed: Bool[Tensor, "windows n m"] | None
) -> Float[Tensor, "b h n"]:
    """The same over the allowed keys alone, the weights renormalised over them; NaN for a query that has none.

    Args:
        scores: before the softmax, so that nothing is lost where nearly all weight lies elsewhere.
    """
    if allowed is None:
        return divergence(scores.softmax(dim=-1))
    allowed = repeat(allowed, "w n m -> (b w) 1 n m", b=len(scores) // len(allowed)).to(scores.device)
    weights = scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1)
    size = allowed.sum(dim=-1, keepdim=True)
    terms = (size * weights + EPSILON).log().masked_fill(~allowed, 0.0)
    return -terms.sum(dim=-1) / size[..., 0]


def entropy(weights: Float[Tensor, "*b m"]) -> Float[Tensor, "*b"]:
    """-sum_j a_j log a_j, in nats."""
    nats: Tensor = torch.special.entr(weights).sum(dim=-1)
    return nats


def self_weight(layer: AttentionLayer, weights: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h n"] | None:
    """What each query gives to itself; None where it is not among the keys."""
    if not layer.self_among_keys:
        return None
    return weights.diagonal(dim1=-2, dim2=-1)


def distance(layer: AttentionLayer, scores: Float[Tensor, "b h n m"]) -> Float[Tensor, "b h patches"] | None:
    """Mean distance from each patch to the patches that it reads, in patches; None where no patch asks.

    Weights are renormalised over patches. In windows, places are those in the window.
    """
    if layer.kind == "class":
        return None
    sides = (layer.window, layer.window) if layer.window else layer.grid
    places = torch.cartesian_prod(*(torch.arange(side, dtype=torch.float32) for side in sides)).to(scores.device)
    first = layer.first_patch
    weights = scores[..., first:, first:].softmax(dim=-1)
    return (weights * torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")).sum(dim=-1)


class Sharpness:
    """Means of every measure over queries, heads and images, layer by layer: shown each batch by `see`."""

    def __init__(self) -> None:
        self.sums = defaultdict[tuple[int, str], float](float)
        self.counts = defaultdict[tuple[int, str], int](int)

    def see(self, seen: AttentionCapture) -> None:
        layer = seen.layer
        allowed = layer.allowed(*seen.scores.shape[-2:])
        for piece in seen.pieces():
            weights = piece.weights
            found = {
                "kl": divergence(weights),
                "kl_support": divergence_on(piece.scores, allowed),
                "entropy": entropy(weights),
                "self_weight": self_weight(layer, weights),
                "distance": distance(layer, piece.scores),
            }
            for measure, values in found.items():
                if values is not None:
                    self.add(layer, measure, values)

    def add(self, layer: AttentionLayer, measure: str, values: Tensor) -> None:
        known = values[~values.isnan()].cpu().double()
        self.sums[layer.number, measure] += known.sum().item()
        self.counts[layer.number, measure] += known.numel()

    def of(self, layer: AttentionLayer) -> dict[str, float]:
        """The means of one layer; NaN where a measure means nothing."""
        return {
            measure: self.sums[layer.number, measure] / count
            if (count := self.counts[layer.number, measure])
            else float("nan")
            for measure in MEASURES
        }
