"""`slbench run-grid` from end to end, on a network that trains in a second."""

import contextlib
import io
import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
import pytest

from slbench import machine
from slbench.cli import main
from slbench.grid.failures import TIMED
from slbench.record import Failure, RunRecord
from slbench.store import Store
from slbench.study import StudyRun, load_study
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, missing, start_slbench


@dataclass(frozen=True)
class Grid:
    """A finished study of two runs in parallel."""

    study: Path
    store: Path
    code: int
    out: str
    records: tuple[RunRecord, ...]

    @property
    def runs(self) -> tuple[StudyRun, ...]:
        return load_study(self.study).runs

    def command(self, *more: object) -> list[str]:
        return ["run-grid", *map(str, (self.study, "--store", self.store, "--devices", "cpu", *more))]


def records(store: Path, study: Path) -> tuple[RunRecord, ...]:
    return tuple(Store(store).records(run.spec.run_id for run in load_study(study).runs))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    folder = tmp_path_factory.mktemp("grid")
    study, store = folder / "tiny.toml", folder / "results"
    study.write_text(TINY_STUDY)
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = main(["run-grid", str(study), "--store", str(store), "--devices", "cpu", "--no-throughput"])
    signal.signal(signal.SIGTERM, before)
    return Grid(study, store, code, out.getvalue(), records(store, study))


@pytest.fixture
def grid(finished: Grid, tmp_path: Path) -> Grid:
    """Return a copy that a test may change."""
    shutil.copytree(finished.store, tmp_path / "results")
    return Grid(finished.study, tmp_path / "results", finished.code, finished.out, finished.records)


@pytest.mark.parametrize("flag", ["--force", "--retry-diverged", None])
def test_what_to_do_after_an_interruption_leaves_out_flags_that_would_begin_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flag: str | None
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slbench.cli.app", interrupted)
    more = [] if flag is None else [flag]
    assert main(["run-grid", "a.toml", *more]) == 130
    assert f"the same command {f'without {flag} ' if flag else ''}resumes" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["/bin/slbench", "run-grid", *more, "a.toml"])
    assert machine.command_line() == "slbench run-grid a.toml"


def test_every_run_has_a_record_and_is_counted_in_the_summary(finished: Grid) -> None:
    assert finished.code == 0
    assert finished.out.splitlines()[-1] == "tiny: 2 of 2 done"
    assert [record.labels.method for record in finished.records] == ["none", "lsa"]
    assert [record.spec for record in finished.records] == [run.spec for run in finished.runs]
    for record in finished.records:
        assert (record.steps, record.samples_seen, record.threads) == (17, 17 * 512, 1)
        assert (record.device, record.precision) == ("cpu", "fp32")
        assert 10 < record.final_test_top1 < 100
        assert record.final_test_top1 == record.selected_test_top1 == record.best_test_top1  # of one epoch
        assert record.params == {"none": 2_786, "lsa": 2_787}[record.labels.method]


def test_without_a_terminal_the_progress_is_plain_lines(finished: Grid) -> None:
    lines = finished.out.splitlines()
    for run in finished.runs:
        assert [line for line in lines if not missing(line, run.title)]
        assert [line for line in lines if not missing(line, run.title, "top-1")]
    assert "\x1b" not in finished.out
    assert not missing(finished.out, "2 of 2", "0:00")


def test_the_folder_of_a_run_has_the_documented_files(finished: Grid) -> None:
    for record in finished.records:
        folder = Store(finished.store).folder(record.spec, record.labels)
        assert {path.name for path in folder.iterdir()} == {
            "log.txt",
            "metrics.csv",
            "record.json",
            "spec.json",
            "test_logits.safetensors",
            "weights.safetensors",
            *(["temperatures.csv"] if record.labels.method == "lsa" else []),
        }
        log = (folder / "log.txt").read_text().splitlines()
        for line, words in zip(
            log, [("start", "cpu", "1 thread", "1 epoch", "17 steps"), ("epoch 1 of 1", "checkpoint"), ("done",)],
            strict=True,
        ):  # fmt: skip
            assert TIMED.match(line) and not missing(line, *words)
        history = pd.read_csv(folder / record.history)
        assert list(history["epoch"]) == [1]
        assert history["test_top1"][0] == record.final_test_top1


