"""The sizes of each backbone, as values free of torch: what a study file can set."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, MinLen

from slbench.errors import InputError
from slbench.validation import STRICT

Size = Annotated[int, Ge(1)]
Sizes = Annotated[tuple[Size, ...], MinLen(1)]  # one a stage
Ratio = Annotated[float, Gt(0)]
Variant = Literal["paper", "released"]  # as the paper says, or as its released code does


def patch_sizes(image_size: tuple[int, int], *, grid_multiple: int = 1) -> list[int]:
    """Patches that cut an image (height, width) into a grid whose sides are multiples of `grid_multiple`."""
    common = math.gcd(*image_size)
    return [size for size in range(1, common + 1) if common % (size * grid_multiple) == 0]


def default_patch_size(image_size: tuple[int, int], *, tokens_per_side: int, grid_multiple: int = 1) -> int:
    """The paper's patch for an image (height, width): its smaller side over the tokens per side.

    Rounded to the nearest size that divides both sides; the larger of two that are as near.

    Args:
        grid_multiple: what must divide the sides of the grid of patches.
    Raises:
        InputError: if no patch leaves such a grid.
    """
    allowed = patch_sizes(image_size, grid_multiple=grid_multiple)
    if not allowed:
        raise InputError(
            f"no patch cuts an image of {image_size[0]} x {image_size[1]} px into a grid "
            f"that the stages can halve to {grid_multiple} times smaller sides"
        )
    target = min(image_size) / tokens_per_side
    return min(allowed, key=lambda size: (abs(size - target), -size))


def check_patch(patch_size: int, image_size: tuple[int, int], *, grid_multiple: int = 1) -> None:
    """Raise InputError, naming the sizes that work, unless the patch divides both sides and the stages the grid."""
    allowed = patch_sizes(image_size, grid_multiple=grid_multiple)
    if patch_size in allowed:
        return
    image = f"an image of {image_size[0]} x {image_size[1]} px"
    names = ", ".join(map(str, allowed)) or "none"
    if math.gcd(*image_size) % patch_size:
        raise InputError(f"patch_size {patch_size} does not divide {image}; allowed: {names}")
    raise InputError(
        f"patch_size {patch_size} cuts {image} into a grid that {grid_multiple} does not divide, "
        f"as halving it between stages needs; allowed: {names}"
    )


def check_mlp(dim: int, mlp_ratio: float) -> None:
    """Raise InputError if the hidden layer of the MLP would be empty."""
    if int(dim * mlp_ratio) < 1:
        raise InputError(f"mlp_ratio {mlp_ratio:g} leaves no hidden unit at dim {dim}")


def check_stages(dims: tuple[int, ...], depths: tuple[int, ...], num_heads: tuple[int, ...]) -> None:
    """Raise InputError unless every stage has a width, a depth, and heads that divide the width."""
    if not len(dims) == len(depths) == len(num_heads):
        raise InputError(
            f"dims, depths and num_heads need one entry a stage each, got {len(dims)}, {len(depths)}, {len(num_heads)}"
        )
    for dim, heads in zip(dims, num_heads, strict=True):
        if dim % heads:
            raise InputError(f"num_heads {heads} does not divide dim {dim}")


@dataclass(frozen=True, kw_only=True)
class ViTSpec:
    """Sizes of a ViT; the defaults are the paper's (arXiv:2112.13492, section 4; its released code).

    qkv_bias: whether queries, keys and values have a bias, as in arXiv:2010.11929 and in DeiT,
    arXiv:2012.12877. The released code has none.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 8

    name: Literal["vit"] = "vit"
    patch_size: Size | None = None  # px; unless given, the smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Size = 9  # blocks
    num_heads: Size = 12  # of attention
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    qkv_bias: bool = False  # of queries, keys and values

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads {self.num_heads} does not divide dim {self.dim}")
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "ViTSpec":
        """The same sizes with the patch written out and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, naming those that do.
        """
        if self.patch_size is None:
            return dataclasses.replace(
                self, patch_size=default_patch_size(image_size, tokens_per_side=self.tokens_per_side)
            )
        check_patch(self.patch_size, image_size)
        return self


