"""Multiply-adds and parameters of combinations of backbones and methods."""

from collections.abc import Iterator
from dataclasses import dataclass

from slbench.measure.macs import ComputeCost, count
from slbench.measure.network import Network


@dataclass(frozen=True)
class Profile:
    """A named network and its cost."""

    backbone: str
    method: str
    network: Network
    cost: ComputeCost


def costs(by_name: dict[tuple[str, str], Network]) -> Iterator[Profile]:
    """Yield the profile of each network."""
    for (backbone, method), network in by_name.items():
        cost = count(network.build(), shape=network.shape)
        yield Profile(backbone, method, network, cost)
