"""Load the network of a finished run with its weights, and the images of its splits."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from slbench.analysis.capture import AttentionCapture, capture_attention
from slbench.analysis.run_selection import FinishedRun, Split
from slbench.backbones import lower_bounds
from slbench.backbones.attention_layer import AttentionLayer
from slbench.backbones.layers import Backbone
from slbench.backbones.specs import ForeignSpec
from slbench.data import DataConfig, check_available, load
from slbench.data.batches import Batches
from slbench.data.images.source import Rows
from slbench.data.splits import ImageSet, Splits, content_hash
from slbench.data.subset import subset
from slbench.errors import InputError, unreadable
from slbench.files import read_regular
from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.spec import RunSpec

OnProgress = Callable[[int, int], None]  # images done, images in total


def load_network(run: FinishedRun, *, device: torch.device) -> Backbone:
    """Return the network of a run with its kept weights, in eval mode and fp32.

    Raises:
        InputError: if no weights were kept, or their hash differs from the record.
    """
    path = run.weights
    if path is None:
        raise InputError(f"{run.title}: weights were not kept")
    return network_with(read_weights(run.record, path), run.record.spec, path).to(device)


def network_with(weights: dict[str, torch.Tensor], spec: RunSpec, path: Path) -> Backbone:
    """Return the network of a run with the weights of a file, in eval mode, on the CPU.

    Raises:
        InputError: naming the file, if the weights do not fit the network; before it is built if they are too few.
    """
    unfit = InputError(f"{path}: weights do not fit the network that this version of slbench builds for the run")
    least = lower_bounds(spec.backbone, spec.method, shape=spec.dataset.shape).parameters
    if least > sum(weight.numel() for weight in weights.values()):
        raise unfit
    network = without_initial_weights(spec).build_network()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise unfit from error
    return network.eval()


def without_initial_weights(spec: RunSpec) -> RunSpec:
    """Return the spec of the same network without the file of its pretrained weights, which others replace."""
    if not isinstance(spec.backbone, ForeignSpec):
        return spec
    return dataclasses.replace(spec, backbone=dataclasses.replace(spec.backbone, pretrained=""))


def read_weights(record: RunRecord, path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of a run from one of its files.

    Raises:
        InputError: if the file cannot be read, or its hash is not the one in the record.
    """
    return tensors_in(read_hashed(path, weights_hash(record, path), of="the record of the run"), path)


def tensors_in(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a safetensors file with this content. Raises InputError for another file."""
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    try:
        return read(content)
    except SafetensorError as error:
        raise InputError(f"{path}: not a file of weights: {error}") from error


def weights_hash(record: RunRecord, path: Path) -> str | None:
    """Return the hash of a file of weights in the record of its run."""
    return record.selected_weights_sha256 if path.name == RunPaths.selected_weights else record.weights_sha256


def read_hashed(path: Path, sha256: str | None, *, of: str) -> bytes:
    """Return the content of a file.

    Args:
        of: what says which hash it must have.
    Raises:
        InputError: if it cannot be read, or has another hash.
    """
    try:
        content = read_regular(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: sha256 differs from {of}; restore the file")
    return content


class LoadedDatasets:
    """Data sets of runs, each loaded and checked once."""

    def __init__(self, config: DataConfig | None = None) -> None:
        self.config = config
        self.loaded: dict[tuple[str, str], tuple[Splits, str]] = {}

    def image_set(self, run: FinishedRun, split: Split) -> ImageSet:
        """Return the uint8 images of a split in order; "train": the training subset of the run.

        Raises:
            InputError: if the data are missing, differ from the record, or have no such split.
        """
        spec, labels = run.record.spec, run.record.labels
        key = (repr(spec.dataset), labels.data)
        if key not in self.loaded:
            if not labels.data:
                check_available(spec.dataset, self.config)
            splits = load(spec.dataset, labels.data, self.config)
            self.loaded[key] = splits, content_hash(splits)
        splits, digest = self.loaded[key]
        if digest != run.record.data_sha256:
            raise InputError(
                f"{run.title}: data differ from those of its training (got sha256 {digest[:12]}); "
                f"allowed: {run.record.data_sha256[:12]}"
            )
        training, validation, test = splits.for_protocol(spec.protocol)
        if split == "test":
            return test
        if split == "train":
            return subset(training, spec.dataset, seed=spec.seed)
        if validation is None:
            raise InputError(f"--split: protocol '{spec.protocol}' of {run.title} has no validation images (got 'val')")
        return validation


def evenly_spaced(count: int, *, at_most: int | None) -> Rows:
    """Return all rows of a split, or `at_most` evenly spaced ones, which cover all classes of a sorted split."""
    if at_most is None or at_most >= count:
        return np.arange(count)
    return np.arange(at_most) * count // at_most


@dataclass(frozen=True, kw_only=True)
class PassOptions:
    """Options of a forward pass over images."""

    device: torch.device
    batch_size: int
    on_progress: OnProgress = lambda done, total: None


def run_with_capture(
    network: Backbone,
    layers: tuple[AttentionLayer, ...],
    batches: Batches,
    rows: Rows,
    on_capture: Callable[[AttentionCapture], None],
    *,
    options: PassOptions,
) -> torch.Tensor:
    """Run the selected images through a network, calling `on_capture` for each layer; return the logits (n k).

    Raises:
        InputError: if a logit is not finite.
    """
    batch_rows = [rows[start : start + options.batch_size] for start in range(0, len(rows), options.batch_size)]
    logits = []
    with torch.no_grad(), capture_attention(layers, on_capture):
        for pixels, _ in batches.load(batch_rows):
            logits.append(network(batches.normalise(pixels)).cpu())
            if not logits[-1].isfinite().all():
                raise InputError("logits are not finite: the weights of a run are unusable")
            options.on_progress(sum(map(len, logits)), len(rows))
    return torch.cat(logits)
