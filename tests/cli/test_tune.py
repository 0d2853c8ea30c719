"""`slbench tune-temperature`: a small search and one-line errors."""

import json
from pathlib import Path

import pandas as pd
import pytest

from slbench.cli.tune import command_line
from slbench.store import Store
from slbench.study import load_study
from slbench.tuning.record import load
from tests.cli.conftest import Command
from tests.support import missing

TINY = [
    *("--set", "backbone.patch_size=16", "--set", "backbone.dim=8", "--set", "backbone.depth=1"),
    *("--set", "backbone.num_heads=1", "--batch-size", "90", "--epochs", "2", "--set", "recipe.precision=fp32"),
    *("--set", "dataset.per_class=90"),
]
SHORT = ["--trials", "3", "--seeds-per-trial", "2", "--compare-seeds", "2", "--jobs-per-device", "1"]


@pytest.mark.slow
@pytest.mark.usefixtures("every_format")
def test_a_search_is_run_once_printed_written_and_reported(slbench: Command, tmp_path: Path) -> None:
    store = tmp_path / "results"
    command = ["tune-temperature", "--method", "both", *TINY, *SHORT, "--sampler", "random", "--store", store]
    first = slbench(*command)
    assert first.code == 0, first.err
    assert not missing(first.out, "initial_temperature: 0.1 to 4")
    assert not missing(first.out, "shift_pixels: 16", "1 to 16", "8")
    assert first.out.count("complete trial") + first.out.count("pruned   trial") == 3
    assert "best " in first.out and "left]" in first.out
    assert "test top-1" not in first.out

    folder = store / "tuning" / "vit-fashion-mnist-12k"
    record = load(folder)
    (method,) = record.rows
    assert [trial.is_baseline for trial in method.trials] == [True, False, False]
    frame = pd.read_csv(folder / "trials.csv")
    assert len(frame) == 3
    assert not [column for column in frame if "test" in str(column)]
    for name in ("landscape", "history", "curves"):
        assert (folder / f"{name}.png").stat().st_size > 1000
        assert (folder / f"{name}.svg").read_text().startswith("<?xml")
    summary = (folder / "summary.md").read_text()
    assert not missing(summary, "test images")
    assert "slbench, torch" not in summary and "torch" in summary  # the versions are listed

    results = Store(store)
    assert method.comparison is not None and len(method.comparison.tuned) == 2
    assert method.comparison.seeds == record.fresh_seeds and min(record.fresh_seeds) >= 2
    best = load_study(folder / "best.toml")
    assert all(results.has_ended(run.spec) for run in best.runs)
    assert {run.spec.protocol for run in best.runs} == {"full"}
    assert {run.spec.seed for run in best.runs} == set(record.fresh_seeds)
    baseline = results.record(method.trials[0].run_ids[0])
    assert baseline is not None and baseline.spec.protocol == "holdout"

    again = slbench(*command)
    assert again.code == 0
    assert "trial 0" not in again.out.replace("(own", "") or "complete trial 0" not in again.out
    assert load(folder).rows == record.rows
    more = slbench(*command, "--trials", "4", "--json")
    assert more.code == 0
    document = json.loads(more.out)
    assert len(document["rows"][0]["trials"]) == 4
    assert not set(document["fresh_seeds"]) & set(record.fresh_seeds)

    report = slbench("report", folder, "--store", store)
    assert report.code == 0
    assert not missing(report.out, "vit-fashion-mnist-12k", "ViT on fashion-mnist-12k")
    everything = slbench("report", "--store", store)
    assert not missing(everything.out, "vit-fashion-mnist-12k", "ViT on fashion-mnist-12k")
    status = slbench("status", "--store", store)
    assert "done" in status.out and status.code == 0

    other = slbench(*command, "--seeds-per-trial", "3")
    assert other.code == 2
    assert not missing(other.err, "vit-fashion-mnist-12k-both", "seeds_per_trial", "2", "3")


