"""A search whose runs are trained elsewhere, with a worker that stands in for those of a cluster."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slbench.claims import Claim
from slbench.errors import InputError
from slbench.grid import shared_work
from slbench.grid.events import AlreadyFinished, Event, Failed, Finished, JobPruned, Progressed, Started
from slbench.grid.executor import Limits
from slbench.grid.launch import PreparedGrid
from slbench.grid.queue import Policy
from slbench.grid.remote import RemoteExecutor
from slbench.grid.shared_queue import SharedQueue
from slbench.grid.shared_work import train_queue
from slbench.record import Failure, Pruned
from slbench.store import Store
from slbench.study import StudyRun
from tests.kills import killed_folders
from tests.support import naming, runs, store_record

PRUNED = Pruned(search="s", trial=3, epochs=1, reason="pruned", ended_at="")
PROGRESS = {
    "epoch": 1, "epochs": 2, "step": 3, "steps": 34, "loss": 1.0, "val_top1": None, "test_top1": None,
    "images_per_second": 7.0,
}  # fmt: skip


@pytest.fixture
def queue(tmp_path: Path) -> SharedQueue:
    queue = SharedQueue(tmp_path / "queue", Store(tmp_path / "results"))
    queue.open("s", runs({"seed": [0]}))
    return queue


def execute(
    queue: SharedQueue, work: Callable[[], None], given: tuple[StudyRun, ...], *, capacity: int = 2, on: Any = None
) -> tuple[int, list[Event]]:
    """Run an executor whose worker works while it sleeps; return the number of failed runs and the events."""
    events = list[Event]()
    more = iter(given)

    def see(event: Event) -> None:
        events.append(event)
        if on is not None:
            on(executor, event)

    executor = RemoteExecutor(
        queue, capacity=capacity, keep_workers=lambda: None, on_event=see, sleep=lambda seconds: work()
    )
    return executor.run([], more=lambda: next(more, None)), events


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_runs_are_offered_until_workers_have_trained_them(queue: SharedQueue) -> None:
    given, most = runs({"seed": [0, 1, 2, 3, 4]}), 0
    store_record(queue.store, given[0])

    def work() -> None:
        nonlocal most
        most = max(most, len(list(queue.folder.glob("*.json"))) - 1)
        run = queue.next()
        assert run is not None
        store_record(queue.store, run, final_test_top1=77.0)

    failed, events = execute(queue, work, given)
    assert failed == 0 and most == 2, "no more than the capacity"
    assert isinstance(events[0], AlreadyFinished)
    finished = [event for event in events if isinstance(event, Finished)]
    assert sorted(event.run.spec.seed for event in finished) == [1, 2, 3, 4] and finished[0].final_test_top1 == 77.0
    assert queue.next() is None


def test_a_pruned_run_stops_at_its_worker_and_is_offered_to_no_other(queue: SharedQueue) -> None:
    (given,) = runs({"seed": [7]})
    claim = queue.store.claims.acquire(given.spec.run_id)
    assert claim is not None

    def prune(executor: RemoteExecutor, event: Event) -> None:
        if isinstance(event, Started):
            claim.write_progress(PROGRESS)
        elif isinstance(event, Progressed):
            executor.prune(event.run, PRUNED)

    def work() -> None:
        if queue.pruned(given.spec.run_id) == PRUNED:
            assert queue.next() is None
            claim.release(done=False)

    _, events = execute(queue, work, (given,), on=prune)
    assert names(events) == ["Started", "Progressed", "JobPruned"]
    assert isinstance(events[-1], JobPruned) and queue.store.pruned(given.spec.run_id) == PRUNED


def test_a_search_that_is_killed_while_it_opens_its_queue_again_leaves_one(tmp_path: Path) -> None:
    given, other = runs({"seed": [0, 1]})

    def queue_in(folder: Path) -> SharedQueue:
        return SharedQueue(folder, Store(tmp_path / "results"))

    def prepare(folder: Path) -> None:
        queue_in(folder).open("s", [given])
        queue_in(folder).publish(other)
        queue_in(folder).prune(other.spec.run_id, PRUNED)
        queue_in(folder).close()

    for folder in killed_folders(tmp_path, lambda folder: queue_in(folder).open("s", [given]), prepare=prepare):
        assert queue_in(folder).study().runs == (given,)
    assert queue_in(folder).next() is None and not queue_in(folder).is_closed


def kill_after(action: Callable[[], object]) -> None:
    """Do an action in a process that is killed after it."""
    child = os.fork()
    if not child:
        action()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_a_pruned_run_whose_worker_was_killed_ends_too(queue: SharedQueue) -> None:
    (given,) = runs({"seed": [7]})

    def prune(executor: RemoteExecutor, event: Event) -> None:
        if isinstance(event, Started):
            kill_after(lambda: claimed(queue.store, given).write_progress(PROGRESS))
        elif isinstance(event, Progressed):
            executor.prune(event.run, PRUNED)

    _, events = execute(queue, patience(3), (given,), on=prune)
    assert names(events) == ["Started", "Progressed", "JobPruned"]


def test_a_failed_run_that_a_worker_began_again_before_it_was_killed_is_offered_again(queue: SharedQueue) -> None:
    (given,), wait = runs({"seed": [7]}), patience(3)
    queue.publish(given)
    queue.store.fail(given.spec, given.labels, Failure(kind="error", reason="exit code 3"))

    def work() -> None:
        wait()
        if queue.next() is not None:
            store_record(queue.store, given)
        elif not queue.has_failed(given.spec.run_id):
            queue.fail(given.spec.run_id)
            kill_after(lambda: claimed(queue.store, given) and queue.store.begin(given.spec, given.labels))
            queue._tried.clear()

    queue._tried[given.spec.run_id] = time.monotonic()
    failed, events = execute(queue, work, (given,))
    assert (failed, names(events)) == (0, ["Started", "Finished"])


def claimed(store: Store, run: StudyRun) -> Claim:
    claim = store.claims.acquire(run.spec.run_id)
    assert claim is not None
    return claim


def patience(looks: int) -> Callable[[], None]:
    """Return what fails when it is called more often."""
    left = iter(range(looks))

    def look() -> None:
        assert next(left, None) is not None, "the search waits for ever"

    return look


def test_a_run_that_failed_for_good_is_told_once_and_may_be_offered_again(queue: SharedQueue) -> None:
    given = runs({"seed": [7]})

    def work() -> None:
        run = queue.next()
        assert run is not None
        queue.store.fail(run.spec, run.labels, Failure(kind="error", reason="exit code 3"))
        queue.fail(run.spec.run_id)
        assert SharedQueue(queue.folder, queue.store).next() is None

    for _ in range(2):
        queue._tried.clear()
        failed, events = execute(queue, work, given)
        assert failed == 1 and isinstance(events[-1], Failed) and events[-1].failure.reason == "exit code 3"


def test_a_worker_prefers_runs_that_none_has_claimed(queue: SharedQueue) -> None:
    first, second = runs({"seed": [1, 2]})
    queue.publish(first)
    queue.publish(second)
    assert queue.store.claims.acquire(first.spec.run_id) is not None
    assert queue.next() == second
    assert queue.next() == first, "its owner may have died"
    assert queue.next() is None, "not at once again"


def test_a_worker_trains_what_is_offered_and_stops_what_is_pruned(
    queue: SharedQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_work, "POLL_SECONDS", 0.0)
    good, bad = runs({"seed": [1, 2]})
    stopped = list[StudyRun]()

    class Executor:
        """Fails the run of seed 2, sees the other one pruned."""

        def __init__(self, *_: object, on_event: Callable[[Event], None], **_more: object) -> None:
            self.on_event = on_event

        def run(self, _: object, *, more: Callable[[], StudyRun | None]) -> int:
            run = more()
            if run is None:
                queue.close()
            elif run == bad:
                why = Failure(kind="error", reason="exit code 3")
                self.on_event(Failed(run, SLOT, why, Path(), will_retry=False))
            else:
                queue.prune(run.spec.run_id, PRUNED)
                self.on_event(Progressed(run, SLOT, PROGRESS))  # type: ignore[arg-type]
            return int(run == bad)

        def prune(self, run: StudyRun, pruned: Pruned) -> None:
            assert pruned == PRUNED
            stopped.append(run)

    SLOT: Any = None  # noqa: N806
    for run in (good, bad):
        queue.publish(run)
    grid = PreparedGrid((), {}, (), {}, queue.store)
    outcome = train_queue(
        queue,
        grid,
        policy=Policy(),
        limits=Limits(),
        on_event=lambda event: None,
        make=Executor,  # type: ignore[arg-type]
    )
    assert outcome.failed == 1 and not outcome.stopped and stopped == [good]
    assert queue.has_failed(bad.spec.run_id) and not queue.has_failed(good.spec.run_id)


def test_an_idle_worker_ends(queue: SharedQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_work, "POLL_SECONDS", 0.0)
    grid = PreparedGrid((), {}, (), {}, queue.store)
    outcome = train_queue(queue, grid, policy=Policy(), limits=Limits(idle_seconds=0.0), on_event=lambda event: None)
    assert outcome.limit == "idle"


def test_only_the_folder_of_a_queue_is_one(queue: SharedQueue, tmp_path: Path) -> None:
    assert queue.study().runs == runs({"seed": [0]})
    with pytest.raises(InputError, match=naming("STUDY", "queue of a search", tmp_path)):
        SharedQueue(tmp_path, queue.store).study()
