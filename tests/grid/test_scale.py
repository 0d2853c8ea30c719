"""A run costs the same however many runs a store has, and workers leave the claims of others alone."""

from collections import Counter
from pathlib import Path

import pytest

from slbench.grid import local
from slbench.grid.events import AlreadyFinished, Event, Finished
from slbench.grid.executor import Limits
from slbench.grid.local import LocalExecutor
from slbench.store import Store
from slbench.study import StudyRun
from tests.file_operations import file_operations
from tests.grid.fake_jobs import fake_workers, one_slot
from tests.grid.helpers import events_of
from tests.support import make_record, runs, store_history


def work(jobs: tuple[StudyRun, ...], root: Path, events: list[Event]) -> None:
    """Run fake jobs until none is left to claim."""
    with fake_workers():
        LocalExecutor(
            one_slot(),
            store=Store(root),
            precisions={"auto": "fp32", "fp32": "fp32"},
            on_event=events.append,
            limits=Limits(wait=lambda: False),
        ).run(jobs)


def operations_of(jobs: tuple[StudyRun, ...], root: Path) -> int:
    """Return the file operations of running jobs; each entry of a listing counts."""
    events = list[Event]()
    with file_operations() as count:
        work(jobs, root, events)
    assert [event.run for event in events_of(Finished, events)] == list(jobs)
    return count.calls + count.entries


def test_file_operations_of_a_run_do_not_grow_with_the_runs_in_the_store(tmp_path: Path) -> None:
    jobs = runs({"seed": list(range(42))})
    operations_of(jobs[:2], tmp_path)  # of the first time, such as imports
    few, many = operations_of(jobs[2:7], tmp_path), operations_of(jobs[7:], tmp_path)
    assert few / 5 > 20, "the operations were not counted"
    assert many / 35 < few / 5 + 1


def test_runs_that_others_have_ended_are_not_claimed(tmp_path: Path) -> None:
    jobs, store, events = runs({"seed": list(range(7))}), Store(tmp_path), list[Event]()
    executor_began_before = Store(tmp_path)
    assert executor_began_before.ids() == {}
    work(jobs[:5], tmp_path, [])
    store.claims.acquire = lambda run_id: pytest.fail(f"claimed {run_id}")  # type: ignore[method-assign]
    executor = LocalExecutor(one_slot(), store=store, precisions={"fp32": "fp32"}, on_event=events.append)
    assert executor.run(jobs[:5]) == 0
    assert [event.run for event in events_of(AlreadyFinished, events)] == list(jobs[:5])


def test_few_of_many_claims_of_others_are_looked_at_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, store = runs({"seed": list(range(14))}), Store(tmp_path)
    for job in jobs[:13]:
        assert Store(tmp_path).claims.acquire(job.spec.run_id) is not None
    looks, acquire = Counter[str](), store.claims.acquire

    def counted(run_id: str) -> object:
        looks[run_id] += 1
        return acquire(run_id)

    store.claims.acquire = counted  # type: ignore[method-assign,assignment]
    executor = LocalExecutor(one_slot(), store=store, precisions={"fp32": "fp32"}, on_event=lambda event: None)
    executor.queue.add(jobs)
    claimed = executor._claim_first(one_slot()[0])
    assert claimed is not None and claimed[0].run == jobs[13]
    assert looks == Counter({job.spec.run_id: 1 for job in (*jobs[: local.LOOKS], jobs[13])})
    clock = max(task.not_before for task in executor.queue.waiting)
    monkeypatch.setattr("time.monotonic", lambda: clock)
    executor.queue.waiting.remove(claimed[0])
    for _ in range(20):
        executor._claim_first(one_slot()[0])
        clock += local.CLAIM_SECONDS
    assert len(looks) == 14, "a claim of a dead owner would never be seen"
    assert sum(looks.values()) < 20 * (local.LOOKS + 1)


def test_a_run_that_turns_out_to_have_ended_when_it_begins_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, events = runs({"seed": [0, 1]}), list[Event]()
    other = Store(tmp_path)
    folder, record = other.begin(jobs[0].spec, jobs[0].labels), make_record(jobs[0], seconds=7.5)
    store_history(folder, record)
    other.finish(folder, record)
    monkeypatch.setattr(Store, "has_ended", lambda store, run: bool(events) and "record.json" in str(store))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(LocalExecutor, "_handle_message", lambda executor: executor.queue.stop())
    executor = LocalExecutor(one_slot(), store=Store(tmp_path), precisions={"auto": "fp32"}, on_event=events.append)
    executor.run(jobs[:1])
    assert events == [AlreadyFinished(jobs[0])]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list((tmp_path / "claims").iterdir()) == []
