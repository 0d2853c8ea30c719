"""Damaged files in a store: a one-line error, or the run is trained again; never a traceback."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from slbench.store import Store
from slbench.study import load_study
from tests.archive.conftest import finish
from tests.cli.conftest import Command, Result
from tests.support import missing

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\xff\x00\xfe" * 50,
    "another type": lambda content: b"[1, 2]",
    "no field": lambda content: b"{}",
    "deep": lambda content: b"[" * 100_000,
    "another run": lambda content: content.replace(b"6088db8e02b9", b"000000000000"),
    "a field of another type": lambda content: content.replace(b'"final_test_top1": 80.0', b'"final_test_top1": "x"'),
}
READING = (["status"], ["status", "--json"], ["run-grid", "--plan", "--devices", "cpu"])


@pytest.fixture
def store(study: Path, tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    for run in load_study(study).runs:
        folder = finish(store, run)
        (folder / "failure.json").write_text("{}")
    return store


def damage(store: Store, name: str, how: str) -> None:
    path = next(store.root.glob("runs/*-6088db8e02b9")) / name
    path.write_bytes(DAMAGE[how](path.read_bytes()))


def succeeds_or_prints_one_line(result: Result) -> bool:
    return (result.code in (0, 1) and result.err == "") or (result.code == 2 and result.err.count("\n") == 1)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *(("record.json", how) for how in DAMAGE),
        *(("spec.json", how) for how in ("empty", "garbage", "another type", "deep", "another run")),
        *(("failure.json", how) for how in ("empty", "garbage", "another type", "deep")),
        *(("metrics.csv", how) for how in ("empty", "cut", "garbage")),
        ("weights.safetensors", "cut"),
    ],
)
def test_a_damaged_file_is_at_most_one_line(
    slbench: Command, study: Path, store: Store, tmp_path: Path, name: str, how: str
) -> None:
    damage(store, name, how)
    for command in READING:
        assert succeeds_or_prints_one_line(slbench(*command, study, "--store", store.root))
    for arguments in (
        ("report", study, "--format", "md"),
        ("report", "--format", "csv"),
        ("export", study, tmp_path / "x.tar"),
        ("clean",),
        ("logs", "6088"),
    ):
        assert succeeds_or_prints_one_line(slbench(*arguments, "--store", store.root))


@pytest.mark.parametrize("how", ["cut", "garbage", "another type", "another run"])
def test_status_and_report_name_a_damaged_record(slbench: Command, study: Path, store: Store, how: str) -> None:
    damage(store, "record.json", how)
    (path,) = store.root.glob("runs/*-6088db8e02b9/record.json")
    for arguments in (("status", study), ("status",)):
        status = slbench(*arguments, "--store", store.root)
        assert status.code == 1
        assert not missing(status.out, "1 of 2", "1 damaged", path)
    result = slbench("report", study, "--store", store.root, "--format", "md")
    assert (result.code, result.err) == (0, "")
    assert not missing(result.out, "1 of 2", "1 unreadable record")
    line = next(line for line in result.out.splitlines() if line.startswith(f"{path}: "))
    assert not missing(line.rstrip(), "folder")


def test_a_report_of_damaged_records_only_names_the_first(slbench: Command, study: Path, store: Store) -> None:
    for path in store.root.glob("runs/*/record.json"):
        path.write_bytes(b"{}")
    result = slbench("report", study, "--store", store.root)
    result.check_error(store.root, f"{store.root}/runs/")


def test_a_record_of_another_schema_is_omitted_with_a_remedy(slbench: Command, store: Store) -> None:
    path = next(store.root.glob("runs/*-6088db8e02b9/record.json"))
    path.write_text(path.read_text().replace('"schema": 2', '"schema": 1'))
    result = slbench("report", "--store", store.root, "--format", "md")
    assert result.code == 0
    assert not missing(result.out, path, "schema", "1", "2")
    assert not missing(result.out, "slbench run-grid STUDY")
    path.write_text(path.read_text().replace('"epochs":', '"number_of_epochs":'))
    assert not missing(slbench("report", "--store", store.root, "--format", "md").out, "schema", "1", "2")


def test_a_folder_named_record_json_is_reported_and_replaced(slbench: Command, study: Path, store: Store) -> None:
    (path,) = store.root.glob("runs/*-6088db8e02b9/record.json")
    path.unlink()
    path.mkdir()
    (path / "x").touch()
    assert not missing(slbench("report", study, "--store", store.root, "--format", "md").out, "record.json")
    run = load_study(study).runs[0]
    assert store.begin(run.spec, run.labels) == path.parent
    assert not path.exists()


@pytest.mark.slow
def test_a_grid_trains_a_run_again_if_all_its_files_are_damaged(slbench: Command, study: Path, store: Store) -> None:
    folder = next(store.root.glob("runs/*-6088db8e02b9"))
    for path in folder.iterdir():
        path.write_bytes(b"\xff\x00")
    for name in ("checkpoint.pt", "checkpoint-previous.pt"):
        (folder / name).write_bytes(b"0" * 64 + b"\n")
    result = slbench("run-grid", study, "--store", store.root, "--devices", "cpu", "--no-throughput")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[-1] == "tiny: 2 of 2 done"
    assert store.record("6088db8e02b9") is not None
    log = (folder / "log.txt").read_bytes()
    assert log.count(b"unusable: damaged") == 2 and b"starting from the beginning" in log


def test_a_store_with_garbage_only_counts_as_empty(slbench: Command, study: Path, tmp_path: Path) -> None:
    root = tmp_path / "results"
    for name in ("runs/x", "runs/-", "runs/a-b/c", "claims/6088db8e02b9/9.json", "claims/x", "throughput/x", "memory"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"\xff")
    assert not missing(slbench("status", study, "--store", root).out.splitlines()[-1], "0 of 2", "2 missing")
    assert not missing(slbench("report", "--store", root).err, "run")
    result = slbench("clean", "--store", root, "--yes")
    assert (result.code, result.err) == (0, "")
    shutil.rmtree(root)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["FIFO", "folder"])
def test_a_log_that_is_no_file_is_one_line(slbench: Command, store: Store, make: Callable[[Path], None]) -> None:
    (log,) = store.root.glob("runs/*-6088db8e02b9/log.txt")
    log.unlink()
    make(log)
    slbench("logs", "6088", "--store", store.root).check_error(log)
