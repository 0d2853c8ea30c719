"""Free disk space is checked before a job starts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slbench.grid import local
from slbench.grid.disk_budget import AMPLE_BYTES_PER_RUN, SLACK, disk_shortfall, needed_bytes
from slbench.grid.events import Finished, GridStopped, Started
from slbench.store import Store
from tests.grid.helpers import CPU, run_all
from tests.support import make_record, missing, runs

PARAMETERS = 2_786  # of the tiny network
LOGITS = 2_000 * (10 * 2 + 8 + 4 + 1)  # bytes
RUNS = runs({"seed": [0, 1]}, set={"recipe.precision": "fp32"})
NEEDED = 4 * PARAMETERS * 10 + LOGITS + SLACK
Free = Callable[[int], None]


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Free:
    """Return a function that sets the free bytes of the disk of every store."""
    return lambda count: monkeypatch.setattr(Store, "free_bytes", lambda self: count)


def test_a_run_needs_three_checkpoints_of_three_times_its_weights() -> None:
    assert needed_bytes(RUNS[0]) == NEEDED


def test_averaged_and_best_weights_make_checkpoints_larger() -> None:
    (both,) = runs(keep="best", set={"recipe.ema_decay": 0.9})
    assert needed_bytes(both) == NEEDED + 3 * 2 * 4 * PARAMETERS


def test_a_shortfall_of_one_byte_is_reported_with_the_needed_space(tmp_path: Path, free: Free) -> None:
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


def test_written_files_of_running_jobs_are_subtracted_from_their_needs(tmp_path: Path, free: Free) -> None:
    store, (first, second) = Store(tmp_path), RUNS
    (store.begin(second.spec, second.labels) / "checkpoint.pt").write_bytes(bytes(1000))
    free(2 * NEEDED - 1000)
    assert disk_shortfall(store, first, [second]) is None


def test_needs_are_not_computed_if_free_space_is_ample(
    tmp_path: Path, free: Free, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.disk_budget.needed_bytes", lambda run: pytest.fail("computed"))
    free(2 * AMPLE_BYTES_PER_RUN)
    assert disk_shortfall(Store(tmp_path), RUNS[0], [RUNS[1]]) is None


@pytest.fixture
def finishing(monkeypatch: pytest.MonkeyPatch, python: Callable[[str], None]) -> None:
    """Replace worker processes by scripts that succeed at once, and records by invented ones."""
    python("sleep 0.2")
    monkeypatch.setattr(local, "CLAIM_SECONDS", 0.1)
    monkeypatch.setattr(Store, "record", lambda self, run_id: record(run_id))


def record(run_id: str) -> object:
    return make_record(next(run for run in RUNS if run.spec.run_id == run_id))


def test_a_full_disk_stops_the_grid_before_any_job_starts_or_file_is_written(tmp_path: Path, free: Free) -> None:
    free(NEEDED - 1)
    _, (stopped,) = run_all(RUNS, Store(tmp_path / "results"), CPU, CPU)
    assert isinstance(stopped, GridStopped)
    assert (stopped.waiting, stopped.reason.startswith("disk full: ")) == (2, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("finishing")
def test_a_job_that_fits_only_alone_waits_for_the_running_job(tmp_path: Path, free: Free) -> None:
    free(2 * NEEDED - 10_000)  # more than the spec that the running job has written
    _, events = run_all(RUNS, Store(tmp_path / "results"), CPU, CPU)
    assert [type(event) for event in events] == [Started, Finished, Started, Finished]
    free(2 * NEEDED)
    _, events = run_all(RUNS, Store(tmp_path / "more"), CPU, CPU)
    assert [type(event) for event in events] == [Started, Started, Finished, Finished]
