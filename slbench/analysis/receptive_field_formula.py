"""How many pixels a token, or a feature, is computed from: kernels and strides chained, read off the layers.

The formula is that of arXiv:2112.13492: r_token = r_trans * j + (k - j), with stride j and kernel k of a layer and
r_trans = 1, as attention among tokens does not count. Over several layers it is applied from the last to the first.
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
    """One layer along one axis of the image; both axes are alike."""

    name: str
    kernel: int  # places that one output reads
    stride: int = 1
    padding: int = 0  # places before the first

    def __str__(self) -> str:
        return f"{self.name} {self.kernel}/{self.stride}"


Chain = tuple[Step, ...]  # from the image on


def receptive_field(steps: Sequence[Step], *, r_trans: int = 1) -> int:
    """Side in px of what one output reads.

    Args:
        r_trans: side, in outputs, of what is asked for; 1: a single one.
    """
    side = r_trans
    for step in reversed(steps):
        side = side * step.stride + (step.kernel - step.stride)
    return side


def stride_of(steps: Sequence[Step]) -> int:
    """Pixels from one output to the next."""
    return math.prod(step.stride for step in steps)


def reach(steps: Sequence[Step], place: int) -> tuple[int, int]:
    """First and last pixel that the output at a place reads, along one axis; they may lie outside the image."""
    first = last = place
    for step in reversed(steps):
        first = first * step.stride - step.padding
        last = last * step.stride - step.padding + step.kernel - 1
    return first, last


def steps_of(module: nn.Module) -> Chain:
    """The steps of a module whose parts, in the order it has them, work one after the other.

    Linear maps, norms and what works place by place are no steps; nor is the gate of squeeze-excitation, which reads
    the mean of the whole grid.
    """
    step = step_of(module)
    if step is not None:
        return (step,)
    if isinstance(module, SqueezeExcitation):
        return ()
    return tuple(step for child in module.children() for step in steps_of(child))


def step_of(module: nn.Module) -> Step | None:
    """The step that a layer is; None if it is none, or made of several."""
    if isinstance(module, Shift):
        far = module.pixels * max(abs(way) for direction in module.directions for way in direction)
        return Step("shift", 1 + 2 * far, padding=far)
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
    """A size that is the same along both axes."""
    if isinstance(size, int):
        return size
    assert isinstance(size, tuple) and len(set(size)) == 1, f"{size}: not the same along both axes"
    return int(size[0])


@dataclass(frozen=True)
class Part:
    """Something in a network that has a field: its tokens, those of a later stage, or its last features."""

    name: str
    chain: Chain

    def grid(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """Places (down, across): the image's sides over the stride, rounded up."""
        stride = stride_of(self.chain)
        height, width = image_size
        return -(-height // stride), -(-width // stride)


def parts_of(network: Backbone) -> tuple[Part, ...]:
    """What has a field in a network. The first is what enters the encoder; of a CNN, what leaves it."""
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
    """The tokens of every stage, as if there were no attention before."""
    chain = steps_of(network.tokenizer)
    yield Part("tokens", chain)
    pools = [block for block in network.blocks if isinstance(block, PiTPool | SwinPool)]
    for number, pool in enumerate(pools, start=2):
        chain = (*chain, *steps_of(pool.grid))
        yield Part(f"tokens of stage {number}", chain)


# ResNet-50, arXiv:1512.03385, Table 1: bottlenecks of each stage, and the stride of the first of them.
RESNET50_STEM = (Step("conv", 7, 2, 3), Step("pool", 3, 2, 1))
RESNET50_STAGES = ((3, 1), (4, 2), (6, 2), (3, 2))


def resnet50(stride_on: Literal["1x1", "3x3"]) -> Chain:
    """The layers of ResNet-50 up to its last features.

    Args:
        stride_on: which convolution of a bottleneck halves the grid: the first 1x1, as in arXiv:1512.03385, or the
            3x3, as torchvision has it.
    """
    steps = list(RESNET50_STEM)
    for count, first in RESNET50_STAGES:
        for block in range(count):
            stride = first if block == 0 else 1
            narrow, middle = (stride, 1) if stride_on == "1x1" else (1, stride)
            steps += [Step("conv", 1, narrow), Step("conv", 3, middle, 1), Step("conv", 1)]
    return tuple(steps)
