"""How much a run has to compute, known before it: images and multiply-adds, counted without data and without memory."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import TypeAdapter

from slbench.backbones import construct
from slbench.measure.network import Network
from slbench.spec import RunSpec


@dataclass(frozen=True)
class ComputeBudget:
    """What has to be computed."""

    images: int = 0  # trained on, counted at each use
    macs: int = 0  # multiply-adds of training and evaluation; a backward pass counts as two forward ones

    def __add__(self, other: "ComputeBudget") -> "ComputeBudget":
        return ComputeBudget(self.images + other.images, self.macs + other.macs)


def total(runs: Iterable[RunSpec]) -> ComputeBudget:
    """The work of several runs."""
    return sum((work(run) for run in runs), ComputeBudget())


def work(run: RunSpec) -> ComputeBudget:
    """The work of one run: every training image forward and backward, every evaluated one forward, each epoch."""
    trained = run.recipe.epochs * run.samples_per_epoch
    validated = run.dataset.num_validation if run.protocol == "holdout" else 0
    evaluated = run.recipe.epochs * (run.dataset.num_test + validated)
    return ComputeBudget(trained, forward_macs(Network.of(run)) * (3 * trained + evaluated))


@dataclass(frozen=True)
class NetworkCount:
    """What one network comes to."""

    macs: int  # multiply-adds of one image's forward pass
    bytes: int  # of its parameters and buffers


@functools.cache
def counted(key: str) -> NetworkCount:
    """The count for a network as JSON, made once in a process."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network = TypeAdapter(Network).validate_json(key)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        module = construct(
            network.backbone,
            network.method,
            image_size=network.image_size,
            in_channels=network.in_channels,
            num_classes=network.num_classes,
            drop_path=0.0,
        )
        module.eval()(torch.empty(1, network.in_channels, *network.image_size))
    operations: int = counter.get_total_flops()  # two for each multiply-add
    return NetworkCount(operations // 2, sum(value.nbytes for value in module.state_dict().values()))


def forward_macs(network: Network) -> int:
    """Multiply-adds of one image's forward pass: matrix products and convolutions, as a record has them."""
    return counted(TypeAdapter(Network).dump_json(network).decode()).macs


def weight_bytes(network: Network) -> int:
    """Bytes of a network's weights, as a file holds them but for its header."""
    return counted(TypeAdapter(Network).dump_json(network).decode()).bytes