@dataclass(frozen=True, kw_only=True)
class T2TSpec:
    """Sizes of a T2T-ViT; the defaults are those of arXiv:2112.13492, section 4, and its released code.

    variant: "released" adds the normed input to the output of every attention, besides the block's own
    skip, as the released code does; users of it could not reproduce the paper's T2T.
    """

    __pydantic_config__ = STRICT

    name: Literal["t2t"] = "t2t"
    num_splits: Size | None = None  # each halves the grid; unless given, until 8 tokens a side or near it are left
    token_dim: Size = 64  # width inside the soft splits
    dim: Size = 256  # channels of a token
    depth: Size = 12  # blocks after the soft splits
    num_heads: Size = 4  # of attention
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Variant = "paper"  # "released" also adds the normed input of each attention to its output

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads {self.num_heads} does not divide dim {self.dim}")
        if self.dim % 2:
            raise InputError(f"dim {self.dim} must be even: positions are pairs of a sine and a cosine")
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "T2TSpec":
        """The same sizes with the number of soft splits written out: 2 at 32 px, 3 at 64 px.

        Raises:
            InputError: if a split would find a grid of one row or column.
        """
        most = math.ceil(math.log2(min(image_size)))
        if most < 1:
            raise InputError(f"an image of {image_size[0]} x {image_size[1]} px is too small for a soft split")
        if self.num_splits is None:
            wanted = round(math.log2(min(image_size) / 8))
            return dataclasses.replace(self, num_splits=min(max(wanted, 1), most))
        if self.num_splits > most:
            raise InputError(
                f"num_splits {self.num_splits} is too many for an image of {image_size[0]} x {image_size[1]} px; "
                f"allowed: 1 to {most}"
            )
        return self


