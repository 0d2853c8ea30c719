"""Attention maps of the class token of several runs on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.captions import SPLIT_NAMES
from slbench.analysis.capture import AttentionCapture
from slbench.analysis.load import OnProgress, PassOptions, evenly_spaced, load_network, run_with_capture
from slbench.analysis.maps import Rollout, output_attention, output_layers_of
from slbench.analysis.run_selection import FinishedRun, Split
from slbench.backbones.attention_layer import AttentionLayer
from slbench.data.batches import Batches
from slbench.data.images.source import Rows
from slbench.data.splits import ImageSet
from slbench.errors import InputError
from slbench.plotting.style import SCREEN, FigureStyle
from slbench.text import distinct

DEFAULT_IMAGES = 6
MAX_IMAGES, MAX_COLUMNS = 100, 24


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Images and options of the attention maps."""

    split: Split
    images: tuple[int, ...] | None  # rows of the split
    per_class: int | None  # in place of `images`: first images of each class
    rollout: bool
    all_blocks: bool  # also a sheet per run with all blocks
    mixed: bool  # for CaiT, see `maps.output_attention`
    device: torch.device
    threads: int
    batch_size: int
    look: FigureStyle = SCREEN  # of the sheets


@dataclass(frozen=True)
class AttentionMaps:
    """Attention maps of one run."""

    run: FinishedRun
    layers: tuple[AttentionLayer, ...]  # all of the network
    by_layer: dict[AttentionLayer, Float[Tensor, "b down across"]]  # layers that feed the output, by depth
    rolled: Float[Tensor, "b down across"] | None
    predicted: tuple[int, ...]  # class indices

    @property
    def last(self) -> AttentionLayer:
        return list(self.by_layer)[-1]

    @property
    def main(self) -> Float[Tensor, "b down across"]:
        """The maps of the contact sheet."""
        return self.by_layer[self.last] if self.rolled is None else self.rolled


def select_rows(image_set: ImageSet, options: AttentionOptions) -> Rows:
    """Return the rows of the images to show: the requested ones, or a few evenly spaced ones of the split.

    Raises:
        InputError: for a row out of range, or more images than a sheet holds.
    """
    if options.images is not None:
        wrong = [row for row in options.images if not 0 <= row < len(image_set)]
        if wrong:
            raise InputError(
                f"--images: not among {len(image_set):,} {SPLIT_NAMES[options.split]} (got {wrong[0]}); "
                f"allowed: 0 to {len(image_set) - 1}"
            )
        rows = np.array(distinct(options.images), dtype=np.int64)
    elif options.per_class is not None:
        first = [
            np.flatnonzero(image_set.labels == label)[: options.per_class] for label in np.unique(image_set.labels)
        ]
        rows = np.concatenate(first)
    else:
        rows = evenly_spaced(len(image_set), at_most=DEFAULT_IMAGES)
    if len(rows) > MAX_IMAGES:
        raise InputError(f"--images: too many images for one sheet (got {len(rows):,}); allowed: at most {MAX_IMAGES}")
    return rows


def check_comparable(runs: Sequence[FinishedRun], split: Split) -> None:
    """Raise InputError unless all runs share the same images and fit on one sheet."""
    if len(runs) > MAX_COLUMNS:
        raise InputError(f"too many runs for one sheet (got {len(runs)}); allowed: at most {MAX_COLUMNS}")

    def data_of(run: FinishedRun) -> tuple[object, ...]:
        record, spec = run.record, run.record.spec
        seed = spec.seed if split == "train" and (spec.dataset.fraction or spec.dataset.per_class) else None
        size = (spec.dataset.fraction, spec.dataset.per_class) if split == "train" else None
        return record.data_sha256, spec.dataset.image_size, spec.protocol if split != "test" else None, size, seed

    for run in runs[1:]:
        if data_of(run) != data_of(runs[0]):
            raise InputError(
                f"runs on different data (got {runs[0].title} and {run.title}); choose runs on the same data"
            )


def read_maps(
    run: FinishedRun, image_set: ImageSet, rows: Rows, options: AttentionOptions, on_progress: OnProgress
) -> AttentionMaps:
    """Return the maps of one run, independent of the batch size up to rounding."""
    network = load_network(run, device=options.device)
    layers = network.attention_layers()
    output_layers = output_layers_of(layers)
    maps: dict[AttentionLayer, list[Tensor]] = {layer: [] for layer in output_layers}
    rollout, rolled = Rollout(), list[Tensor]()

    def update(capture: AttentionCapture) -> None:
        if capture.layer in maps:
            pieces = [output_attention(piece, mixed=options.mixed) for piece in capture.pieces()]
            maps[capture.layer].append(torch.cat(pieces).cpu())
        if options.rollout:
            rollout.update(capture)
            if capture.layer is layers[-1]:
                rolled.append(rollout.compute().cpu())

    images = Batches(image_set, run.record.spec.dataset, device=options.device)
    pass_options = PassOptions(device=options.device, batch_size=options.batch_size, on_progress=on_progress)
    logits = run_with_capture(
        network, layers if options.rollout else output_layers, images, rows, update, options=pass_options
    )
    by_layer = {layer: torch.cat(batches) for layer, batches in maps.items()}
    return AttentionMaps(
        run, layers, by_layer, torch.cat(rolled) if rolled else None, tuple(logits.argmax(dim=1).tolist())
    )
