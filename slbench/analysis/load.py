"""A finished run brought back: its network with its weights, and the images of a split as its training saw them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from slbench.analysis.capture import AttentionCapture, capture_attention
from slbench.analysis.layers import AttentionLayer
from slbench.analysis.run_selection import FinishedRun, Split
from slbench.backbones.layers import Backbone
from slbench.data import check_here, load
from slbench.data.batches import Batches
from slbench.data.splits import ImageSet, Rows, Splits, content_hash
from slbench.data.subset import subset
from slbench.errors import InputError

OnProgress = Callable[[int, int], None]  # images done, of how many


def load_network(run: FinishedRun, *, device: torch.device) -> Backbone:
    """The network of a run in eval mode, in fp32, with the weights that were kept.

    Raises:
        InputError: if there are none, or not those that the record names by their hash.
    """
    from safetensors.torch import load as read

    path = run.weights
    if path is None:
        raise InputError(f"{run.title}: its weights were not kept")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() not in (run.record.weights_sha256, run.record.selected_weights_sha256):
        raise InputError(f"{path}: are not the weights that the run's record names by their hash: restore the file")
    network = run.record.spec.build_network()
    try:
        network.load_state_dict(read(content))
    except RuntimeError as error:
        raise InputError(f"{path}: do not fit the network of the run as this version of slbench builds it") from error
    return network.to(device).eval()


class LoadedDatasets:
    """The data sets of some runs, each loaded and checked once."""

    def __init__(self) -> None:
        self.loaded: dict[tuple[str, str], tuple[Splits, str]] = {}

    def part(self, run: FinishedRun, split: Split) -> ImageSet:
        """The images of a split, uint8, in order; "train": those that the run was trained on.

        Raises:
            InputError: if the data are not here, or not those of the record, or have no such split.
        """
        spec, labels = run.record.spec, run.record.labels
        key = (repr(spec.dataset), labels.data)
        if key not in self.loaded:
            if not labels.data:
                check_here(spec.dataset)
            splits = load(spec.dataset, labels.data)
            self.loaded[key] = splits, content_hash(splits)
        splits, found = self.loaded[key]
        if found != run.record.data_sha256:
            raise InputError(
                f"{run.title}: the data here are not those that it was trained on: "
                f"expected sha256 {run.record.data_sha256[:12]}, got {found[:12]}"
            )
        training, validation, test = splits.for_protocol(spec.protocol)
        if split == "test":
            return test
        if split == "train":
            return subset(training, spec.dataset, seed=spec.seed)
        if validation is None:
            raise InputError(f"{run.title}: --split val: protocol '{spec.protocol}' keeps no validation images")
        return validation


def evenly_spaced(count: int, *, at_most: int | None) -> Rows:
    """Rows of a split, all of them or so many at equal steps: splits are in order of class, so every class has some."""
    if at_most is None or at_most >= count:
        return np.arange(count)
    return np.arange(at_most) * count // at_most


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """How a pass over images is made."""

    device: torch.device
    batch_size: int
    on_progress: OnProgress = lambda done, total: None


def look(
    network: Backbone,
    layers: tuple[AttentionLayer, ...],
    batches: Batches,
    rows: Rows,
    see: Callable[[AttentionCapture], None],
    *,
    how: PassOptions,
) -> torch.Tensor:
    """Run the images of some rows through a network, telling `see` what each layer computes; the logits (n k).

    Raises:
        InputError: if a logit is not a finite number: what was seen means nothing then.
    """
    choices = [rows[start : start + how.batch_size] for start in range(0, len(rows), how.batch_size)]
    logits = []
    with torch.no_grad(), capture_attention(layers, see):
        for pixels, _ in batches.taken(choices):
            logits.append(network(batches.normalise(pixels)).cpu())
            if not logits[-1].isfinite().all():
                raise InputError("a network of these runs gives logits that are not finite: its weights are of no use")
            how.on_progress(sum(map(len, logits)), len(rows))
    return torch.cat(logits)
