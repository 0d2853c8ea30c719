"""Attention layers of a network in order of depth: name, tokens and token grid."""

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
    """Position of an attention layer and description of its queries and keys.

    Tokens are in row-major order. In a window layer the batch axis counts windows, image by image.
    """

    name: str  # "block 3", "soft split 1", "class block 2", "stage 2 block 1"
    short: str  # tick label: "3", "s1", "c2", "2.1"
    number: int  # among all attention layers by depth, from 1
    kind: Kind
    grid: Grid  # patch tokens (down, across) at this depth
    class_key: bool  # the first key is the class token
    class_query: bool  # the first query is the class token
    window: int = 0  # window side in tokens; 0: no windows
    shift: int = 0  # cyclic shift of windows in tokens, down and right
    logits: AttentionLogits
    mix: HeadMix | None = None  # mix of heads after the softmax (CaiT)
    regions: Float[Tensor, "windows n n"] | None = None  # additive mask between regions of shifted windows

    @property
    def windows(self) -> int:
        """Return the windows per image; 1 without windows."""
        return (self.grid[0] // self.window) * (self.grid[1] // self.window) if self.window else 1

    @property
    def self_among_keys(self) -> bool:
        """Return whether a query is also among the keys."""
        return self.kind != "class" or self.class_key

    @property
    def first_patch(self) -> int:
        """Return the index of the first patch key."""
        return int(self.class_key)

    def allowed(self, queries: int, keys: int) -> Bool[Tensor, "windows n m"] | None:
        """Return the keys each query may attend to other than itself, excluding other regions of shifted windows.

        None if queries are not among the keys.
        """
        if not self.self_among_keys:
            return None
        others = ~torch.eye(queries, keys, dtype=torch.bool)[None]
        return others if self.regions is None else others & (self.regions.cpu() == 0)

    def to_windows(self, tokens: Float[Tensor, "b n"]) -> Float[Tensor, "b_windows m"]:
        """Rearrange token values from image order to windows."""
        grid = rearrange(tokens, "b (h w) -> b h w", h=self.grid[0]).roll((-self.shift, -self.shift), dims=(1, 2))
        return rearrange(grid, "b (h p) (w q) -> (b h w) (p q)", p=self.window, q=self.window)

    def from_windows(self, tokens: Float[Tensor, "b_windows m"]) -> Float[Tensor, "b n"]:
        """Rearrange token values from windows to image order."""
        down = self.grid[0] // self.window
        sides = {"h": down, "w": self.grid[1] // self.window, "p": self.window, "q": self.window}
        grid = rearrange(tokens, "(b h w) (p q) -> b (h p) (w q)", **sides)
        return rearrange(grid.roll((self.shift, self.shift), dims=(1, 2)), "b h w -> b (h w)")


def layers_of(network: Backbone) -> tuple[AttentionLayer, ...]:
    """Return the attention layers of a network by depth.

    Raises:
        InputError: if the network has no attention.
    """
    if type(network) not in FINDERS:
        raise InputError(f"{type(network).__name__} has no attention layers")
    layers = enumerate(FINDERS[type(network)](network), start=1)
    return tuple(AttentionLayer(number=number, **fields) for number, fields in layers)


def logits_and_mix(block: nn.Module) -> dict[str, Any]:
    """Return the AttentionLogits of a block and its mix of heads after the softmax, if any."""
    (logits,) = (module for module in block.modules() if isinstance(module, AttentionLogits))
    mixes = [module.mix_weights for module in block.modules() if hasattr(module, "mix_weights")]
    return {"logits": logits, "mix": mixes[0] if mixes else None}


def patch_grid(network: ViT | CaiT | PiT) -> Grid:
    """Return the patch grid (down, across) of an image."""
    patch = network.tokenizer.patch_size
    assert isinstance(patch, int)
    return network.image_size[0] // patch, network.image_size[1] // patch


def vit_layers(network: ViT) -> Iterator[dict[str, Any]]:
    yield from plain_blocks(network.blocks, patch_grid(network))


def plain_blocks(blocks: nn.Sequential, grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield layers of self-attention over class token and patches."""
    for number, block in enumerate(blocks, start=1):
        yield {
            **names_of("block", "", number),
            "kind": "patches",
            "grid": grid,
            "class_key": True,
            "class_query": True,
            **logits_and_mix(block),
        }


def t2t_layers(network: T2T) -> Iterator[dict[str, Any]]:
    grid = network.image_size
    for number, transformer in enumerate(network.token_transformers, start=1):
        grid = halve_up(grid)
        fields = {**names_of("soft split", "s", number), "kind": "soft split", "grid": grid}
        yield {**fields, "class_key": False, "class_query": False, **logits_and_mix(transformer)}
    yield from plain_blocks(network.blocks, halve_up(grid))


def halve_up(grid: Grid) -> Grid:
    """Return the token grid after a soft split."""
    return -(-grid[0] // STRIDE), -(-grid[1] // STRIDE)


def cait_layers(network: CaiT) -> Iterator[dict[str, Any]]:
    grid = patch_grid(network)
    for number, block in enumerate(network.blocks, start=1):
        fields = {**names_of("block", "", number), "kind": "patches", "grid": grid}
        yield {**fields, "class_key": False, "class_query": False, **logits_and_mix(block)}
    for number, block in enumerate(network.class_blocks, start=1):
        fields = {**names_of("class block", "c", number), "kind": "class", "grid": grid}
        yield {**fields, "class_key": block.first_key == 0, "class_query": True, **logits_and_mix(block)}


def pit_layers(network: PiT) -> Iterator[dict[str, Any]]:
    rows, columns = patch_grid(network)
    for stage, number, block in by_stage(network.blocks, pit.Pool):
        grid = (rows // 2 ** (stage - 1), columns // 2 ** (stage - 1))
        fields = {**names_of(f"stage {stage} block", f"{stage}.", number), "kind": "patches", "grid": grid}
        yield {**fields, "class_key": True, "class_query": True, **logits_and_mix(block)}


def swin_layers(network: Swin) -> Iterator[dict[str, Any]]:
    for stage, number, block in by_stage(network.blocks, swin.Pool):
        attention = block.attention
        assert isinstance(attention, WindowAttention)
        yield {
            **names_of(f"stage {stage} block", f"{stage}.", number),
            "kind": "window",
            "grid": attention.grid,
            "class_key": False,
            "class_query": False,
            "window": attention.window,
            "shift": attention.shift,
            "regions": attention.shift_mask if attention.shift else None,
            **logits_and_mix(block),
        }


def by_stage(blocks: nn.Sequential, pool: type[nn.Module]) -> Iterator[tuple[int, int, nn.Module]]:
    """Yield stage, number in the stage (both from 1) and block; pooling layers separate the stages."""
    stage, number = 1, 0
    for block in blocks:
        if isinstance(block, pool):
            stage, number = stage + 1, 0
        else:
            number += 1
            yield stage, number, block


def names_of(kind: str, short: str, number: int) -> dict[str, str]:
    return {"name": f"{kind} {number}", "short": f"{short}{number}"}


FINDERS: dict[type[Backbone], Callable[[Any], Iterator[dict[str, Any]]]] = {
    ViT: vit_layers,
    T2T: t2t_layers,
    CaiT: cait_layers,
    PiT: pit_layers,
    Swin: swin_layers,
}