@pytest.mark.slow
def test_a_time_limit_starts_no_further_trial_and_prints_how_many_are_left(slbench: Command, tmp_path: Path) -> None:
    command = ["tune-temperature", *TINY, "--seeds-per-trial", "1", "--compare-seeds", "0", "--store", tmp_path]
    result = slbench(*command, "--trials", "50", "--timeout", "1", "--jobs-per-device", "1")
    assert result.code == 0, result.err
    finished = len(load(tmp_path / "tuning" / "vit-fashion-mnist-12k").rows[0].trials)
    assert 0 < finished < 50
    assert not missing(result.out, "--timeout", 50 - finished)
    again = slbench(*command, "--trials", str(finished + 1))
    assert not missing(again.out, f"{finished} of {finished + 1}")
    assert f"[{finished + 1} of {finished + 1} trials" in again.out


SEARCHES = {
    "shift of lsa": ("lsa", "[method.shift_pixels]\nlow = 1\nhigh = 2", ("lsa", "shift")),
    "no shift": ("both", "[method.shift_ratio]\nchoices = [0.1, 0.5]", ("shift_ratio", "0.1", "4 px", "0 px")),
    "no temperature": ("both", "[method.initial_temperature]\nlow = -1\nhigh = 2", ("-1", "0.000001")),
    "zero on a log scale": (
        "both",
        "[method.initial_temperature]\nlow = 0\nhigh = 2\nlog = true",
        ("low", "0", "above 0", "logarithmic"),
    ),
    "empty": ("both", "[method.initial_temperature]\nlow = 2\nhigh = 2", ("low", "high", "2")),
    "one choice": ("both", '[method.shift]\nchoices = ["diagonal"]', ("method.shift", "two")),
    "without the paper's": ("both", "[method.initial_temperature]\nlow = 0.1\nhigh = 0.5", ("1", "both")),
    "unknown": ("both", "[method.temprature]\nlow = 1\nhigh = 2", ("method.temprature",)),
    "unknown key": ("both", "[recipe.lr]\nlow = 1\nhihg = 2", ("hihg", "high")),
    "nothing": ("both", "", ("parameter",)),
    "no TOML": ("both", "[", ("not valid TOML",)),
    "text": ("both", '[recipe.lr]\nlow = "a"\nhigh = 2', ("low", "number")),
    "both kinds": ("both", "[recipe.lr]\nlow = 1\nhigh = 2\nchoices = [1, 2]", ("low", "high", "choices")),
    "no end": ("both", "[recipe.lr]\nlow = 1", ("high",)),
    "a choice as a range": ("both", "[method.shift]\nlow = 1\nhigh = 2", ("number", "choices")),
    "half pixels": ("both", "[method.shift_pixels]\nlow = 1.5\nhigh = 2", ("1.5", "2")),
    "ratios": ("both", "[method.shift_ratio]\nlow = 0.25\nhigh = 0.5", ("method.shift_ratio",)),
    "its length": ("both", "[recipe.epochs]\nlow = 1\nhigh = 5", ("recipe.epochs",)),
    "no start": ("both", "[recipe.clip_norm]\nlow = 1\nhigh = 5", ("--set", "recipe.clip_norm=VALUE")),
    "grid outside": ("both", "[recipe.lr]\nlow = 0.001\nhigh = 0.01\ngrid = [1.0]", ("grid", "1")),
    "too many numbers": (
        "both",
        "[recipe.batch_size]\nlow = 1\nhigh = 9e12",
        ("recipe.batch_size", "high", "1,000,000"),
    ),
    "nested": ("both", "a = " + "[" * 5000, ("not valid TOML", "nested")),
    "out of the image": ("both", "[method.shift_pixels]\nlow = 1\nhigh = 32", ("32 px",)),
}


