"""`slbench submit` and `slbench cancel` on a fake SLURM, with its faults."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from slbench.engine_settings import RaySettings, SlurmSettings
from slbench.engines import slurm as commands
from slbench.engines.submission import Attempt, Submission, SubmissionFolder, folder_of, submissions
from slbench.engines.submit import confirmed
from slbench.errors import SlbenchError
from slbench.store import Store
from slbench.study import load_study
from tests.cli.conftest import Command
from tests.engines.conftest import FakeSlurm
from tests.support import TINY_STUDY, missing, naming, store_record

TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of 10 runs."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_STUDY.replace("[set]", "seed = [0, 1, 2, 3, 4]\n[set]"))
    return path


def of(store: Store) -> list[Submission]:
    return [submission for submission, _ in submissions(store)]


def folders(store: Store) -> list[SubmissionFolder]:
    return [folder for _, folder in submissions(store)]


def names(slurm: FakeSlurm) -> list[str]:
    return sorted({job["name"] for job in slurm.jobs})


def test_a_submission_is_recorded_with_its_job_and_a_copy_of_the_study(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    result = slbench("submit", study, "--store", store.root, "--workers", 3, "--time", "2:00:00")
    assert result.code == 0 and not missing(result.out, "3 workers", "job 100", "10 runs")
    (submission,) = of(store)
    assert (submission.state, submission.job_id, submission.workers) == ("submitted", "100", 3)
    assert isinstance(submission.settings, SlurmSettings) and submission.settings.time == "2:00:00"
    assert [submission.name] == names(slurm)
    (folder,) = folders(store)
    assert (folder.path / "tiny.toml").read_bytes() == study.read_bytes()


def test_a_second_submit_adds_only_missing_workers(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    for workers, added in ((2, 2), (2, 0), (5, 3), (1, 0)):
        result = slbench("submit", study, "--store", store.root, "--workers", workers)
        assert result.code == 0
        assert ("nothing to submit" in result.out) is (added == 0), workers
        assert added == 0 or not missing(result.out, f"submitted {added} workers")
    assert len(slurm.jobs) == 5
    slurm.change(0, state="COMPLETED")
    document = json.loads(slbench("submit", study, "--store", store.root, "--workers", 5, "--json").out)
    assert (document["active"], document["submission"]["workers"]) == (4, 1)
    assert json.loads(slbench("submit", study, "--store", store.root, "--json").out)["submission"] is None


def test_there_are_no_more_workers_than_runs_left(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    for run in load_study(study).runs[:8]:
        store_record(store, run)
    assert not missing(slbench("submit", study, "--store", store.root, "--workers", 9).out, "2 workers", "2 runs")
    assert len(slurm.jobs) == 2


def test_a_dry_run_prints_the_script_and_changes_nothing(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm, tmp_path: Path
) -> None:
    flags = ["--partition", "gpu", "--gpus-per-node", 2, "--sbatch", "nodelist=n[1-3]", "--sbatch", "exclusive"]
    more = ["--workers", 4, "--max-parallel", 2, "--time", "1-0", "--retries", 1]
    result = slbench("submit", study, "--store", store.root, "--dry-run", *flags, *more)
    lines = result.out.splitlines()
    for option in (
        "--partition=gpu", "--gpus-per-node=2", "--nodelist='n[1-3]'", "--exclusive", "--array=0-3%2", "--time=1-0",
        "--signal=B:USR1@90", "--requeue", "--open-mode=append",
    ):  # fmt: skip
        assert f"#SBATCH {option}" in lines
    (tmp_path / "script.sh").write_text(result.out)
    assert subprocess.run(["bash", "-n", tmp_path / "script.sh"]).returncode == 0
    assert lines[-1].startswith("exec ") and not missing(lines[-1], "--wait", "--idle-timeout", "--retries 1")
    assert not store.root.exists() and not (slurm.root / "calls.txt").exists()


def test_names_with_spaces_quotes_and_percent_signs_reach_the_worker(
    slbench: Command, tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'it\'s %a $(touch hacked) "x"'
    folder.mkdir()
    (folder / "a b;c.toml").write_text(TINY_STUDY)
    program = tmp_path / "worker"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\npwd\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.chdir(folder)
    slurm.faults()
    assert slbench("submit", "a b;c.toml", "--store", "my results").code == 0
    ((_, stored),) = submissions(Store(folder / "my results"))
    (job,) = slurm.jobs
    while Path(f"/proc/{job['pid']}/cwd").exists():
        pass
    printed = stored.log(0).read_text().splitlines()
    assert str(stored.path / "a b;c.toml") in printed and str(folder / "my results") in printed
    assert printed[-1] == str(folder) and not list(tmp_path.rglob("hacked"))


def test_a_submission_whose_answer_is_lost_is_found_by_its_name(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    slurm.faults(hold=True, lost=TIMED_OUT)
    assert slbench("submit", study, "--store", store.root, "--workers", 2).code == 0
    assert [(each.state, each.job_id) for each in of(store)] == [("submitted", "100")]
    assert len(slurm.jobs) == 2


def test_a_submission_that_stays_unconfirmed_is_not_repeated_and_found_later(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    slurm.faults(hold=True, lost=TIMED_OUT, **{"squeue with jobs": "Unable to contact slurm controller"})
    result = slbench("submit", study, "--store", store.root, "--workers", 2)
    assert result.code == 1 and not missing(result.err, "did not confirm", "Socket timed out")
    assert [(each.state, each.job_id) for each in of(store)] == [("submitting", None)]
    slurm.faults(hold=True)
    again = slbench("submit", study, "--store", store.root, "--workers", 2)
    assert again.code == 0 and "nothing to submit" in again.out
    assert [(each.state, each.job_id) for each in of(store)] == [("submitted", "100")]
    assert len(slurm.jobs) == 2


def test_a_submission_that_slurm_never_received_counts_as_active_for_some_minutes(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.faults(hold=True, sbatch=TIMED_OUT)
    assert slbench("submit", study, "--store", store.root).code == 1
    slurm.faults(hold=True)
    assert "nothing to submit: 1 worker active" in slbench("submit", study, "--store", store.root).out
    assert not missing(slbench("status", study, "--store", store.root).out, "not confirmed", "1 unconfirmed")
    monkeypatch.setattr("slbench.engines.watch.UNCONFIRMED_SECONDS", -1.0)
    assert "submitted 1 worker" in slbench("submit", study, "--store", store.root).out
    assert len(slurm.jobs) == 1


def test_nothing_is_submitted_while_the_controller_does_not_answer(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    slurm.faults(**{"test-only": "sbatch: error: Unable to contact slurm controller (connect failure)"})
    result = slbench("submit", study, "--store", store.root)
    assert result.code == 1 and not missing(result.err, "does not answer", "nothing was submitted")
    assert slurm.jobs == [] and [each.state for each in of(store)] == ["refused"]


@pytest.mark.parametrize("fault", ["test-only", "sbatch"])
def test_what_slurm_refuses_is_one_line(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm, fault: str
) -> None:
    slurm.faults(hold=True, **{fault: "allocation failure: Requested node configuration is not available"})
    slbench("submit", study, "--store", store.root, "--mem", "999G").check_error("sbatch", "not available")
    assert slurm.jobs == []
    slurm.faults(hold=True)
    assert slbench("submit", study, "--store", store.root).code == 0


def test_without_sbatch_nothing_is_submitted(
    slbench: Command, study: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    slbench("submit", study, "--store", store.root).check_error("sbatch", "PATH", "login node")


def test_submissions_to_a_cluster_that_is_gone_for_good_block_a_study_until_they_are_deleted(store: Store) -> None:
    gone = Submission.create("tiny", workers=1, settings=RaySettings(), study_folder=store.root)
    folder_of(store, gone).write(gone.model_copy(update={"address": "no-such-host.invalid:6379"}))
    folder = store.root / "engines" / "tiny"
    with pytest.raises(SlbenchError, match=naming("no-such-host.invalid:6379", "delete", folder)):
        confirmed(store, "tiny")
    shutil.rmtree(folder)
    assert confirmed(store, "tiny") == []


def test_two_submits_at_once_submit_once(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_script = commands.check_script
    second: list[Any] = []

    def submit_meanwhile(script: Path) -> None:
        if not second:
            second.append("begun")
            second.append(slbench("submit", study, "--store", store.root, "--workers", 2))
        check_script(script)

    monkeypatch.setattr(commands, "check_script", submit_meanwhile)
    assert slbench("submit", study, "--store", store.root, "--workers", 2).code == 0
    _, other = second
    assert other.code == 1 and not missing(other.err, "another process", "submitting")
    assert len(slurm.jobs) == 2
    assert list((store.root / "engines" / "claims").iterdir()) == []


def test_after_workers_that_never_started_nothing_is_submitted_without_consent(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    slurm.faults(**{"no job runs": True})
    assert slbench("submit", study, "--store", store.root, "--workers", 3).code == 0
    result = slbench("submit", study, "--store", store.root, "--workers", 3)
    result.check_error("3 workers", "failed to start", "--force")
    status = slbench("status", study, "--store", store.root).out
    assert not missing(status, "3 ended: did not start", "node n1", "--exclude n1")
    assert len(slurm.jobs) == 3
    assert slbench("submit", study, "--store", store.root, "--workers", 3, "--force").code == 0
    assert len(slurm.jobs) == 6


def test_after_workers_that_were_killed_early_nothing_is_submitted_without_consent(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    assert slbench("submit", study, "--store", store.root, "--workers", 5).code == 0
    (folder,), killed = folders(store), Attempt(restart=0, job_id="1", hostname="n1", started_at="")
    for task in range(5):
        folder.write_worker(task, [killed])
        slurm.change(task, state="FAILED")
    result = slbench("submit", study, "--store", store.root, "--workers", 3)
    result.check_error("5 workers", "killed before any run went on", "--force")
    folder.write_worker(4, [killed.model_copy(update={"progressed": True})])
    assert slbench("submit", study, "--store", store.root, "--workers", 3).code == 0


def test_a_node_on_which_workers_fail_to_start_is_named_and_left_out_of_the_next_submission(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    slurm.faults(hold=True, **{"bad node": "n1"})
    assert slbench("submit", study, "--store", store.root, "--workers", 2).code == 0
    result = slbench("submit", study, "--store", store.root, "--workers", 2)
    assert result.code == 0 and not missing(result.out, "left out: n1", "submitted 2 workers")
    assert [job["state"] for job in slurm.jobs] == ["FAILED", "FAILED", "PENDING", "PENDING"]
    assert not missing(slbench("status", study, "--store", store.root).out, "node n1: 2 workers", "2 pending")
    chosen = slbench("submit", study, "--store", store.root, "--workers", 3, "--exclude", "n9")
    assert "left out" not in chosen.out and slurm.jobs[-1]["exclude"] == ["n9"], "the user's choice counts"


def test_cancel_takes_waiting_workers_first(slbench: Command, study: Path, store: Store, slurm: FakeSlurm) -> None:
    assert slbench("submit", study, "--store", store.root, "--workers", 3).code == 0
    slurm.change(0, state="RUNNING", node="n1")
    result = slbench("cancel", study, "--store", store.root, "--workers", 2)
    assert result.code == 0 and not missing(result.out, "100_1", "100_2")
    assert [job["state"] for job in slurm.jobs] == ["RUNNING", "CANCELLED", "CANCELLED"]
    assert not missing(slbench("status", study, "--store", store.root).out, "1 running on n1", "2 ended: cancelled")
    assert not missing(slbench("cancel", study, "--store", store.root).out, "1 worker", "100_0")
    assert slbench("cancel", study, "--store", store.root).out == "cancelled 0 workers\n"
    document = json.loads(slbench("cancel", study, "--store", store.root, "--json").out)
    assert (document["study"], document["cancelled"]) == ("tiny", [])


@pytest.mark.usefixtures("slurm")
def test_cancel_of_a_study_without_workers_is_refused(slbench: Command, study: Path, store: Store) -> None:
    assert slbench("submit", study, "--store", store.root).code == 0
    slbench("cancel", "tinny.toml", "--store", store.root).check_error("tinny", "allowed: tiny", "did you mean 'tiny'")


def test_status_shows_workers_by_state_with_the_reason_why_they_wait(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    assert slbench("submit", study, "--store", store.root, "--workers", 4).code == 0
    slurm.change(0, state="RUNNING", node="n7")
    (folder,) = folders(store)
    attempt = Attempt(restart=0, job_id="100", hostname="n3", started_at="2026-11-27T07:31:38+00:00", progressed=True)
    folder.write_worker(1, [attempt.model_copy(update={"end": "time limit"})])
    result = slbench("status", study, "--store", store.root)
    parts = ("job 100", "1 running on n7", "1 pending (requeued after time limit; Resources)", "2 pending (Resources)")
    assert not missing(result.out, *parts)
    document = json.loads(slbench("status", study, "--store", store.root, "--json").out)
    (engine,) = document["engines"]
    assert [worker["state"] for worker in engine["workers"]] == ["running", "pending", "pending", "pending"]
    assert engine["workers"][1]["attempts"][0]["end"] == "time limit"


def test_status_goes_on_while_squeue_fails(slbench: Command, study: Path, store: Store, slurm: FakeSlurm) -> None:
    assert slbench("submit", study, "--store", store.root).code == 0
    slurm.faults(squeue="slurm_load_jobs error: Unable to contact slurm controller")
    result = slbench("status", study, "--store", store.root)
    assert result.code == 0 and not missing(result.out, "0 of 10 done", "1 unknown", "Unable to contact")


def test_the_log_of_a_worker_is_printed_by_job_and_task(
    slbench: Command, study: Path, store: Store, slurm: FakeSlurm
) -> None:
    assert slbench("submit", study, "--store", store.root, "--workers", 2).code == 0
    (folder,) = folders(store)
    folder.log(1).write_text("worker 100_1 on n7\n")
    assert slbench("logs", "100_1", "--store", store.root).out == "worker 100_1 on n7\n"
    slbench("logs", "100_0", "--store", store.root).check_error("no log", "started")
    slbench("logs", "7_0", "--store", store.root).check_error("7_0", "slbench status")
    assert slurm.calls("squeue") == [], "logs asks nothing"
