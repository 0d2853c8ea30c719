"""Failures as the local executor reports and records them, with shell scripts as workers; policy: test_queue.py."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slbench.claims import Claim
from slbench.errors import DivergedError
from slbench.grid.events import Event, Failed, GridStopped, SlotsReduced, Started
from slbench.grid.failures import failure, failure_message, kind_of
from slbench.grid.messages import JobFailed
from slbench.grid.queue import Policy
from slbench.record import Kind
from slbench.store import Store
from slbench.study import StudyRun
from tests.grid.helpers import CPU, GPUS, SHORT, events_of, local_executor, run_all
from tests.support import missing, runs

Script = Callable[[str], None]


def short_runs(count: int) -> tuple[StudyRun, ...]:
    """Return runs of one epoch with different seeds."""
    return runs({"seed": list(range(count))}, set=SHORT)


def test_a_failed_job_is_retried_up_to_the_limit_and_recorded(tmp_path: Path, python: Script) -> None:
    python("echo broken >&2; exit 3")
    store, (run,) = Store(tmp_path / "results"), short_runs(1)
    failed, events = run_all([run], store, policy=Policy(retries=2))
    assert failed == 1
    assert [event.will_retry for event in events_of(Failed, events)] == [True, True, False]
    recorded = store.failure(run.spec.run_id)
    assert recorded is not None
    assert (recorded.attempt, recorded.exit_code, recorded.last_lines) == (3, 3, ("broken",))  # of the last attempt


@pytest.mark.parametrize("script", ["exec sleep 60", "trap '' TERM\nwhile true; do sleep 0.1; done"])
def test_a_job_is_stopped_after_the_timeout_even_if_it_ignores_sigterm(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr("slbench.grid.local.GRACE_SECONDS", 0.1)
    python(script)
    failed, events = run_all(short_runs(1), Store(tmp_path / "results"), policy=Policy(timeout=0.2))
    (event,) = events_of(Failed, events)
    assert failed == 1
    assert event.failure.kind == "timeout" and not missing(event.failure.reason, "--timeout", "0.2 s")


def test_fail_fast_stops_the_grid_and_the_other_jobs_are_not_failures(tmp_path: Path, python: Script) -> None:
    first, second, third = short_runs(3)
    python(f"case $task in *{first.spec.run_id}*|*'\"seed\":0'*) exit 4;; esac; exec sleep 60")
    store = Store(tmp_path / "results")
    failed, events = run_all([first, second, third], store, CPU, CPU, policy=Policy(fail_fast=True))
    assert failed == 1
    (stopped,) = events_of(GridStopped, events)
    assert not missing(stopped.reason, "--fail-fast")
    states = store.states(run.spec for run in (first, second, third))
    assert list(states.values()) == ["failed", "missing", "missing"]
    assert store.claims.holders() == {}


def test_a_lost_device_loses_its_slots_and_the_grid_stops_without_slots(tmp_path: Path, python: Script) -> None:
    message = JobFailed(kind="device lost", message="CUDA error", traceback="")
    python(f"cat <<'END'\n{message.model_dump_json()}\nEND\nexit 1")
    failed, events = run_all(short_runs(3), Store(tmp_path / "results"), GPUS[0])
    assert failed == 1
    assert events_of(SlotsReduced, events) == [SlotsReduced(GPUS[0], 0)]
    (stopped,) = events_of(GridStopped, events)
    assert not missing(stopped.reason, "device") and stopped.waiting == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DivergedError("the loss is nan"), "diverged"),
        (MemoryError(), "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out of memory"),
        (RuntimeError("CUDA error: unspecified launch failure"), "device lost"),
        (OSError(28, "No space left on device"), "disk full"),
        (OSError(2, "No such file"), "error"),
        (ValueError("x"), "error"),
    ],
)
def test_exceptions_are_classified_by_kind(error: BaseException, kind: Kind) -> None:
    assert kind_of(error) == kind


def divide(depth: int, message: str) -> None:
    if depth:
        divide(depth - 1, message)
    raise ZeroDivisionError(message)


def raised(depth: int, message: str) -> JobFailed:
    """Return the message of an exception raised below `depth` calls."""
    with pytest.raises(ZeroDivisionError) as caught:
        divide(depth, message)
    return failure_message(caught.value)


def test_failures_share_a_cause_if_their_tracebacks_are_equal(tmp_path: Path) -> None:
    causes = [failure(1, tmp_path, report=raised(*arguments)).cause for arguments in ((0, "a"), (0, "b"), (1, "a"))]
    assert causes[0] == causes[1]
    assert causes[0] != causes[2]


def test_a_kill_by_the_out_of_memory_killer_is_an_out_of_memory_failure(tmp_path: Path) -> None:
    assert failure(-9, tmp_path / "log").kind == "killed"
    killed = failure(-9, tmp_path / "log", killed_for_memory=True)
    assert killed.kind == "out of memory" and not missing(killed.reason, "SIGKILL", "memory")


def test_heartbeats_are_sent_while_a_job_runs(tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.grid.local.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("slbench.grid.local.TICK_SECONDS", 0.05)
    python("sleep 0.5; exit 1")
    beats = list[Claim]()

    def heartbeat(claim: Claim) -> bool:
        beats.append(claim)
        return True

    monkeypatch.setattr("slbench.claims.Claim.heartbeat", heartbeat)
    run_all(short_runs(1), Store(tmp_path / "results"))
    assert len(beats) > 2


def test_a_job_whose_claim_was_taken_over_is_stopped_and_not_failed(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.local.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("slbench.grid.local.CLAIM_SECONDS", 0.1)
    count = tmp_path / "count"
    python(f"echo x >> {count}; [ $(wc -l < {count}) = 2 ] && exit 9; exec sleep 60")
    still_ours = iter([False])
    monkeypatch.setattr("slbench.claims.Claim.heartbeat", lambda self: next(still_ours, True))
    failed, events = run_all(short_runs(1), Store(tmp_path / "results"))
    assert failed == 1
    assert len(events_of(Started, events)) == 2
    assert [event.failure.exit_code for event in events_of(Failed, events)] == [9]


def test_a_job_that_needs_its_device_alone_and_runs_elsewhere_blocks_no_other(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.local.CLAIM_SECONDS", 0.2)
    first, second = short_runs(2)
    python("exit 9")
    store, events = Store(tmp_path / "results"), list[Event]()
    elsewhere = store.claims.acquire(first.spec.run_id)
    assert elsewhere is not None

    def on_event(event: Event) -> None:
        events.append(event)
        if isinstance(event, Failed) and event.run == second:
            elsewhere.release(done=False)

    executor = local_executor(store, on_event=on_event)
    executor.queue.add([first])
    executor.queue.require_alone(executor.queue.waiting[0], CPU)
    assert executor.run([second]) == 2
    assert [event.run for event in events_of(Started, events)] == [second, first]
