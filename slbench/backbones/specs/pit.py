"""Sizes of PiT."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from slbench.backbones.specs.base import (
    OTHER_WORK,
    BackboneEntry,
    Depths,
    PatchSpec,
    Ratio,
    Size,
    Sizes,
    check_mlp,
    check_stages,
)
from slbench.backbones.specs.lower_bounds import LowerBounds, blocks, linear
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.validation import STRICT


@dataclass(frozen=True, kw_only=True)
class PiTSpec(PatchSpec):
    """Sizes of a PiT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    variant: "paper" is the released code of arXiv:2112.13492: patches without overlap, a position for the
    class token too, a 1 x 1 convolution after the grouped one of the pooling, no qkv bias.
    "original" is arXiv:2103.16302, section 3.2, and its released code: the embedding is a convolution
    of kernel 2P and stride P without padding, with one row and one column of tokens less than patches
    (27 x 27 at 224 px and P = 8); only these tokens get positions; pooling is the grouped convolution
    alone; queries, keys and values have a bias.
    Methods that replace the embedding give one token per patch (28 x 28) in both variants: SPT, the
    padded overlapping windows, and layer-norm-only, which reads patches without overlap.
    """

    __pydantic_config__ = STRICT

    identity_defaults: ClassVar[dict[str, Any]] = {"variant": "paper"}
    tokens_per_side: ClassVar[int] = 16

    name: Literal["pit"] = "pit"
    patch_size: Size | None = None  # px; default: smaller image side / 16, rounded so that stages can halve the grid
    dims: Sizes = (96, 192, 384)  # channels of each stage, each a multiple of the one before (grouped convolution)
    depths: Depths = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (2, 4, 8)  # attention heads of each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Literal["paper", "original"] = "paper"

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        for dim, next_dim in zip(self.dims, self.dims[1:], strict=False):
            if next_dim % dim:
                raise InputError(f"dims: must be a multiple of {dim}, the width of the previous stage (got {next_dim})")
        check_mlp(self.dims[0], self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], *, default_embedding: bool) -> tuple[int, int]:
        """Return the tokens (down, across) of the first stage, patch resolved; pooling halves them, rounded up.

        Args:
            default_embedding: the tokens are made by the embedding of the backbone, not of a method.
        """
        lost = 1 if default_embedding and self.variant == "original" else 0
        height, width = self.patch_grid(image_size)
        return height - lost, width - lost

    def resolved(self, image_size: tuple[int, int]) -> "PiTSpec":
        """Return the sizes with the patch resolved and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                first convolution of the original variant gives no token.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.resolved_patch(image_size, grid_multiple=multiple)
        spec = dataclasses.replace(self, patch_size=patch)
        if min(spec.grid(image_size, default_embedding=True)) < 1:
            raise InputError(
                f"patch_size: gives no token of an image of {image_size[0]} x {image_size[1]} px: "
                f"the first convolution of variant 'original' reads {2 * patch} x {2 * patch} px (got {patch})"
            )
        return spec

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        bounds = linear(shape.channels * self.shift_unit**2, self.dims[0]) + linear(self.dims[-1], shape.classes)
        for stage, (dim, depth, heads) in enumerate(zip(self.dims, self.depths, self.num_heads, strict=True)):
            grid = self.grid(shape.size, default_embedding=True)
            tokens = math.prod(-(-side // 2**stage) for side in grid)
            sizes = {"heads": heads, "inner": dim, "tokens": tokens, "keys": tokens}
            bounds += blocks(depth, dim, int(dim * self.mlp_ratio), **sizes)
        return bounds


ENTRIES = {
    "pit": BackboneEntry(
        title="PiT",
        spec=PiTSpec,
        module="slbench.backbones.pit:PiT",
        source="arXiv:2103.16302, sizes of arXiv:2112.13492",
        small=(PiTSpec(patch_size=2, dims=(6, 12, 24), depths=(1, 2, 1), num_heads=(3, 2, 1)), (16, 24)),
        pools=True,
        additions=frozenset({"initialization=mimetic", "gaussians", "embedding=conv-stem", "mlp"}),
        cost_note=OTHER_WORK,
    )
}
