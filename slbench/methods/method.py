"""Method: a variant of an ablation as a frozen value. Free of torch."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from slbench.errors import InputError
from slbench.image_shape import MAX_SIDE
from slbench.validation import STRICT

OwnPart = Annotated[str, MaxLen(1000)]  # name in a study; in a run "Class@sha256 of its file"
Shift = Literal["none", "diagonal", "cardinal", "all8"]
ADDITIONS = ("initialization", "gaussians", "embedding", "global_pool", "mlp", "registers")  # fields of rival methods

DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))
CARDINAL = ((-1, 0), (0, -1), (0, 1), (1, 0))
DIRECTIONS: dict[str, tuple[tuple[int, int], ...]] = {
    "none": (),
    "diagonal": DIAGONAL,
    "cardinal": CARDINAL,
    "all8": DIAGONAL + CARDINAL,
}

# Convolutions with max pooling of CCT's tokenizers; each halves the grid. Source: arXiv:2104.05704, "CCT-7/3x1", "3x2".
CCT_LAYERS: dict[str, int] = {"cct-3x1": 1, "cct-3x2": 2}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of an ablation: changes of a backbone. `Method()` is the plain backbone.

    Raises:
        InputError: if fields contradict each other.
    Source: SPT and LSA of arXiv:2112.13492; the rivals' are with their modules.
    """

    __pydantic_config__ = STRICT

    shift: Shift = "none"  # directions (down, right) of the shifted copies; the paper's is "diagonal"
    shift_ratio: Annotated[float, Gt(0), Le(1)] | None = None  # share of the patch side, floored to px; default: 0.5
    shift_pixels: Annotated[int, Ge(1), Le(MAX_SIDE)] | None = None  # px; instead of the ratio
    window: Literal[1, 2] = 1  # side, in patches, of the window that a token reads; 2 overlaps, without shifts
    layer_norm: bool | None = None  # before the linear map; default: only with shifts
    s_pool: Literal["auto", "yes", "no"] = "auto"  # shift or window in pooling layers too; auto: only a shift
    learn_temperature: bool = False  # of the attention softmax
    temperature_per: Literal["head", "layer"] = "head"  # one learned temperature per head or layer
    initial_temperature: Annotated[float, Ge(1e-6), Le(1e6)] = 1.0  # in multiples of sqrt(d_k); constant unless learned
    mask_self: bool = False  # no token attends to itself
    mask_warmup: Annotated[float, Ge(0), Le(1e6)] = 0.0  # epochs over which the mask is blended in; 0: from the start
    own_tokenizer: OwnPart = ""  # registered by a plugin, in place of the patch embedding; see slbench.plugins
    own_scores: OwnPart = ""  # registered by a plugin, in place of the attention scores
    widened: bool = False  # control: a wider MLP, so that the parameter count is that of "both"
    initialization: Literal["default", "mimetic", "impulse", "impulse-norms"] = "default"  # of self-attention
    gaussians: Annotated[int, Ge(0), Le(64)] = 0  # per head, in a mask that multiplies the scores; GMM-ViT's are 5
    embedding: Literal["default", "conv-stem", "cct-3x1", "cct-3x2"] = "default"  # convolutions that make the tokens
    global_pool: Literal["default", "mean", "sequence"] = "default"  # without class token: mean of patches, or weighted
    mlp: Literal["default", "depthwise"] = "default"  # depthwise: a 3 x 3 convolution between its linear maps
    registers: Annotated[int, Ge(0), Le(256)] = 0  # learned tokens besides patches and class token
    match_parameters: Annotated[str, MinLen(1)] | None = None  # control: an MLP for the parameter count of this method

    def __post_init__(self) -> None:
        if self.shift_ratio is not None and self.shift_pixels is not None:
            raise InputError(
                "shift_ratio and shift_pixels: exclude each other "
                f"(got {self.shift_ratio:g} and {self.shift_pixels}); set one"
            )
        if self.shift == "none" and (self.shift_ratio, self.shift_pixels) != (None, None):
            name = "shift_pixels" if self.shift_ratio is None else "shift_ratio"
            raise InputError(
                f"{name}: needs a shift (got {getattr(self, name):g}); set shift to diagonal, cardinal or all8"
            )
        if self.shift == "none" and self.window == 1 and self.s_pool == "yes":
            raise InputError(
                "s_pool: needs a shift (got 'yes'); set shift to diagonal, cardinal or all8, "
                "or window to 2 for the control without shifts"
            )
        if self.shift != "none" and self.window != 1:
            raise InputError(
                f"window: is a control without shifts (got 2 with shift '{self.shift}'); "
                "set shift to none, or window to 1"
            )
        others = self.shift != "none" or self.window != 1 or self.layer_norm or self.embedding != "default"
        if self.own_tokenizer and others:
            raise InputError(
                "own_tokenizer: replaces the patch embedding; no shift, window, layer_norm or embedding applies "
                f"(got {self.own_tokenizer.partition('@')[0]!r}); remove one"
            )
        if self.temperature_per == "layer" and not self.learn_temperature:
            raise InputError("temperature_per: needs learn_temperature = true (got 'layer')")
        if self.embedding != "default" and (self.window != 1 or self.layer_norm):
            name, value = ("layer_norm", "true") if self.layer_norm else ("window", "2")
            raise InputError(
                f"{name}: needs flattened patches, which embedding '{self.embedding}' lacks (got {value}); remove it"
            )
        if self.mask_warmup and not self.mask_self:
            raise InputError(f"mask_warmup: needs mask_self = true (got {self.mask_warmup:g})")
        self._check_control()

    def _check_control(self) -> None:
        """Raise InputError for a control of equal parameters on anything but the plain backbone."""
        if self.widened and self.match_parameters is not None:
            raise InputError(
                f"match_parameters: excludes widened, which means 'both' (got '{self.match_parameters}'); keep one"
            )
        if self.matched is not None and self.changes_network:
            name, value = ("widened", "true") if self.widened else ("match_parameters", f"'{self.match_parameters}'")
            raise InputError(f"{name}: is a control on the plain backbone (got {value}); remove the other fields")

    @property
    def matched(self) -> str | None:
        """Return the name of the method whose parameter count another width of the MLP gives; None without."""
        return "both" if self.widened else self.match_parameters

    @property
    def changes_network(self) -> bool:
        """Return whether anything but the width of the MLP differs from the plain backbone."""
        return self.changes_tokenizer or self.changes_attention or bool(self.additions)

    @property
    def is_plain(self) -> bool:
        """Return whether this is the plain backbone, with or without its defaults resolved."""
        return self.matched is None and not self.changes_network

    @property
    def additions(self) -> Mapping[str, Any]:
        """Return the fields that change more than SPT and LSA do, with their values: each backbone lists its own."""
        values = {name: getattr(self, name) for name in ADDITIONS}
        return {name: value for name, value in values.items() if value not in ("default", 0)}

    @property
    def changes_tokenizer(self) -> bool:
        """Return whether the patch embedding differs from the backbone's default."""
        embeds = self.embedding != "default" or bool(self.own_tokenizer)
        return self.shift != "none" or self.window != 1 or bool(self.layer_norm) or embeds

    @property
    def changes_attention(self) -> bool:
        """Return whether attention differs from the plain softmax of q k / sqrt(d_k)."""
        changed = self.learn_temperature or self.mask_self or self.initial_temperature != 1.0
        return changed or bool(self.own_scores)

    def grid(self, image_size: tuple[int, int], *, patches: tuple[int, int]) -> tuple[int, int]:
        """Return the tokens (down, across) of an image (height, width).

        Args:
            patches: the grid of patches, which every tokenizer but CCT's keeps.
        """
        if self.embedding not in CCT_LAYERS:
            return patches
        height, width = image_size
        share = 2 ** CCT_LAYERS[self.embedding]
        return -(-height // share), -(-width // share)

    def resolved(self, *, pools: bool, soft_splits: bool = False) -> "Method":
        """Return the method with every default resolved, as it enters a run's identity.

        Args:
            pools: whether the backbone has pooling layers that SPT can replace.
            soft_splits: whether the backbone makes tokens by soft splits, without patches (T2T): the shift is
                then in px, by default 1, and no norm is added. Source: arXiv:2112.13492.
        Raises:
            InputError: if the method does not apply to such a backbone.
        """
        shifted = self.shift != "none"
        if self.s_pool == "yes" and not pools:
            raise InputError("s_pool: needs a backbone with pooling layers (got 'yes')")
        pooled = pools and (self.s_pool == "yes" or (shifted and self.s_pool == "auto"))
        method = dataclasses.replace(self, s_pool="yes" if pooled else "no")
        if soft_splits:
            return method._on_soft_splits()
        by_ratio = shifted and self.shift_ratio is None and self.shift_pixels is None
        return dataclasses.replace(
            method,
            shift_ratio=0.5 if by_ratio else self.shift_ratio,
            layer_norm=shifted and self.embedding == "default" if self.layer_norm is None else self.layer_norm,
        )

    def _on_soft_splits(self) -> "Method":
        if self.own_tokenizer:
            raise InputError(f"own_tokenizer: needs patches (got {self.own_tokenizer.partition('@')[0]!r})")
        if self.window != 1:
            raise InputError("window: needs patches, and soft splits have none (got 2)")
        if self.layer_norm:
            raise InputError("layer_norm: soft splits have no norm besides that of the token transformer (got true)")
        if self.shift_ratio not in (None, 0.5):
            raise InputError(
                f"shift_ratio: needs patches, and soft splits have none (got {self.shift_ratio:g}); set shift_pixels"
            )
        pixels = 1 if self.shift != "none" and self.shift_pixels is None else self.shift_pixels
        return dataclasses.replace(self, shift_ratio=None, shift_pixels=pixels, layer_norm=False)

    def pixels(self, patch_size: int) -> int:
        """Return the shift at this patch size, in px; 0 without a shift. A ratio is floored, as in the released code.

        Raises:
            InputError: if the ratio gives 0 px; names the smallest valid ratio.
        """
        if self.shift == "none":
            return 0
        if self.shift_pixels is not None:
            return self.shift_pixels
        ratio = 0.5 if self.shift_ratio is None else self.shift_ratio
        pixels = math.floor(ratio * patch_size + 1e-9)  # 0.29 * 100 is 28.999999999999996
        if pixels == 0:
            raise InputError(
                f"shift_ratio: is a shift of 0 px in a patch of {patch_size} px (got {ratio:g}); "
                f"allowed: 1/{patch_size} = {1 / patch_size:g} or more"
            )
        return pixels

    def check_shift(self, patch_size: int, image_size: tuple[int, int]) -> None:
        """Raise InputError if the shift is 0 px or not smaller than the image (height, width)."""
        pixels = self.pixels(patch_size)
        if pixels >= min(image_size):
            raise InputError(
                f"shift: leaves nothing of an image of {image_size[0]} x {image_size[1]} px (got {pixels} px); "
                f"allowed: 1 to {min(image_size) - 1}"
            )