@pytest.mark.parametrize("case", SEARCHES)
def test_an_invalid_search_file_is_one_line(case: str, slbench: Command, tmp_path: Path) -> None:
    method, content, words = SEARCHES[case]
    file = tmp_path / "search.toml"
    file.write_text(content)
    result = slbench("tune-temperature", "--method", method, "--search", file, "--store", tmp_path / "results")
    assert result.code == 2
    assert result.err.startswith(f"slbench: {file}: ")
    assert not missing(result.err, *words)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "none"], ("none", "--with-lr")),
        (["--method", "both,both"], ("--method",)),
        (["--method", "bth"], ("bth", "both")),
        (["--backbone", "vitt"], ("vitt", "vit")),
        (["--dataset", "cifr10"], ("cifr10",)),
        (["--sampler", "tpee"], ("tpee", "tpe")),
        (["--pruner", "halving"], ("halving",)),
        (["--protocol", "full"], ("--protocol", "full")),
        (["--protocol", "paper"], ("--protocol", "paper")),
        (["--set", "protocol=full"], ("--protocol", "full")),
        (["--name", "a/b"], ("--name", "a/b", "letters", "digits")),
        (["--storage", "nonsense"], ("--storage", "nonsense", "URL")),
        (["--storage", "sqlite://"], ("--storage", "memory", "sqlite:///FILE")),
        (["--seeds-per-trial", "99999999"], ("--seeds-per-trial", "99999999", "1000")),
        (["--trials", "99999999"], ("--trials", "99999999", "10000")),
        (["--compare-seeds", "99999999"], ("--compare-seeds", "99999999", "1000")),
        (["--sampler-seed", "4294967296"], ("--sampler-seed", "4294967296", "4294967295")),
        (["--name", ""], ("--name", "letters")),
        (["--search", "nowhere.toml"], ("nowhere.toml",)),
        (["--timeout", "soon"], ("--timeout", "soon")),
        (["--set", "recipe.lr=-1"], ("--set recipe.lr", "0", "-1")),
        (["--set", "nonsense=1"], ("nonsense",)),
    ],
)
def test_invalid_arguments_are_one_line_and_train_nothing(
    arguments: list[str], words: tuple[object, ...], slbench: Command, tmp_path: Path
) -> None:
    result = slbench("tune-temperature", *TINY, *arguments, "--store", tmp_path / "results")
    assert result.code == 2
    assert not missing(result.err, *words)
    assert result.err.count("\n") == 1
    assert not (tmp_path / "results" / "runs").exists()


def test_a_backbone_without_applicable_methods_is_refused(slbench: Command, tmp_path: Path) -> None:
    result = slbench("tune-temperature", "--backbone", "resnet56", "--store", tmp_path / "results")
    result.check_error("ResNet56", "none")


@pytest.mark.slow
def test_a_method_without_a_parameter_is_searched_over_the_others(slbench: Command, tmp_path: Path) -> None:
    file = tmp_path / "search.toml"
    file.write_text(
        "[method.shift_pixels]\nlow = 1\nhigh = 3\n[recipe.weight_decay]\nlow = 0.01\nhigh = 0.1\nlog = true"
    )
    command = ["tune-temperature", *TINY, "--method", "spt,none", "--search", file, "--trials", "2", "--name", "rows"]
    result = slbench(*command, "--seeds-per-trial", "1", "--compare-seeds", "0", "--store", tmp_path / "results")
    assert result.code == 2  # the paper's 8 px are not between 1 and 3
    file.write_text(file.read_text().replace("high = 3", "high = 9"))
    result = slbench(*command, "--seeds-per-trial", "1", "--compare-seeds", "0", "--store", tmp_path / "results")
    assert result.code == 0, result.err
    assert not missing(result.out, file, "method.shift_pixels", "none")
    record = load(tmp_path / "results" / "tuning" / "rows")
    assert [method.parameters for method in record.rows] == [
        ("method.shift_pixels", "recipe.weight_decay"),
        ("recipe.weight_decay",),
    ]
    assert [len(method.trials) for method in record.rows] == [2, 2]
    for name in ("best.toml", "best-spt.toml", "best-none.toml"):
        assert load_study(tmp_path / "results" / "tuning" / "rows" / name).runs


def test_a_store_that_is_a_link_to_itself_is_one_line(slbench: Command, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    slbench("tune-temperature", *TINY, "--store", tmp_path / "loop").check_error("loop", "--store")


def test_the_recorded_command_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ["--storage", "a://me:secret@h/d"],
        ["--storage=a://me:secret@h/d"],
        ["--storage=a://me:secret@[::1"],
    ):
        monkeypatch.setattr("sys.argv", ["slbench", "tune-temperature", *words])
        assert "secret" not in command_line()


def test_a_folder_without_a_search_is_refused_by_report(slbench: Command, tmp_path: Path) -> None:
    result = slbench("report", tmp_path, "--store", tmp_path / "results")
    result.check_error("search.json")
