"""Receptive field of a token or feature from the kernels and strides of its layers.

The formula is that of arXiv:2112.13492: r_token = r_trans * j + (k - j), with stride j and kernel k of a layer and
r_trans = 1 (attention between tokens is not counted). Layers are chained from the last to the first.
"""

import math
from collections.abc import Sequence
from typing import Literal

from slbench.methods.receptive_steps import Chain, Step


def receptive_field(steps: Sequence[Step], *, r_trans: int = 1) -> int:
    """Return the side in px of the field of `r_trans` adjacent outputs."""
    side = r_trans
    for step in reversed(steps):
        side = side * step.stride + (step.kernel - step.stride)
    return side


def stride_of(steps: Sequence[Step]) -> int:
    """Return the distance in px between adjacent outputs."""
    return math.prod(step.stride for step in steps)


def reach(steps: Sequence[Step], position: int) -> tuple[int, int]:
    """Return first and last pixel in the field of an output along one axis; may lie outside the image."""
    first = last = position
    for step in reversed(steps):
        first = first * step.stride - step.padding
        last = last * step.stride - step.padding + step.kernel - 1
    return first, last


# ResNet-50, arXiv:1512.03385, Table 1: bottlenecks per stage, and stride of the first
RESNET50_STEM = (Step("conv", 7, 2, 3), Step("pool", 3, 2, 1))
RESNET50_STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))


def resnet50(stride_on: Literal["1x1", "3x3"]) -> Chain:
    """Return the layers of ResNet-50 up to its last features.

    Args:
        stride_on: strided convolution of a bottleneck: the first 1x1 (arXiv:1512.03385) or the 3x3 (torchvision).
    """
    steps = list(RESNET50_STEM)
    for count, first in RESNET50_STAGES:
        for block in range(count):
            stride = first if block == 0 else 1
            narrow, middle = (stride, 1) if stride_on == "1x1" else (1, stride)
            steps += [Step("conv", 1, narrow), Step("conv", 3, middle, 1), Step("conv", 1)]
    return tuple(steps)
