"""Bad input: one clear line on stderr, exit code 2, and nothing written."""

from pathlib import Path

import pytest

from slbench import machine
from tests.cli.conftest import Command
from tests.support import missing

ONE = ("--method", "none")

FLAGS = {
    "unknown backbone": (("--backbone", "vitt"), "--backbone: unknown backbone 'vitt'; did you mean 'vit'? known: vit"),
    "unknown method": (("--method", "lsaa"), "--method: unknown method 'lsaa'; did you mean 'lsa'? known: none, spt,"),
    "unknown data set": (
        ("--dataset", "cifar-10"),
        "--dataset: unknown data set 'cifar-10'; did you mean 'cifar10'? known: fashion-mnist-12k, cifar10, cifar100,",
    ),
    "unknown recipe": ((*ONE, "--recipe", "quik"), "--recipe: unknown recipe 'quik'; did you mean 'quick'?"),
    "unknown protocol": ((*ONE, "--protocol", "x"), "--protocol: must be 'holdout', 'full' or 'paper', got \"x\""),
    "negative epochs": ((*ONE, "--epochs", "-1"), "--set recipe.epochs: must be at least 1, got -1"),
    "lr 0": ((*ONE, "--lr", "0"), "--set recipe.lr: must be above 0, got 0"),
    "lr that is no number": ((*ONE, "--lr", "nan"), "--set recipe.lr: must be a finite number, got NaN"),
    "wrong type": ((*ONE, "--epochs", "many"), "Invalid value for '--epochs'"),
    "wrong type in --set": ((*ONE, "--set", "recipe.flip=1"), "--set recipe.flip: must be true or false, got 1"),
    "unknown field in --set": (
        (*ONE, "--set", "recipe.epoch=3"),
        "--set recipe.epoch: unknown key 'recipe.epoch'; did you mean 'recipe.epochs'?",
    ),
    "unknown part in --set": ((*ONE, "--set", "optimizer.lr=3"), "--set optimizer.lr: unknown key 'optimizer.lr'"),
    "--set without a value": ((*ONE, "--set", "recipe.lr"), "--set recipe.lr: must be PATH=VALUE"),
    "patch": (
        (*ONE, "--set", "backbone.patch_size=5"),
        "command line: ViT, none, fashion-mnist-12k: patch_size 5 does not divide an image of 32 x 32 px; allowed: 1,",
    ),
    "heads": ((*ONE, "--set", "backbone.num_heads=5"), "--set backbone.num_heads: num_heads 5 does not divide dim 192"),
    "batch": ((*ONE, "--batch-size", "10000"), "command line: ViT, none, fashion-mnist-12k: batch_size 10000 is above"),
    "nothing to run": ((), "nothing to run: name a study file, or --backbone, --method or --dataset"),
    "empty list": (("--method", ","), "nothing to run: name a study file, or --backbone, --method or --dataset"),
    "no seed": ((*ONE, "--seeds", "0"), "Invalid value for '--seeds'"),
    "unknown device": ((*ONE, "--devices", "cpuu"), "--devices: unknown device 'cpuu'; did you mean 'cpu'? known:"),
    "too many jobs": (
        (*ONE, "--devices", "cpu", "--jobs-per-device", "3", "--threads", "2"),
        "--jobs-per-device 3 x --threads 2 needs 6 cores, and there are 4: jobs that share cores slow each other down",
    ),
    "unknown flag": ((*ONE, "--epoch", "3"), "No such option: --epoch"),
}

