"""Numbers made from stored test logits."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from slbench.errors import StoreError
from slbench.report.metrics import correct_by_seed, unusable_outputs, value_of
from slbench.stats.classification import balanced_accuracy, calibration_error
from slbench.stored_outputs import read_correct, read_outputs, seal
from slbench.table_spec import METRICS
from tests.support import make_record, naming, runs


def log_odds(*rows: tuple[float, ...]) -> np.ndarray:
    logits: np.ndarray = np.log(np.array(rows))
    return logits


def test_balanced_accuracy_weighs_each_class_equally() -> None:
    predictions = np.zeros(4, dtype="int32")
    assert balanced_accuracy(predictions, np.array([0, 0, 0, 1])) == 50.0  # 3 of 3, and 0 of 1
    assert balanced_accuracy(predictions, np.array([0, 0, 1, 1])) == 50.0
    assert balanced_accuracy(predictions, np.array([0, 1, 0, 0])) == pytest.approx(50.0)


def test_a_class_without_test_images_does_not_count() -> None:
    assert balanced_accuracy(np.array([0]), np.array([0])) == 100.0


def test_calibration_error_is_confidence_less_accuracy_weighted_by_bin() -> None:
    logits = log_odds((0.9, 0.1), (0.9, 0.1), (0.6, 0.4), (0.6, 0.4))
    labels = np.array([0, 1, 0, 0])  # confidence 0.9 and half right; 0.6 and all right
    assert calibration_error(logits, labels) == pytest.approx(100 * (0.5 * 0.4 + 0.5 * 0.4))


def test_a_calibrated_network_has_no_calibration_error() -> None:
    logits = log_odds(*[(0.75, 0.25)] * 4)
    assert calibration_error(logits, np.array([0, 0, 0, 1])) == pytest.approx(0.0, abs=1e-9)


def test_certainty_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([[1000.0, 0.0]]), np.array([1])) == pytest.approx(100.0)


def of_ten_classes(*logits: list[float]) -> np.ndarray:
    """Return logits of these first classes, with others that are next to impossible."""
    return np.array([[*row, *[-1000.0] * (10 - len(row))] for row in logits], dtype="float16")


def test_metrics_come_from_the_record_or_the_stored_logits(tmp_path: Path) -> None:
    (run,) = runs()
    record = make_record(run, final_test_top1=50.0)
    save_file(
        {"logits": of_ten_classes([2.0, 1.0], [2.0, 1.0]), "labels": np.array([0, 1])},
        tmp_path / "test_logits.safetensors",
    )
    found = {name: value_of(record, metric, tmp_path) for name, metric in METRICS.items()}
    assert found["final"] == 50.0 and found["nll"] == 0.625 and found["top5"] == 97.5
    assert found["balanced_accuracy"] == 50.0 and found["validation"] == record.final_val_top1 is not None
    assert found["ece"] == pytest.approx(100 * (1 / (1 + np.exp(-1)) - 0.5), abs=0.01)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(b"no tensors"), "damaged"),
        (make_folder, "directory"),
        (make_fifo, "FIFO"),
    ],
)
def test_without_readable_logits_there_is_no_value(damage: Callable[[Path], object], part: str, tmp_path: Path) -> None:
    (run,) = runs()
    record, path = make_record(run), tmp_path / "test_logits.safetensors"
    damage(path)
    for read in (read_outputs, read_correct):
        with pytest.raises(StoreError, match=naming(path, part)):
            read(path, record)
    assert value_of(record, METRICS["ece"], tmp_path) is None
    assert value_of(record, METRICS["ece"], None) is None


OUTPUTS = {
    "logits": of_ten_classes([2.0, 1.0], [1.0, 2.0], [0.0, 3.0]),
    "labels": np.array([0, 0, 9]),
    "predictions": np.array([0, 1, 1], dtype="int32"),
    "in_top5": np.array([True, True, True]),
}


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("predictions", np.array([1, 1, 1], dtype="int32"), "final_test_top1"),
        ("predictions", np.array([0, 1, 2], dtype="int32"), "predictions"),
        ("predictions", np.array([0, 1, 77], dtype="int32"), "predictions"),
        ("predictions", np.array([0, 1], dtype="int32"), "predictions"),
        ("labels", np.array([1, 0, 9]), "final_test_top1"),
        ("labels", np.array([0, -1, 9]), "labels"),
        ("labels", np.array([[0], [0], [9]]), "labels"),
        ("in_top5", np.array([True, True, False]), "final_test_top5"),
        ("logits", OUTPUTS["logits"][:2], "logits"),
        ("logits", OUTPUTS["logits"][:, :3], "logits"),
        ("logits", np.where(OUTPUTS["logits"] == 3, np.float16("nan"), OUTPUTS["logits"]), "logits"),
        ("logits", of_ten_classes([2.0, 1.0], [1.0, 2.0], [8.0, 3.0]), "predictions"),
    ],
)
def test_outputs_that_contradict_themselves_or_the_record_are_refused(
    name: str, value: np.ndarray, part: str, tmp_path: Path
) -> None:
    (run,) = runs()
    record, path = (
        make_record(run, final_test_top1=100 / 3, final_test_top5=100.0),
        tmp_path / "test_logits.safetensors",
    )
    save_file(OUTPUTS, path)
    assert read_outputs(path, record).predictions.tolist() == [0, 1, 1]
    assert read_correct(path, record).tolist() == [True, False, False]
    save_file({**OUTPUTS, name: np.ascontiguousarray(value)}, path)
    with pytest.raises(StoreError, match=naming(path, part)):
        read_outputs(path, record)
    assert list(unusable_outputs([record], {run.spec.run_id: tmp_path}, logits=True)) == [run.spec.run_id]


@pytest.mark.parametrize("metadata", [seal(OUTPUTS), {"sha256": "{}"}, {"sha256": "[" * 9_999}])
def test_logits_damaged_in_place_are_refused_even_if_nothing_contradicts_them(
    metadata: dict[str, str], tmp_path: Path
) -> None:
    (run,) = runs()
    record = make_record(run, final_test_top1=100 / 3, final_test_top5=100.0)
    path, damaged = tmp_path / "x.safetensors", {**OUTPUTS, "logits": 2 * OUTPUTS["logits"]}
    save_file(damaged, path, metadata=seal(damaged))
    assert read_outputs(path, record).predictions.tolist() == [0, 1, 1]
    save_file(damaged, path, metadata=metadata)
    with pytest.raises(StoreError, match=naming(path, "damaged", "sha256")):
        read_outputs(path, record)


def test_correctness_by_seed_comes_from_predictions_and_of_older_files_from_logits(tmp_path: Path) -> None:
    runs_ = runs({"seed": [3, 1, 2]})
    folders = {run.spec.run_id: tmp_path / str(run.spec.seed) for run in runs_}
    older = {"logits": of_ten_classes([2.0, 1.0], [1.0, 2.0]), "labels": np.array([0, 0])}
    newer = {**older, "predictions": np.array([1, 0], dtype="int32")}
    for seed, outputs in ((3, older), (1, newer)):
        (tmp_path / str(seed)).mkdir()
        save_file(outputs, tmp_path / str(seed) / "test_logits.safetensors")
    correct = correct_by_seed([make_record(run, final_test_top1=50.0) for run in runs_], folders)
    assert {seed: values.tolist() for seed, values in correct.items()} == {1: [False, True], 3: [True, False]}
