"""How the local executor tells and records failures, with shell scripts as workers. See test_queue for the policy."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from slbench.claims import Claim
from slbench.errors import DivergedError
from slbench.grid.events import Event, Failed, GridStopped, SlotsReduced, Started
from slbench.grid.failures import failure, failure_message, kind_of
from slbench.grid.local import LocalExecutor
from slbench.grid.messages import JobFailed
from slbench.grid.queue import Policy, QueuedRun
from slbench.grid.slots import Device, Slot
from slbench.record import Kind
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import TINY, missing, runs

CPU = Device("cpu", "Processor", False)
GPUS = [Device(f"cuda:{i}", "GPU", True, cuda=f"GPU-{i}") for i in range(2)]
SHORT = {"recipe.epochs": 1, "recipe.batch_size": 512, "recipe.precision": "fp32"}
Script = Callable[[str], None]
T = TypeVar("T")


def many(count: int) -> tuple[StudyRun, ...]:
    return runs({"seed": list(range(count))}, set=SHORT)


def run_all(
    folder: Path, made: tuple[StudyRun, ...], policy: Policy, *, devices: tuple[Device, ...] = (CPU,)
) -> tuple[int, list[Event], Store]:
    """How many failed, what happened, and the store."""
    store, events = Store(folder / "results"), list[Event]()
    slots = [Slot(i, device, 1) for i, device in enumerate(devices)]
    executor = LocalExecutor(slots, store=store, precisions={"fp32": "fp32"}, on_event=events.append, policy=policy)
    return executor.run(made), events, store


def of(kind: type[T], events: list[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def says(died: JobFailed) -> str:
    """A script that ends as a child with this exception does."""
    return f"cat <<'END'\n{died.model_dump_json()}\nEND\nexit 1"


def died(kind: Kind, message: str = "what it said") -> str:
    return says(JobFailed(kind=kind, message=message, traceback=""))


def test_a_job_is_retried_as_often_as_asked(tmp_path: Path, python: Script) -> None:
    python("echo broken >&2; exit 3")
    failed, events, store = run_all(tmp_path, many(1), Policy(retries=2))
    assert failed == 1
    assert [event.will_retry for event in of(Failed, events)] == [True, True, False]
    why = store.failure(many(1)[0].spec.run_id)
    assert why is not None
    assert (why.attempt, why.exit_code, why.last_lines) == (3, 3, ("broken",))  # the lines of this attempt alone


@pytest.mark.parametrize("script", ["exec sleep 60", "trap '' TERM\nwhile true; do sleep 0.1; done"])
def test_a_job_that_takes_too_long_is_ended_also_if_it_does_not_listen(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr("slbench.grid.local.GRACE_SECONDS", 0.1)
    python(script)
    failed, events, _ = run_all(tmp_path, many(1), Policy(timeout=0.2))
    (event,) = of(Failed, events)
    assert failed == 1
    assert event.failure.kind == "timeout" and not missing(event.failure.reason, "--timeout", "0.2 s")


def test_the_first_failure_can_end_the_grid_and_what_ran_is_no_failure(tmp_path: Path, python: Script) -> None:
    first, second, third = many(3)
    python(f"case $task in *{first.spec.run_id}*|*'\"seed\":0'*) exit 4;; esac; exec sleep 60")
    failed, events, store = run_all(tmp_path, (first, second, third), Policy(fail_fast=True), devices=(CPU, CPU))
    assert failed == 1
    (stopped,) = of(GridStopped, events)
    assert not missing(stopped.reason, "--fail-fast")
    states = store.states(run.spec for run in (first, second, third))
    assert list(states.values()) == ["failed", "missing", "missing"]
    assert store.claims.holders() == {}


def test_a_lost_device_is_taken_out_of_service_and_without_any_the_grid_stops(tmp_path: Path, python: Script) -> None:
    python(died("device lost"))
    failed, events, _ = run_all(tmp_path, many(3), Policy(), devices=(GPUS[0],))
    assert failed == 1
    assert of(SlotsReduced, events) == [SlotsReduced(GPUS[0], 0)]
    (stopped,) = of(GridStopped, events)
    assert not missing(stopped.reason, "device") and stopped.waiting == 2


@pytest.mark.slow
def test_a_limit_of_memory_is_a_failure_for_want_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -v 8000000\nexec "{sys.executable}" "$@"\n')
    limited.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(limited))
    broad = {**TINY, "label": "Broad", "mlp_ratio": 2e8}  # one matrix of 51 GB
    failed, events, _ = run_all(tmp_path, runs({"backbone": [broad]}, set=SHORT), Policy())
    assert failed == 1
    assert [event.failure.kind for event in of(Failed, events)] == ["out of memory"] * 2


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
def test_an_exception_is_known_for_what_it_is(error: BaseException, kind: Kind) -> None:
    assert kind_of(error) == kind


def fall(depth: int, message: str) -> None:
    if depth:
        fall(depth - 1, message)
    raise ZeroDivisionError(message)


def raised(depth: int, message: str) -> JobFailed:
    """An exception from so deep."""
    with pytest.raises(ZeroDivisionError) as caught:
        fall(depth, message)
    return failure_message(caught.value)


def test_failures_are_alike_by_traceback_not_by_message(tmp_path: Path) -> None:
    causes = [failure(1, tmp_path, report=raised(*how)).cause for how in ((0, "a"), (0, "b"), (1, "a"))]
    assert causes[0] == causes[1]
    assert causes[0] != causes[2]


def test_a_kill_by_the_system_for_want_of_memory_is_told_from_another_kill(tmp_path: Path) -> None:
    assert failure(-9, tmp_path / "log").kind == "killed"
    why = failure(-9, tmp_path / "log", killed_for_memory=True)
    assert why.kind == "out of memory" and not missing(why.reason, "SIGKILL", "memory")


def test_signs_of_life_are_given_while_a_job_runs(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.local.HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr("slbench.grid.local.TICK_SECONDS", 0.05)
    python("sleep 0.5; exit 1")
    beats = 0

    def heartbeat(_: Claim) -> bool:
        nonlocal beats
        beats += 1
        return True

    monkeypatch.setattr("slbench.claims.Claim.heartbeat", heartbeat)
    run_all(tmp_path, many(1), Policy())
    assert beats > 2


def test_a_job_whose_claim_was_taken_over_is_ended_and_not_a_failure(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.local.HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr("slbench.grid.local.CLAIM_SECONDS", 0.1)
    count = tmp_path / "count"
    python(f"echo x >> {count}; [ $(wc -l < {count}) = 2 ] && exit 9; exec sleep 60")
    answers = iter([False])
    monkeypatch.setattr("slbench.claims.Claim.heartbeat", lambda self: next(answers, True))
    failed, events, _ = run_all(tmp_path, many(1), Policy())
    assert failed == 1
    assert len(of(Started, events)) == 2
    assert [event.failure.exit_code for event in of(Failed, events)] == [9]


def test_a_job_that_is_to_be_alone_and_is_done_elsewhere_holds_nobody(
    tmp_path: Path, python: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slbench.grid.local.CLAIM_SECONDS", 0.2)
    first, second = many(2)
    python("exit 9")
    store, events = Store(tmp_path / "results"), list[Event]()
    elsewhere = store.claims.acquire(first.spec.run_id)
    assert elsewhere is not None

    def see(event: Event) -> None:
        events.append(event)
        if isinstance(event, Failed) and event.run == second:
            elsewhere.release(done=False)

    executor = LocalExecutor([Slot(0, CPU, 1)], store=store, precisions={"fp32": "fp32"}, on_event=see)
    executor.queue.waiting.append(QueuedRun(first, alone=CPU))
    assert executor.run([second]) == 2
    assert [event.run for event in of(Started, events)] == [second, first]