FILES = {
    "unknown key": ("titel = 'x'", "unknown key 'titel'; did you mean 'title'?"),
    "unknown key of the grid": ("[grid]\nmetod = ['none']", "grid.metod: unknown key 'metod'; did you mean 'method'?"),
    "unknown key two deep": ("[set.recipe]\nepoch = 3", "set.recipe.epoch: unknown key 'recipe.epoch'; did you mean"),
    "unknown key of an inline backbone": (
        "[grid]\nbackbone = [{ name = 'vit', dimm = 8 }]",
        "grid.backbone: unknown key 'dimm'; did you mean 'dim'?",
    ),
    "unknown key of an inline method": (
        "[[method]]\nname = 'mine'\nmask = true",
        "method 'mine': unknown key 'mask'; did you mean 'mask_self'?",
    ),
    "unknown axis of an exclusion": ("[[exclude]]\nmetod = 'spt'", "exclude: 'metod' is no axis of this grid; did you"),
    "unknown backbone": ("[grid]\nbackbone = ['vitt']", "grid.backbone: unknown backbone 'vitt'; did you mean 'vit'?"),
    "wrong type": ("[set]\nrecipe.lr = 'high'", 'set.recipe.lr: must be a number, got "high"'),
    "empty grid": ("[grid]\nmethod = []", "grid.method: an empty list leaves no run"),
    "all excluded": ("[grid]\nmethod = 'spt'\n[[exclude]]\nmethod = 'spt'", "exclude: leaves no run of the grid"),
    "a shipped row": (
        "[[method]]\nname = 'spt'\nshift = 'cardinal'",
        "method[0]: 'spt' is a row that slbench ships; give yours another name",
    ),
    "a shift of 0 px": (
        "[grid]\nmethod = 'spt'\n[set]\nmethod.shift_ratio = 0.1",
        "ViT, spt, fashion-mnist-12k: shift_ratio 0.1 of a patch of 4 px is a shift of 0 px; the smallest ratio",
    ),
    "invalid TOML": ("title = 'x'\n[grid\n", "not valid TOML: Expected ']' at the end of a table declaration (at line"),
}


@pytest.fixture(autouse=True)
def _four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "gpus", lambda: ())


@pytest.mark.parametrize("plan", [(), ("--plan",)], ids=["run", "plan"])
@pytest.mark.parametrize(("flags", "words"), FLAGS.values(), ids=FLAGS)
def test_a_bad_flag_is_one_line_and_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: str, plan: tuple[str, ...]
) -> None:
    said = slbench("run-grid", *flags, *plan, "--store", tmp_path / "results")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"slbench: {words}")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run-grid", "status", "report", "train"])
@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_bad_study_file_is_one_line_with_the_file_and_the_key(
    slbench: Command, tmp_path: Path, content: str, words: str, command: str
) -> None:
    path = tmp_path / "x.toml"
    path.write_text(content)
    said = slbench(command, path, "--store", tmp_path / "results")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"slbench: {path}: {words}")
    assert said.err.count("\n") == 1
    assert [found.name for found in tmp_path.iterdir()] == ["x.toml"]


@pytest.mark.parametrize("command", ["run-grid", "status", "report", "train"])
def test_a_missing_study_file_is_one_line_with_the_nearest_one(slbench: Command, tmp_path: Path, command: str) -> None:
    (tmp_path / "quick.toml").touch()
    said = slbench(command, tmp_path / "quik.toml", "--store", tmp_path / "results")
    assert (said.code, said.out) == (2, "")
    assert not missing(said.err, f"{tmp_path}/quik.toml", "quick.toml", tmp_path)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("command", ["run-grid", "train", "report"])
def test_a_store_that_is_a_file_is_refused_and_stays(slbench: Command, tmp_path: Path, command: str) -> None:
    file = tmp_path / "results"
    file.write_text("mine")
    said = slbench(command, *(() if command == "report" else ONE), "--store", file)
    assert (said.code, said.out) == (2, "")
    assert not missing(said.err, file, "--store")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("command", ["run-grid", "train"])
def test_a_store_that_cannot_be_written_to_is_refused(slbench: Command, command: str) -> None:
    said = slbench(command, *ONE, "--store", "/proc/slbench")
    assert (said.code, said.out) == (2, "")
    assert not missing(said.err, "/proc/slbench")
    assert not missing(said.err, "--store")
    assert said.err.count("\n") == 1


def test_train_refuses_more_than_one_run(slbench: Command, tmp_path: Path) -> None:
    said = slbench("train", "--method", "none,lsa", "--store", tmp_path / "results")
    assert (said.code, said.out) == (2, "")
    assert not missing(said.err, "2", "--backbone", "--method", "--dataset")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--accuracy", "fnal"), "unknown accuracy 'fnal'; did you mean 'final'? known: final, selected, best"),
        ((), "no finished run yet; start with: slbench run-grid STUDY"),
    ],
)
def test_a_report_on_nothing_or_of_nothing_known_writes_nothing(
    slbench: Command, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    said = slbench("report", *flags, "--store", tmp_path / "results")
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_one_line(slbench: Command) -> None:
    said = slbench("run-gird")
    assert (said.code, said.out) == (2, "")
    assert not missing(said.err, "run-gird")
    assert said.err.count("\n") == 1
