"""Stored test outputs of finished runs, read from disk and checked against the record."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slbench.errors import StoreError
from slbench.files import check_regular
from slbench.record import RunRecord

if TYPE_CHECKING:
    import numpy as np

SEAL = "sha256"  # key of the file's metadata; see `seal`
ROUNDED = 1.0  # points of accuracy by which files of slbench 0.1.0, of rounded logits only, may differ from the record


@dataclass(frozen=True)
class StoredOutputs:
    """Outputs of a run on the n test images after its last epoch."""

    logits: "np.ndarray"  # (n k); rounded to float16 when stored
    labels: "np.ndarray"  # (n)
    predictions: "np.ndarray"  # (n) predicted classes; of files of slbench 0.1.0 from the rounded logits


def seal(arrays: "Mapping[str, np.ndarray]") -> dict[str, str]:
    """Return the metadata of a file of arrays: the sha256 of each, by which damage in place is found."""
    digests = {name: digest(array) for name, array in arrays.items()}
    return {SEAL: json.dumps(digests, sort_keys=True)}  # one key: several are written in any order


def digest(array: "np.ndarray") -> str:
    """Return the sha256 of the values of an array in hex."""
    return hashlib.sha256(array.tobytes()).hexdigest()


def read_outputs(path: Path, record: RunRecord) -> StoredOutputs:
    """Return the stored test outputs of a run.

    Raises:
        StoreError: naming the file, if it cannot be read, is damaged or contradicts the record.
    """
    stored = read_arrays(path, ("logits",))
    logits, labels = stored["logits"], stored["labels"]
    check_shape(path, logits, (len(labels), record.spec.dataset.num_classes), "logits")
    predictions = stored.get("predictions")
    predictions = logits.argmax(axis=1) if predictions is None else predictions
    check_accuracy(path, stored, predictions == labels, record)
    check_logits(path, stored)
    return StoredOutputs(logits.astype("float64"), labels, predictions)


def read_correct(path: Path, record: RunRecord) -> "np.ndarray":
    """Return whether each test image is classified correctly.

    Logits are read from files of slbench 0.1.0 only, which lack predictions. Raises like `read_outputs`.
    """
    stored = read_arrays(path, ())
    labels, predictions = stored["labels"], stored.get("predictions")
    if predictions is None:
        predictions = read_outputs(path, record).predictions
    correct: np.ndarray = predictions == labels
    check_accuracy(path, stored, correct, record)
    return correct


def read_arrays(path: Path, names: tuple[str, ...]) -> "dict[str, np.ndarray]":
    """Return these arrays of a file and its labels, and, if it has them, its predictions and hits among five."""
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path.stat().st_mode, path)
        with safe_open(path, framework="numpy") as file:
            later = [name for name in ("predictions", "in_top5") if name in set(file.keys())]
            stored = {name: file.get_tensor(name) for name in (*names, "labels", *later)}
            sealed = (file.metadata() or {}).get(SEAL)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (SafetensorError, TypeError, ValueError) as error:
        raise StoreError(f"{path}: damaged: {error}") from error
    check_seal(path, stored, sealed)
    check_shape(path, stored["labels"], (stored["labels"].size,), "labels")
    for name in later:
        check_shape(path, stored[name], stored["labels"].shape, name)
    return stored


def check_seal(path: Path, stored: "Mapping[str, np.ndarray]", sealed: str | None) -> None:
    """Raise StoreError if an array has another sha256 than the file says. Older files do not say any."""
    if sealed is None:
        return
    try:
        digests = json.loads(sealed)
        expected = {name: digests[name] for name in stored}
    except (ValueError, RecursionError, TypeError, LookupError) as error:
        raise StoreError(f"{path}: damaged: no sha256 of each array in its metadata") from error
    for name, array in stored.items():
        if (got := digest(array)) != expected[name]:
            raise StoreError(
                f"{path}: {name}: damaged: sha256 contradicts the metadata of the file (got {got[:12]}); "
                f"allowed: {str(expected[name])[:12]}"
            )


def check_shape(path: Path, array: "np.ndarray", shape: tuple[int, ...], name: str) -> None:
    """Raise StoreError unless an array has this shape and at least one value."""
    if array.shape != shape or not array.size:
        raise StoreError(f"{path}: {name}: must be of shape {list(shape)} (got {list(array.shape)})")


def check_accuracy(path: Path, stored: "Mapping[str, np.ndarray]", correct: "np.ndarray", record: RunRecord) -> None:
    """Raise StoreError if the accuracies of outputs are not those of the record."""
    compared: list[tuple[str, Any, float]] = [("final_test_top1", correct, record.final_test_top1)]
    if "in_top5" in stored:
        compared.append(("final_test_top5", stored["in_top5"], record.final_test_top5))
    tolerance = 1e-4 if "predictions" in stored else ROUNDED
    for field, hits, recorded in compared:
        accuracy = 100 * float(hits.astype("float64").mean())
        if not abs(accuracy - recorded) <= tolerance:
            raise StoreError(f"{path}: contradicts {field} of the record (got {accuracy:.4f}); allowed: {recorded:.4f}")


def check_logits(path: Path, stored: "Mapping[str, np.ndarray]") -> None:
    """Raise StoreError if logits are NaN or contradict the predictions or hits among five, which rounding cannot do."""
    import numpy as np

    logits, rows = stored["logits"], np.arange(len(stored["labels"]))
    if np.isnan(logits).any():
        raise StoreError(f"{path}: logits: must be numbers (got nan)")
    classes = logits.shape[1]
    for name in ("labels", "predictions"):
        if name in stored and not ((stored[name] >= 0) & (stored[name] < classes)).all():
            raise StoreError(f"{path}: {name}: must be classes from 0 to {classes - 1}")
    if "predictions" in stored and (logits[rows, stored["predictions"]] < logits.max(axis=1)).any():
        raise StoreError(f"{path}: predictions: contradict the logits")
    if "in_top5" in stored:
        fifth = np.partition(logits, -min(5, classes), axis=1)[:, -min(5, classes)]
        scores, hit = logits[rows, stored["labels"]], stored["in_top5"].astype(bool)
        if (scores[hit] < fifth[hit]).any() or (scores[~hit] > fifth[~hit]).any():
            raise StoreError(f"{path}: in_top5: contradicts the logits")
