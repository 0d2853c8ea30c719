"""Description of a network as far as it decides its cost, without training settings. Free of torch."""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from slbench.backbones import build, default_spec, named_title, resolve_network
from slbench.backbones.specs import BackboneSpec, RegisteredSpec
from slbench.errors import InapplicableError, InputError
from slbench.image_shape import ImageShape
from slbench.methods import METHODS, Method
from slbench.spec import RunSpec, network_numerics

if TYPE_CHECKING:
    from slbench.backbones.layers import Backbone

BATCH_SIZE = 128  # random images, as in the paper


@dataclass(frozen=True, kw_only=True, config=ConfigDict(defer_build=True, extra="forbid", strict=True))
class Network:
    """A backbone with a method for images of one shape, with all defaults resolved."""

    backbone: RegisteredSpec
    method: Method
    image_size: tuple[int, int]  # (height, width) in px
    in_channels: int
    num_classes: int
    numerics: dict[str, int]  # version of each used part; see slbench.numerics_versions

    @classmethod
    def resolve(cls, backbone: BackboneSpec, method: Method, *, shape: ImageShape) -> "Network":
        """Return the network of a backbone and method, with defaults filled in.

        Raises:
            InputError: if they do not fit each other.
        """
        backbone, method = resolve_network(backbone, method, shape=shape)
        return cls._of_shape(backbone, method, shape, network_numerics(backbone, method))

    @classmethod
    def of(cls, run: RunSpec) -> "Network":
        """Return the network of a run."""
        numerics = {part: run.numerics[part] for part in network_numerics(run.backbone, run.method)}
        return cls._of_shape(run.backbone, run.method, run.dataset.shape, numerics)

    @classmethod
    def _of_shape(
        cls, backbone: BackboneSpec, method: Method, shape: ImageShape, numerics: dict[str, int]
    ) -> "Network":
        return cls(
            backbone=backbone,
            method=method,
            image_size=shape.size,
            in_channels=shape.channels,
            num_classes=shape.classes,
            numerics=numerics,
        )

    @property
    def shape(self) -> ImageShape:
        """Return the shape of the images."""
        return ImageShape(self.image_size, self.in_channels, self.num_classes)

    def build(self, *, seed: int = 0) -> "Backbone":
        """Build the module with the initial values of a seed and no stochastic depth."""
        return build(self.backbone, self.method, shape=self.shape, drop_path=0.0, seed=seed)


def resolve_networks(
    backbones: Iterable[str], methods: Iterable[str], *, shape: ImageShape, where: str
) -> tuple[dict[tuple[str, str], Network], list[str]]:
    """Return networks by (backbone, method), in that order, and a note on each pair that does not apply.

    Args:
        backbones: names of backbones or presets.
        where: flag of the image size, for errors.
    Raises:
        InputError: for sizes that do not fit.
        InapplicableError: if no pair applies.
    """
    networks: dict[tuple[str, str], Network] = {}
    notes = []
    for backbone, method in itertools.product(backbones, methods):
        try:
            networks[backbone, method] = Network.resolve(default_spec(backbone), METHODS[method], shape=shape)
        except InapplicableError as error:
            notes.append(f"left out: {named_title(backbone)}, {method}: {error}")
        except InputError as error:
            size = "x".join(map(str, dict.fromkeys(shape.size)))
            raise InputError(f"{where} {size}: {named_title(backbone)}, {method}: {error}") from error
    if not networks:
        raise InapplicableError(notes[0].removeprefix("left out: "))
    return networks, notes
