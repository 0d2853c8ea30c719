"""Room on the disk is looked for before a job starts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slbench.grid import local
from slbench.grid.disk_budget import AMPLE_BYTES_PER_RUN, SLACK, disk_shortfall, needed_bytes
from slbench.grid.events import Event, Finished, GridStopped, Started
from slbench.grid.local import LocalExecutor
from slbench.grid.slots import Device, Slot
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import make_record, missing, runs

CPU = Device("cpu", "Processor", False)
PARAMETERS = 2_786  # of the tiny network
LOGITS = 2_000 * (10 * 2 + 8)  # bytes
RUNS = runs({"seed": [0, 1]}, set={"recipe.precision": "fp32"})
NEEDED = 4 * PARAMETERS * 10 + LOGITS + SLACK
Free = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Has a disk with so many bytes free stand in for that of every store."""
    return lambda count: monkeypatch.setattr(Store, "free_bytes", lambda self: count)


def test_a_run_needs_three_checkpoints_of_three_times_its_weights_for_a_moment() -> None:
    assert needed_bytes(RUNS[0]) == NEEDED


def test_averaged_and_best_weights_make_checkpoints_larger() -> None:
    (both,) = runs(keep="best", set={"recipe.ema_decay": 0.9})
    assert needed_bytes(both) == NEEDED + 3 * 2 * 4 * PARAMETERS


def test_there_is_room_to_the_byte(tmp_path: Path, free: Free) -> None:
    store, (first, second) = Store(tmp_path), RUNS
    free(NEEDED)
    assert disk_shortfall(store, first, []) is None
    free(NEEDED - 1)
    message = disk_shortfall(store, first, [])
    assert message is not None
    assert not missing(message, tmp_path, "2.3 MB", first.title)
    free(2 * NEEDED - 1)
    assert "2.3 MB" not in str(disk_shortfall(store, first, [second])).partition("needs")[2]
    assert "with the running jobs: free some space" in str(disk_shortfall(store, first, [second]))


def test_what_runs_hold_already_they_need_no_more(tmp_path: Path, free: Free) -> None:
    store, (first, second) = Store(tmp_path), RUNS
    (store.begin(second.spec, second.labels) / "checkpoint.pt").write_bytes(bytes(1000))
    free(2 * NEEDED - 1000)
    assert disk_shortfall(store, first, [second]) is None


def test_with_plenty_free_nothing_is_counted(tmp_path: Path, free: Free, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.grid.disk_budget.needed_bytes", lambda run: pytest.fail("counted"))
    free(2 * AMPLE_BYTES_PER_RUN)
    assert disk_shortfall(Store(tmp_path), RUNS[0], [RUNS[1]]) is None


@pytest.fixture
def finishing(monkeypatch: pytest.MonkeyPatch, python: Callable[[str], None]) -> None:
    """Children that end well at once, with the record that the launcher looks for."""
    python("sleep 0.2")
    monkeypatch.setattr(local, "CLAIM_SECONDS", 0.1)
    monkeypatch.setattr(Store, "record", lambda self, run_id: record(run_id))


def record(run_id: str) -> object:
    return make_record(next(run for run in RUNS if run.spec.run_id == run_id))


def run_all(store: Store, slots: int, made: tuple[StudyRun, ...]) -> list[Event]:
    events = list[Event]()
    executor = LocalExecutor(
        [Slot(i, CPU, 1) for i in range(slots)], store=store, precisions={"fp32": "fp32"}, on_event=events.append
    )
    executor.run(made)
    return events


def test_without_room_no_job_starts_and_nothing_is_written(tmp_path: Path, free: Free) -> None:
    free(NEEDED - 1)
    (halted,) = run_all(Store(tmp_path / "results"), 2, RUNS)
    assert isinstance(halted, GridStopped)
    assert (halted.waiting, halted.reason.startswith("disk full: ")) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("finishing")
def test_a_job_for_which_there_is_room_alone_waits_for_the_one_that_runs(tmp_path: Path, free: Free) -> None:
    free(2 * NEEDED - 10_000)  # more than the spec that the one that runs has written already
    events = run_all(Store(tmp_path / "results"), 2, RUNS)
    assert [type(event) for event in events] == [Started, Finished, Started, Finished]
    free(2 * NEEDED)
    events = run_all(Store(tmp_path / "more"), 2, RUNS)
    assert [type(event) for event in events] == [Started, Started, Finished, Finished]
