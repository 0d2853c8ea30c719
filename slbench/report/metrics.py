"""Metrics of a run: fields of its record, or numbers computed from its stored test outputs."""

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.errors import StoreError
from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.stored_outputs import read_correct, read_outputs
from slbench.table_spec import Metric

if TYPE_CHECKING:
    import numpy as np


def value_of(record: RunRecord, metric: Metric, folder: Path | None) -> float | None:
    """Return a metric of a run; None without a value or without readable test outputs."""
    if not metric.from_outputs:
        value: float | None = getattr(record, metric.field or "")
        return value
    try:
        stored = None if folder is None else read_outputs(RunPaths(folder).logits, record)
    except StoreError:  # named by `unusable_outputs`
        return None
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
    stored = dict[int, "np.ndarray"]()
    for record in records:
        if record.run_id in folders:
            with contextlib.suppress(StoreError):  # named by `unusable_outputs`
                stored[record.spec.seed] = read_correct(RunPaths(folders[record.run_id]).logits, record)
    return dict(sorted(stored.items()))


def unusable_outputs(records: Iterable[RunRecord], folders: Mapping[str, Path], *, logits: bool) -> dict[str, str]:
    """Return by run id why stored test outputs cannot be used, naming the file.

    Args:
        logits: include runs without a file, and check logits too; else only what predictions show.
    """
    reasons = dict[str, str]()
    for record in records:
        path = RunPaths(folders[record.run_id]).logits
        if not logits and not path.exists():
            continue
        try:
            read_outputs(path, record) if logits else read_correct(path, record)
        except StoreError as error:
            reasons[record.run_id] = str(error)
    return reasons
