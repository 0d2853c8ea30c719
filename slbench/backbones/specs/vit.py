"""Sizes of ViT."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from slbench.backbones.specs.base import OTHER_WORK, BackboneEntry, Depth, PatchSpec, Ratio, Size, check_mlp
from slbench.backbones.specs.lower_bounds import LowerBounds, blocks, linear
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.method import ADDITIONS
from slbench.validation import STRICT


@dataclass(frozen=True, kw_only=True)
class ViTSpec(PatchSpec):
    """Sizes of a ViT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    qkv_bias: a bias of queries, keys and values, as in arXiv:2010.11929 and DeiT, arXiv:2012.12877; the
    released code has none.
    """

    __pydantic_config__ = STRICT

    identity_defaults: ClassVar[dict[str, Any]] = {"qkv_bias": False}
    tokens_per_side: ClassVar[int] = 8

    name: Literal["vit"] = "vit"
    patch_size: Size | None = None  # px; default: smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Depth = 9  # blocks
    num_heads: Size = 12  # attention heads
    mlp_ratio: Ratio = 2.0  # hidden width of the MLP / dim
    qkv_bias: bool = False  # bias of queries, keys and values

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads: does not divide dim {self.dim} (got {self.num_heads})")
        check_mlp(self.dim, self.mlp_ratio)

    def resolved(self, image_size: tuple[int, int]) -> "ViTSpec":
        """Return the sizes with the patch resolved and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image; names the allowed sizes.
        """
        return dataclasses.replace(self, patch_size=self.resolved_patch(image_size))

    def check_method(self, method: Method, image_size: tuple[int, int]) -> None:
        super().check_method(method, image_size)
        channels = self.dim // self.num_heads
        patches = math.prod(method.grid(image_size, patches=self.patch_grid(image_size)))
        if method.initialization.startswith("impulse") and patches < channels:
            raise InputError(
                f"initialization: {method.initialization} needs as many patches as channels per head "
                f"(got {patches} and {channels}); use more heads or smaller patches"
            )

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        height, width = self.patch_grid(shape.size)
        sizes = {"heads": self.num_heads, "inner": self.dim, "tokens": height * width, "keys": height * width}
        return (
            linear(shape.channels * self.shift_unit**2, self.dim)
            + blocks(self.depth, self.dim, int(self.dim * self.mlp_ratio), **sizes)
            + linear(self.dim, shape.classes)
        )


ENTRIES = {
    "vit": BackboneEntry(
        title="ViT",
        spec=ViTSpec,
        module="slbench.backbones.vit:ViT",
        source="arXiv:2010.11929, sizes of arXiv:2112.13492",
        small=(ViTSpec(patch_size=4, dim=6, depth=2, num_heads=3), (8, 12)),
        additions=frozenset(ADDITIONS),
        lr=0.003,
        cost_note=OTHER_WORK,
    )
}
