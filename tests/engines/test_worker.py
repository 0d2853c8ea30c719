"""What a worker records of itself, and when it is requeued."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.engine_settings import SlurmSettings
from slbench.engines.submission import Attempt, Submission, SubmissionFolder, digest_of, folder_of, submissions
from slbench.engines.worker import EngineWorker
from slbench.errors import InputError
from slbench.grid import local
from slbench.store import Store
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.engines.conftest import FakeSlurm
from tests.support import TINY_STUDY, missing, naming, store_record

Script = Callable[[str], None]
PLUGIN = """
from slbench.plugins import register_augmentation


@register_augmentation("same")
def same(images, generator):
    return images
"""
PROGRESS = json.dumps(
    {"epoch": 1, "epochs": 1, "step": 3, "steps": 17, "loss": 1.0, "val_top1": None, "test_top1": None,
     "images_per_second": 7.0}
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SubmissionFolder:
    """The folder of a submission of three workers, of which this process is the last."""
    for name, value in {"SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": "2", "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    settings = SlurmSettings(time="2:00:00", max_num_timeout=2)
    submission = Submission.create("tiny", workers=3, settings=settings, study_folder=tmp_path)
    folder = folder_of(Store(tmp_path / "results"), submission)
    folder.write(submission)
    return folder


@pytest.fixture
def work(slbench: Command, study: Path, tmp_path: Path, folder: SubmissionFolder) -> Callable[..., Any]:
    """Return a function that runs this worker."""
    return lambda *more: slbench(
        "work", study, "--store", tmp_path / "results", "--devices", "cpu", "--submission", folder.path, *more
    )


def last(folder: SubmissionFolder) -> Attempt:
    attempt = folder.worker(2).last
    assert attempt is not None
    return attempt


def test_a_worker_without_work_records_that_it_ended(
    work: Callable[..., Any], folder: SubmissionFolder, study: Path, tmp_path: Path
) -> None:
    for run in load_study(study).runs:
        store_record(Store(tmp_path / "results"), run)
    assert work().code == 0
    attempt = last(folder)
    assert (attempt.end, attempt.restart, attempt.job_id, attempt.runs) == ("no work", 1, "100", 0)
    assert attempt.ended_at is not None


def test_a_worker_that_cannot_begin_records_why(work: Callable[..., Any], folder: SubmissionFolder) -> None:
    assert work("--devices", "cuda:77").code == 2
    assert last(folder).end == "failed" and not missing(last(folder).message, "--devices", "cuda:77")


def test_failed_runs_are_no_failure_of_the_worker(
    work: Callable[..., Any], folder: SubmissionFolder, python: Script
) -> None:
    python("exit 3")
    assert work().code == 1
    assert (last(folder).end, last(folder).message) == ("no work", "2 runs failed")


def test_a_worker_at_its_time_limit_stops_and_is_requeued(
    work: Callable[..., Any],
    folder: SubmissionFolder,
    slurm: FakeSlurm,
    python: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "TICK_SECONDS", 0.05)
    python(f"echo '{PROGRESS}'; sleep 0.2; kill -USR1 {os.getpid()}; read kind; read run; exit 1")
    result = work("--jobs-per-device", "1")
    assert result.code == 0 and not missing(result.out, "SIGUSR1", "100_2", "time limit", "requeued")
    assert (last(folder).end, last(folder).progressed, last(folder).runs) == ("time limit", True, 0)
    assert slurm.calls("scontrol") == ["scontrol requeue 100_2"]


@pytest.mark.parametrize(("earlier", "progressed", "calls"), [(1, True, 1), (2, True, 0), (0, False, 0)])
def test_a_worker_is_requeued_if_it_made_progress_and_not_too_often(
    folder: SubmissionFolder, slurm: FakeSlurm, earlier: int, progressed: bool, calls: int
) -> None:
    attempt = Attempt(restart=0, job_id="100", hostname="n1", started_at="2026-11-27T07:31:38+00:00", end="time limit")
    folder.write_worker(2, [attempt] * earlier)
    with EngineWorker(folder.path) as worker:
        worker._progressed = progressed
        worker.end("time limit")
        assert ("not requeued" in worker.requeue()) is (calls == 0)
    assert len(slurm.calls("scontrol")) == calls
    assert [attempt.end for attempt in folder.worker(2).attempts] == ["time limit"] * (earlier + 1)


def test_the_time_left_is_that_of_the_allocation_less_the_warning(folder: SubmissionFolder) -> None:
    assert EngineWorker(folder.path).seconds == 7200 - 90
    ending = EngineWorker(folder.path, environment={**os.environ, "SLURM_JOB_END_TIME": "1"})
    assert ending.seconds == 0


def test_a_store_that_the_node_does_not_see_is_refused(folder: SubmissionFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=naming(tmp_path / "elsewhere", "not visible", "share")):
        EngineWorker(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=naming("--submission", "slbench submit")):
        EngineWorker(folder.path, environment={})


def test_a_worker_refuses_a_study_whose_runs_are_not_those_that_were_submitted(
    work: Callable[..., Any], folder: SubmissionFolder, study: Path
) -> None:
    submission = folder.read()
    assert submission is not None
    folder.write(submission.model_copy(update={"runs": digest_of(load_study(study))}))
    study.write_text(study.read_text().replace("epochs = 1", "epochs = 2"))
    assert work().code == 2
    assert last(folder).end == "failed" and not missing(last(folder).message, "tiny", "other runs", "submit")


def test_relative_paths_of_a_study_start_at_the_submitted_file(
    slbench: Command, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(PLUGIN)
    study = tmp_path / "mine" / "own.toml"
    study.write_text(TINY_STUDY.replace("[grid]", 'plugins = ["own.py"]\n[grid]'))
    assert slbench("submit", study, "--store", tmp_path / "results").code == 0
    ((_, folder),) = submissions(Store(tmp_path / "results"))
    for run in load_study(study).runs:
        store_record(Store(tmp_path / "results"), run)
    for name, value in {"SLURM_ARRAY_JOB_ID": "100", "SLURM_ARRAY_TASK_ID": "0"}.items():
        monkeypatch.setenv(name, value)
    command = [folder.path / "own.toml", "--store", tmp_path / "results", "--devices", "cpu"]
    result = slbench("work", *command, "--submission", folder.path)
    assert result.code == 0, result.err
    assert len(slurm.jobs) == 1
