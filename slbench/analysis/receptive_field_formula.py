"""Receptive field of a token or feature from the kernels and strides of its layers.

The formula is that of arXiv:2112.13492: r_token = r_trans * j + (k - j), with stride j and kernel k of a layer and
r_trans = 1 (attention between tokens is not counted). Layers are chained from the last to the first.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from slbench.backbones import t2t
from slbench.backbones.cait import CaiT
from slbench.backbones.convnets import EfficientNet, ResNet, SqueezeExcitation
from slbench.backbones.layers import Backbone
from slbench.backbones.pit import PiT
from slbench.backbones.pit import Pool as PiTPool
from slbench.backbones.swin import Pool as SwinPool
from slbench.backbones.swin import Swin
from slbench.backbones.vit import ViT
from slbench.methods.spt import OverlappingConv, Patches, Shift, Windows


@dataclass(frozen=True)
class Step:
    """Kernel, stride and padding of one layer, equal along both axes."""

    name: str
    kernel: int  # inputs per output
    stride: int = 1
    padding: int = 0  # before the first input

    def __str__(self) -> str:
        return f"{self.name} {self.kernel}/{self.stride}"


Chain = tuple[Step, ...]  # from the image to the output


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


def steps_of(module: nn.Module) -> Chain:
    """Return the steps of a module whose children run in order.

    Pointwise layers are skipped, and so is squeeze-excitation, which reads the mean of the whole grid.
    """
    step = step_of(module)
    if step is not None:
        return (step,)
    if isinstance(module, SqueezeExcitation):
        return ()
    return tuple(step for child in module.children() for step in steps_of(child))


def step_of(module: nn.Module) -> Step | None:
    """Return the step of a single layer; None for other modules."""
    if isinstance(module, Shift):
        offset = module.pixels * max(abs(step) for direction in module.directions for step in direction)
        return Step("shift", 1 + 2 * offset, padding=offset)
    if isinstance(module, Patches):
        return Step("patch", module.patch_size, module.patch_size)
    if isinstance(module, Windows | OverlappingConv):
        return Step("window", 2 * module.patch_size, module.patch_size, padding=module.patch_size // 2)
    if isinstance(module, nn.Conv2d | nn.MaxPool2d):
        name = "conv" if isinstance(module, nn.Conv2d) else "pool"
        kernel, stride, padding, dilation = (
            one_side(size) for size in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        return Step(name, dilation * (kernel - 1) + 1, stride, padding)
    return None


def one_side(size: object) -> int:
    """Return the common size of both axes."""
    if isinstance(size, int):
        return size
    assert isinstance(size, tuple) and len(set(size)) == 1, f"{size}: differs between the axes"
    return int(size[0])


@dataclass(frozen=True)
class Part:
    """Part of a network with a receptive field: tokens, tokens of a later stage, or last features."""

    name: str
    chain: Chain

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Return the output grid (down, across): image sides over the stride, rounded up."""
        stride = stride_of(self.chain)
        height, width = image_size
        return -(-height // stride), -(-width // stride)


def parts_of(network: Backbone) -> tuple[Part, ...]:
    """Return the parts of a network with a field; the first is the encoder's input, of a CNN its output."""
    if isinstance(network, ViT | CaiT):
        return (Part("tokens", steps_of(network.tokenizer)),)
    if isinstance(network, PiT | Swin):
        return tuple(stages(network))
    if isinstance(network, t2t.T2T):
        splits = len(network.token_transformers) + 1
        split = Step("soft split", t2t.WINDOW, t2t.STRIDE, t2t.PADDING)
        return (Part("tokens", (*steps_of(network.shift), *[split] * splits)),)
    assert isinstance(network, ResNet | EfficientNet), f"{type(network).__name__}: has no chain yet"
    return (Part("last features", (*steps_of(network.stem), *steps_of(network.blocks))),)


def stages(network: PiT | Swin) -> Iterator[Part]:
    """Yield the tokens of every stage, ignoring earlier attention."""
    chain = steps_of(network.tokenizer)
    yield Part("tokens", chain)
    pools = [block for block in network.blocks if isinstance(block, PiTPool | SwinPool)]
    for number, pool in enumerate(pools, start=2):
        chain = (*chain, *steps_of(pool.grid))
        yield Part(f"tokens of stage {number}", chain)


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
