"""Convolutional baselines for small images: ResNet (arXiv:1512.03385) and EfficientNet-B0 (arXiv:1905.11946).

Stochastic depth follows the recipe, as in the transformers; the paper does not say whether its runs of these networks
had it. `recipe.drop_path = 0` turns it off.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone, DropPath, init_kaiming_normal, require_image_size, rising_rates
from slbench.backbones.receptive_part import ReceptivePart
from slbench.backbones.specs import EfficientNetSpec, ResNetSpec
from slbench.errors import InapplicableError
from slbench.image_shape import ImageShape
from slbench.methods import Method
from slbench.methods.receptive_steps import steps_of

SQUEEZE_RATIO = 4  # input channels of a block / hidden channels of its squeeze-excitation
STAGES = (  # EfficientNet-B0: expansion, kernel, stride of the first block; arXiv:1905.11946, Table 1
    (1, 3, 1),
    (6, 3, 2),
    (6, 5, 2),
    (6, 3, 2),
    (6, 5, 1),
    (6, 5, 2),
    (6, 3, 1),
)


def require_plain(method: Method) -> None:
    """Raise InapplicableError unless the method is the plain backbone."""
    if not method.is_plain:
        raise InapplicableError("a convolutional network has neither tokens nor attention; allowed method: none")


def convolution(channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a convolution with padding kernel // 2 and a batch norm."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out),
    )


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut without parameters (option A of arXiv:1512.03385).

    With stride 2 the shortcut takes every second pixel and adds zero channels.
    """

    def __init__(self, channels: int, out: int, *, stride: int, drop_path: float) -> None:
        super().__init__()
        self.stride, self.added = stride, out - channels
        self.first = convolution(channels, out, 3, stride=stride)
        self.second = convolution(out, out, 3)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b out h_out w_out"]:
        branch = self.drop_path(self.second(F.relu(self.first(x))))
        before = self.added // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.added - before))
        return F.relu(shortcut + branch)


class ResNet(Backbone):
    """ResNet for small images: (b c h w) to logits (b k); 3 x 3 stem, three stages of basic blocks, mean, linear.

    Args:
        method: must be the plain method.
        drop_path: rate of stochastic depth in the last block, rising linearly from 0 in the first
            (arXiv:1603.09382).
    Raises:
        InapplicableError: for any other method.
    Source: arXiv:1512.03385, section 4.2.
    """

    def __init__(self, spec: ResNetSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        require_plain(method)
        assert spec.blocks_per_stage is not None
        self.image_size = shape.size
        self.stem = convolution(shape.channels, spec.width, 3)
        blocks, channels = [], spec.width
        for number, rate in enumerate(rising_rates(drop_path, 3 * spec.blocks_per_stage)):
            stage, position = divmod(number, spec.blocks_per_stage)
            out = spec.width * 2**stage
            stride = 2 if stage > 0 and position == 0 else 1
            blocks.append(BasicBlock(channels, out, stride=stride, drop_path=rate))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        features = self.blocks(F.relu(self.stem(images)))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return ()

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return (ReceptivePart("last features", steps_of(self.stem, self.blocks), self.blocks),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        init_kaiming_normal(module, name, parameter, source=source)


class SqueezeExcitation(nn.Module):
    """A gate in (0, 1) per channel, computed from the means of all channels. Source: arXiv:1709.01507."""

    receptive_steps = ()  # it reads the whole grid

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        means = x.mean(dim=(2, 3), keepdim=True)
        gated: Tensor = x * self.excite(F.silu(self.squeeze(means))).sigmoid()
        return gated


class InvertedResidual(nn.Module):
    """Widen, convolve depthwise, gate, narrow; with a skip if the shape is kept. Source: arXiv:1905.11946."""

    def __init__(self, channels: int, out: int, *, expansion: int, kernel: int, stride: int, drop_path: float) -> None:
        super().__init__()
        wide = channels * expansion
        widen = [convolution(channels, wide, 1), nn.SiLU()] if expansion > 1 else []
        self.branch = nn.Sequential(
            *widen,
            convolution(wide, wide, kernel, stride=stride, groups=wide),
            nn.SiLU(),
            SqueezeExcitation(wide, max(1, channels // SQUEEZE_RATIO)),
            convolution(wide, out, 1),
        )
        self.skips = stride == 1 and channels == out
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b out h_out w_out"]:
        branch: Tensor = self.branch(x)
        return x + self.drop_path(branch) if self.skips else branch


class EfficientNet(Backbone):
    """EfficientNet-B0 for small images: (b c h w) to logits (b k); stem without stride, seven stages, mean, linear.

    Unlike B0 for ImageNet it has no dropout and no 1280-channel convolution before the head, which agrees
    with the parameter count in Table 2 of arXiv:2112.13492. Args and errors as for `ResNet`.
    Source: arXiv:1905.11946, Table 1.
    """

    def __init__(self, spec: EfficientNetSpec, method: Method, *, shape: ImageShape, drop_path: float = 0.0) -> None:
        super().__init__()
        require_plain(method)
        self.image_size = shape.size
        self.stem = convolution(shape.channels, spec.stem, 3)
        rates = iter(rising_rates(drop_path, sum(spec.depths)))
        blocks, channels = [], spec.stem
        for (expansion, kernel, stride), out, depth in zip(STAGES, spec.dims, spec.depths, strict=True):
            for position in range(depth):
                blocks.append(
                    InvertedResidual(
                        channels,
                        out,
                        expansion=expansion,
                        kernel=kernel,
                        stride=stride if position == 0 else 1,
                        drop_path=next(rates),
                    )
                )
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, shape.classes)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        require_image_size(images, self.image_size)
        features = self.blocks(F.silu(self.stem(images)))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits

    def attention_layers(self) -> tuple[AttentionLayer, ...]:
        return ()

    def receptive_chain(self) -> tuple[ReceptivePart, ...]:
        return (ReceptivePart("last features", steps_of(self.stem, self.blocks), self.blocks),)

    def init_parameter(self, module: nn.Module, name: str, parameter: Tensor, *, source: torch.Generator) -> None:
        init_kaiming_normal(module, name, parameter, source=source)
