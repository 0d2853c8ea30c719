"""Sizes of the convolutional baselines."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from slbench.backbones.specs.base import (
    WITH_BATCH_NORM,
    BackboneEntry,
    BackboneSpec,
    Depth,
    Depths,
    Size,
    Sizes,
    check_blocks,
)
from slbench.backbones.specs.lower_bounds import LowerBounds, convolution, linear
from slbench.errors import InputError
from slbench.image_shape import ImageShape
from slbench.validation import STRICT


@dataclass(frozen=True, kw_only=True)
class ResNetSpec(BackboneSpec):
    """Sizes of a ResNet for small images; the defaults are from arXiv:1512.03385, section 4.2."""

    __pydantic_config__ = STRICT

    name: Literal["resnet56", "resnet110"] = "resnet56"
    width: Size = 16  # channels of the stem and first stage; doubled twice
    blocks_per_stage: Depth | None = None  # default: 9 for resnet56, 18 for resnet110

    def resolved(self, image_size: tuple[int, int]) -> "ResNetSpec":  # noqa: ARG002  (any size will do)
        """Return the sizes with the blocks resolved."""
        blocks = self.blocks_per_stage or {"resnet56": 9, "resnet110": 18}[self.name]
        return dataclasses.replace(self, blocks_per_stage=blocks)

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        assert self.blocks_per_stage is not None
        bounds = linear(4 * self.width, shape.classes)
        for stage in range(3):
            channels, pixels = 2**stage * self.width, math.prod(side // 2**stage for side in shape.size)
            one = convolution(channels, channels, kernel=3, pixels=pixels)
            for _ in range(2 * self.blocks_per_stage - 1):  # the first of a stage may be narrower
                bounds += one
        return bounds


@dataclass(frozen=True, kw_only=True)
class EfficientNetSpec(BackboneSpec):
    """Sizes of an EfficientNet; the defaults are B0 of arXiv:1905.11946, Table 1."""

    __pydantic_config__ = STRICT

    name: Literal["efficientnet-b0"] = "efficientnet-b0"
    stem: Size = 32  # channels of the first convolution
    dims: Sizes = (16, 24, 40, 80, 112, 192, 320)  # channels of each stage
    depths: Depths = (1, 2, 2, 3, 3, 4, 1)  # blocks of each stage

    def __post_init__(self) -> None:
        if len(self.dims) != 7 or len(self.depths) != 7:
            raise InputError(f"dims and depths need 7 entries each (got {len(self.dims)} and {len(self.depths)})")
        check_blocks(self.depths)

    def resolved(self, image_size: tuple[int, int]) -> "EfficientNetSpec":  # noqa: ARG002  (any size will do)
        """Return the sizes unchanged: none depends on the image."""
        return self

    def lower_bounds(self, shape: ImageShape) -> LowerBounds:
        height, width = shape.size
        bounds = convolution(shape.channels, self.stem, kernel=3, pixels=height * width)
        for stage, (dim, depth) in enumerate(zip(self.dims, self.depths, strict=True)):
            inputs, expansion = (self.stem, 1) if stage == 0 else (self.dims[stage - 1], 6)
            bounds += linear(expansion * inputs, inputs * (stage > 0) + dim)
            bounds += LowerBounds((depth - 1) * (2 * expansion - (stage == 0)) * dim**2)
        return bounds + linear(self.dims[-1], shape.classes)


ENTRIES = {
    "resnet56": BackboneEntry(
        title="ResNet56",
        spec=ResNetSpec,
        module="slbench.backbones.convnets:ResNet",
        source="arXiv:1512.03385, section 4.2",
        small=(ResNetSpec(width=5, blocks_per_stage=2), (13, 17)),
        tokens="none",
        cost_note=WITH_BATCH_NORM,
    ),
    "resnet110": BackboneEntry(
        title="ResNet110",
        spec=ResNetSpec,
        module="slbench.backbones.convnets:ResNet",
        source="arXiv:1512.03385, section 4.2",
        small=(ResNetSpec(name="resnet110", width=3, blocks_per_stage=3), (13, 17)),
        tokens="none",
        cost_note=WITH_BATCH_NORM,
    ),
    "efficientnet-b0": BackboneEntry(
        title="EfficientNet-B0",
        spec=EfficientNetSpec,
        module="slbench.backbones.convnets:EfficientNet",
        source="arXiv:1905.11946, with a stem for small images",
        small=(
            EfficientNetSpec(stem=5, dims=(3, 7, 7, 11, 13, 13, 17), depths=(1, 2, 1, 1, 1, 1, 1)),
            (33, 34),
        ),
        tokens="none",
        published_title="EfficientNetB0",
        cost_note=WITH_BATCH_NORM,
    ),
}
