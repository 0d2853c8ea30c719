"""Metrics of a run: fields of its record, or numbers computed from its stored test outputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.table_spec import Metric

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class StoredOutputs:
    """Outputs of a run on the n test images after its last epoch."""

    logits: "np.ndarray"  # (n k); rounded to float16 when stored
    labels: "np.ndarray"  # (n)
    predictions: "np.ndarray"  # (n) predicted classes; of files of slbench 0.1.0 from the rounded logits


def value_of(record: RunRecord, metric: Metric, folder: Path | None) -> float | None:
    """Return a metric of a run; None without a value or without readable test outputs."""
    if not metric.from_outputs:
        value: float | None = getattr(record, metric.field or "")
        return value
    stored = None if folder is None else read_outputs(RunPaths(folder).logits)
    if stored is None:
        return None
    if metric.from_predictions is not None:
        return metric.from_predictions(stored.predictions, stored.labels)
    assert metric.from_logits is not None
    return metric.from_logits(stored.logits, stored.labels)


def by_seed(records: Iterable[RunRecord], metric: Metric, folders: Mapping[str, Path]) -> dict[int, float]:
    """Return a metric by seed, ascending, without missing values.

    Args:
        folders: of runs, by their id.
    """
    values = {record.spec.seed: value_of(record, metric, folders.get(record.run_id)) for record in records}
    return {seed: value for seed, value in sorted(values.items()) if value is not None}


def correct_by_seed(records: Iterable[RunRecord], folders: Mapping[str, Path]) -> "dict[int, np.ndarray]":
    """Return by seed whether each test image is classified correctly; without runs whose outputs cannot be read.

    Args:
        folders: of runs, by their id.
    """
    stored = {
        record.spec.seed: read_correct(RunPaths(folders[record.run_id]).logits)
        for record in records
        if record.run_id in folders
    }
    return {seed: correct for seed, correct in sorted(stored.items()) if correct is not None}


def read_correct(path: Path) -> "np.ndarray | None":
    """Return whether each test image is classified correctly; None without a readable file.

    Logits are read from files of slbench 0.1.0 only, which lack predictions.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            new = "predictions" in stored.keys()  # noqa: SIM118  # not a mapping
            predictions = stored.get_tensor("predictions") if new else stored.get_tensor("logits").argmax(axis=1)
            correct: np.ndarray = predictions == stored.get_tensor("labels")
            return correct
    except (OSError, SafetensorError):
        return None


def read_outputs(path: Path) -> StoredOutputs | None:
    """Return stored test outputs; None without a readable file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
        logits = stored["logits"].astype("float64")
        predictions = stored["predictions"] if "predictions" in stored else logits.argmax(axis=1)
        return StoredOutputs(logits, stored["labels"], predictions)
    except (OSError, SafetensorError, KeyError):
        return None


def missing_outputs(folders: Mapping[str, Path], run_ids: list[str]) -> list[str]:
    """Return the ids of runs without readable test outputs."""
    return [run_id for run_id in run_ids if read_outputs(RunPaths(folders[run_id]).logits) is None]