@dataclass(frozen=True, kw_only=True)
class CaiTSpec:
    """Sizes of a CaiT; the defaults are those of arXiv:2112.13492, section 4, and its released code.

    variant: "paper" masks the diagonal after the first mix of heads, and the class token attends to
    itself and the patches, as when the paper's numbers were made. "released" writes -1e-9 on the
    diagonal before that mix, which forbids nothing, and the class token attends to the patches only.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 8

    name: Literal["cait"] = "cait"
    patch_size: Size | None = None  # px; unless given, the smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Size = 24  # blocks over the patches
    class_depth: Size = 2  # blocks in which only the class token is updated
    num_heads: Size = 4  # of attention
    head_dim: Size = 64  # num_heads * head_dim may differ from dim
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "CaiTSpec":
        """The same sizes with the patch written out and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, or leaves fewer than two tokens.
        """
        patch = self.patch_size or default_patch_size(image_size, tokens_per_side=self.tokens_per_side)
        check_patch(patch, image_size)
        if image_size == (patch, patch):
            raise InputError(
                f"patch_size {patch} makes one token of an image of {patch} x {patch} px; attention needs two or more"
            )
        return dataclasses.replace(self, patch_size=patch)


@dataclass(frozen=True, kw_only=True)
class PiTSpec:
    """Sizes of a PiT; the defaults are those of arXiv:2112.13492, section 4, and its released code.

    variant: "paper" is the released code of arXiv:2112.13492: patches without overlap, a position for the
    class token too, a 1 x 1 convolution after the grouped one of the pooling, no qkv bias.
    "original" is arXiv:2103.16302, section 3.2, and its released code: the embedding is one convolution
    of kernel 2P and stride P without padding, which leaves one row and one column of tokens less than
    there are patches (27 x 27 at 224 px and P = 8); these alone get positions; pooling is the grouped
    convolution alone; queries, keys and values have a bias.
    A row that replaces the embedding does so in both alike, and so has a token a patch (28 x 28): SPT,
    the overlapping windows, which are padded, and layer-norm-only, which is SPT without its copies and
    so reads patches without overlap.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 16

    name: Literal["pit"] = "pit"
    patch_size: Size | None = None  # px; unless given, image side / 16, rounded to one whose grid the stages halve
    dims: Sizes = (
        96,
        192,
        384,
    )  # channels of each stage, each a multiple of the one before: pooling is a grouped convolution
    depths: Sizes = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (2, 4, 8)  # of attention, in each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    variant: Literal["paper", "original"] = "paper"

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        for before, after in zip(self.dims, self.dims[1:], strict=False):
            if after % before:
                raise InputError(f"dims: {after} must be a multiple of {before}, the width of the stage before")
        check_mlp(self.dims[0], self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], *, own: bool) -> tuple[int, int]:
        """Tokens (down, across) of the first stage, once the patch is settled; each pooling leaves half, rounded up.

        Args:
            own: the backbone's own embedding makes them, not a row's.
        """
        assert self.patch_size is not None
        lost = 1 if own and self.variant == "original" else 0
        height, width = (side // self.patch_size - lost for side in image_size)
        return height, width

    def resolved(self, image_size: tuple[int, int]) -> "PiTSpec":
        """The same sizes with the patch written out and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                first convolution of the original leaves no token.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.patch_size or default_patch_size(
            image_size, tokens_per_side=self.tokens_per_side, grid_multiple=multiple
        )
        check_patch(patch, image_size, grid_multiple=multiple)
        sized = dataclasses.replace(self, patch_size=patch)
        if min(sized.grid(image_size, own=True)) < 1:
            raise InputError(
                f"patch_size {patch} leaves no token of an image of {image_size[0]} x {image_size[1]} px: "
                f"the first convolution of variant 'original' reads {2 * patch} x {2 * patch} px"
            )
        return sized


@dataclass(frozen=True, kw_only=True)
class SwinSpec:
    """Sizes of a Swin; the defaults are those of arXiv:2112.13492, section 4, and its released code.

    absolute_positions: whether tokens also get learned positions after the embedding, beside the
    relative bias of each window. The released code has them; arXiv:2103.14030, section 3.2, leaves them
    out.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 16

    name: Literal["swin"] = "swin"
    patch_size: Size | None = None  # px; unless given, image side / 16, rounded to one whose grid the stages halve
    window_size: Size | None = None  # tokens a side; unless given, 4, rounded to one that fits every stage
    dims: Sizes = (96, 192, 384)  # channels of each stage
    depths: Sizes = (2, 6, 4)  # blocks of each stage
    num_heads: Sizes = (3, 6, 12)  # of attention, in each stage
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    absolute_positions: bool = True  # learned positions after the embedding, beside the bias of each window

    def __post_init__(self) -> None:
        check_stages(self.dims, self.depths, self.num_heads)
        check_mlp(min(self.dims), self.mlp_ratio)

    def grid(self, image_size: tuple[int, int], stage: int) -> tuple[int, int]:
        """Tokens (down, across) of a stage, once the patch is settled."""
        assert self.patch_size is not None
        height, width = (side // self.patch_size // 2**stage for side in image_size)
        return height, width

    def resolved(self, image_size: tuple[int, int]) -> "SwinSpec":
        """The same sizes with patch and window written out and checked against the image (height, width).

        A window larger than a stage's grid is cut to its smaller side there.

        Raises:
            InputError: if the patch does not divide the image, the stages cannot halve the grid, or the
                windows do not tile the grid of each stage.
        """
        multiple = 2 ** (len(self.dims) - 1)
        patch = self.patch_size or default_patch_size(
            image_size, tokens_per_side=self.tokens_per_side, grid_multiple=multiple
        )
        check_patch(patch, image_size, grid_multiple=multiple)
        sized = dataclasses.replace(self, patch_size=patch)
        grids = [sized.grid(image_size, stage) for stage in range(len(self.dims))]
        if min(grids[-1]) < 2:
            raise InputError(
                f"patch_size {patch} leaves a grid of {grids[-1][0]} x {grids[-1][1]} tokens in the last stage; "
                "windows need two a side or more"
            )
        windows = [size for size in range(2, min(grids[0]) + 1) if all(tiles(size, grid) for grid in grids)]
        if self.window_size is None and windows:
            return dataclasses.replace(sized, window_size=min(windows, key=lambda size: (abs(size - 4), -size)))
        if self.window_size not in windows:
            shown = ", ".join(f"{height} x {width}" for height, width in grids)
            raise InputError(
                f"window_size {self.window_size or 4} does not tile the grids of the stages ({shown} tokens); "
                f"allowed: {', '.join(map(str, windows)) or f'none at patch_size {patch}'}"
            )
        return sized


def tiles(window: int, grid: tuple[int, int]) -> bool:
    """Whether windows of this side, cut to the grid's smaller side, tile a grid."""
    window = min(window, *grid)
    return grid[0] % window == 0 and grid[1] % window == 0


@dataclass(frozen=True, kw_only=True)
class ResNetSpec:
    """Sizes of a ResNet for small images; the defaults are those of arXiv:1512.03385, section 4.2."""

    __pydantic_config__ = STRICT

    name: Literal["resnet56", "resnet110"] = "resnet56"
    width: Size = 16  # channels of the stem and first stage; doubled twice
    blocks_per_stage: Size | None = None  # unless given, 9 for resnet56 and 18 for resnet110

    def resolved(self, image_size: tuple[int, int]) -> "ResNetSpec":  # noqa: ARG002  (any size will do)
        """The same sizes with the blocks written out."""
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
        """The same sizes: none depends on the image."""
        return self


BackboneSpec = ViTSpec | T2TSpec | CaiTSpec | PiTSpec | SwinSpec | ResNetSpec | EfficientNetSpec
