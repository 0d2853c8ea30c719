"""The networks whose receptive fields are looked into: untrained on noise, or of finished runs on their test images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from slbench.analysis.learned_temperatures import line_titles
from slbench.analysis.load import LoadedDatasets, evenly_spaced, load_network
from slbench.analysis.run_selection import RunSelection
from slbench.backbones import BACKBONES, NAMED, build, default_spec
from slbench.backbones.layers import Backbone
from slbench.data.batches import Batches
from slbench.errors import InapplicableError
from slbench.measure.network import Network
from slbench.methods import METHODS, model_title
from slbench.rng import generator
from slbench.text import distinct

ROWS = ("none", "spt", "spt-no-pool", "spt-1px-cardinal", "overlapping-conv")  # that differ in what a token reads


@dataclass(frozen=True)
class AnalyzedNetwork:
    """A network to look into, one of a line of figures and tables."""

    line: str
    backbone: str  # as tables print it
    method: str
    dataset: str  # empty: noise
    seed: int
    image_size: tuple[int, int]
    network: Backbone
    images: torch.Tensor  # (n c h w), normalised
    weights: str  # of which epoch; empty: not trained


def networks(
    backbones: Sequence[str], methods: Sequence[str], *, side: int, in_channels: int, num_classes: int
) -> tuple[dict[tuple[str, str], Network], list[str]]:
    """Networks by (backbone, row) for square images, and a note on each pair that means nothing.

    Args:
        backbones: names of backbones or presets; none: every backbone.
        methods: names of rows; none: those of ROWS that mean something, without notes on the others.
    Raises:
        InputError: for sizes that do not fit.
        InapplicableError: if none of the pairs means something.
    """
    found: dict[tuple[str, str], Network] = {}
    notes = []
    for backbone in backbones or BACKBONES:
        for method in methods or ROWS:
            try:
                found[backbone, method] = Network.resolve(
                    default_spec(backbone),
                    METHODS[method],
                    image_size=(side, side),
                    in_channels=in_channels,
                    num_classes=num_classes,
                )
            except InapplicableError as error:
                notes.append(f"left out: {NAMED[backbone].title}, {method}: {error}")
    if not found:
        raise InapplicableError(notes[0].removeprefix("left out: "))
    return found, notes if methods else []


def fresh(found: dict[tuple[str, str], Network], *, seed: int, count: int) -> Iterator[AnalyzedNetwork]:
    """Untrained networks on noise: a standard normal, the same for all networks of one image size."""
    for (backbone, method), network in found.items():
        noise = generator(seed, "noise")
        made = build(
            network.backbone,
            network.method,
            image_size=network.image_size,
            in_channels=network.in_channels,
            num_classes=network.num_classes,
            drop_path=0.0,
            seed=seed,
        )
        yield AnalyzedNetwork(
            line=model_title(NAMED[backbone].title, method),
            backbone=backbone,
            method=method,
            dataset="",
            seed=seed,
            image_size=network.image_size,
            network=made.eval(),
            images=torch.randn(count, network.in_channels, *network.image_size, generator=noise),
            weights="",
        )


def finished(chosen: RunSelection, *, count: int) -> Iterator[AnalyzedNetwork]:
    """Networks of finished runs, on images of their test splits at equal steps, so that every class has some."""
    cpu = torch.device("cpu")
    records = [run.record for run in chosen.runs]
    titles = line_titles(records)
    several = len(distinct(record.labels.dataset for record in records)) > 1
    data = LoadedDatasets()
    for run in chosen.runs:
        record, title, test = run.record, titles[run.record.run_id], data.part(run, "test")
        batches = Batches(test.take(evenly_spaced(len(test), at_most=count)), record.spec.dataset, device=cpu)
        yield AnalyzedNetwork(
            line=title if several else title.replace(f", {record.labels.dataset}", "", 1),
            backbone=record.labels.backbone,
            method=record.labels.method,
            dataset=record.labels.dataset,
            seed=run.seed,
            image_size=record.spec.dataset.image_size,
            network=load_network(run, device=cpu),
            images=torch.cat([images for images, _ in batches.in_order(500)]),
            weights=run.epoch,
        )
