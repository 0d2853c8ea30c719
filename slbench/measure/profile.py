"""What networks cost: multiply-adds and parameters of a table of backbones and rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from slbench.backbones import BACKBONES, default_spec
from slbench.errors import InapplicableError
from slbench.measure.macs import ComputeCost, count
from slbench.measure.network import Network
from slbench.methods import METHODS


@dataclass(frozen=True)
class Profile:
    """A network by name, and what it costs."""

    backbone: str
    method: str
    network: Network
    cost: ComputeCost


def networks(
    backbones: Sequence[str], methods: Sequence[str], *, image_size: tuple[int, int], in_channels: int, num_classes: int
) -> tuple[dict[tuple[str, str], Network], list[str]]:
    """Networks by (backbone, row), in that order, and a note on each pair that means nothing.

    Raises:
        InputError: for sizes that do not fit.
        InapplicableError: if none of the pairs means something.
    """
    found: dict[tuple[str, str], Network] = {}
    notes = []
    for backbone in backbones:
        for method in methods:
            try:
                found[backbone, method] = Network.resolve(
                    default_spec(backbone),
                    METHODS[method],
                    image_size=image_size,
                    in_channels=in_channels,
                    num_classes=num_classes,
                )
            except InapplicableError as error:
                notes.append(f"left out: {BACKBONES[backbone].title}, {method}: {error}")
    if not found:
        raise InapplicableError(notes[0].removeprefix("left out: "))
    return found, notes


def costs(found: dict[tuple[str, str], Network]) -> Iterator[Profile]:
    """Each network's cost, one after the other."""
    for (backbone, method), network in found.items():
        cost = count(network.build(), image_size=network.image_size, in_channels=network.in_channels)
        yield Profile(backbone, method, network, cost)
