"""The sizes of each backbone, as a study file sets them. Free of torch."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, MinLen

from slbench.errors import InputError
from slbench.validation import STRICT

Size = Annotated[int, Ge(1)]
Sizes = Annotated[tuple[Size, ...], MinLen(1)]  # one per stage
Ratio = Annotated[float, Gt(0)]
Variant = Literal["paper", "released"]  # as in the paper, or as in its released code


def patch_sizes(image_size: tuple[int, int], *, grid_multiple: int = 1) -> list[int]:
    """Return the patch sizes that divide an image (height, width) into multiples of `grid_multiple` per side."""
    common = math.gcd(*image_size)
    return [size for size in range(1, common + 1) if common % (size * grid_multiple) == 0]


def default_patch_size(image_size: tuple[int, int], *, tokens_per_side: int, grid_multiple: int = 1) -> int:
    """Return the paper's patch size for an image (height, width): its smaller side / tokens per side.

    Rounded to the nearest size that divides both sides; of two equally near the larger.

    Args:
        grid_multiple: divisor of the sides of the grid of patches.
    Raises:
        InputError: if no patch size gives such a grid.
    """
    allowed = patch_sizes(image_size, grid_multiple=grid_multiple)
    if not allowed:
        raise InputError(
            f"no patch_size divides an image of {image_size[0]} x {image_size[1]} px into a grid "
            f"with sides that are multiples of {grid_multiple}, as halving between stages needs"
        )
    target = min(image_size) / tokens_per_side
    return min(allowed, key=lambda size: (abs(size - target), -size))


def check_patch(patch_size: int, image_size: tuple[int, int], *, grid_multiple: int = 1) -> None:
    """Raise InputError, naming the allowed sizes, unless the patch divides the image and `grid_multiple` the grid."""
    allowed = patch_sizes(image_size, grid_multiple=grid_multiple)
    if patch_size in allowed:
        return
    image = f"an image of {image_size[0]} x {image_size[1]} px"
    names = ", ".join(map(str, allowed)) or "none"
    if math.gcd(*image_size) % patch_size:
        raise InputError(f"patch_size {patch_size} does not divide {image}; allowed: {names}")
    raise InputError(
        f"patch_size {patch_size} divides {image} into a grid with sides that are no multiples of {grid_multiple}, "
        f"as halving between stages needs; allowed: {names}"
    )


def check_mlp(dim: int, mlp_ratio: float) -> None:
    """Raise InputError if the hidden layer of the MLP would be empty."""
    if int(dim * mlp_ratio) < 1:
        raise InputError(f"mlp_ratio {mlp_ratio:g} leaves no hidden unit at dim {dim}")


def check_stages(dims: tuple[int, ...], depths: tuple[int, ...], num_heads: tuple[int, ...]) -> None:
    """Raise InputError unless every stage has a width, a depth, and a number of heads that divides the width."""
    if not len(dims) == len(depths) == len(num_heads):
        raise InputError(
            f"dims, depths and num_heads need one entry per stage; got {len(dims)}, {len(depths)}, {len(num_heads)}"
        )
    for dim, heads in zip(dims, num_heads, strict=True):
        if dim % heads:
            raise InputError(f"num_heads {heads} does not divide dim {dim}")


@dataclass(frozen=True, kw_only=True)
class ViTSpec:
    """Sizes of a ViT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    qkv_bias: a bias of queries, keys and values, as in arXiv:2010.11929 and DeiT, arXiv:2012.12877; the
    released code has none.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 8

    name: Literal["vit"] = "vit"
    patch_size: Size | None = None  # px; default: smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Size = 9  # blocks
    num_heads: Size = 12  # attention heads
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    qkv_bias: bool = False  # bias of queries, keys and values

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads {self.num_heads} does not divide dim {self.dim}")
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "ViTSpec":
        """Return the sizes with the patch resolved and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image; names the allowed sizes.
        """
        if self.patch_size is None:
            return dataclasses.replace(
                self, patch_size=default_patch_size(image_size, tokens_per_side=self.tokens_per_side)
            )
        check_patch(self.patch_size, image_size)
        return self


