"""Multiply-adds and parameters of combinations of backbones and methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.backbones import BACKBONES, default_spec
from slbench.errors import InapplicableError
from slbench.measure.macs import ComputeCost, count
from slbench.measure.network import Network
from slbench.methods import METHODS


@dataclass(frozen=True)
class Profile:
    """A named network and its cost."""

    backbone: str
    method: str
    network: Network
    cost: ComputeCost


def networks(
    backbones: Sequence[str], methods: Sequence[str], *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> tuple[dict[tuple[str, str], Network], list[str]]:
    """Return networks by (backbone, method), in that order, and a note on each inapplicable pair.

    Raises:
        InputError: for incompatible sizes.
        InapplicableError: if no pair is applicable.
    """
    by_name: dict[tuple[str, str], Network] = {}
    notes = []
    for backbone in backbones:
        for method in methods:
            try:
                by_name[backbone, method] = Network.resolve(
                    default_spec(backbone),
                    METHODS[method],
                    image_size=image_size,
                    in_channels=in_channels,
                    num_classes=num_classes,
                )
            except InapplicableError as error:
                notes.append(f"left out: {BACKBONES[backbone].title}, {method}: {error}")
    if not by_name:
        raise InapplicableError(notes[0].removeprefix("left out: "))
    return by_name, notes


def costs(by_name: dict[tuple[str, str], Network]) -> Iterator[Profile]:
    """Yield the profile of each network."""
    for (backbone, method), network in by_name.items():
        cost = count(network.build(), image_size=network.image_size, in_channels=network.in_channels)
        yield Profile(backbone, method, network, cost)
