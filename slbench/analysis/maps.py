"""Where the output of a network looks: the class token's attention, put back on the image."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.analysis.layers import AttentionLayer, Grid

FLAT = 1e-5  # a map's spread as a share of its highest value, at or below which it is rounding alone


def readers(layers: tuple[AttentionLayer, ...]) -> tuple[AttentionLayer, ...]:
    """The layers in which the output reads patches: those whose class token asks; without one, as in Swin, all."""
    return tuple(layer for layer in layers if layer.class_query) or layers


def reading(seen: AttentionCapture, *, mixed: bool = False) -> Float[Tensor, "b down across"]:
    """What the output reads of each patch in one layer, the mean over heads.

    Where the class token asks: its row of the attention. Where none does (Swin), the mean of all queries' rows,
    which is the row of the average that the network pools its tokens to; tokens of windows are put back in place.

    Args:
        mixed: in CaiT show the weights after the last mix of heads, by their magnitude, in place of the softmax.
            A mixed weight may be negative, and then its sign means nothing: the value that it multiplies can
            carry it as well. Without magnitudes such a map may come out inverted.
    """
    weights = seen.mixed.abs() if mixed else seen.weights
    layer = seen.layer
    rows = weights[:, :, 0] if layer.class_query else weights.mean(dim=2)
    tokens = rows.mean(dim=1)[:, layer.first_patch :]
    if layer.window:
        tokens = layer.from_windows(tokens) / layer.windows  # each window's queries are that share of all
    return rearrange(tokens, "b (h w) -> b h w", h=layer.grid[0])


class Rollout:
    """Attention followed back through all layers, from the output to the first tokens: shown a batch by `see`.

    From the last layer to the first, the relevance r of the tokens becomes r (A + I) / 2, where A is the attention
    averaged over heads and I the way around it. It starts at the class token; without one (Swin), at all tokens
    alike, which the network averages. Between stages a token's relevance is shared alike by the four that it was
    pooled from. In CaiT only the class token moves in class blocks. Soft splits (T2T), whose windows overlap, are
    not followed: the map is that of the tokens which they hand to the first block.

    Source: arXiv:2005.00928, section 3; pooling, windows and class attention are what we add to it.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[AttentionLayer, Tensor]] = []  # with attention averaged over heads, by depth

    def see(self, seen: AttentionCapture) -> None:
        if seen.layer.kind != "soft split":
            self.seen.append((seen.layer, seen.weights.mean(dim=1)))

    def take(self) -> Float[Tensor, "b down across"]:
        """The map of the batch that was seen last, which is then forgotten."""
        seen, self.seen = self.seen[::-1], []
        layer, attention = seen[0]
        relevance = start(layer, images=len(attention) // layer.windows).to(attention)
        for before, attention in seen:
            relevance = step(before, attention, brought(relevance, layer, before))
            layer = before
        first = layer.grid[0] * layer.grid[1]
        return rearrange(relevance[:, -first:], "b (h w) -> b h w", h=layer.grid[0])


def start(layer: AttentionLayer, *, images: int) -> Float[Tensor, "b n"]:
    """Relevance at the output: all on the class token, or the same on every token where there is none."""
    count = layer.grid[0] * layer.grid[1]
    if not layer.class_query:
        return torch.full((images, count), 1 / count)
    return F.one_hot(torch.zeros(images, dtype=torch.long), 1 + count).float()


def brought(relevance: Float[Tensor, "b n"], layer: AttentionLayer, before: AttentionLayer) -> Float[Tensor, "b m"]:
    """Relevance of the tokens of a layer as one of the tokens that the layer before it gave out."""
    if layer.class_query and not before.class_query:
        return relevance[:, 1:]  # the class token comes in here: what is left on it is of no patch
    if layer.grid == before.grid:
        return relevance
    head = int(layer.class_query)
    return torch.cat([relevance[:, :head], shared(relevance[:, head:], layer.grid, before.grid)], dim=1)


def shared(relevance: Float[Tensor, "b n"], grid: Grid, finer: Grid) -> Float[Tensor, "b m"]:
    """The relevance of each token shared alike by those that were pooled to it."""
    down, across = finer[0] // grid[0], finer[1] // grid[1]
    image = rearrange(relevance, "b (h w) -> b h w", h=grid[0]) / (down * across)
    return image.repeat_interleave(down, dim=1).repeat_interleave(across, dim=2).flatten(1)


def step(layer: AttentionLayer, attention: Tensor, relevance: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """r (A + I) / 2 for one layer. Attention (b n m), of windows (b_windows n m), of a class token (b 1 m)."""
    if layer.kind == "class":
        own, patches = relevance[:, :1], relevance[:, 1:]
        if not layer.class_key:
            attention = F.pad(attention, (1, 0))
        read = own * attention[:, 0] / 2
        return read + torch.cat([own / 2, patches], dim=1)
    given = layer.to_windows(relevance) if layer.window else relevance
    read = (given[:, None] @ attention)[:, 0]
    return (relevance + (layer.from_windows(read) if layer.window else read)) / 2


def displayed(maps: Float[Tensor, "b down across"], image_size: Grid) -> Float[Tensor, "b h w"]:
    """Maps at the size of the image, bilinear, from 0 where least is read to 1 where most is, image by image.

    A map that is the same everywhere, but for rounding, becomes 0.
    """
    large = F.interpolate(maps[:, None], size=image_size, mode="bilinear", align_corners=False)[:, 0]
    low, high = large.amin(dim=(1, 2), keepdim=True), large.amax(dim=(1, 2), keepdim=True)
    spread = high - low
    return torch.where(spread > FLAT * high, (large - low) / spread, 0.0)
