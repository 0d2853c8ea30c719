"""Helpers of tests of stores: finished runs without training."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import make_record, make_speed, runs, store_history

RUNS = runs({"method": ["none", "lsa"]})


def finish(store: Store, run: StudyRun, *, weights: bytes = b"weights", **changes: object) -> Path:
    """Store a finished run with the files of a trained one; return its folder."""
    folder = store.begin(run.spec, run.labels)
    if run.spec.method.learn_temperature:
        (folder / "temperatures.csv").write_text("epoch,layer\n0,block 1\n")
    (folder / "log.txt").write_text("nothing to say\n")
    (folder / "weights.safetensors").write_bytes(weights)
    known: dict[str, object] = {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    if run.spec.recipe.epochs == 1:
        known |= dict.fromkeys(("best_test_top1", "selected_test_top1"), changes.get("final_test_top1", 80.0))
    record = make_record(run, **(known | changes))
    store_history(folder, record)
    store_outputs(folder, record)
    store.finish(folder, record)
    return folder


def store_outputs(folder: Path, record: RunRecord) -> None:
    """Write logits of 100 images of class 0 with the accuracy of a record, in the form of slbench 0.1.0."""
    logits = np.zeros((100, record.spec.dataset.num_classes), np.float16)
    hits = np.arange(100) < record.final_test_top1
    logits[np.arange(100), np.where(hits, 0, 1)] = 1.0
    outputs: dict[str, np.ndarray] = {"logits": logits, "labels": np.zeros(100, np.int64)}
    (folder / RunPaths.logits).write_bytes(save(outputs))


def record_of(store: Store, run: StudyRun) -> RunRecord:
    record = store.record(run.spec.run_id)
    assert record is not None
    return record


def files(root: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder by relative path."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """Return the store that runs are exported from."""
    store = Store(tmp_path / "there")
    for run in RUNS:
        finish(store, run)
    store.add_throughput(make_speed())
    return store
