"""What the sizes of all backbones have in common, and the entry of a backbone in the registry. Free of torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from slbench.backbones.specs.lower_bounds import LowerBounds
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.recipes import DEFAULT_LR

MAX_BLOCKS = 1000  # of a network, all stages together
Size = Annotated[int, Ge(1), Le(65_536)]
Depth = Annotated[int, Ge(1), Le(MAX_BLOCKS)]
Sizes = Annotated[tuple[Size, ...], MinLen(1), MaxLen(12)]  # one per stage
Depths = Annotated[tuple[Depth, ...], MinLen(1), MaxLen(12)]
Ratio = Annotated[float, Gt(0), Le(1000)]
Variant = Literal["paper", "released"]  # as in the paper, or as in its released code


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """Sizes of a backbone: what the rest of slbench asks of them. Subclasses are frozen dataclasses."""

    identity_defaults: ClassVar[dict[str, Any]] = {}  # fields added after the first ids; see slbench.spec

    if TYPE_CHECKING:  # a field of each subclass

        @property
        def name(self) -> str: ...

    @property
    def numerics_version(self) -> int:
        """Return the version of the network's numbers, which enters the id of a run; raised when they change."""
        return 1

    @property
    def numerics_part(self) -> str:
        """Return the name of that version in a run's `numerics`."""
        return self.name

    @property
    def shift_unit(self) -> int:
        """Return the length in px of which a shift ratio is a share: the patch side; 1 without patches."""
        return 1

    @property
    def token_side(self) -> int:
        """Return the side in px of what a token of the plain embedding reads; 1 without tokens."""
        return self.shift_unit

    def resolved(self, image_size: tuple[int, int]) -> "BackboneSpec":
        """Return the sizes with all defaults resolved and checked against the image (height, width).

        Raises:
            InputError: if the sizes do not fit the image; names the allowed ones.
        """
        raise NotImplementedError

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:  # noqa: ARG002  (by default none is known)
        """Return lower bounds of parameters and activations, by formula, with all defaults resolved."""
        return LowerBounds()

    def patch_note(self, image_size: tuple[int, int]) -> str | None:  # noqa: ARG002  (without patches there is none)
        """Return a note if the default patch is rounded for an image (height, width); else None."""
        return None

    def check_method(self, method: Method, image_size: tuple[int, int]) -> None:
        """Raise InputError if a method does not fit these sizes, resolved for the image (height, width)."""
        method.check_shift(self.shift_unit, image_size)

    def as_in_paper(self) -> "BackboneSpec":
        """Return the sizes in the variant of the paper, since its released code also counts as the paper's."""
        return self


class TransformerSpec(BackboneSpec):
    """Sizes of a backbone with tokens, whose MLP can be widened to match a number of parameters."""

    if TYPE_CHECKING:  # a field of each subclass

        @property
        def mlp_ratio(self) -> float: ...


