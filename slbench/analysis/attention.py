"""Where runs look, on the same images: the maps of the class token's attention, read from each network."""

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

HANDFUL = 6  # images, unless told
MAX_IMAGES, MAX_COLUMNS = 100, 24


@dataclass(frozen=True, kw_only=True)
class AttentionOptions:
    """Which images are looked at, and how."""

    split: Split
    images: tuple[int, ...] | None  # rows of the split
    per_class: int | None  # in place of them, the first so many of each class
    rollout: bool
    all_blocks: bool  # also a sheet of each run's blocks
    mixed: bool  # of CaiT, see `maps.reading`
    device: torch.device
    threads: int
    batch_size: int


@dataclass(frozen=True)
class AttentionMaps:
    """What one run reads of each image."""

    run: FinishedRun
    by_layer: dict[AttentionLayer, Float[Tensor, "b down across"]]  # in which the output reads, by depth
    rolled: Float[Tensor, "b down across"] | None
    predicted: tuple[int, ...]  # classes

    @property
    def last(self) -> AttentionLayer:
        return list(self.by_layer)[-1]

    @property
    def main(self) -> Float[Tensor, "b down across"]:
        """The maps of the contact sheet."""
        return self.by_layer[self.last] if self.rolled is None else self.rolled


def chosen_rows(part: ImageSet, setting: AttentionOptions) -> Rows:
    """Rows of the images to show: those asked for, or a handful at equal steps of a split in order of class.

    Raises:
        InputError: for a row that there is not, or more images than a sheet holds.
    """
    if setting.images is not None:
        wrong = [row for row in setting.images if not 0 <= row < len(part)]
        if wrong:
            words = SPLIT_WORDS[setting.split]
            raise InputError(f"--images {wrong[0]}: there are {len(part):,} {words}: allowed: 0 to {len(part) - 1}")
        rows = np.array(distinct(setting.images), dtype=np.int64)
    elif setting.per_class is not None:
        each = [np.flatnonzero(part.labels == label)[: setting.per_class] for label in np.unique(part.labels)]
        rows = np.concatenate(each)
    else:
        rows = evenly_spaced(len(part), at_most=HANDFUL)
    if len(rows) > MAX_IMAGES:
        raise InputError(f"{len(rows):,} images: a sheet holds at most {MAX_IMAGES}: ask for fewer with --images")
    return rows


def check_comparable(runs: Sequence[FinishedRun], split: Split) -> None:
    """Raise InputError unless all runs can be shown on the same images, and fit on one sheet."""
    if len(runs) > MAX_COLUMNS:
        raise InputError(f"{len(runs)} runs: a sheet holds at most {MAX_COLUMNS}: name fewer")

    def images(run: FinishedRun) -> tuple[object, ...]:
        record, spec = run.record, run.record.spec
        seed = spec.seed if split == "train" and (spec.dataset.fraction or spec.dataset.per_class) else None
        size = (spec.dataset.fraction, spec.dataset.per_class) if split == "train" else None
        return record.data_sha256, spec.dataset.image_size, spec.protocol if split != "test" else None, size, seed

    for run in runs[1:]:
        if images(run) != images(runs[0]):
            raise InputError(f"runs on different data in one sheet: {runs[0].title} and {run.title}: name one's alone")


def read_maps(
    run: FinishedRun, part: ImageSet, rows: Rows, setting: AttentionOptions, on_progress: OnProgress
) -> AttentionMaps:
    """The maps of one run, image by image; batches do not change them but for rounding."""
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
