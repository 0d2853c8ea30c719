"""How the state of workers follows from their own records, the queue and the accounting."""

import os
from pathlib import Path

import pytest

from slbench.engine_settings import SlurmSettings
from slbench.engines import watch
from slbench.engines.engine import Answer, Task
from slbench.engines.schedulers import SCHEDULERS
from slbench.engines.submission import Attempt, Submission, SubmissionFolder, folder_of
from slbench.engines.watch import Watcher, bad_nodes, early_kills, failures_to_start, status
from slbench.store import Store
from tests.engines.conftest import FakeSlurm
from tests.support import missing

STARTED = Attempt(restart=0, job_id="17", hostname="n5", started_at="2026-11-27T07:31:38+00:00")
FAILED = STARTED.model_copy(update={"end": "failed", "message": "no GPU"})


def submitted(store: Store, workers: int) -> tuple[Submission, SubmissionFolder]:
    """Store a submission that became job 17."""
    submission = Submission.create("tiny", workers=workers, settings=SlurmSettings(), study_folder=store.root)
    submission = submission.model_copy(update={"state": "submitted", "job_id": "17"})
    folder_of(store, submission).write(submission)
    return submission, folder_of(store, submission)


@pytest.mark.parametrize(
    ("attempts", "row", "state", "why"),
    [
        ([], "PENDING", "pending", "Priority"),
        ([STARTED], "RUNNING", "running", ""),
        ([STARTED], None, "ended", "killed"),
        ([STARTED], "NODE_FAIL", "ended", "node failure"),
        ([STARTED], "OUT_OF_MEMORY", "ended", "out of memory"),
        ([STARTED], "TIMEOUT", "ended", "time limit"),
        ([STARTED], "PENDING", "pending", "requeued after a kill; Priority"),
        ([STARTED.model_copy(update={"end": "terminated"})], "PREEMPTED", "ended", "preempted"),
        ([STARTED.model_copy(update={"end": "terminated"})], "CANCELLED", "ended", "cancelled"),
        ([STARTED.model_copy(update={"end": "idle"})], "COMPLETED", "ended", "idle"),
        ([FAILED], "FAILED", "ended", "failure: no GPU"),
        ([], "FAILED", "ended", "did not start"),
        ([], "CANCELLED", "ended", "cancelled"),
    ],
)
def test_endings_are_told_apart(tmp_path: Path, attempts: list[Attempt], row: str | None, state: str, why: str) -> None:
    submission, folder = submitted(Store(tmp_path), 1)
    folder.write_worker(0, attempts)
    reason = "Priority" if row == "PENDING" else ""
    queue = {submission.name: [Task("17", 0, row, "n5", reason)] if row else []}
    (worker,) = status(submission, folder, queue=queue).workers
    assert (worker.state, worker.why) == (state, why)


def test_a_user_without_a_name_is_recorded_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_name() -> str:
        raise KeyError("getpwuid(): uid not found: 61001")

    monkeypatch.setattr("getpass.getuser", no_name)
    assert submitted(Store(tmp_path), 1)[0].user == str(os.getuid())


def test_failures_to_start_count_until_a_worker_that_started(tmp_path: Path) -> None:
    submission, folder = submitted(Store(tmp_path), 4)
    for task, attempts in enumerate([[FAILED], [STARTED], [FAILED], []]):
        folder.write_worker(task, attempts)
    found = status(submission, folder, queue={submission.name: []})
    assert [worker.task for worker in failures_to_start([found])] == [3, 2]
    (why,) = [why for node, why in bad_nodes([found]).items() if node == "n5"]
    assert not missing(why, "2 workers", "no GPU")


def test_early_kills_count_until_a_worker_whose_runs_went_on(tmp_path: Path) -> None:
    submission, folder = submitted(Store(tmp_path), 5)
    went_on = STARTED.model_copy(update={"progressed": True})
    for task, attempts in enumerate([[STARTED], [went_on], [STARTED], [STARTED]]):
        folder.write_worker(task, attempts)
    found = status(submission.model_copy(update={"cancelled": [4]}), folder, queue={submission.name: []})
    assert [worker.task for worker in early_kills([found])] == [3, 2]


def test_the_scheduler_is_asked_once_for_all_and_less_often_while_it_fails(tmp_path: Path, slurm: FakeSlurm) -> None:
    store, times = Store(tmp_path / "results"), iter(range(0, 100_000, 10))
    for _ in range(2):
        submitted(store, 1)
    watcher = Watcher(store, "tiny", schedulers=SCHEDULERS, clock=lambda: float(next(times)))
    for _ in range(10):
        watcher.look()
    asked = len(slurm.calls("squeue"))
    assert 1 < asked <= 5
    slurm.faults(squeue="Unable to contact slurm controller")
    watched = [watcher.look() for _ in range(40)]
    assert len(slurm.calls("squeue")) - asked <= 4, "pauses double"
    assert "Unable to contact" in watcher.problem
    assert {worker.state for each in watched[-1] for worker in each.workers} == {"unknown"}


def test_the_accounting_is_asked_only_for_what_is_not_explained(
    tmp_path: Path, slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = Store(tmp_path / "results"), list[tuple[str, ...]]()
    submission, folder = submitted(store, 2)
    folder.write_worker(0, [STARTED.model_copy(update={"end": "no work"})])
    folder.write_worker(1, [STARTED])

    def answer(*command: str) -> Answer:
        asked.append(command)
        return Answer(0, "17_1|NODE_FAIL|n5\n17_0|COMPLETED|n5\n" if command[0] == "sacct" else "", "")

    monkeypatch.setattr("slbench.engines.slurm.ask", answer)
    watcher = Watcher(store, None, schedulers=SCHEDULERS, clock=iter(range(0, 10_000, 100)).__next__)
    for _ in range(3):
        ((found),) = watcher.look()
        assert [worker.why for worker in found.workers] == ["no work", "node failure"]
    assert [command[0] for command in asked] == ["squeue", "sacct", "squeue", "squeue"]
    assert submission.name in str(asked[0]) and slurm.jobs == []
    assert watch.ASK_SECONDS < 100