def test_a_second_call_starts_no_run(slbench: Command, finished: Grid) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.store.rglob("*")}
    result = slbench(*finished.command("--no-throughput"))
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "tiny: 2 of 2 done"
    assert "start" not in result.out
    assert {path: path.stat().st_mtime_ns for path in finished.store.rglob("*")} == before


def test_runs_that_another_study_finished_are_not_run_again(slbench: Command, finished: Grid, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TINY_STUDY.replace('"Tiny"', '"Renamed"').replace('["none", "lsa"]', '["lsa"]'))
    result = slbench("run-grid", other, "--store", finished.store, "--devices", "cpu", "--no-throughput")
    assert (result.code, result.out.splitlines()[-1]) == (0, "other: 1 of 1 done")
    assert "start" not in result.out


def test_finished_runs_without_the_weights_that_a_study_keeps_are_counted(
    slbench: Command, finished: Grid, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    for keep, warned in (("best", True), ("none", False), ("last", False)):
        other.write_text(f'keep = "{keep}"\n{TINY_STUDY}')
        result = slbench("run-grid", other, "--store", finished.store, "--devices", "cpu", "--no-throughput")
        assert (result.code, result.out.splitlines()[-1]) == (0, "other: 2 of 2 done")
        assert (not missing(result.out, "2 finished runs", "weights")) == warned


@pytest.mark.slow
def test_only_a_deleted_run_is_trained_again_with_the_same_weights(slbench: Command, grid: Grid) -> None:
    first, second = grid.records
    shutil.rmtree(Store(grid.store).folder(second.spec, second.labels))
    result = slbench(*grid.command("--no-throughput"))
    assert (result.code, result.out.splitlines()[-1]) == (0, "tiny: 2 of 2 done")
    assert [line.split(" on ")[0] for line in result.out.splitlines() if line.startswith("start")] == [
        f"start   {grid.runs[1].title}"
    ]
    kept, again = records(grid.store, grid.study)
    assert kept == first
    assert again.weights_sha256 == second.weights_sha256
    same = ("final_test_top1", "final_test_top5", "final_test_loss", "final_val_top1", "final_train_loss", "macs")
    assert [getattr(again, name) for name in same] == [getattr(second, name) for name in same]


def test_train_has_the_weights_of_the_grid(slbench: Command, finished: Grid, tmp_path: Path) -> None:
    flags = ("--store", tmp_path / "results", "--devices", "cpu", "--json", "--method", "lsa")
    result = slbench("train", finished.study, *flags)
    assert result.code == 0
    record = RunRecord.model_validate_json(result.out)
    assert record.run_id == finished.records[1].run_id
    assert record.weights_sha256 == finished.records[1].weights_sha256
    assert record.final_test_loss == finished.records[1].final_test_loss
    assert list(records(tmp_path / "results", finished.study)) == [record]
    again = slbench("train", finished.study, *flags)
    assert (again.code, again.out) == (0, result.out)
    assert "already finished" in again.err


def test_a_plan_lists_the_state_of_each_run_and_writes_nothing(slbench: Command, grid: Grid) -> None:
    second = grid.runs[1]
    (Store(grid.store).folder(second.spec, second.labels) / "record.json").unlink()
    Store(grid.store).begin(second.spec, second.labels)
    Store(grid.store).fail(second.spec, second.labels, Failure(kind="killed", reason="killed by SIGKILL"))
    before = sorted(grid.store.rglob("*"))
    result = slbench(*grid.command("--plan", "--seeds", 2))
    titles = [run.title for run in grid.runs]
    assert result.code == 0
    lines = result.out.splitlines()
    assert not missing(lines[0], "8", "1 step,")
    assert not missing(lines[1], titles[0], "1 epoch", "17 steps")
    assert not missing(lines[2], "missing", "Tiny none fashion-mnist-12k seed 1")
    assert not missing(lines[3], titles[1], "1 epoch", "17 steps", "SIGKILL")
    assert not missing(lines[5], "3 runs", "26,112", "9.81e+08")
    assert not missing(lines[-1], "1 of 4", "1 failed", "2 missing")
    assert sorted(grid.store.rglob("*")) == before
    status = slbench("status", grid.study, "--store", grid.store)
    assert (status.code, status.out.splitlines()[-1]) == (1, "tiny: 1 of 2 done, 1 failed")


def test_json_prints_one_document(slbench: Command, finished: Grid) -> None:
    result = slbench(*finished.command("--no-throughput", "--json"))
    document = json.loads(result.out)
    assert (document["study"], document["total"], document["done"], document["missing"]) == ("tiny", 2, 2, 0)
    assert [run["final_test_top1"] for run in document["runs"]] == [
        record.final_test_top1 for record in finished.records
    ]
    assert [run["run_id"] for run in document["runs"]] == [run.spec.run_id for run in finished.runs]


def test_a_failed_run_is_printed_has_exit_code_1_and_is_retried_by_the_next_call(
    slbench: Command, grid: Grid, python: Callable[[str], None]
) -> None:
    second = grid.records[1]
    folder = Store(grid.store).folder(second.spec, second.labels)
    shutil.rmtree(folder)
    python("echo ImportError: broken >&2\nexit 7")
    for _ in range(2):
        result = slbench(*grid.command("--no-throughput"))
        title = grid.runs[1].title
        assert (result.code, result.out.splitlines()[-1]) == (1, "tiny: 1 of 2 done, 1 failed")
        assert not missing(result.out, "FAILED", title, "exit code 7", "ImportError", folder / "log.txt")
        assert not missing(result.out, "ImportError: broken", "1 of 1")
        assert [line.split(" on ")[0] for line in result.out.splitlines() if line.startswith("start")] == [
            f"start   {title}"
        ]
        assert not missing(
            json.loads((folder / "failure.json").read_text())["reason"], "exit code 7", "ImportError: broken"
        )


def test_a_report_has_the_labels_of_a_renamed_study(slbench: Command, grid: Grid, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(TINY_STUDY.replace('"Tiny"', '"Renamed"'))
    result = slbench("report", other, "--store", grid.store, "--format", "md", "--out", tmp_path / "out")
    assert result.code == 0
    assert "| L-Renamed " in result.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"runs.csv", "table.md", "findings.md"}


def launch(study: Path, store: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start the command in a subprocess; return it and its worker processes."""
    process = start_slbench("run-grid", study, "--store", store, "--devices", "cpu", "--no-throughput")
    expected = min(2, machine.usable_cores())
    deadline = time.monotonic() + 30
    workers: list[psutil.Process] = []
    while len(workers) < expected and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
        workers = psutil.Process(process.pid).children()
    assert len(workers) == expected
    return process, workers


def alive(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Return the processes that are alive after at most this many seconds."""
    deadline = time.monotonic() + seconds

    def is_alive(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    while (left := [process for process in processes if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


@pytest.mark.slow
def test_an_interrupted_grid_stops_its_workers_and_the_next_call_resumes_it(
    slbench: Command, finished: Grid, tmp_path: Path
) -> None:
    process, workers = launch(finished.study, tmp_path / "results")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not missing(err, "interrupted")
    assert alive(workers, seconds=0) == []
    assert records(tmp_path / "results", finished.study) == ()
    result = slbench("run-grid", finished.study, "--store", tmp_path / "results", "--devices", "cpu", "--no-throughput")
    assert (result.code, result.out.splitlines()[-1]) == (0, "tiny: 2 of 2 done")
    assert [record.weights_sha256 for record in records(tmp_path / "results", finished.study)] == [
        record.weights_sha256 for record in finished.records
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_worker_processes_end_with_a_killed_launcher(
    finished: Grid, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process, workers = launch(finished.study, tmp_path / "results")
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert alive(workers, seconds=10) == []
    assert records(tmp_path / "results", finished.study) == ()


@pytest.mark.slow
def test_throughput_is_measured_once_after_the_grid_and_is_in_the_report(slbench: Command, grid: Grid) -> None:
    def run_grid() -> str:
        process = start_slbench(*grid.command())
        out, err = process.communicate()
        assert process.returncode == 0, err
        return out

    assert not missing(run_grid(), "images/s", "2 networks")
    files = list((grid.store / "throughput").glob("*/*.json"))
    assert len(files) == 2
    medians = [json.loads(file.read_text())["median"] for file in files]
    assert "measuring" not in run_grid()
    shown = slbench("report", grid.study, "--store", grid.store).out
    for median in medians:
        assert f" {median:,.0f} |" in shown