class PatchSpec(TransformerSpec):
    """Sizes of a backbone whose tokens are patches; by default `tokens_per_side` along the smaller image side."""

    tokens_per_side: ClassVar[int]

    if TYPE_CHECKING:  # a field of each subclass

        @property
        def patch_size(self) -> int | None: ...

    @property
    def shift_unit(self) -> int:
        return self.patch_size or 1

    def resolved_patch(self, image_size: tuple[int, int], *, grid_multiple: int = 1) -> int:
        """Return the patch size, by default the paper's, checked against the image (height, width)."""
        patch = self.patch_size or default_patch_size(
            image_size, tokens_per_side=self.tokens_per_side, grid_multiple=grid_multiple
        )
        check_patch(patch, image_size, grid_multiple=grid_multiple)
        return patch

    def patch_grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the patches (down, across) of an image (height, width), with the patch resolved."""
        assert self.patch_size is not None
        return image_size[0] // self.patch_size, image_size[1] // self.patch_size

    def check_method(self, method: Method, image_size: tuple[int, int]) -> None:
        super().check_method(method, image_size)
        patch = self.shift_unit
        if method.embedding == "conv-stem" and (patch < 2 or patch & (patch - 1)):
            raise InputError(
                f"embedding: conv-stem halves the image up to the patch (got a patch of {patch} px); "
                "allowed: patch_size 2, 4, 8, 16, ..."
            )

    def patch_note(self, image_size: tuple[int, int]) -> str | None:
        height, width = image_size
        patch, share = self.resolved(image_size).shift_unit, self.tokens_per_side
        if self.patch_size is not None or patch == min(image_size) / share:
            return None
        return f"patch {patch} px: 1/{share} of the smaller side of {height} x {width} px, rounded to a divisor"


@dataclass(frozen=True, kw_only=True)
class BackboneEntry:
    """Entry of a backbone in `BACKBONES`."""

    title: str  # in tables
    spec: type[BackboneSpec]
    module: str  # "module:Class" of the network
    source: str
    small: tuple[Any, tuple[int, int]]  # sizes of a small network with all parts, and its image (height, width) in px
    pools: bool = False  # has pooling layers that S_pool can replace
    tokens: Literal["patches", "soft splits", "none"] = "patches"  # how an image becomes tokens
    additions: frozenset[str] = frozenset()  # of `Method.additions`: "mlp", or "mlp=depthwise" for one of its values
    lr: float = DEFAULT_LR  # of recipes that leave it to the backbone
    published_title: str | None = None  # in the paper's tables; default: title
    cost_note: str = ""  # why its multiply-adds differ from the paper's; may name {with_norms}, {with_norms_percent}
    parameter_notes: Mapping[str, str] = field(default_factory=dict)  # by method, why its parameters differ likewise

    def has(self, field: str, value: object) -> bool:
        """Return whether the network can have this value of a field of `Method.additions`."""
        return field in self.additions or f"{field}={value}" in self.additions

    def resolved(self, method: Method) -> Method:
        """Return the method with the defaults of this backbone resolved; see `Method.resolved`."""
        return method.resolved(pools=self.pools, soft_splits=self.tokens == "soft splits")


# Why a count differs from the paper's. Source: the authors' scripts, recomputed.
OTHER_WORK = "counting products only, the released model matches ours; the paper's script also counts other operations"
WITH_BATCH_NORM = "the paper also counts batch norm: {with_norms:.1f} M with it ({with_norms_percent:+.2f} %)"


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
        raise InputError(f"patch_size: does not divide {image} (got {patch_size}); allowed: {names}")
    raise InputError(
        f"patch_size: the sides of the grid of {image} are no multiples of {grid_multiple}, as halving between stages "
        f"needs (got {patch_size}); allowed: {names}"
    )


def check_mlp(dim: int, mlp_ratio: float) -> None:
    """Raise InputError if the hidden layer of the MLP would be empty."""
    if int(dim * mlp_ratio) < 1:
        raise InputError(f"mlp_ratio: leaves no hidden unit at dim {dim} (got {mlp_ratio:g})")


def check_stages(dims: tuple[int, ...], depths: tuple[int, ...], num_heads: tuple[int, ...]) -> None:
    """Raise InputError unless every stage has a width, a depth, and a number of heads that divides the width."""
    if not len(dims) == len(depths) == len(num_heads):
        raise InputError(
            f"dims, depths and num_heads need one entry per stage (got {len(dims)}, {len(depths)}, {len(num_heads)})"
        )
    check_blocks(depths)
    for dim, heads in zip(dims, num_heads, strict=True):
        if dim % heads:
            raise InputError(f"num_heads: does not divide dim {dim} (got {heads})")


def check_blocks(depths: tuple[int, ...]) -> None:
    """Raise InputError for stages of too many blocks together."""
    if sum(depths) > MAX_BLOCKS:
        raise InputError(f"depths: too many blocks (got {sum(depths)}); allowed: at most {MAX_BLOCKS} together")
