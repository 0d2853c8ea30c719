"""Bad input: one clear line on stderr, exit code 2, and nothing written."""

from pathlib import Path

import pytest

from slbench import machine
from tests.cli.conftest import Command
from tests.support import missing

ONE = ("--method", "none")

FLAGS = {
    "unknown backbone": (("--backbone", "vitt"), ("--backbone", "vitt", "vit")),
    "unknown method": (("--method", "lsaa"), ("--method", "lsaa", "lsa", "none", "spt")),
    "unknown data set": (
        ("--dataset", "cifar-10"),
        ("--dataset", "cifar-10", "cifar10", "fashion-mnist-12k", "cifar100"),
    ),
    "unknown recipe": ((*ONE, "--recipe", "quik"), ("--recipe", "quik", "quick")),
    "unknown protocol": ((*ONE, "--protocol", "x"), ("--protocol", "holdout", "full", "paper", "x")),
    "negative epochs": ((*ONE, "--epochs", "-1"), ("--set", "recipe.epochs", "1", "-1")),
    "lr 0": ((*ONE, "--lr", "0"), ("--set", "recipe.lr", "0")),
    "lr that is no number": ((*ONE, "--lr", "nan"), ("--set", "recipe.lr", "finite", "number", "NaN")),
    "wrong type": ((*ONE, "--epochs", "many"), ("--epochs",)),
    "wrong type in --set": ((*ONE, "--set", "recipe.flip=1"), ("--set", "recipe.flip", "true", "false", "1")),
    "unknown field in --set": ((*ONE, "--set", "recipe.epoch=3"), ("--set", "recipe.epoch", "recipe.epochs")),
    "unknown part in --set": ((*ONE, "--set", "optimizer.lr=3"), ("--set", "optimizer.lr")),
    "--set without a value": ((*ONE, "--set", "recipe.lr"), ("--set", "recipe.lr", "PATH=VALUE")),
    "patch": (
        (*ONE, "--set", "backbone.patch_size=5"),
        ("ViT", "none", "fashion-mnist-12k", "patch_size", "5", "32 x 32 px", "1"),
    ),
    "heads": ((*ONE, "--set", "backbone.num_heads=5"), ("--set", "backbone.num_heads", "num_heads", "5", "192")),
    "batch": ((*ONE, "--batch-size", "10000"), ("ViT", "none", "fashion-mnist-12k", "batch_size", "10000")),
    "nothing to run": ((), ("--backbone", "--method", "--dataset")),
    "empty list": (("--method", ","), ("--backbone", "--method", "--dataset")),
    "no seed": ((*ONE, "--seeds", "0"), ("--seeds",)),
    "unknown device": ((*ONE, "--devices", "cpuu"), ("--devices", "cpuu", "cpu")),
    "too many jobs": (
        (*ONE, "--devices", "cpu", "--jobs-per-device", "3", "--threads", "2"),
        ("--jobs-per-device", "3", "--threads 2", "6 cores", "4"),
    ),
    "unknown flag": ((*ONE, "--epoch", "3"), ("--epoch",)),
}

FILES = {  # every problem that a file can have is in tests/study/test_refused.py
    "unknown key": ("titel = 'x'", ("titel", "title")),
    "invalid TOML": ("title = 'x'\n[grid\n", ("not valid TOML", "line")),
}
COMMANDS = ["run-grid", "status", "report", "train"]


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "gpus", lambda: ())


@pytest.mark.parametrize(("flags", "words"), FLAGS.values(), ids=FLAGS)
def test_a_bad_flag_is_one_line_and_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: tuple[object, ...]
) -> None:
    result = slbench("run-grid", *flags, "--store", tmp_path / "results")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "slbench", *words)
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_bad_study_file_is_one_line_with_the_file_and_the_key(
    slbench: Command, tmp_path: Path, content: str, words: tuple[object, ...], command: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(content)
    result = slbench(command, path, "--store", tmp_path / "results")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "slbench", path, *words)
    assert result.err.count("\n") == 1
    assert [found.name for found in tmp_path.iterdir()] == ["x.toml"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_study_file_is_one_line_with_the_nearest_one(slbench: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "quick.toml").touch()
    result = slbench(command, tmp_path / "quik.toml", "--store", tmp_path / "results")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, f"{tmp_path}/quik.toml", "quick.toml", tmp_path)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["run-grid", "train", "report"])
def test_a_store_that_is_a_file_is_refused_and_stays(slbench: Command, tmp_path: Path, command: str) -> None:
    file = tmp_path / "results"
    file.write_text("mine")
    result = slbench(command, *(() if command == "report" else ONE), "--store", file)
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, file, "--store")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["run-grid", "train"])
def test_a_store_that_cannot_be_written_to_is_refused(slbench: Command, command: str) -> None:
    result = slbench(command, *ONE, "--store", "/proc/slbench")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "/proc/slbench")
    assert not missing(result.err, "--store")
    assert result.err.count("\n") == 1


def test_train_refuses_more_than_one_run(slbench: Command, tmp_path: Path) -> None:
    result = slbench("train", "--method", "none,lsa", "--store", tmp_path / "results")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "2", "--backbone", "--method", "--dataset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--accuracy", "fnal"), ("fnal", "final", "selected", "best")),
        ((), ("slbench run-grid STUDY",)),
    ],
)
def test_a_report_on_nothing_or_of_nothing_known_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: tuple[object, ...]
) -> None:
    result = slbench("report", *flags, "--store", tmp_path / "results")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, *words)
    assert result.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_one_line(slbench: Command) -> None:
    result = slbench("run-gird")
    assert (result.code, result.out) == (2, "")
    assert not missing(result.err, "run-gird")
    assert result.err.count("\n") == 1
