"""Attention maps of a network's output on the image."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.capture import AttentionCapture
from slbench.backbones.attention_layer import AttentionLayer
from slbench.methods.token_grid import TokenGrid

FLAT = 1e-5  # relative spread of a map at or below which it is rounding


def output_layers_of(layers: tuple[AttentionLayer, ...]) -> tuple[AttentionLayer, ...]:
    """Return the layers that feed the output: those with a class-token query, or all layers (Swin)."""
    return tuple(layer for layer in layers if layer.tokens.class_query) or layers


def output_attention(capture: AttentionCapture, *, mixed: bool = False) -> Float[Tensor, "b down across"]:
    """Return the attention of the output to each patch in one layer, mean over heads.

    With a class-token query this is its attention; otherwise (Swin) the mean over all queries, which is the attention
    of the pooled average, in image order.

    Args:
        mixed: for CaiT, use the magnitude of the weights after the last mix of heads in place of the softmax.
            Mixed weights may be negative; the values can absorb the sign, so it has no meaning.
    """
    weights = capture.mixed.abs() if mixed else capture.weights
    layer = capture.layer
    rows = weights[:, :, 0] if layer.tokens.class_query else weights.mean(dim=2)
    tokens = rows.mean(dim=1)[:, layer.tokens.prefix :]
    if layer.tokens.window:
        tokens = layer.tokens.from_windows(tokens) / layer.tokens.windows  # share of the queries in one window
    return rearrange(tokens, "b (h w) -> b h w", h=layer.tokens.height)


class Rollout:
    """Attention rollout from the output to the first tokens; call `update` per layer, then `compute`.

    From the last layer to the first, the relevance r of the tokens becomes r (A + I) / 2, where A is the attention
    averaged over heads and I the residual connection. It starts at the class token, or uniformly over all tokens
    (Swin). Between stages the relevance of a pooled token is divided equally among its tokens. CaiT's class blocks
    update the class token only. Soft splits (T2T) overlap and are skipped: the map is over their output tokens.

    Source: arXiv:2005.00928, section 3; extended to pooling, windows and class attention.
    """

    def __init__(self) -> None:
        self.attention: list[tuple[AttentionLayer, Tensor]] = []  # attention averaged over heads, by depth

    def update(self, capture: AttentionCapture) -> None:
        if capture.layer.kind != "soft split":
            self.attention.append((capture.layer, capture.weights.mean(dim=1)))

    def compute(self) -> Float[Tensor, "b down across"]:
        """Return the map of the last batch and reset."""
        layers, self.attention = self.attention[::-1], []
        layer, attention = layers[0]
        relevance = start(layer, images=len(attention) // layer.tokens.windows).to(attention)
        for previous, attention in layers:
            relevance = step(previous, attention, to_previous_layer(relevance, layer, previous))
            layer = previous
        first = layer.tokens.height * layer.tokens.width
        return rearrange(relevance[:, -first:], "b (h w) -> b h w", h=layer.tokens.height)


def start(layer: AttentionLayer, *, images: int) -> Float[Tensor, "b n"]:
    """Return the relevance at the output: all on the class token, or uniform over the patches without one."""
    tokens = layer.tokens
    count = tokens.height * tokens.width
    if not tokens.class_query:
        return F.pad(torch.full((images, count), 1 / count), (tokens.prefix, 0))
    return F.one_hot(torch.zeros(images, dtype=torch.long), 1 + tokens.registers + count).float()


def to_previous_layer(
    relevance: Float[Tensor, "b n"], layer: AttentionLayer, previous: AttentionLayer
) -> Float[Tensor, "b m"]:
    """Return the relevance of a layer's input tokens as relevance of the previous layer's output tokens."""
    if layer.tokens.class_query and not previous.tokens.class_query:
        return relevance[:, 1:]  # the class token is added here; its own relevance belongs to no patch
    if layer.tokens.size == previous.tokens.size:
        return relevance
    head = int(layer.tokens.class_query)
    return torch.cat([relevance[:, :head], unpool(relevance[:, head:], layer.tokens, previous.tokens)], dim=1)


def unpool(relevance: Float[Tensor, "b n"], grid: TokenGrid, finer: TokenGrid) -> Float[Tensor, "b m"]:
    """Divide the relevance of each token equally among the finer tokens pooled into it."""
    down, across = finer.height // grid.height, finer.width // grid.width
    image = rearrange(relevance, "b (h w) -> b h w", h=grid.height) / (down * across)
    return image.repeat_interleave(down, dim=1).repeat_interleave(across, dim=2).flatten(1)


def step(layer: AttentionLayer, attention: Tensor, relevance: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Return r (A + I) / 2 for one layer; attention is (b n m), (b_windows n m) or, for a class token, (b 1 m)."""
    if layer.kind == "class":
        class_token, patches = relevance[:, :1], relevance[:, 1:]
        if not layer.tokens.class_token:
            attention = F.pad(attention, (1, 0))
        read = class_token * attention[:, 0] / 2
        return read + torch.cat([class_token / 2, patches], dim=1)
    values = layer.tokens.to_windows(relevance) if layer.tokens.window else relevance
    read = (values[:, None] @ attention)[:, 0]
    return (relevance + (layer.tokens.from_windows(read) if layer.tokens.window else read)) / 2


def displayed(maps: Float[Tensor, "b down across"], image_size: tuple[int, int]) -> Float[Tensor, "b h w"]:
    """Return maps resized bilinearly to the image and min-max scaled to [0, 1] per image; a flat map becomes 0."""
    large = F.interpolate(maps[:, None], size=image_size, mode="bilinear", align_corners=False)[:, 0]
    low, high = large.amin(dim=(1, 2), keepdim=True), large.amax(dim=(1, 2), keepdim=True)
    spread = high - low
    return torch.where(spread > FLAT * high, (large - low) / spread, 0.0)
