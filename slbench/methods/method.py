"""Method: the frozen value that names what a row of an ablation changes. Free of torch."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from slbench.errors import InputError
from slbench.validation import STRICT

Shift = Literal["none", "diagonal", "cardinal", "all8"]

DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
CARDINAL = ((-1, 0), (0, -1), (0, 1), (1, 0))
DIRECTIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "none": (),
    "diagonal": DIAGONAL,
    "cardinal": CARDINAL,
    "all8": DIAGONAL + CARDINAL,
}


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of an ablation: what it changes in the tokenizer and in attention.

    `Method()` is the plain backbone; every field turns one thing on. Source of SPT and LSA:
    arXiv:2112.13492. Errors: InputError for fields that contradict each other.
    """

    __pydantic_config__ = STRICT

    shift: Shift = "none"  # directions (down, right) of the shifted copies; the paper's is "diagonal"
    shift_ratio: Annotated[float, Gt(0), Le(1)] | None = None  # of the patch, floored to pixels; the paper's 0.5
    shift_pixels: Annotated[int, Ge(1)] | None = None  # in place of the ratio
    window: Literal[1, 2] = 1  # side in patches of what a token reads without shifts; 2 overlaps
    layer_norm: bool | None = None  # before the linear map; unless given, exactly when shifted
    s_pool: Literal["auto", "yes", "no"] = "auto"  # the shift or window also in pooling; auto: a shift, if there is any
    learn_temperature: bool = False  # of the softmax of attention
    temperature_per: Literal["head", "layer"] = "head"  # one learned temperature for each
    initial_temperature: Annotated[float, Gt(0)] = 1.0  # in multiples of sqrt(d_k); fixed unless learned
    mask_self: bool = False  # no token attends to itself
    widened: bool = False  # a control: the MLP is widened until the parameters are those of the row "both"

    def __post_init__(self) -> None:
        if self.shift_ratio is not None and self.shift_pixels is not None:
            raise InputError("shift_ratio and shift_pixels exclude each other: give one")
        if self.shift == "none" and (self.shift_ratio, self.shift_pixels) != (None, None):
            raise InputError("a shift size needs directions: set shift to diagonal, cardinal or all8")
        if self.shift == "none" and self.window == 1 and self.s_pool == "yes":
            raise InputError(
                "s_pool puts SPT in pooling layers and needs a shift: set shift to diagonal, cardinal or all8, "
                "or window to 2 for the control without shifts"
            )
        if self.shift != "none" and self.window != 1:
            raise InputError("window = 2 is a control without shifts: set shift to none, or window to 1")
        if self.temperature_per == "layer" and not self.learn_temperature:
            raise InputError("temperature_per = 'layer' needs learn_temperature = true")
        if self.widened and (self.changes_tokenizer or self.changes_attention):
            raise InputError("widened = true is a control on the plain backbone: drop the fields of SPT and LSA")

    @property
    def changes_tokenizer(self) -> bool:
        """Whether the patch embedding is not the backbone's own."""
        return self.shift != "none" or self.window != 1 or bool(self.layer_norm)

    @property
    def changes_attention(self) -> bool:
        """Whether attention is not the plain softmax of q k / sqrt(d_k)."""
        return self.learn_temperature or self.mask_self or self.initial_temperature != 1.0

    def resolved(self, *, pools: bool, soft_splits: bool = False) -> "Method":
        """The same row with every default written out, as it enters a run's identity.

        Args:
            pools: whether the backbone has pooling layers that SPT can replace.
            soft_splits: whether it makes tokens by soft splits, without patches (T2T): copies are then
                shifted by pixels, 1 unless given, and no norm is added. Source: arXiv:2112.13492.
        Raises:
            InputError: for what such a backbone has no place for.
        """
        shifted = self.shift != "none"
        if self.s_pool == "yes" and not pools:
            raise InputError("s_pool = 'yes' needs a backbone with pooling layers")
        pooled = pools and (self.s_pool == "yes" or (shifted and self.s_pool == "auto"))
        row = dataclasses.replace(self, s_pool="yes" if pooled else "no")
        if soft_splits:
            return row._on_soft_splits()
        by_ratio = shifted and self.shift_ratio is None and self.shift_pixels is None
        return dataclasses.replace(
            row,
            shift_ratio=0.5 if by_ratio else self.shift_ratio,
            layer_norm=shifted if self.layer_norm is None else self.layer_norm,
        )

    def _on_soft_splits(self) -> "Method":
        if self.window != 1:
            raise InputError("window = 2 is a size in patches, and soft splits have no patches")
        if self.layer_norm:
            raise InputError("soft splits take no layer_norm besides the one in the token transformer")
        if self.shift_ratio not in (None, 0.5):
            raise InputError("shift_ratio is a share of a patch, and soft splits have none: give shift_pixels")
        pixels = 1 if self.shift != "none" and self.shift_pixels is None else self.shift_pixels
        return dataclasses.replace(self, shift_ratio=None, shift_pixels=pixels, layer_norm=False)

    def pixels(self, patch_size: int) -> int:
        """How far the copies are shifted at this patch size, in pixels; 0 without a shift.

        A ratio is floored, as in the released code: the shift is at most that share of the patch.

        Raises:
            InputError: if the ratio comes to 0 px, with the smallest ratio that works.
        """
        if self.shift == "none":
            return 0
        if self.shift_pixels is not None:
            return self.shift_pixels
        ratio = 0.5 if self.shift_ratio is None else self.shift_ratio
        pixels = math.floor(ratio * patch_size + 1e-9)  # 0.29 * 100 is 28.999999999999996
        if pixels == 0:
            raise InputError(
                f"shift_ratio {ratio:g} of a patch of {patch_size} px is a shift of 0 px; "
                f"the smallest ratio that works is 1/{patch_size} = {1 / patch_size:g}"
            )
        return pixels

    def check_shift(self, patch_size: int, image_size: tuple[int, int]) -> None:
        """Raise InputError if the shift comes to 0 px or moves the whole image (height, width) out."""
        pixels = self.pixels(patch_size)
        if pixels >= min(image_size):
            raise InputError(f"a shift of {pixels} px empties an image of {image_size[0]} x {image_size[1]} px")
