"""`slbench status` and `slbench logs`, while other processes run the study."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from slbench.cli.options import seconds_of
from slbench.errors import InputError
from slbench.record import Failure, Pruned
from slbench.store import Store
from slbench.study import StudyRun, load_study
from tests.cli.conftest import Command
from tests.support import TINY_STUDY, make_record, missing, naming, start_slbench

STUDY = TINY_STUDY.replace('["none", "lsa"]', '["none"]\nseed = [0, 1, 2, 3, 4]').replace("epochs = 1", "epochs = 5")
AT_STEP_34 = {
    "epoch": 3,
    "epochs": 5,
    "step": 34,
    "steps": 85,
    "loss": 1.25,
    "val_top1": 61.5,
    "test_top1": 62.0,
    "images_per_second": 1024.0,
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "five.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def prepared(study: Path, tmp_path: Path) -> tuple[Store, tuple[StudyRun, ...]]:
    """Return a store in which run 0 is done, 1 is running, 2 and 3 failed with the same cause, and 4 is missing."""
    store, runs = Store(tmp_path / "results"), load_study(study).runs
    store.finish(store.begin(runs[0].spec, runs[0].labels), make_record(runs[0], seconds=42.5))
    claim = store.claims.acquire(runs[1].spec.run_id)
    assert claim is not None
    claim.add_process(os.getpid(), "cuda:3")
    claim.write_progress(AT_STEP_34)
    (store.begin(runs[1].spec, runs[1].labels) / "log.txt").write_text("a warning\n")
    for run, line in ((runs[2], 7), (runs[3], 8)):
        store.begin(run.spec, run.labels)
        store.fail(run.spec, run.labels, Failure(kind="killed", reason=f"killed by SIGSEGV: line {line}"))
    return store, runs


def test_each_run_is_listed_with_its_progress_or_the_cause_of_its_failure(
    slbench: Command, study: Path, prepared: tuple[Store, tuple[StudyRun, ...]]
) -> None:
    store, runs = prepared
    result = slbench("status", study, "--store", store.root)
    lines = result.out.splitlines()
    assert result.code == 1
    assert [line.split()[0] for line in lines[:5]] == ["done", "running", "failed", "failed", "missing"]
    # 51 steps of 512 images at 1,024 images/s
    assert not missing(lines[1], "3/5", "1.250", "top-1", "61.5 %", "0:26", "cuda:3")
    assert not missing(lines[2], "SIGSEGV", "7")
    ids = ", ".join(run.spec.run_id for run in runs[2:4])
    assert not missing(lines[5], "2 failed", "SIGSEGV", "7", ids)
    # half a second a step: 51 steps of run 1 and 85 of run 4
    assert not missing(lines[6], "1 of 5", "1 running", "2 failed", "1 missing", "1:08")


def test_json_has_the_same_states_and_progress(
    slbench: Command, study: Path, prepared: tuple[Store, tuple[StudyRun, ...]]
) -> None:
    store, _ = prepared
    document = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    assert [document[key] for key in ("done", "running", "failed", "missing")] == [1, 1, 2, 1]
    assert document["seconds_left"] == pytest.approx(51 / 2 + 85 / 2)
    running, failed = document["runs"][1], document["runs"][2]
    assert running["running"]["epoch"] == 3
    assert running["running"]["device"] == "cuda:3"
    assert running["running"]["seconds_left"] == pytest.approx(25.5)
    assert failed["failure"]["kind"] == "killed"
    assert failed["failure"]["cause"] == document["runs"][3]["failure"]["cause"]


def test_without_a_study_all_runs_of_the_store_are_listed(
    slbench: Command, prepared: tuple[Store, tuple[StudyRun, ...]]
) -> None:
    store, runs = prepared
    (store.root / "runs" / "not-a-run-of-ours").mkdir()
    result = slbench("status", "--store", store.root)
    assert result.code == 1
    assert not missing(result.out, runs[0].title, "5 epochs", "17 steps")
    assert not missing(result.out, "fashion-mnist-12k", "seed 1", runs[1].spec.run_id, "5 epochs")
    assert not missing(result.out.splitlines()[-1], "1 of 4", "1 running", "2 failed", "0:26")
    empty = slbench("status", "--store", store.root / "nothing")
    assert empty.code == 0
    assert not missing(empty.out, store.root / "nothing", "no runs", "slbench run-grid quick", "slbench init")


def test_a_paused_run_is_listed_with_its_epoch_and_the_command_that_continues_it(
    slbench: Command, study: Path, tmp_path: Path
) -> None:
    store, runs = Store(tmp_path / "results"), load_study(study).runs
    for run, command in zip(runs[:2], ["slbench run-grid five.toml --threads 2", ""], strict=True):
        folder = store.begin(run.spec, run.labels, command=command)
        (folder / "checkpoint.pt").touch()
        (folder / "metrics.csv").write_text("epoch\n1\n2\n")
    result = slbench("status", study, "--store", store.root)
    lines = result.out.splitlines()
    assert not missing(lines[0], "paused ", runs[0].title, "at epoch 3 of 5")
    assert not missing(lines[5], "2 paused", "3 missing")
    assert lines[6] == "continue with: slbench run-grid five.toml --threads 2"
    assert not missing(lines[7], "continue with", "command")
    entry = json.loads(slbench("status", "--store", store.root, "--json").out)["runs"][0]
    assert (entry["state"], entry["paused"]["epoch"], entry["paused"]["epochs"]) == ("paused", 3, 5)


def test_runs_of_one_name_are_told_apart_by_their_settings_and_trials_with_and_without_a_study(
    slbench: Command, study: Path, tmp_path: Path
) -> None:
    text = STUDY.replace("seed = [0, 1, 2, 3, 4]", '"recipe.lr" = [0.001, 0.003]')
    study.write_text(text)
    store, runs = Store(tmp_path / "results"), load_study(study).runs
    store.finish(store.begin(runs[0].spec, runs[0].labels), make_record(runs[0]))
    store.begin(runs[1].spec, runs[1].labels, trial="trial 1 of tiny-none")
    of_study = slbench("status", study, "--store", store.root).out
    of_store = slbench("status", "--store", store.root).out
    for rate, run in zip(["0.001", "0.003"], runs, strict=True):
        name = f"{run.labels.backbone} none {run.labels.dataset} lr={rate} seed 0"
        assert f"{name} ({run.spec.run_id})" in of_study
        assert name in of_store
    assert f"lr=0.003 seed 0, trial 1 of tiny-none ({runs[1].spec.run_id})" in of_store


def test_watch_ends_when_no_run_is_left(
    slbench: Command, study: Path, prepared: tuple[Store, tuple[StudyRun, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, runs = prepared

    def finish_all(_: float) -> None:
        for run in (runs[1], runs[4]):
            store.finish(store.begin(run.spec, run.labels), make_record(run))

    monkeypatch.setattr(time, "sleep", finish_all)
    result = slbench("status", study, "--store", store.root, "--watch")
    assert result.code == 1
    assert not missing(result.out.splitlines()[-1], "3 of 5", "2 failed")


def test_a_log_is_found_by_a_prefix_of_a_run_id(slbench: Command, prepared: tuple[Store, tuple[StudyRun, ...]]) -> None:
    store, runs = prepared
    result = slbench("logs", runs[1].spec.run_id[:6], "--store", store.root)
    assert (result.code, result.out) == (0, "a warning\n")


def test_an_empty_log_is_reported_on_stderr(slbench: Command, prepared: tuple[Store, tuple[StudyRun, ...]]) -> None:
    store, runs = prepared
    log = store.begin(runs[4].spec, runs[4].labels) / "log.txt"
    log.touch()
    result = slbench("logs", runs[4].spec.run_id, "--store", store.root)
    assert (result.code, result.out) == (0, "")
    assert not missing(result.err, log, "empty")


def test_a_log_is_followed_until_its_run_ends(prepared: tuple[Store, tuple[StudyRun, ...]]) -> None:
    store, runs = prepared
    claim = store.claims.acquire(runs[4].spec.run_id)
    assert claim is not None
    folder = store.begin(runs[4].spec, runs[4].labels)
    with (folder / "log.txt").open("w", buffering=1) as log:
        log.write("first\n")
        process = start_slbench("logs", runs[4].spec.run_id, "--store", store.root, "--follow")
        assert process.stdout is not None and process.stderr is not None
        with process, process.stdout as output:
            assert output.readline() == "first\n"
            log.write("second\n")
            assert output.readline() == "second\n"
            claim.release(done=False)
            assert process.stderr.read() == f"{runs[4].spec.run_id}: missing\n"
            assert process.wait(timeout=20) == 0


def test_following_the_log_of_a_run_that_is_over_says_so(
    slbench: Command, prepared: tuple[Store, tuple[StudyRun, ...]]
) -> None:
    store, runs = prepared
    (store.folder(runs[0].spec, runs[0].labels) / "log.txt").touch()
    result = slbench("logs", runs[0].spec.run_id, "--follow", "--store", store.root)
    assert result.code == 0 and not missing(result.err, "empty", "not running: done")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["logs", "zzz"], ("zzz", "slbench status", "--json")),
        (["logs", ""], ("run",)),
        (["status", "STUDY", "--watch", "--json"], ("--watch", "--json")),
        (["run-grid", "STUDY", "--timeout", "soon"], ("--timeout", "0")),
        (["run-grid", "STUDY", "--timeout", "0"], ("--timeout", "0")),
        (["run-grid", "STUDY", "--retries", "-1"], ("--retries",)),
        (["run-grid", "STUDY", "--max-failures", "0"], ("--max-failures",)),
    ],
)
def test_invalid_arguments_are_one_line(
    slbench: Command,
    study: Path,
    prepared: tuple[Store, tuple[StudyRun, ...]],
    arguments: list[str],
    words: tuple[object, ...],
) -> None:
    named = [str(study) if argument == "STUDY" else argument for argument in arguments]
    result = slbench(*named, "--store", prepared[0].root)
    result.check_error(*words)


def test_an_ambiguous_id_prefix_is_refused_with_the_matching_runs(
    slbench: Command, prepared: tuple[Store, tuple[StudyRun, ...]]
) -> None:
    store, _ = prepared
    for name in ("vit-none-x-s0-abcdef000001", "vit-none-x-s1-abcdef000002"):
        (store.root / "runs" / name).mkdir()
    result = slbench("logs", "abcdef", "--store", store.root)
    result.check_error("2 run ids", "abcdef", "vit-none-x-s0-abcdef000001", "vit-none-x-s1-abcdef000002")


@pytest.mark.slow
def test_two_launchers_share_the_runs_of_a_store_and_start_each_once(study: Path, tmp_path: Path) -> None:
    flags = ("--devices", "cpu", "--jobs-per-device", "1", "--no-throughput", "--epochs", "1")
    command = ("run-grid", study, "--store", tmp_path / "shared", *flags)
    launchers = [start_slbench(*command, stderr=subprocess.STDOUT) for _ in range(2)]
    outputs = [launcher.communicate(timeout=120)[0] for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0]
    assert all(output.splitlines()[-1] == "five: 5 of 5 done" for output in outputs)
    started = [line.split(" on ")[0] for output in outputs for line in output.splitlines() if line.startswith("start")]
    assert len(started) == len(set(started)) == 5
    assert all("done    " in output for output in outputs)  # both ran some
    assert list((tmp_path / "shared" / "claims").iterdir()) == []


@pytest.mark.parametrize("progress", [{}, {"epoch": 3}, {**AT_STEP_34, "images_per_second": 0.0}, {"steps": "many"}])
def test_incomplete_progress_is_ignored(
    slbench: Command, study: Path, prepared: tuple[Store, tuple[StudyRun, ...]], progress: dict[str, object]
) -> None:
    store, runs = prepared
    (store.root / "claims" / runs[1].spec.run_id / "progress.json").write_text(json.dumps(progress))
    result = slbench("status", study, "--store", store.root)
    assert result.code == 1
    assert ": cuda:3 of " in result.out.splitlines()[1]


def test_a_pruned_run_is_listed_as_pruned_and_not_as_failed(study: Path, tmp_path: Path, slbench: Command) -> None:
    store, (run, *_) = Store(tmp_path / "results"), load_study(study).runs
    store.begin(run.spec, run.labels)
    reason = "pruned by the search 'sieve' (trial 7) after epoch 2 of seed 0"
    store.prune(run.spec, run.labels, Pruned(search="sieve", trial=7, epochs=2, reason=reason, ended_at=""))
    result = slbench("status", study, "--store", store.root)
    assert result.code == 0
    assert not missing(result.out, run.title, "5 epochs", "17 steps", reason)
    assert not missing(result.out, "0 of 5", "1 pruned", "4 missing")
    document = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    assert (document["pruned"], document["missing"], document["failed"]) == (1, 4, 0)
    assert document["runs"][0]["pruned"] == reason


def test_a_time_limit_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(InputError, match=naming("--timeout", "90")):
        seconds_of("9" * 400 + "d")
