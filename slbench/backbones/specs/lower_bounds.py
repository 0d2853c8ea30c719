"""Lower bounds of the size of a network by formula, without building it. Free of torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LowerBounds:
    """Least size of a network.

    Args:
        parameters: of the plain backbone, without norms, biases and positions.
        activations: numbers per image that a backward pass needs: attention weights, or feature maps of convolutions.
        largest: of these, those of one layer, which a forward pass needs at once.
    """

    parameters: int = 0
    activations: int = 0
    largest: int = 0

    def __add__(self, other: "LowerBounds") -> "LowerBounds":
        return LowerBounds(
            self.parameters + other.parameters,
            self.activations + other.activations,
            max(self.largest, other.largest),
        )


def linear(inputs: int, outputs: int) -> LowerBounds:
    """Return the bounds of a linear map, whose result is not counted."""
    return LowerBounds(inputs * outputs)


def blocks(depth: int, dim: int, hidden: int, *, heads: int, inner: int, tokens: int, keys: int) -> LowerBounds:
    """Return the bounds of transformer blocks.

    Args:
        hidden: width of the MLP.
        inner: channels of all heads together.
        tokens: queries of a block.
        keys: keys that each query attends to.
    """
    attention = heads * tokens * keys
    return LowerBounds(depth * (4 * dim * inner + 2 * dim * hidden), depth * (attention + tokens * dim), attention)


def convolution(inputs: int, outputs: int, *, kernel: int, pixels: int) -> LowerBounds:
    """Return the bounds of a convolution with a result of `pixels` pixels."""
    return LowerBounds(kernel**2 * inputs * outputs, outputs * pixels, outputs * pixels)
