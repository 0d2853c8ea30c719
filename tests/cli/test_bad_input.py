"""Bad input: one clear line on stderr, exit code 2, and nothing written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from slbench import machine
from tests.cli.conftest import Command

ONE = ("--method", "none")

FLAGS = {  # further errors of a study are in tests/study/test_refused.py
    "unknown backbone": (("--backbone", "vitt"), ("--backbone", "vitt", "vit")),
    "unknown data set": (
        ("--dataset", "cifar-10"),
        ("--dataset", "cifar-10", "cifar10", "fashion-mnist-12k", "cifar100"),
    ),
    "negative epochs": ((*ONE, "--epochs", "-1"), ("--set", "recipe.epochs", "1", "-1")),
    "lr 0": ((*ONE, "--lr", "0"), ("--set", "recipe.lr", "0")),
    "lr that is no number": ((*ONE, "--lr", "nan"), ("--set", "recipe.lr", "finite", "number", "NaN")),
    "wrong type": ((*ONE, "--epochs", "many"), ("--epochs",)),
    "wrong type in --set": ((*ONE, "--set", "recipe.flip=1"), ("--set", "recipe.flip", "true", "false", "1")),
    "unknown part in --set": ((*ONE, "--set", "optimizer.lr=3"), ("--set", "optimizer.lr")),
    "--set without a value": ((*ONE, "--set", "recipe.lr"), ("--set", "recipe.lr", "PATH=VALUE")),
    "heads": ((*ONE, "--set", "backbone.num_heads=5"), ("--set", "backbone.num_heads", "num_heads", "5", "192")),
    "nothing to run": ((), ("--backbone", "--method", "--dataset")),
    "empty list": (("--method", ","), ("--method", "empty")),
    "no seed": ((*ONE, "--seeds", "0"), ("--seeds",)),
    "unknown device": ((*ONE, "--devices", "cpuu"), ("--devices", "cpuu", "cpu")),
    "too many jobs": (
        (*ONE, "--devices", "cpu", "--jobs-per-device", "3", "--threads", "2"),
        ("--jobs-per-device", "3", "--threads 2", "6 cores", "4"),
    ),
    "unknown flag": ((*ONE, "--epoch", "3"), ("--epoch",)),
}


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "gpus", lambda: ())


@pytest.mark.parametrize(("flags", "words"), FLAGS.values(), ids=FLAGS)
def test_an_invalid_flag_is_one_line_and_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: tuple[object, ...]
) -> None:
    result = slbench("run-grid", *flags, "--store", tmp_path / "results")
    result.check_error("slbench", *words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run-grid", "status", "report", "train"])
def test_an_invalid_study_file_is_one_line_with_file_and_key(slbench: Command, tmp_path: Path, command: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text("titel = 'x'")
    result = slbench(command, path, "--store", tmp_path / "results")
    result.check_error("slbench", path, "titel", "title")
    assert [found.name for found in tmp_path.iterdir()] == ["x.toml"]


@pytest.mark.parametrize("command", ["run-grid", "train", "report"])
def test_a_store_that_is_a_file_is_refused_and_unchanged(slbench: Command, tmp_path: Path, command: str) -> None:
    file = tmp_path / "results"
    file.write_text("mine")
    result = slbench(command, *(() if command == "report" else ONE), "--store", file)
    result.check_error(file, "--store")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["run-grid", "train"])
def test_a_store_that_cannot_be_written_to_is_refused(slbench: Command, command: str) -> None:
    result = slbench(command, *ONE, "--store", "/proc/slbench")
    result.check_error("/proc/slbench", "--store")


@pytest.mark.parametrize("command", ["status", "report", "clean", "run-grid", "train", "tune-temperature", "logs"])
@pytest.mark.parametrize("name", ["loop", "x" * 300])
def test_a_store_that_cannot_exist_is_one_line(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    flags = {"run-grid": ONE, "train": ONE, "tune-temperature": ("--backbone", "vit"), "logs": ("6088",)}
    slbench(command, *flags.get(command, ()), "--store", name).check_error(name)
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


@pytest.mark.parametrize("flag", ["--store", "--data-root", "--tensorboard"])
def test_an_empty_path_is_not_the_current_folder(
    slbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    slbench("run-grid", *ONE, flag, "").check_error(flag, "empty")
    slbench("run-grid", *ONE, f"{flag}=").check_error(flag, "empty")
    assert list(tmp_path.iterdir()) == []


def test_train_refuses_more_than_one_run(slbench: Command, tmp_path: Path) -> None:
    result = slbench("train", "--method", "none,lsa", "--store", tmp_path / "results")
    result.check_error("2", "--backbone", "--method", "--dataset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--accuracy", "fnal"), ("fnal", "final", "selected", "best")),
        ((), ("slbench run-grid STUDY",)),
    ],
)
def test_a_report_of_an_empty_store_or_an_unknown_accuracy_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: tuple[object, ...]
) -> None:
    result = slbench("report", *flags, "--store", tmp_path / "results")
    result.check_error(*words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_one_line(slbench: Command) -> None:
    result = slbench("run-gird")
    result.check_error("run-gird")


@pytest.mark.parametrize(("command", "name"), [("run-grid", "study"), ("import", "file")])
def test_an_empty_path_of_an_argument_is_one_line(slbench: Command, command: str, name: str) -> None:
    slbench(command, "").check_error(name, "must not be empty")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.ELOOP])
def test_a_path_that_the_system_refuses_is_one_line_and_a_refusal_without_a_path_is_a_bug(
    slbench: Command, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*paths: str) -> Callable[..., object]:
        def run(*_: object, **__: object) -> object:
            raise OSError(code, os.strerror(code), *paths)

        return run

    monkeypatch.setattr("slbench.cli.app", refuse("/some/path"))
    slbench("list").check_error("/some/path", os.strerror(code))
    monkeypatch.setattr("slbench.cli.app", refuse())
    with pytest.raises(OSError, match=os.strerror(code)):
        slbench("list")
