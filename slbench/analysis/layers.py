"""Every attention layer of a network, in order of depth: what it is called, which tokens it reads, where they lie."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from slbench.backbones import pit, swin
from slbench.backbones.cait import CaiT, HeadMix
from slbench.backbones.layers import Backbone
from slbench.backbones.pit import PiT
from slbench.backbones.swin import Swin, WindowAttention
from slbench.backbones.t2t import STRIDE, T2T
from slbench.backbones.vit import ViT
from slbench.errors import InputError
from slbench.methods.lsa import AttentionLogits

Kind = Literal["soft split", "patches", "class", "window"]
Grid = tuple[int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionLayer:
    """One attention layer: its place in the network, and what its queries and keys are.

    Tokens stand row by row. In a window layer images become windows (window by window within an image), whose
    queries and keys are the tokens of a window, row by row.
    """

    name: str  # "block 3", "soft split 1", "class block 2", "stage 2 block 1"
    short: str  # the same for an axis: "3", "s1", "c2", "2.1"
    number: int  # of all attention layers, from 1, by depth
    kind: Kind
    grid: Grid  # patch tokens (down, across) at this depth
    class_key: bool  # the first key is the class token
    class_query: bool  # the first query is
    window: int = 0  # side of a window in tokens; 0 for none
    shift: int = 0  # tokens that windows are moved by, down and right, around the edges
    logits: AttentionLogits
    mix: HeadMix | None = None  # of heads after the softmax (CaiT)
    regions: Float[Tensor, "windows n n"] | None = None  # what is added where a shift made strangers neighbours

    @property
    def windows(self) -> int:
        """Windows of an image; 1 where there are none."""
        return (self.grid[0] // self.window) * (self.grid[1] // self.window) if self.window else 1

    @property
    def self_among_keys(self) -> bool:
        """Whether a query is also among the keys."""
        return self.kind != "class" or self.class_key

    @property
    def first_patch(self) -> int:
        """The first key that is a patch."""
        return int(self.class_key)

    def allowed(self, queries: int, keys: int) -> Bool[Tensor, "windows n m"] | None:
        """The keys that each query may read, but for itself; None if it is no key and none is forbidden.

        In shifted windows tokens of other regions are forbidden too.
        """
        if not self.self_among_keys:
            return None
        others = ~torch.eye(queries, keys, dtype=torch.bool)[None]
        return others if self.regions is None else others & (self.regions.cpu() == 0)

    def to_windows(self, tokens: Float[Tensor, "b n"]) -> Float[Tensor, "b_windows m"]:
        """A value of every token, as this layer's windows see the tokens."""
        grid = rearrange(tokens, "b (h w) -> b h w", h=self.grid[0]).roll((-self.shift, -self.shift), dims=(1, 2))
        return rearrange(grid, "b (h p) (w q) -> (b h w) (p q)", p=self.window, q=self.window)

    def from_windows(self, tokens: Float[Tensor, "b_windows m"]) -> Float[Tensor, "b n"]:
        """The way back: a value of each token of each window, put back in its place."""
        down = self.grid[0] // self.window
        sides = {"h": down, "w": self.grid[1] // self.window, "p": self.window, "q": self.window}
        grid = rearrange(tokens, "(b h w) (p q) -> b (h p) (w q)", **sides)
        return rearrange(grid.roll((self.shift, self.shift), dims=(1, 2)), "b h w -> b (h w)")


def layers_of(network: Backbone) -> tuple[AttentionLayer, ...]:
    """Every attention layer of a network, by depth.

    Raises:
        InputError: if it has none.
    """
    if type(network) not in FINDERS:
        raise InputError(f"{type(network).__name__} has no attention to look into")
    found = enumerate(FINDERS[type(network)](network), start=1)
    return tuple(AttentionLayer(number=number, **facts) for number, facts in found)


def inside(block: nn.Module) -> dict[str, Any]:
    """The one AttentionLogits of a block, and the mix of heads after its softmax if there is one."""
    (logits,) = (module for module in block.modules() if isinstance(module, AttentionLogits))
    mixes = [module.mix_weights for module in block.modules() if hasattr(module, "mix_weights")]
    return {"logits": logits, "mix": mixes[0] if mixes else None}


def patch_grid(network: ViT | CaiT | PiT) -> Grid:
    """Patches (down, across) that the tokenizer makes of an image."""
    patch = network.tokenizer.patch_size
    assert isinstance(patch, int)
    return network.image_size[0] // patch, network.image_size[1] // patch


def vit_layers(network: ViT) -> Iterator[dict[str, Any]]:
    yield from plain_blocks(network.blocks, patch_grid(network))


def plain_blocks(blocks: nn.Sequential, grid: Grid) -> Iterator[dict[str, Any]]:
    """Self-attention among a class token and the patches."""
    for number, block in enumerate(blocks, start=1):
        yield {
            **named("block", "", number),
            "kind": "patches",
            "grid": grid,
            "class_key": True,
            "class_query": True,
            **inside(block),
        }


def t2t_layers(network: T2T) -> Iterator[dict[str, Any]]:
    grid = network.image_size
    for number, transformer in enumerate(network.token_transformers, start=1):
        grid = halved_up(grid)
        facts = {**named("soft split", "s", number), "kind": "soft split", "grid": grid}
        yield {**facts, "class_key": False, "class_query": False, **inside(transformer)}
    yield from plain_blocks(network.blocks, halved_up(grid))


def halved_up(grid: Grid) -> Grid:
    """The grid of tokens after a soft split."""
    return -(-grid[0] // STRIDE), -(-grid[1] // STRIDE)


def cait_layers(network: CaiT) -> Iterator[dict[str, Any]]:
    grid = patch_grid(network)
    for number, block in enumerate(network.blocks, start=1):
        facts = {**named("block", "", number), "kind": "patches", "grid": grid}
        yield {**facts, "class_key": False, "class_query": False, **inside(block)}
    for number, block in enumerate(network.class_blocks, start=1):
        facts = {**named("class block", "c", number), "kind": "class", "grid": grid}
        yield {**facts, "class_key": block.first_key == 0, "class_query": True, **inside(block)}


def pit_layers(network: PiT) -> Iterator[dict[str, Any]]:
    rows, columns = patch_grid(network)
    for stage, number, block in by_stage(network.blocks, pit.Pool):
        grid = (rows // 2 ** (stage - 1), columns // 2 ** (stage - 1))
        facts = {**named(f"stage {stage} block", f"{stage}.", number), "kind": "patches", "grid": grid}
        yield {**facts, "class_key": True, "class_query": True, **inside(block)}


def swin_layers(network: Swin) -> Iterator[dict[str, Any]]:
    for stage, number, block in by_stage(network.blocks, swin.Pool):
        attention = block.attention
        assert isinstance(attention, WindowAttention)
        yield {
            **named(f"stage {stage} block", f"{stage}.", number),
            "kind": "window",
            "grid": attention.grid,
            "class_key": False,
            "class_query": False,
            "window": attention.window,
            "shift": attention.shift,
            "regions": attention.shift_mask if attention.shift else None,
            **inside(block),
        }


def by_stage(blocks: nn.Sequential, pool: type[nn.Module]) -> Iterator[tuple[int, int, nn.Module]]:
    """Stage and number in it of each block, both from 1; what pools parts the stages."""
    stage, number = 1, 0
    for block in blocks:
        if isinstance(block, pool):
            stage, number = stage + 1, 0
        else:
            number += 1
            yield stage, number, block


def named(kind: str, short: str, number: int) -> dict[str, str]:
    return {"name": f"{kind} {number}", "short": f"{short}{number}"}


FINDERS: dict[type[Backbone], Callable[[Any], Iterator[dict[str, Any]]]] = {
    ViT: vit_layers,
    T2T: t2t_layers,
    CaiT: cait_layers,
    PiT: pit_layers,
    Swin: swin_layers,
}
