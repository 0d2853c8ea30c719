"""Effective receptive field: gradient of a token, or of the head's input, with respect to each pixel.

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

from slbench.analysis.receptive_field_formula import reach, stride_of
from slbench.backbones.layers import Backbone
from slbench.rng import generator

if TYPE_CHECKING:
    from collections.abc import Iterator

Output = Literal["tokens", "class"]
BATCH = 32  # images
FAINT = 1 - 0.9545  # share of the strongest pixel; weaker ones are outside the effective field, arXiv:1701.04128
Map = NDArray[np.float64]  # (height, width)


@contextmanager
def output_of(network: Backbone, output: Output) -> "Iterator[list[Tensor]]":
    """Collect an output of each forward pass in the context.

    "tokens": output of the tokenizer (b n d), of a CNN its last features (b d h w); "class": input of the head (b d).
    """
    outputs: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], result: Tensor) -> None:  # noqa: ARG001
        outputs.append(inputs[0] if output == "class" else result)

    module = network.head if output == "class" else network.receptive_chain()[0].module
    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def centre(network: Backbone, image_size: tuple[int, int]) -> tuple[int, int]:
    """Return (row, column) of the central token; for an even number the one after the middle."""
    rows, columns = network.receptive_chain()[0].grid(image_size)
    return rows // 2, columns // 2


def central(values: Tensor, position: tuple[int, int], grid: tuple[int, int]) -> Float[Tensor, "b d"]:
    """Return the token at `position`, of tokens (b n d) in row-major order or of a grid (b d h w)."""
    if values.ndim == 4:
        return values[:, :, position[0], position[1]]
    assert values.shape[1] == grid[0] * grid[1], f"{values.shape[1]} tokens on a grid of {grid}"
    return values[:, position[0] * grid[1] + position[1]]


def effective_field(
    network: Backbone,
    images: Float[Tensor, "n c h w"],
    *,
    output: Output,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Map:
    """Return the mean over images of the absolute gradient of an output by the pixels, summed over input channels.

    Output channels are summed with random signs per image: a plain sum vanishes after a layer norm.

    Args:
        network: in eval mode.
        images: normalised as in training.
    """
    image_size = (images.shape[2], images.shape[3])
    grid = network.receptive_chain()[0].grid(image_size)
    position = centre(network, image_size)
    total = torch.zeros(image_size, dtype=torch.float64)
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH].clone().requires_grad_()
        with output_of(network, output) as outputs:
            network(batch)
        vectors = outputs[0] if output == "class" else central(outputs[0], position, grid)
        source = generator(seed, "signs", start)
        signs = torch.randint(0, 2, vectors.shape, generator=source) * 2 - 1
        (gradient,) = torch.autograd.grad((vectors * signs).sum(), batch)
        total += gradient.abs().sum(dim=(0, 1), dtype=torch.float64)
        on_progress(start + len(batch), len(images))
    return (total / len(images)).numpy()


@dataclass(frozen=True)
class Box:
    """Box of pixels; all bounds are inclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def side(self) -> int:
        """Return the longer side in px."""
        return max(self.bottom - self.top, self.right - self.left) + 1

    def cut(self, image_size: tuple[int, int]) -> "Box":
        """Return the part of the box inside an image."""
        height, width = image_size
        return Box(max(self.top, 0), max(self.left, 0), min(self.bottom, height - 1), min(self.right, width - 1))

    def share(self, values: Map) -> float:
        """Return the share of a map's sum inside the box."""
        inside = self.cut((values.shape[0], values.shape[1]))
        return float(values[inside.top : inside.bottom + 1, inside.left : inside.right + 1].sum() / values.sum())


def boxes(network: Backbone, image_size: tuple[int, int]) -> tuple[Box, Box]:
    """Return field (may exceed the image) and own patch of the central token, by the formula."""
    chain = network.receptive_chain()[0].chain
    row, column = centre(network, image_size)
    (top, bottom), (left, right) = reach(chain, row), reach(chain, column)
    j = stride_of(chain)
    return Box(top, left, bottom, right), Box(row * j, column * j, row * j + j - 1, column * j + j - 1)


def support(values: Map) -> Box:
    """Return the smallest box around all pixels with a non-zero gradient."""
    rows, columns = np.nonzero(values)
    return Box(int(rows.min()), int(columns.min()), int(rows.max()), int(columns.max()))


def effective_side(values: Map) -> float:
    """Return the side of a square with as many pixels as exceed FAINT."""
    return float(np.count_nonzero(values >= FAINT * values.max()) ** 0.5)
