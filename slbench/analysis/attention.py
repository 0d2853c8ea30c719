"""Attention maps of the class token of several runs on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from slbench.analysis.captions import SPLIT_WORDS
from slbench.analysis.capture import AttentionCapture
from slbench.analysis.layers import AttentionLayer, layers_of
from slbench.analysis.load import OnProgress, PassOptions, evenly_spaced, load_network, look
from slbench.analysis.maps import Rollout, readers, reading
from slbench.analysis.run_selection import FinishedRun, Split
from slbench.data.batches import Batches
from slbench.data.splits import ImageSet, Rows
from slbench.errors import InputError
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


@dataclass(frozen=True)
class AttentionMaps:
    """Attention maps of one run."""

    run: FinishedRun
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


def chosen_rows(part: ImageSet, setting: AttentionOptions) -> Rows:
    """Return the rows of the images to show: the requested ones, or a few evenly spaced ones of the split.

    Raises:
        InputError: for a row out of range, or more images than a sheet holds.
    """
    if setting.images is not None:
        wrong = [row for row in setting.images if not 0 <= row < len(part)]
        if wrong:
            raise InputError(
                f"--images: no image {wrong[0]} among {len(part):,} {SPLIT_WORDS[setting.split]}; allowed: 0 to {len(part) - 1}"
            )
        rows = np.array(distinct(setting.images), dtype=np.int64)
    elif setting.per_class is not None:
        each = [np.flatnonzero(part.labels == label)[: setting.per_class] for label in np.unique(part.labels)]
        rows = np.concatenate(each)
    else:
        rows = evenly_spaced(len(part), at_most=DEFAULT_IMAGES)
    if len(rows) > MAX_IMAGES:
        raise InputError(
            f"too many images for one sheet (got {len(rows):,}); allowed: {MAX_IMAGES}; choose fewer with --images"
        )
    return rows


def check_comparable(runs: Sequence[FinishedRun], split: Split) -> None:
    """Raise InputError unless all runs share the same images and fit on one sheet."""
    if len(runs) > MAX_COLUMNS:
        raise InputError(f"too many runs for one sheet (got {len(runs)}); allowed: {MAX_COLUMNS}")

    def images(run: FinishedRun) -> tuple[object, ...]:
        record, spec = run.record, run.record.spec
        seed = spec.seed if split == "train" and (spec.dataset.fraction or spec.dataset.per_class) else None
        size = (spec.dataset.fraction, spec.dataset.per_class) if split == "train" else None
        return record.data_sha256, spec.dataset.image_size, spec.protocol if split != "test" else None, size, seed

    for run in runs[1:]:
        if images(run) != images(runs[0]):
            raise InputError(
                f"runs on different data: {runs[0].title} and {run.title}; choose runs on the same data for one sheet"
            )


def read_maps(
    run: FinishedRun, part: ImageSet, rows: Rows, setting: AttentionOptions, on_progress: OnProgress
) -> AttentionMaps:
    """Return the maps of one run, independent of the batch size up to rounding."""
    network = load_network(run, device=setting.device)
    layers = layers_of(network)
    asking = readers(layers)
    found: dict[AttentionLayer, list[Tensor]] = {layer: [] for layer in asking}
    rollout, rolled = Rollout(), list[Tensor]()

    def see(seen: AttentionCapture) -> None:
        if seen.layer in found:
            found[seen.layer].append(torch.cat([reading(piece, mixed=setting.mixed) for piece in seen.pieces()]).cpu())
        if setting.rollout:
            rollout.see(seen)
            if seen.layer is layers[-1]:
                rolled.append(rollout.take().cpu())

    batches = Batches(part, run.record.spec.dataset, device=setting.device)
    how = PassOptions(device=setting.device, batch_size=setting.batch_size, on_progress=on_progress)
    logits = look(network, layers if setting.rollout else asking, batches, rows, see, how=how)
    by_layer = {layer: torch.cat(maps) for layer, maps in found.items()}
    return AttentionMaps(run, by_layer, torch.cat(rolled) if rolled else None, tuple(logits.argmax(dim=1).tolist()))
