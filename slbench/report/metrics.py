"""What a table shows of a run: a field of its record, or a number made from its stored test logits."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from slbench.record import RunRecord
from slbench.table_spec import METRICS, Metric

if TYPE_CHECKING:
    import numpy as np

LOGITS = "test_logits.safetensors"
BINS = 15  # of the calibration error; Guo et al., arXiv:1706.04599


def value_of(record: RunRecord, measure: Metric, folder: Path | None) -> float | None:
    """A measure of one run; None where the run has none, or its logits are not there or cannot be read."""
    if measure.field is not None:
        value: float | None = getattr(record, measure.field)
        return value
    return None if folder is None else from_logits(folder / LOGITS).get(measure.key)


def from_logits(path: Path) -> dict[str, float]:
    """Balanced accuracy and calibration error of stored logits, in %, by their keys; empty without a readable file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        held = load_file(path)
        logits, labels = held["logits"].astype("float64"), held["labels"]
    except (OSError, SafetensorError, KeyError):
        return {}
    return {
        METRICS["balanced_accuracy"].key: balanced_accuracy(logits, labels),
        METRICS["ece"].key: calibration_error(logits, labels),
    }


def balanced_accuracy(logits: "np.ndarray", labels: "np.ndarray") -> float:
    """Mean over the classes of the share of their images (n k logits, n labels) that are right, in %."""
    import numpy as np

    right = logits.argmax(axis=1) == labels
    classes, place = np.unique(labels, return_inverse=True)
    return float(100 * (np.bincount(place, right) / np.bincount(place)).mean()) if len(classes) else float("nan")


def calibration_error(logits: "np.ndarray", labels: "np.ndarray", *, bins: int = BINS) -> float:
    """Expected calibration error of logits (n k) in %: how far confidence is from accuracy, bin by bin of confidence.

    Bins have equal width, and are closed above. Source: Guo et al., arXiv:1706.04599, equation 3.
    """
    import numpy as np

    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    confidence = (shifted / shifted.sum(axis=1, keepdims=True)).max(axis=1)
    right = logits.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, confidence, bins) - np.bincount(place, right, bins)
    return float(100 * np.abs(gaps).sum() / len(labels))


def missing_logits(records: Mapping[str, Path], run_ids: list[str]) -> list[str]:
    """Those among some runs without readable logits."""
    return [run_id for run_id in run_ids if not from_logits(records[run_id] / LOGITS)]
