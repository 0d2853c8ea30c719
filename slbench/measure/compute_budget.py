"""Images and multiply-adds of a run, counted beforehand without data or memory."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter

from slbench.backbones import meta_network
from slbench.measure.network import Network
from slbench.spec import RunSpec


@dataclass(frozen=True)
class ComputeBudget:
    """Amount of computation."""

    images: int = 0  # training images, counted at each use
    macs: int = 0  # multiply-adds of training and evaluation; a backward pass counts as two forward passes

    def __add__(self, other: "ComputeBudget") -> "ComputeBudget":
        return ComputeBudget(self.images + other.images, self.macs + other.macs)


def total(runs: Iterable[RunSpec]) -> ComputeBudget:
    """Return the budget of several runs."""
    return sum((compute_budget(run) for run in runs), ComputeBudget())


def compute_budget(run: RunSpec) -> ComputeBudget:
    """Return the budget of a run: each epoch, training images forward and backward, evaluated images forward."""
    trained = run.recipe.epochs * run.samples_per_epoch
    validated = run.dataset.num_validation if run.protocol == "holdout" else 0
    evaluated = run.recipe.epochs * (run.dataset.num_test + validated)
    return ComputeBudget(trained, forward_macs(Network.of(run)) * (3 * trained + evaluated))


@dataclass(frozen=True)
class NetworkCount:
    """Counts of one network."""

    macs: int  # multiply-adds of a forward pass of one image
    bytes: int  # of parameters and buffers


@functools.cache
def network_count(key: str) -> NetworkCount:
    """Return the counts of a network given as JSON, cached."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = TypeAdapter(Network).validate_json(key)
    module = meta_network(network.backbone, network.method, shape=network.shape)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module.eval()(torch.empty(1, network.in_channels, *network.image_size))
    operations: int = counter.get_total_flops()  # two per multiply-add
    return NetworkCount(operations // 2, sum(value.nbytes for value in module.state_dict().values()))


def forward_macs(network: Network) -> int:
    """Return the multiply-adds of a forward pass of one image: matrix products and convolutions, as in a record."""
    return network_count(TypeAdapter(Network).dump_json(network).decode()).macs


def weight_bytes(network: Network) -> int:
    """Return the bytes of a network's weights."""
    return network_count(TypeAdapter(Network).dump_json(network).decode()).bytes
