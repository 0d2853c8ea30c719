"""Networks in float64 with perturbed parameters, their blocks, and random tokens."""

import torch
from torch import Tensor, nn

from slbench.backbones import build
from slbench.backbones.layers import Backbone, Block
from slbench.backbones.specs import BackboneSpec
from slbench.image_shape import ImageShape
from slbench.methods import METHODS


def perturbed(spec: BackboneSpec, method: str, image_size: tuple[int, int]) -> Backbone:
    """Return a network in float64 with perturbed parameters, so that biases, norms and scales matter."""
    network = build(spec, METHODS[method], shape=ImageShape(image_size, 5, 7), drop_path=0.0, seed=0).double()
    source = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=source))
    return network


def blocks(network: nn.Module) -> list[Block]:
    return [module for module in network.modules() if isinstance(module, Block)]


def tokens(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