@dataclass(frozen=True, kw_only=True)
class T2TSpec:
    """Sizes of a T2T-ViT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    variant: "released" adds the normed input to the output of every attention, besides the skip of the
    block, as the released code does; its users could not reproduce the paper's T2T.
    """

    __pydantic_config__ = STRICT

    name: Literal["t2t"] = "t2t"
    num_splits: Size | None = None  # each halves the grid; default: down to about 8 tokens per side
    token_dim: Size = 64  # width inside the soft splits
    dim: Size = 256  # channels of a token
    depth: Size = 12  # blocks after the soft splits
    num_heads: Size = 4  # attention heads
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Variant = "paper"  # "released" also adds the normed input of each attention to its output

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads {self.num_heads} does not divide dim {self.dim}")
        if self.dim % 2:
            raise InputError(f"dim {self.dim} must be even: positions are pairs of a sine and a cosine")
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
                f"num_splits {self.num_splits} is too many for an image of {image_size[0]} x {image_size[1]} px; "
                f"allowed: 1 to {largest}"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class CaiTSpec:
    """Sizes of a CaiT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    variant: "paper" masks the diagonal after the first mix of heads, and the class token attends to
    itself and the patches, as for the numbers of the paper. "released" writes -1e-9 on the
    diagonal before that mix, which masks nothing, and the class token attends to the patches only.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 8

    name: Literal["cait"] = "cait"
    patch_size: Size | None = None  # px; default: smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Size = 24  # blocks over the patches
    class_depth: Size = 2  # blocks in which only the class token is updated
    num_heads: Size = 4  # attention heads
    head_dim: Size = 64  # num_heads * head_dim may differ from dim
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "CaiTSpec":
        """Return the sizes with the patch resolved and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, or gives fewer than two tokens.
        """
        patch = self.patch_size or default_patch_size(image_size, tokens_per_side=self.tokens_per_side)
        check_patch(patch, image_size)
        if image_size == (patch, patch):
            raise InputError(
                f"patch_size {patch} makes one token of an image of {patch} x {patch} px; attention needs at least two"
            )
        return dataclasses.replace(self, patch_size=patch)


@dataclass(frozen=True, kw_only=True)
class PiTSpec:
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

    tokens_per_side: ClassVar[int] = 16

    name: Literal["pit"] = "pit"
    patch_size: Size | None = None  # px; default: smaller image side / 16, rounded so that stages can halve the grid
    dims: Sizes = (96, 192, 384)  # channels of each stage, each a multiple of the one before (grouped convolution)
    depths: Sizes = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (2, 4, 8)  # attention heads of each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Literal["paper", "original"] = "paper"

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        for dim, next_dim in zip(self.dims, self.dims[1:], strict=False):
            if next_dim % dim:
                raise InputError(f"dims: {next_dim} must be a multiple of {dim}, the width of the previous stage")
        check_mlp(self.dims[0], self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], *, default_embedding: bool) -> tuple[int, int]:
        """Return the tokens (down, across) of the first stage, patch resolved; pooling halves them, rounded up.

        Args:
            default_embedding: the tokens are made by the embedding of the backbone, not of a method.
        """
        assert self.patch_size is not None
        lost = 1 if default_embedding and self.variant == "original" else 0
        height, width = (side // self.patch_size - lost for side in image_size)
        return height, width

    def resolved(self, image_size: tuple[int, int]) -> "PiTSpec":
        """Return the sizes with the patch resolved and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                first convolution of the original variant gives no token.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.patch_size or default_patch_size(
            image_size, tokens_per_side=self.tokens_per_side, grid_multiple=multiple
        )
        check_patch(patch, image_size, grid_multiple=multiple)
        spec = dataclasses.replace(self, patch_size=patch)
        if min(spec.grid(image_size, default_embedding=True)) < 1:
            raise InputError(
                f"patch_size {patch} gives no token of an image of {image_size[0]} x {image_size[1]} px: "
                f"the first convolution of variant 'original' reads {2 * patch} x {2 * patch} px"
            )
        return spec


