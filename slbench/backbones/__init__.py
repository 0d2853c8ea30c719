"""The backbones by name. Looking one up imports no torch; `build` does."""

import dataclasses
import importlib
from typing import TYPE_CHECKING

from slbench.backbones.specs import BackboneSpec, ViTSpec
from slbench.methods import Method

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone


@dataclasses.dataclass(frozen=True)
class BackboneEntry:
    """What the table of backbones says of one."""

    title: str  # as tables print it
    spec: type[BackboneSpec]
    module: str  # "module:Class" of the network
    pools: bool  # has pooling layers that S_pool can replace
    source: str


BACKBONES: dict[str, BackboneEntry] = {
    "vit": BackboneEntry(
        "ViT", ViTSpec, "slbench.backbones.vit:ViT", False, "arXiv:2010.11929, sizes of arXiv:2112.13492"
    ),
}


def build(
    spec: BackboneSpec,
    method: Method,
    *,
    image_size: tuple[int, int],
    in_channels: int,
    num_classes: int,
    drop_path: float,
    seed: int,
) -> "Backbone":
    """The network of one run, its initial values drawn from (seed, parameter name).

    Args:
        image_size: (height, width) in px.
        drop_path: rate of stochastic depth, in [0, 1).
    """
    from slbench.backbones.layers import initialize

    module, name = BACKBONES[spec.name].module.split(":")
    network: Backbone = getattr(importlib.import_module(module), name)(
        spec, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes, drop_path=drop_path
    )
    initialize(network, seed=seed)
    return network
