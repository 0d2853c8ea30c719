"""Numbers made from stored test logits."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from slbench.report.metrics import correct_by_seed, read_correct, read_outputs, value_of
from slbench.stats.classification import balanced_accuracy, calibration_error
from slbench.table_spec import METRICS
from tests.support import make_record, runs


def log_odds(*rows: tuple[float, ...]) -> np.ndarray:
    logits: np.ndarray = np.log(np.array(rows))
    return logits


def test_balanced_accuracy_counts_each_class_alike_however_many_images_it_has() -> None:
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


def test_metrics_come_from_the_record_or_the_stored_logits(tmp_path: Path) -> None:
    (run,) = runs()
    record = make_record(run)
    save_file(
        {"logits": np.array([[2.0, 1.0], [2.0, 1.0]], dtype="float16"), "labels": np.array([0, 1])},
        tmp_path / "test_logits.safetensors",
    )
    found = {name: value_of(record, metric, tmp_path) for name, metric in METRICS.items()}
    assert found["final"] == 80.0 and found["nll"] == 0.625 and found["top5"] == 97.5
    assert found["balanced_accuracy"] == 50.0
    assert found["ece"] == pytest.approx(100 * (1 / (1 + np.exp(-1)) - 0.5), abs=0.01)


@pytest.mark.parametrize("content", [None, b"", b"no tensors"])
def test_without_readable_logits_there_is_no_value(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "test_logits.safetensors").write_bytes(content)
    assert read_outputs(tmp_path / "test_logits.safetensors") is None
    assert read_correct(tmp_path / "test_logits.safetensors") is None
    (run,) = runs()
    assert value_of(make_record(run), METRICS["ece"], tmp_path) is None
    assert value_of(make_record(run), METRICS["ece"], None) is None


def test_correctness_by_seed_comes_from_predictions_and_of_older_files_from_logits(tmp_path: Path) -> None:
    runs_ = runs({"seed": [3, 1, 2]})
    folders = {run.spec.run_id: tmp_path / str(run.spec.seed) for run in runs_}
    older = {"logits": np.array([[2.0, 1.0], [1.0, 2.0]], dtype="float16"), "labels": np.array([0, 0])}
    newer = {**older, "predictions": np.array([1, 0], dtype="int32")}
    for seed, outputs in ((3, older), (1, newer)):
        (tmp_path / str(seed)).mkdir()
        save_file(outputs, tmp_path / str(seed) / "test_logits.safetensors")
    correct = correct_by_seed([make_record(run) for run in runs_], folders)
    assert {seed: values.tolist() for seed, values in correct.items()} == {1: [False, True], 3: [True, False]}
