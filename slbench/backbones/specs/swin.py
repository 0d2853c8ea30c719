"""Sizes of Swin."""

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
class SwinSpec(PatchSpec):
    """Sizes of a Swin; the defaults are from arXiv:2112.13492, section 4, and its released code.

    absolute_positions: learned positions after the embedding, besides the relative bias of each window, as
    in the released code; arXiv:2103.14030, section 3.2, has none.
    """

    __pydantic_config__ = STRICT

    identity_defaults: ClassVar[dict[str, Any]] = {"absolute_positions": True}
    tokens_per_side: ClassVar[int] = 16

    name: Literal["swin"] = "swin"
    patch_size: Size | None = None  # px; default: smaller image side / 16, rounded so that stages can halve the grid
    window_size: Size | None = None  # tokens per side; default: 4, rounded to a size that fits every stage
    dims: Sizes = (96, 192, 384)  # channels of each stage
    depths: Depths = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (3, 6, 12)  # attention heads of each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    absolute_positions: bool = True  # learned positions after the embedding, besides the bias of each window

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        check_mlp(min(self.dims), self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], stage: int) -> tuple[int, int]:
        """Return the tokens (down, across) of a stage, with the patch resolved."""
        height, width = self.patch_grid(image_size)
        return height // 2**stage, width // 2**stage

    def resolved(self, image_size: tuple[int, int]) -> "SwinSpec":
        """Return the sizes with patch and window resolved and checked against the image (height, width).

        A window larger than the grid of a stage is cut to its smaller side.

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                windows do not tile the grid of each stage.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.resolved_patch(image_size, grid_multiple=multiple)
        spec = dataclasses.replace(self, patch_size=patch)
        grids = [spec.grid(image_size, stage) for stage in range(len(self.dims))]
        if min(grids[-1]) < 2:
            raise InputError(
                f"patch_size: gives a grid of {grids[-1][0]} x {grids[-1][1]} tokens in the last stage, "
                f"and windows need at least two per side (got {patch})"
            )
        windows = [size for size in range(2, min(grids[0]) + 1) if all(tiles(size, grid) for grid in grids)]
        if self.window_size is None and windows:
            return dataclasses.replace(spec, window_size=min(windows, key=lambda size: (abs(size - 4), -size)))
        if self.window_size not in windows:
            sizes = ", ".join(f"{height} x {width}" for height, width in grids)
            raise InputError(
                f"window_size: does not tile the grids of the stages, {sizes} tokens (got {self.window_size or 4}); "
                f"allowed: {', '.join(map(str, windows)) or f'none at patch_size {patch}'}"
            )
        return spec

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        assert self.window_size is not None
        bounds = linear(shape.channels * self.shift_unit**2, self.dims[0]) + linear(self.dims[-1], shape.classes)
        for stage, (dim, depth, heads) in enumerate(zip(self.dims, self.depths, self.num_heads, strict=True)):
            grid = self.grid(shape.size, stage)
            keys = min(self.window_size, *grid) ** 2
            sizes = {"heads": heads, "inner": dim, "tokens": math.prod(grid), "keys": keys}
            bounds += blocks(depth, dim, int(dim * self.mlp_ratio), **sizes)
        return bounds


def tiles(window: int, grid: tuple[int, int]) -> bool:
    """Return whether windows of this side, cut to the grid's smaller side, tile a grid."""
    window = min(window, *grid)
    return grid[0] % window == 0 and grid[1] % window == 0


ENTRIES = {
    "swin": BackboneEntry(
        title="Swin",
        spec=SwinSpec,
        module="slbench.backbones.swin:Swin",
        source="arXiv:2103.14030, sizes of arXiv:2112.13492",
        small=(SwinSpec(patch_size=2, dims=(6, 15), depths=(2, 2), num_heads=(3, 5)), (16, 24)),
        pools=True,
        additions=frozenset(
            {"initialization=mimetic", "gaussians", "embedding=conv-stem", "global_pool=sequence", "mlp"}
        ),
        cost_note=OTHER_WORK,
        parameter_notes={"both": "the paper prints 10.2 M parameters; its released code has ours"},
    )
}
