"""AttentionLayer: an attention layer of a network, as the analyses see it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from slbench.methods.lsa import AttentionLogits
from slbench.methods.token_grid import TokenGrid

Kind = Literal["soft split", "patches", "class", "window"]


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionLayer:
    """An attention layer: its name, its scores and its tokens."""

    noun: str = "block"  # "block", "class block", "soft split"
    number: int  # from 1, among the layers of this noun and stage
    stage: int | None = None  # from 1, in networks with pooling layers
    logits: AttentionLogits
    mix: nn.Module | None = None  # mix of heads after the softmax
    regions: Float[Tensor, "windows n n"] | None = None  # additive mask between regions of shifted windows

    @classmethod
    def of_block(
        cls, block: nn.Module, number: int, *, noun: str = "block", stage: int | None = None
    ) -> "AttentionLayer":
        """Return the layer of a block with one attention module: the one that has the scores as `logits`.

        Its `mix_weights` and `shift_mask`, if any, become `mix` and `regions`.
        """
        ((attention, logits),) = (
            (module, scores)
            for module in block.modules()
            if isinstance(scores := getattr(module, "logits", None), AttentionLogits)
        )
        return cls(
            noun=noun,
            number=number,
            stage=stage,
            logits=logits,
            mix=getattr(attention, "mix_weights", None),
            regions=getattr(attention, "shift_mask", None),
        )

    @property
    def name(self) -> str:
        """Return a name such as "block 3", "class block 2" or "stage 2 block 1"."""
        return f"{'' if self.stage is None else f'stage {self.stage} '}{self.noun} {self.number}"

    @property
    def short(self) -> str:
        """Return a tick label such as "3", "c2" or "2.1"."""
        head = "" if self.noun == "block" else self.noun[0]
        return f"{head if self.stage is None else f'{self.stage}.'}{self.number}"

    @property
    def tokens(self) -> TokenGrid:
        """Return the tokens of the layer."""
        assert self.logits.tokens is not None, f"{self.name}: its scores have no TokenGrid"
        return self.logits.tokens

    @property
    def kind(self) -> Kind:
        """Return what attends to what."""
        if self.tokens.class_query_only:
            return "class"
        if self.tokens.window:
            return "window"
        return "soft split" if self.noun == "soft split" else "patches"

    def allowed(self, queries: int, keys: int) -> Bool[Tensor, "windows n m"] | None:
        """Return the keys each query may attend to other than itself, excluding other regions of shifted windows.

        None if queries are not among the keys.
        """
        if not self.tokens.queries_are_keys:
            return None
        others = ~torch.eye(queries, keys, dtype=torch.bool)[None]
        return others if self.regions is None else others & (self.regions.cpu() == 0)


def layers_of_blocks(blocks: Iterable[nn.Module], *, noun: str = "block") -> tuple[AttentionLayer, ...]:
    """Return the attention layers of a plain stack of blocks."""
    return tuple(AttentionLayer.of_block(block, number, noun=noun) for number, block in enumerate(blocks, start=1))


def layers_of_stages(modules: Iterable[nn.Module], *, pool: type[nn.Module]) -> tuple[AttentionLayer, ...]:
    """Return the attention layers of a stack of blocks with pooling layers between the stages."""
    layers, stage, number = list[AttentionLayer](), 1, 0
    for module in modules:
        if isinstance(module, pool):
            stage, number = stage + 1, 0
        else:
            number += 1
            layers.append(AttentionLayer.of_block(module, number, stage=stage))
    return tuple(layers)