@dataclass(frozen=True, kw_only=True)
class SwinSpec:
    """Sizes of a Swin; the defaults are from arXiv:2112.13492, section 4, and its released code.

    absolute_positions: learned positions after the embedding, besides the relative bias of each window, as
    in the released code; arXiv:2103.14030, section 3.2, has none.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 16

    name: Literal["swin"] = "swin"
    patch_size: Size | None = None  # px; default: smaller image side / 16, rounded so that stages can halve the grid
    window_size: Size | None = None  # tokens per side; default: 4, rounded to a size that fits every stage
    dims: Sizes = (96, 192, 384)  # channels of each stage
    depths: Sizes = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (3, 6, 12)  # attention heads of each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    absolute_positions: bool = True  # learned positions after the embedding, besides the bias of each window

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        check_mlp(min(self.dims), self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], stage: int) -> tuple[int, int]:
        """Return the tokens (down, across) of a stage, with the patch resolved."""
        assert self.patch_size is not None
        height, width = (side // self.patch_size // 2**stage for side in image_size)
        return height, width

    def resolved(self, image_size: tuple[int, int]) -> "SwinSpec":
        """Return the sizes with patch and window resolved and checked against the image (height, width).

        A window larger than the grid of a stage is cut to its smaller side.

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                windows do not tile the grid of each stage.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.patch_size or default_patch_size(
            image_size, tokens_per_side=self.tokens_per_side, grid_multiple=multiple
        )
        check_patch(patch, image_size, grid_multiple=multiple)
        spec = dataclasses.replace(self, patch_size=patch)
        grids = [spec.grid(image_size, stage) for stage in range(len(self.dims))]
        if min(grids[-1]) < 2:
            raise InputError(
                f"patch_size {patch} gives a grid of {grids[-1][0]} x {grids[-1][1]} tokens in the last stage; "
                "windows need at least two per side"
            )
        windows = [size for size in range(2, min(grids[0]) + 1) if all(tiles(size, grid) for grid in grids)]
        if self.window_size is None and windows:
            return dataclasses.replace(spec, window_size=min(windows, key=lambda size: (abs(size - 4), -size)))
        if self.window_size not in windows:
            sizes = ", ".join(f"{height} x {width}" for height, width in grids)
            raise InputError(
                f"window_size {self.window_size or 4} does not tile the grids of the stages ({sizes} tokens); "
                f"allowed: {', '.join(map(str, windows)) or f'none at patch_size {patch}'}"
            )
        return spec


def tiles(window: int, grid: tuple[int, int]) -> bool:
    """Return whether windows of this side, cut to the grid's smaller side, tile a grid."""
    window = min(window, *grid)
    return grid[0] % window == 0 and grid[1] % window == 0


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """Sizes of a ResNet for small images; the defaults are from arXiv:1512.03385, section 4.2."""

    __pydantic_config__ = STRICT

    name: Literal["resnet56", "resnet110"] = "resnet56"
    width: Size = 16  # channels of the stem and first stage; doubled twice
    blocks_per_stage: Size | None = None  # default: 9 for resnet56, 18 for resnet110

    def resolved(self, image_size: tuple[int, int]) -> "ResNetSpec":  # noqa: ARG002  (any size will do)
        """Return the sizes with the blocks resolved."""
        blocks = self.blocks_per_stage or {"resnet56": 9, "resnet110": 18}[self.name]
        return dataclasses.replace(self, blocks_per_stage=blocks)


@dataclass(frozen=True, kw_only=True)
class EfficientNetSpec:
    """Sizes of an EfficientNet; the defaults are B0 of arXiv:1905.11946, Table 1."""

    __pydantic_config__ = STRICT

    name: Literal["efficientnet-b0"] = "efficientnet-b0"
    stem: Size = 32  # channels of the first convolution
    dims: Sizes = (16, 24, 40, 80, 112, 192, 320)  # channels of each stage
    depths: Sizes = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage

    def __post_init__(self) -> None:
        if len(self.dims) != 7 or len(self.depths) != 7:
            raise InputError(f"dims and depths need 7 entries each, got {len(self.dims)} and {len(self.depths)}")

    def resolved(self, image_size: tuple[int, int]) -> "EfficientNetSpec":  # noqa: ARG002  (any size will do)
        """Return the sizes unchanged: none depends on the image."""
        return self


BackboneSpec = ViTSpec | T2TSpec | CaiTSpec | PiTSpec | SwinSpec | ResNetSpec | EfficientNetSpec
