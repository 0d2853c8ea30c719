"""Networks for receptive-field analysis: untrained on noise, or of finished runs on their test images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from slbench.analysis.learned_temperatures import line_titles
from slbench.analysis.load import LoadedDatasets, evenly_spaced, load_network
from slbench.analysis.run_selection import RunSelection
from slbench.backbones import BACKBONES, named_title
from slbench.backbones.layers import Backbone
from slbench.data.batches import Batches
from slbench.image_shape import ImageShape
from slbench.measure.network import Network, resolve_networks
from slbench.methods import model_title
from slbench.rng import generator
from slbench.text import distinct

# methods with different receptive fields of a token
DEFAULT_METHODS = ("none", "spt", "spt-no-pool", "spt-1px-cardinal", "overlapping-conv")


@dataclass(frozen=True)
class AnalyzedNetwork:
    """A network to analyse, and its line in figures and tables."""

    line: str
    backbone: str  # title in tables
    method: str
    dataset: str  # empty for noise
    seed: int
    image_size: tuple[int, int]
    network: Backbone
    images: torch.Tensor  # (n c h w), normalised
    weights: str  # epoch of the weights; empty for untrained networks


def resolve_default_networks(
    backbones: Sequence[str], methods: Sequence[str], *, shape: ImageShape
) -> tuple[dict[tuple[str, str], Network], list[str]]:
    """Return networks by (backbone, method), and notes on the pairs that do not apply.

    Args:
        backbones: names of backbones or presets; empty: every backbone.
        methods: names of methods; empty: the applicable ones of DEFAULT_METHODS, without notes on the others.
    """
    networks, notes = resolve_networks(
        backbones or BACKBONES, methods or DEFAULT_METHODS, shape=shape, where="--image-size"
    )
    return networks, notes if methods else []


def untrained_networks(networks: dict[tuple[str, str], Network], *, seed: int, count: int) -> Iterator[AnalyzedNetwork]:
    """Yield untrained networks on standard normal noise, the same for all networks of one image size."""
    for (backbone, method), network in networks.items():
        noise = generator(seed, "noise")
        yield AnalyzedNetwork(
            line=model_title(named_title(backbone), method),
            backbone=backbone,
            method=method,
            dataset="",
            seed=seed,
            image_size=network.image_size,
            network=network.build(seed=seed).eval(),
            images=torch.randn(count, network.in_channels, *network.image_size, generator=noise),
            weights="",
        )


def trained_networks(selection: RunSelection, *, count: int) -> Iterator[AnalyzedNetwork]:
    """Yield networks of finished runs with evenly spaced test images, so that every class is present."""
    cpu = torch.device("cpu")
    records = [run.record for run in selection.runs]
    titles = line_titles(records)
    many_datasets = len(distinct(record.labels.dataset for record in records)) > 1
    data = LoadedDatasets(selection.data)
    for run in selection.runs:
        record, title, test = run.record, titles[run.record.run_id], data.image_set(run, "test")
        batches = Batches(test.take(evenly_spaced(len(test), at_most=count)), record.spec.dataset, device=cpu)
        yield AnalyzedNetwork(
            line=title if many_datasets else title.replace(f", {record.labels.dataset}", "", 1),
            backbone=record.labels.backbone,
            method=record.labels.method,
            dataset=record.labels.dataset,
            seed=run.seed,
            image_size=record.spec.dataset.image_size,
            network=load_network(run, device=cpu),
            images=torch.cat([images for images, _ in batches.in_order(500)]),
            weights=run.epoch,
        )
