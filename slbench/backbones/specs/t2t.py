"""Sizes of T2T-ViT."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from slbench.backbones.specs.base import (
    OTHER_WORK,
    BackboneEntry,
    Depth,
    Ratio,
    Size,
    TransformerSpec,
    Variant,
    check_mlp,
)
from slbench.backbones.specs.lower_bounds import LowerBounds, blocks, linear
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.validation import STRICT


@dataclass(frozen=True, kw_only=True)
class T2TSpec(TransformerSpec):
    """Sizes of a T2T-ViT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    variant: "released" adds the normed input to the output of every attention, besides the skip of the
    block, as the released code does; its users could not reproduce the paper's T2T.
    """

    __pydantic_config__ = STRICT

    name: Literal["t2t"] = "t2t"
    num_splits: Size | None = None  # each halves the grid; default: down to about 8 tokens per side
    token_dim: Size = 64  # width inside the soft splits
    dim: Size = 256  # channels of a token
    depth: Depth = 12  # blocks after the soft splits
    num_heads: Size = 4  # attention heads
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Variant = "paper"  # "released" also adds the normed input of each attention to its output

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads: does not divide dim {self.dim} (got {self.num_heads})")
        if self.dim % 2:
            raise InputError(f"dim: must be even, as positions are pairs of a sine and a cosine (got {self.dim})")
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "T2TSpec":
        """Return the sizes with the number of soft splits resolved: 2 at 32 px, 3 at 64 px.

        Raises:
            InputError: if a split would get a grid of one row or column.
        """
        largest = math.ceil(math.log2(min(image_size)))
        if largest < 1:
            raise InputError(f"an image of {image_size[0]} x {image_size[1]} px is too small for a soft split")
        if self.num_splits is None:
            default = round(math.log2(min(image_size) / 8))
            return dataclasses.replace(self, num_splits=min(max(default, 1), largest))
        if self.num_splits > largest:
            raise InputError(
                f"num_splits: too many for an image of {image_size[0]} x {image_size[1]} px (got {self.num_splits}); "
                f"allowed: 1 to {largest}"
            )
        return self

    @property
    def token_side(self) -> int:
        return 3  # a soft split reads 3 x 3 px

    def as_in_paper(self) -> "T2TSpec":
        return dataclasses.replace(self, variant="paper")

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        assert self.num_splits is not None
        tokens = [math.prod(-(-side // 2**split) for side in shape.size) for split in range(1, self.num_splits + 1)]
        sizes = {"heads": self.num_heads, "inner": self.dim, "tokens": tokens[-1], "keys": tokens[-1]}
        return (
            LowerBounds(0, sum(count**2 for count in tokens[:-1]), max(count**2 for count in tokens))
            + blocks(self.depth, self.dim, int(self.dim * self.mlp_ratio), **sizes)
            + linear(self.dim, shape.classes)
        )


ENTRIES = {
    "t2t": BackboneEntry(
        title="T2T",
        spec=T2TSpec,
        module="slbench.backbones.t2t:T2T",
        source="arXiv:2101.11986, sizes of arXiv:2112.13492",
        small=(T2TSpec(num_splits=3, token_dim=5, dim=6, depth=2, num_heads=3), (13, 17)),
        tokens="soft splits",
        additions=frozenset({"initialization=mimetic", "gaussians", "global_pool", "mlp", "registers"}),
        cost_note=OTHER_WORK,
        parameter_notes={
            "both": "the paper prints 7.1 M parameters; its released code has ours plus 1,152 of an unused norm"
        },
    )
}
