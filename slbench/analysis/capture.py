"""What attention layers compute while a network runs, seen through hooks: no forward pass is written twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.layers import AttentionLayer

PIECE = 2**24  # scores that are looked at at once; 64 MiB in fp32


@dataclass(frozen=True, eq=False)
class AttentionCapture:
    """What one layer computed for a batch; b counts images, in window layers the windows of each image in turn."""

    layer: AttentionLayer
    q: Float[Tensor, "b h n d"]
    k: Float[Tensor, "b h m d"]
    scores: Float[Tensor, "b h n m"]  # before the softmax: scaled, adjusted, masked

    @property
    def weights(self) -> Float[Tensor, "b h n m"]:
        """Attention: the softmax of the scores. Each row sums to 1.

        CaiT mixes heads once more after this; `mixed` is what it then uses.
        """
        return self.scores.softmax(dim=-1)

    @property
    def mixed(self) -> Float[Tensor, "b h n m"]:
        """The weights that multiply the values: those of CaiT with their heads mixed, which may be negative."""
        if self.layer.mix is None:
            return self.weights
        mixed: Tensor = self.layer.mix(self.weights)
        return mixed

    @property
    def products(self) -> Float[Tensor, "b h n m"]:
        """Query times key times the layer's scale, before bias, mix of heads and masks: R of arXiv:2112.13492, scaled.

        The scale is 1 / sqrt(d_k), or what was learned in its place.
        """
        logits = self.layer.logits
        scale = logits.initial_scale if logits.scale is None else logits.scale[:, None, None]
        return (self.q * scale) @ self.k.transpose(-2, -1)

    def pieces(self) -> "Iterator[AttentionCapture]":
        """The same, some whole images at a time, so that what is computed from it stays small."""
        windows = self.layer.windows
        size = max(1, PIECE // (self.scores[0].numel() * windows)) * windows
        for start in range(0, len(self.scores), size):
            here = slice(start, start + size)
            yield AttentionCapture(self.layer, self.q[here], self.k[here], self.scores[here])


@contextmanager
def capture_attention(layers: Sequence[AttentionLayer], see: Callable[[AttentionCapture], None]) -> Iterator[None]:
    """Within it, `see` is told what each of the layers computes, as soon as it has."""

    def tell(
        layer: AttentionLayer,
        _module: torch.nn.Module,
        inputs: tuple[Tensor, ...],
        _named: dict[str, Any],
        scores: Tensor,
    ) -> None:
        see(AttentionCapture(layer, inputs[0].detach(), inputs[1].detach(), scores.detach()))

    with ExitStack() as hooks:
        for layer in layers:
            hook = layer.logits.register_forward_hook(partial(tell, layer), with_kwargs=True)
            hooks.callback(hook.remove)
        yield
