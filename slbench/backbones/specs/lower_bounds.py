"""Lower bounds of the size of a network by formula, without building it. Free of torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LowerBounds:
    """Least size of a network.

    Args:
        parameters: of the plain backbone, without norms, biases and positions.
        activations: numbers per image that a backward pass needs: attention weights, or feature maps of convolutions.
        largest: of these, those of one layer, which a forward pass needs at once.
        macs: multiply-adds of a forward pass of one image.
    """

    parameters: int = 0
    activations: int = 0
    largest: int = 0
    macs: int = 0

    def __add__(self, other: "LowerBounds") -> "LowerBounds":
        return LowerBounds(
            self.parameters + other.parameters,
            self.activations + other.activations,
            max(self.largest, other.largest),
            self.macs + other.macs,
        )


def linear(inputs: int, outputs: int) -> LowerBounds:
    """Return the bounds of a linear map, whose result is not counted."""
    return LowerBounds(inputs * outputs, macs=inputs * outputs)


def blocks(depth: int, dim: int, hidden: int, *, heads: int, inner: int, tokens: int, keys: int) -> LowerBounds:
    """Return the bounds of transformer blocks.

    Args:
        hidden: width of the MLP.
        inner: channels of all heads together.
        tokens: queries of a block.
        keys: keys that each query attends to.
    """
    attention = heads * tokens * keys
    weights = 4 * dim * inner + 2 * dim * hidden
    return LowerBounds(
        depth * weights,
        depth * (attention + tokens * dim),
        attention,
        depth * tokens * (weights + 2 * keys * inner),
    )


def convolution(inputs: int, outputs: int, *, kernel: int, pixels: int) -> LowerBounds:
    """Return the bounds of a convolution with a result of `pixels` pixels."""
    weights = kernel**2 * inputs * outputs
    return LowerBounds(weights, outputs * pixels, outputs * pixels, weights * pixels)
