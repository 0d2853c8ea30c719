"""ReceptivePart: a part of a network whose outputs have a receptive field in the image."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from slbench.methods.receptive_steps import Chain, steps_of


@dataclass(frozen=True)
class ReceptivePart:
    """Part of a network with a receptive field: tokens, tokens of a later stage, or last features."""

    name: str
    chain: Chain
    module: nn.Module  # returns the part: tokens (b n d) in row-major order, or features (b d h w)
    note: str = ""  # what the chain leaves out

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the output grid (down, across) for an image (height, width)."""
        return grid_of(self.chain, image_size)


def grid_of(chain: Chain, image_size: tuple[int, int]) -> tuple[int, int]:
    """Return the output grid (down, across) of a chain of layers for an image (height, width)."""
    height, width = image_size
    for step in chain:
        height, width = step.outputs(height), step.outputs(width)
    return height, width


def parts_of_stages(tokenizer: nn.Module, pools: Iterable[nn.Module]) -> tuple[ReceptivePart, ...]:
    """Return the tokens of every stage, ignoring earlier attention; `pools` are the pooling layers of the grid."""
    parts = [ReceptivePart("tokens", steps_of(tokenizer), tokenizer)]
    for number, pool in enumerate(pools, start=2):
        parts.append(ReceptivePart(f"tokens of stage {number}", (*parts[-1].chain, *steps_of(pool)), pool))
    return tuple(parts)
