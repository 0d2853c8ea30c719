"""Metrics of a run: fields of its record, or numbers computed from its stored test logits."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.table_spec import Metric

if TYPE_CHECKING:
    import numpy as np


def value_of(record: RunRecord, metric: Metric, folder: Path | None) -> float | None:
    """Return a metric of a run; None without a value or without readable logits."""
    if metric.from_logits is None:
        value: float | None = getattr(record, metric.field or "")
        return value
    stored = None if folder is None else read_logits(RunPaths(folder).logits)
    return None if stored is None else metric.from_logits(*stored)


def read_logits(path: Path) -> "tuple[np.ndarray, np.ndarray] | None":
    """Return stored logits (n k) and labels (n); None without a readable file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
        return stored["logits"].astype("float64"), stored["labels"]
    except (OSError, SafetensorError, KeyError):
        return None


def missing_logits(folders: Mapping[str, Path], run_ids: list[str]) -> list[str]:
    """Return the ids of runs without readable logits."""
    return [run_id for run_id in run_ids if read_logits(RunPaths(folders[run_id]).logits) is None]
