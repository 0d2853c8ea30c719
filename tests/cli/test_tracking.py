"""`--log-to`: settings, values of metrics.csv by epoch without those of the test images, and results."""

import csv
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from slbench.history import read_history
from slbench.store import Store
from slbench.train.loop import Training
from slbench.train.tracking import Tracking, run_log
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, make_record, missing, runs, store_history

pytest.importorskip("tensorboard")
STUDY = TINY_STUDY.replace(', "lsa"', "").replace("epochs = 1", "epochs = 3").replace("512", "3000")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of each scalar in the event files of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def of_csv(path: Path) -> Any:
    """Return epochs and values of each column of a metrics.csv."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != "epoch" and rows[0][name]]
    names = [name for name in names if not name.startswith("test_")]  # only protocol paper logs them
    return {name: [(int(row["epoch"]), pytest.approx(float(row[name]))) for row in rows] for name in names}


def by_epoch(found: dict[str, list[tuple[int, float]]]) -> Any:
    return {name: values for name, values in found.items() if not name.startswith("result/")}


@pytest.mark.slow
def test_a_grid_logs_each_run_to_a_folder_of_its_name_and_run_ids_do_not_change(
    tmp_path: Path, study: Path, slbench: Command
) -> None:
    command = ("--store", tmp_path / "results", "--devices", "cpu", "--no-throughput")
    result = slbench("run-grid", study, *command, "--tensorboard", tmp_path / "board")
    assert result.code == 0, result.out + result.err
    (record,) = Store(tmp_path / "results").records()
    (folder,) = (tmp_path / "board").iterdir()
    assert folder.name == f"tiny-none-fashion-mnist-12k-s0-{record.run_id}"
    found = logged(folder)
    assert {"lr", "train_loss", "val_loss", "val_top1"} <= found.keys()
    ((epoch, value),) = found["result/final_test_top1"]
    assert epoch == 3
    assert value == pytest.approx(record.final_test_top1)
    assert by_epoch(found) == of_csv(tmp_path / "results" / "runs" / folder.name / "metrics.csv")
    assert "1 of 1 done" in slbench("run-grid", study, *command, "--plan").out


def test_a_resumed_run_logs_no_epoch_twice(
    tmp_path: Path, study: Path, slbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, steps = Training._step, iter(range(100))

    def interrupt(self: Training, *arguments: Any, **how: Any) -> Any:
        if next(steps) == 7:  # in the third epoch of three steps
            raise KeyboardInterrupt
        return original(self, *arguments, **how)

    command = ("train", study, "--store", tmp_path / "results", "--devices", "cpu", "--tensorboard", tmp_path / "board")
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", interrupt)
        assert slbench(*command).code == 130
    (folder,) = (tmp_path / "board").iterdir()
    assert [step for step, _ in logged(folder)["lr"]] == [1, 2]
    assert slbench(*command).code == 0
    assert [step for step, _ in logged(folder)["lr"]] == [1, 2, 3]
    assert by_epoch(logged(folder)) == of_csv(tmp_path / "results" / "runs" / folder.name / "metrics.csv")


@pytest.mark.parametrize("command", ["train", "run-grid"])
def test_a_missing_tensorboard_package_is_refused_before_training(
    tmp_path: Path, study: Path, slbench: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    original = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "tensorboard" else original(name))
    result = slbench(command, study, "--store", tmp_path / "results", "--tensorboard", tmp_path / "board")
    result.check_error("--tensorboard", "pip install 'slbench[tensorboard]'")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_file_as_log_folder_is_refused(tmp_path: Path, study: Path, slbench: Command) -> None:
    result = slbench("train", study, "--store", tmp_path / "results", "--tensorboard", study / "board")
    result.check_error("--tensorboard", f"{study}/board", study)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_a_link_to_itself_as_log_folder_is_refused(tmp_path: Path, study: Path, slbench: Command) -> None:
    (tmp_path / "board").symlink_to("board")
    result = slbench("train", study, "--store", tmp_path / "results", "--tensorboard", tmp_path / "board")
    result.check_error("--tensorboard", tmp_path / "board")
    assert not (tmp_path / "results").exists()


def test_a_run_finishes_if_its_log_folder_cannot_be_written(
    tmp_path: Path, study: Path, slbench: Command, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "board").mkdir()
    plan = slbench("run-grid", study, "--plan", "--json", "--store", tmp_path / "results")
    (run,) = json.loads(plan.out)["runs"]
    (tmp_path / "board" / f"tiny-none-fashion-mnist-12k-s0-{run['run_id']}").write_text(
        "a file where the run's folder should be"
    )
    result = slbench("train", study, "--store", tmp_path / "results", "--tensorboard", tmp_path / "board")
    assert result.code == 0, result.err
    assert not missing(caplog.text, "TensorBoard")


def test_csv_has_settings_metrics_and_results(tmp_path: Path, study: Path, slbench: Command) -> None:
    result = slbench("train", study, "--store", tmp_path / "results", "--devices", "cpu", "--log-to", "csv")
    assert result.code == 0, result.err
    (record,) = Store(tmp_path / "results").records()
    (folder,) = (tmp_path / "results" / "csv").iterdir()
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["recipe_batch_size"], settings["backbone_dim"]) == (3000, 8)
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["val_top1"]) == record.final_val_top1
    assert not [name for name in rows[0] if name.startswith("test_")]
    results = json.loads((folder / "results.json").read_text())
    assert (results["epoch"], results["final_test_top1"]) == (3, record.final_test_top1)
    assert "best_test_top1" not in results  # chosen on the test images


def test_protocol_paper_logs_test_accuracy_by_epoch(tmp_path: Path, study: Path, slbench: Command) -> None:
    command = ("train", study, "--store", tmp_path / "results", "--devices", "cpu", "--protocol", "paper")
    assert slbench(*command, "--epochs", "1", "--log-to", f"csv:{tmp_path / 'logs'}").code == 0
    (folder,) = (tmp_path / "logs").iterdir()
    assert "test_top1" in (folder / "metrics.csv").read_text()
    assert "best_test_top1" in (folder / "results.json").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of wandb itself
def test_wandb_logs_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    (run,) = runs()
    record = make_record(run)
    store_history(tmp_path, record)
    name = f"tiny-none-{record.run_id}"
    with run_log(Tracking("wandb", str(tmp_path)), run.spec, name) as log:
        for metrics in read_history(tmp_path / record.history):
            log.add(metrics)
        log.finish(record)
    (written,) = (tmp_path / name).glob(f"wandb/offline-run-*/run-{record.run_id}.wandb")
    content = written.read_bytes()
    for text in (b"val_top1", b"recipe_batch_size", b"result/final_test_top1"):
        assert text in content
    assert b"test_top5" not in content.replace(b"final_test_top5", b"")  # by epoch


@pytest.mark.parametrize(
    ("value", "named"), [("mlflow", "tensorboard, wandb, csv"), ("csv:", "csv"), ("tensorbord", "tensorboard")]
)
def test_an_unknown_tracker_is_refused(tmp_path: Path, study: Path, slbench: Command, value: str, named: str) -> None:
    slbench("train", study, "--store", tmp_path / "results", "--log-to", value).check_error("--log-to", value, named)
    assert not (tmp_path / "results").exists()


def test_two_flags_for_one_thing_are_refused(tmp_path: Path, study: Path, slbench: Command) -> None:
    both = ("--log-to", "csv", "--tensorboard", tmp_path / "board")
    slbench("train", study, "--store", tmp_path / "results", *both).check_error("--log-to", "--tensorboard")
