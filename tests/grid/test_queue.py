"""The queue alone, without processes or clocks: order of runs, retries, and effects of failures."""

import pytest

from slbench.grid.queue import DEFAULT_POLICY, Policy, RunQueue
from slbench.grid.slots import Device, Slot
from slbench.record import Failure, Kind
from slbench.study import StudyRun
from tests.grid.helpers import CPU, GPUS, slots_on
from tests.support import missing, runs

RUNS = runs({"seed": list(range(6))})


def queue_of(count: int, *devices: Device, policy: Policy = DEFAULT_POLICY) -> RunQueue:
    """Return a queue of the first `count` runs with a slot on each device."""
    queue = RunQueue(slots_on(*devices), policy=policy, store="results")
    queue.add(RUNS[:count])
    return queue


def failed(kind: Kind = "error", *, reason: str = "exit code 5: no file") -> Failure:
    return Failure(kind=kind, reason=reason)


def start_next(queue: RunQueue, slot: Slot, *, now: float = 0.0) -> StudyRun | None:
    """Start the first run that may start on a slot."""
    for task in list(queue.ready(slot.device, now))[:1]:
        queue.start(task, slot)
        return task.run
    return None


def drain(queue: RunQueue, failure: Failure) -> list[StudyRun]:
    """Start every run on the first slot and let it fail; return the runs in the order of their attempts."""
    attempts = list[StudyRun]()
    while queue.slots and (run := start_next(queue, queue.slots[0])) is not None:
        attempts.append(run)
        after = queue.fail(queue.slots[0], failure)
        if after.stop is not None:
            queue.stop()
    return attempts


def test_a_failed_run_is_retried_after_the_other_runs_up_to_the_limit() -> None:
    first, second = RUNS[:2]
    queue = queue_of(2, CPU, policy=Policy(retries=2))
    assert drain(queue, failed()) == [first, second] * 3
    assert queue.failed == 2


@pytest.mark.parametrize("kind", ["diverged", "disk full"])
def test_a_deterministic_failure_is_not_retried(kind: Kind) -> None:
    queue = queue_of(1, CPU, policy=Policy(retries=5))
    assert drain(queue, failed(kind)) == [RUNS[0]]
    assert queue.failed == 1


def test_fail_fast_stops_the_queue_and_the_other_jobs() -> None:
    queue = queue_of(3, CPU, CPU, policy=Policy(fail_fast=True))
    for slot in queue.slots:
        start_next(queue, slot)
    after = queue.fail(queue.slots[0], failed())
    assert after.stop is not None and not missing(after.stop, "--fail-fast")
    assert after.end_others and not after.will_retry
    assert queue.stop() == 1


def test_the_limit_of_failures_is_counted_per_cause() -> None:
    queue = queue_of(6, CPU, policy=Policy(max_failures=3))
    assert len(drain(queue, failed())) == 3
    queue = queue_of(4, CPU, policy=Policy(max_failures=3))
    for number in range(4):
        start_next(queue, queue.slots[0])
        assert queue.fail(queue.slots[0], failed(reason="one" if number % 2 else "other")).stop is None
    queue = queue_of(1, CPU, policy=Policy(max_failures=1))
    start_next(queue, queue.slots[0])
    assert not missing(queue.fail(queue.slots[0], failed()).stop or "", "--max-failures", "1", "no file")


def test_after_a_stop_nothing_is_requeued() -> None:
    queue = queue_of(3, CPU, CPU, policy=Policy(retries=9))
    for slot in queue.slots:
        start_next(queue, slot)
    assert queue.stop() == 1
    assert not queue.fail(queue.slots[0], failed()).will_retry
    queue.requeue(queue.end(queue.slots[1]), not_before=0.0)
    assert not queue.waiting and not queue.has_room


def test_runs_of_a_lost_device_move_to_other_devices() -> None:
    queue = queue_of(3, *GPUS, policy=Policy(retries=1))
    slots = list(queue.slots)
    start_next(queue, slots[0])
    after = queue.fail(slots[0], failed("device lost"))
    assert (after.will_retry, after.retired, queue.slots) == (True, (slots[0],), [slots[1]])
    assert [start_next(queue, slots[1]), queue.end(slots[1]).run] == [RUNS[1], RUNS[1]]
    assert [task.run for task in queue.waiting] == [RUNS[2], RUNS[0]]


def test_a_full_disk_stops_the_queue_and_names_the_store() -> None:
    queue = queue_of(3, CPU, policy=Policy(retries=3))
    start_next(queue, queue.slots[0])
    after = queue.fail(queue.slots[0], failed("disk full"))
    assert after.stop is not None and not missing(after.stop, "results", "disk is full")
    assert not after.end_others


def test_a_run_out_of_memory_is_retried_with_fewer_jobs_then_alone_then_fails() -> None:
    queue = queue_of(4, CPU, CPU, CPU)
    first, second, third = queue.slots
    for slot in (first, second, third):
        start_next(queue, slot)
    after = queue.fail(first, failed("out of memory"))
    assert (after.will_retry, after.retired, queue.jobs_on(CPU)) == (True, (first,), 2)
    queue.end(third)
    assert start_next(queue, third) == RUNS[0], "the failed run is the next"
    after = queue.fail(third, failed("out of memory"))
    assert (after.will_retry, after.retired) == (True, ())
    assert start_next(queue, third) is None, "no job starts before the other one has ended"
    queue.end(second)
    assert start_next(queue, second) == RUNS[0]
    assert start_next(queue, third) is None, "no job starts while it runs alone"
    assert queue.fail(second, failed("out of memory")).will_retry is False
    assert start_next(queue, third) == RUNS[3]


def test_a_run_that_needs_a_lost_device_alone_moves_to_another_device() -> None:
    queue = queue_of(1, *GPUS)
    queue.require_alone(queue.waiting[0], GPUS[0])
    assert list(queue.ready(GPUS[1], 0.0)) == []
    queue.add(RUNS[1:2])
    queue.start(queue.waiting[1], queue.slots[0])
    queue.fail(queue.slots[0], failed("device lost"))
    assert start_next(queue, queue.slots[0]) == RUNS[0]


def test_a_postponed_run_blocks_no_other() -> None:
    queue = queue_of(2, CPU)
    queue.waiting[0].not_before = 7.0
    queue.require_alone(queue.waiting[0], CPU)
    assert [task.run for task in queue.ready(CPU, 6.9)] == [RUNS[1]]
    assert [task.run for task in queue.ready(CPU, 7.0)] == [RUNS[0], RUNS[1]]


def test_a_run_that_was_put_back_is_the_next() -> None:
    queue = queue_of(2, CPU, policy=Policy(max_runs=1))
    start_next(queue, queue.slots[0])
    queue.put_back(queue.slots[0])
    assert start_next(queue, queue.slots[0]) == RUNS[0]


def test_max_runs_counts_runs_and_not_their_retries() -> None:
    queue = queue_of(4, CPU, CPU, policy=Policy(max_runs=2, retries=1))
    assert queue.has_room is False, "one waiting run per slot"
    started = [start_next(queue, slot) for slot in queue.slots]
    assert started == list(RUNS[:2])
    assert not queue.has_room and not queue.reached_max_runs, "two are running"
    queue.end(queue.slots[1])
    assert start_next(queue, queue.slots[1]) is None
    assert queue.fail(queue.slots[0], failed()).will_retry
    assert not queue.reached_max_runs
    assert start_next(queue, queue.slots[0]) == RUNS[0]
    queue.fail(queue.slots[0], failed())
    assert queue.reached_max_runs
