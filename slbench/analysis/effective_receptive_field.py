"""The effective receptive field: how strongly each pixel moves a token, or what the head reads, by gradients.

Source: Luo et al., arXiv:1701.04128, section 3.
"""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from slbench.analysis.receptive_field_formula import parts_of, reach, stride_of
from slbench.backbones.convnets import EfficientNet, ResNet
from slbench.backbones.layers import Backbone
from slbench.backbones.t2t import T2T
from slbench.rng import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

Output = Literal["tokens", "class"]
BATCH = 32  # images
FAINT = 1 - 0.9545  # of the strongest pixel: what is weaker is outside the effective field; arXiv:1701.04128
Map = NDArray[np.float64]  # (height, width)


@contextmanager
def output_of(network: Backbone, output: Output) -> "Iterator[list[Tensor]]":
    """Within it, each pass through the network appends what is asked for.

    "tokens": what the tokenizer gives (b n d), of a CNN its last features (b d h w); "class": what the head
    reads (b d).
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:  # noqa: ARG001
        seen.append(inputs[0] if output == "class" else result)

    part = "head" if output == "class" else "tokenizer"
    if output == "tokens" and isinstance(network, T2T):
        part = "project"
    elif output == "tokens" and isinstance(network, ResNet | EfficientNet):
        part = "blocks"
    handle = getattr(network, part).register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def centre(network: Backbone, image_size: tuple[int, int]) -> tuple[int, int]:
    """Place (down, across) of the central token; of an even number the one after the middle."""
    rows, columns = parts_of(network)[0].grid(image_size)
    return rows // 2, columns // 2


def central(values: Tensor, place: tuple[int, int], grid: tuple[int, int]) -> Float[Tensor, "b d"]:
    """The token at a place, of tokens (b n d) row by row or of a grid (b d h w)."""
    if values.ndim == 4:
        return values[:, :, place[0], place[1]]
    assert values.shape[1] == grid[0] * grid[1], f"{values.shape[1]} tokens on a grid of {grid}"
    return values[:, place[0] * grid[1] + place[1]]


def effective_field(
    network: Backbone,
    images: Float[Tensor, "n c h w"],
    *,
    output: Output,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Map:
    """Mean over images of the absolute gradient of an output by the pixels, summed over the image's channels.

    The output's channels are added with signs drawn for each image from the seed: a plain sum may vanish, and does
    after a layer norm.

    Args:
        network: in eval mode.
        images: normalised, as the network is trained on.
    """
    image_size = (images.shape[2], images.shape[3])
    grid = parts_of(network)[0].grid(image_size)
    place = centre(network, image_size)
    total = torch.zeros(image_size, dtype=torch.float64)
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH].clone().requires_grad_()
        with output_of(network, output) as seen:
            network(batch)
        vectors = seen[0] if output == "class" else central(seen[0], place, grid)
        source = generator(seed, "signs", start)
        signs = torch.randint(0, 2, vectors.shape, generator=source) * 2 - 1
        (gradient,) = torch.autograd.grad((vectors * signs).sum(), batch)
        total += gradient.abs().sum(dim=(0, 1), dtype=torch.float64)
        on_progress(start + len(batch), len(images))
    return (total / len(images)).numpy()


@dataclass(frozen=True)
class Box:
    """Pixels from the top left to the bottom right, all of them within."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def side(self) -> int:
        """The longer one."""
        return max(self.bottom - self.top, self.right - self.left) + 1

    def cut(self, image_size: tuple[int, int]) -> "Box":
        """What of it lies in an image."""
        height, width = image_size
        return Box(max(self.top, 0), max(self.left, 0), min(self.bottom, height - 1), min(self.right, width - 1))

    def share(self, values: Map) -> float:
        """The share of a map that lies within."""
        inside = self.cut((values.shape[0], values.shape[1]))
        return float(values[inside.top : inside.bottom + 1, inside.left : inside.right + 1].sum() / values.sum())


def boxes(network: Backbone, image_size: tuple[int, int]) -> tuple[Box, Box]:
    """Of the central token: what it reads by the formula, which may reach out of the image, and its own patch."""
    chain = parts_of(network)[0].chain
    row, column = centre(network, image_size)
    (top, bottom), (left, right) = reach(chain, row), reach(chain, column)
    j = stride_of(chain)
    return Box(top, left, bottom, right), Box(row * j, column * j, row * j + j - 1, column * j + j - 1)


def support(values: Map) -> Box:
    """The smallest box around all pixels that move the output at all."""
    rows, columns = np.nonzero(values)
    return Box(int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max()))


def effective_side(values: Map) -> float:
    """Side of a square of as many pixels as are not faint."""
    return float(np.count_nonzero(values >= FAINT * values.max()) ** 0.5)
