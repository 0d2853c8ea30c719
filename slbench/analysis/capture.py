"""Capture queries, keys and scores of attention layers with forward hooks."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from slbench.backbones.attention_layer import AttentionLayer

PIECE = 2**24  # scores processed at a time; 64 MiB in fp32


@dataclass(frozen=True, eq=False)
class AttentionCapture:
    """Queries, keys and scores of one layer for a batch; b counts images, or windows image by image."""

    layer: AttentionLayer
    q: Float[Tensor, "b h n d"]
    k: Float[Tensor, "b h m d"]
    scores: Float[Tensor, "b h n m"]  # before the softmax: scaled, adjusted, masked

    @property
    def weights(self) -> Float[Tensor, "b h n m"]:
        """Return the softmax of the scores, before CaiT's second mix of heads (see `mixed`)."""
        return self.scores.softmax(dim=-1)

    @property
    def mixed(self) -> Float[Tensor, "b h n m"]:
        """Return the weights that multiply the values; CaiT's mixed weights may be negative."""
        if self.layer.mix is None:
            return self.weights
        mixed: Tensor = self.layer.mix(self.weights)
        return mixed

    @property
    def products(self) -> Float[Tensor, "b h n m"]:
        """Return scaled q k^T before bias, mix of heads and masks: R of arXiv:2112.13492 times the (learned) scale."""
        return self.layer.logits.products(self.q, self.k)

    def pieces(self) -> "Iterator[AttentionCapture]":
        """Yield the capture in pieces of whole images, to bound the memory of derived tensors."""
        windows = self.layer.tokens.windows
        size = max(1, PIECE // (self.scores[0].numel() * windows)) * windows
        for start in range(0, len(self.scores), size):
            rows = slice(start, start + size)
            yield AttentionCapture(self.layer, self.q[rows], self.k[rows], self.scores[rows])


@contextmanager
def capture_attention(
    layers: Sequence[AttentionLayer], on_capture: Callable[[AttentionCapture], None]
) -> Iterator[None]:
    """Call `on_capture` with the capture of each layer during forward passes in the context."""

    def hook(
        layer: AttentionLayer,
        _module: torch.nn.Module,
        inputs: tuple[Tensor, ...],
        _named: dict[str, Any],
        scores: Tensor,
    ) -> None:
        on_capture(AttentionCapture(layer, inputs[0].detach(), inputs[1].detach(), scores.detach()))

    with ExitStack() as hooks:
        for layer in layers:
            handle = layer.logits.register_forward_hook(partial(hook, layer), with_kwargs=True)
            hooks.callback(handle.remove)
        yield
