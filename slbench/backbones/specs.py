"""The sizes of each backbone, as values free of torch: what a study file can set."""

import dataclasses
import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.errors import InputError

Size = Annotated[int, Field(ge=1)]
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def rule_patch(image_size: tuple[int, int], *, tokens_per_side: int) -> int:
    """The paper's patch for an image (height, width): its smaller side over the tokens per side.

    Rounded to the nearest size that divides both sides; the larger of two that are as near.
    """
    common = math.gcd(*image_size)
    divisors = [size for size in range(1, common + 1) if common % size == 0]
    target = min(image_size) / tokens_per_side
    return min(divisors, key=lambda size: (abs(size - target), -size))


def check_patch(patch_size: int, image_size: tuple[int, int]) -> None:
    """Raise InputError, naming the sizes that work, unless the patch divides both sides."""
    common = math.gcd(*image_size)
    if common % patch_size:
        allowed = ", ".join(str(size) for size in range(1, common + 1) if common % size == 0)
        raise InputError(
            f"patch_size {patch_size} does not divide an image of {image_size[0]} x {image_size[1]} px; "
            f"allowed: {allowed}"
        )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ViTSpec:
    """Sizes of a ViT; the defaults are the paper's (arXiv:2112.13492, section 4; its released code)."""

    name: Literal["vit"] = "vit"
    patch_size: Size | None = None  # px; unless given, the smaller image side / 8, rounded to a divisor
    dim: Size = 192
    depth: Size = 9  # blocks
    num_heads: Size = 12
    mlp_ratio: Annotated[float, Field(gt=0)] = 2.0  # hidden width of the MLP / dim

    def __post_init__(self) -> None:
        if self.dim % self.num_heads:
            raise InputError(f"num_heads {self.num_heads} does not divide dim {self.dim}")
        if int(self.dim * self.mlp_ratio) < 1:
            raise InputError(f"mlp_ratio {self.mlp_ratio:g} leaves no hidden unit at dim {self.dim}")

    def resolved(self, image_size: tuple[int, int]) -> "ViTSpec":
        """The same sizes with the patch written out and checked against the image (height, width).

        Raises:
            InputError: if the patch does not divide the image, naming those that do.
        """
        if self.patch_size is None:
            return dataclasses.replace(self, patch_size=rule_patch(image_size, tokens_per_side=8))
        check_patch(self.patch_size, image_size)
        return self


BackboneSpec = ViTSpec  # a union, told apart by `name`, once there are more
