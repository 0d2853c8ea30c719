"""Description of a network as far as it decides its cost, without training settings. Free of torch."""

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from slbench.backbones import build, resolve_network
from slbench.backbones.specs import BackboneSpec
from slbench.methods import Method
from slbench.numerics_versions import NUMERICS
from slbench.spec import RunSpec, network_parts

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

BATCH_SIZE = 128  # random images, as in the paper


@dataclass(frozen=True, kw_only=True, config=ConfigDict(defer_build=True, extra="forbid", strict=True))
class Network:
    """A backbone with a method for images of one shape, with all defaults resolved."""

    backbone: Annotated[BackboneSpec, Field(discriminator="name")]
    method: Method
    image_size: tuple[int, int]  # (height, width) in px
    in_channels: int
    num_classes: int
    numerics: dict[str, int]  # version of each used part; see slbench.numerics_versions

    @classmethod
    def resolve(
        cls,
        backbone: BackboneSpec,
        method: Method,
        *,
        image_size: tuple[int, int],
        in_channels: int,
        num_classes: int,
    ) -> "Network":
        """Return the network of a backbone and method, with defaults filled in.

        Raises:
            InputError: if they do not fit each other.
        """
        backbone, method = resolve_network(
            backbone, method, image_size=image_size, in_channels=in_channels, num_classes=num_classes
        )
        return cls(
            backbone=backbone,
            method=method,
            image_size=image_size,
            in_channels=in_channels,
            num_classes=num_classes,
            numerics={part: NUMERICS[part] for part in network_parts(backbone, method)},
        )

    @classmethod
    def of(cls, run: RunSpec) -> "Network":
        """Return the network of a run."""
        return cls(
            backbone=run.backbone,
            method=run.method,
            image_size=run.dataset.image_size,
            in_channels=run.dataset.in_channels,
            num_classes=run.dataset.num_classes,
            numerics={part: run.numerics[part] for part in network_parts(run.backbone, run.method)},
        )

    def build(self) -> "Backbone":
        """Build the module with initial values of seed 0 and no stochastic depth."""
        return build(
            self.backbone,
            self.method,
            image_size=self.image_size,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
            drop_path=0.0,
            seed=0,
        )
