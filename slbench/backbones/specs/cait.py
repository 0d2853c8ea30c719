"""Sizes of CaiT."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from slbench.backbones.specs.base import OTHER_WORK, BackboneEntry, Depth, PatchSpec, Ratio, Size, Variant, check_mlp
from slbench.backbones.specs.lower_bounds import LowerBounds, blocks, linear
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.validation import STRICT


@dataclass(frozen=True, kw_only=True)
class CaiTSpec(PatchSpec):
    """Sizes of a CaiT; the defaults are from arXiv:2112.13492, section 4, and its released code.

    variant: "paper" masks the diagonal after the first mix of heads, and the class token attends to
    itself and the patches, as for the numbers of the paper. "released" writes -1e-9 on the
    diagonal before that mix, which masks nothing, and the class token, which alone is normed before
    class attention, attends to the patches only.
    """

    __pydantic_config__ = STRICT

    tokens_per_side: ClassVar[int] = 8

    name: Literal["cait"] = "cait"
    patch_size: Size | None = None  # px; default: smaller image side / 8, rounded to a divisor
    dim: Size = 192  # channels of a token
    depth: Depth = 24  # blocks over the patches
    class_depth: Depth = 2  # blocks in which only the class token is updated
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
        patch = self.resolved_patch(image_size)
        if image_size == (patch, patch):
            raise InputError(
                f"patch_size: gives one token of an image of {patch} x {patch} px; attention needs two (got {patch})"
            )
        return dataclasses.replace(self, patch_size=patch)

    @property
    def numerics_version(self) -> int:
        return 2 if self.variant == "released" else 1  # 2: class attention reads the patches without a norm

    def as_in_paper(self) -> "CaiTSpec":
        return dataclasses.replace(self, variant="paper")

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        height, width = self.patch_grid(shape.size)
        dim, hidden, tokens = self.dim, int(self.dim * self.mlp_ratio), height * width
        heads = {"heads": self.num_heads, "inner": self.num_heads * self.head_dim, "keys": tokens}
        return (
            linear(shape.channels * self.shift_unit**2, dim)
            + blocks(self.depth, dim, hidden, tokens=tokens, **heads)
            + blocks(self.class_depth, dim, hidden, tokens=1, **heads)
            + linear(dim, shape.classes)
        )


ENTRIES = {
    "cait": BackboneEntry(
        title="CaiT",
        spec=CaiTSpec,
        module="slbench.backbones.cait:CaiT",
        source="arXiv:2103.17239, sizes of arXiv:2112.13492",
        small=(CaiTSpec(patch_size=4, dim=7, depth=2, class_depth=2, num_heads=3, head_dim=5), (8, 12)),
        additions=frozenset({"gaussians", "embedding", "mlp"}),
        cost_note=OTHER_WORK
        + "; its class token attends to the patches only, ours also to itself (variant = 'released': 0.2 M less)",
    )
}
