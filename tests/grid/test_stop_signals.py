"""Signals of a batch system, idle workers, and checkpoints that continue elsewhere."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from slbench import machine
from slbench.grid import local
from slbench.grid.events import Event, Failed, GridStopped, JobCancelled, Started
from slbench.grid.executor import Limits
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import DEFAULT_POLICY, Policy
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.run_conditions import RunConditions
from tests.grid.helpers import CPU, SHORT, events_of, slots_on
from tests.support import runs

Script = Callable[[str], None]
SIGNALS = Limits(signals={signal.SIGTERM: "terminated", signal.SIGUSR1: "time limit"})


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"CLAIM_SECONDS": 0.05, "TICK_SECONDS": 0.05, "MISMATCH_SECONDS": 0.05}.items():
        monkeypatch.setattr(local, name, seconds)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def run_all(
    store: Store, *, limits: Limits, policy: Policy = DEFAULT_POLICY, seeds: int = 1
) -> tuple[list[Event], tuple[StudyRun, ...]]:
    """Run some runs on one slot; return the events and the runs."""
    events, todo = list[Event](), runs({"seed": list(range(seeds))}, set=SHORT)
    LocalExecutor(
        slots_on(CPU), store=store, precisions={"fp32": "fp32"}, on_event=events.append, policy=policy, limits=limits
    ).run(todo)
    return events, todo


@pytest.mark.parametrize(("number", "limit"), [(signal.SIGTERM, "terminated"), (signal.SIGUSR1, "time limit")])
def test_at_a_signal_the_running_job_is_asked_to_stop_and_no_other_starts(
    store: Store, python: Script, number: signal.Signals, limit: str
) -> None:
    python(f"kill -{number.value} {os.getpid()}; read kind; read run; echo $kind $run > {store.root}/asked; exit 1")
    events, todo = run_all(store, limits=SIGNALS, seeds=3)
    (stopped,) = events_of(GridStopped, events)
    assert (stopped.limit, stopped.waiting) == (limit, 2)
    assert len(events_of(Started, events)) == len(events_of(JobCancelled, events)) == 1
    assert (store.root / "asked").read_text().split() == ["stop", todo[0].spec.run_id]
    assert set(store.states(run.spec for run in todo).values()) == {"missing"}


def test_a_job_ended_by_the_signal_that_its_launcher_gets_too_has_not_failed(store: Store, python: Script) -> None:
    python(f"(sleep 0.02; kill -TERM {os.getpid()}) & kill -TERM $$")
    events, todo = run_all(store, limits=SIGNALS)
    assert events_of(Failed, events) == [] and len(events_of(JobCancelled, events)) == 1
    assert store.states(run.spec for run in todo)[todo[0].spec.run_id] == "missing"


def test_a_job_ended_by_a_signal_that_only_it_got_has_failed(store: Store, python: Script) -> None:
    python("kill -TERM $$")
    events, _ = run_all(store, limits=SIGNALS)
    (failed,) = events_of(Failed, events)
    assert failed.failure.signal == "SIGTERM"


def test_a_worker_that_waits_ends_after_the_idle_timeout(store: Store, python: Script) -> None:
    python("exit 3")
    todo = runs(set=SHORT)
    claim = store.claims.acquire(todo[0].spec.run_id)
    assert claim is not None
    events, _ = run_all(store, limits=Limits(idle_seconds=0.2))
    (stopped,) = events_of(GridStopped, events)
    assert stopped.limit == "idle" and "--idle-timeout" in stopped.reason
    assert events_of(Started, events) == []


def test_runs_that_the_time_left_does_not_hold_are_not_started(store: Store, python: Script) -> None:
    python("exit 3")
    events, todo = run_all(store, limits=Limits(holds=lambda run: run.spec.seed == 1), seeds=3)
    assert [event.run.spec.seed for event in events_of(Started, events)] == [1]
    (stopped,) = events_of(GridStopped, events)
    assert (stopped.limit, stopped.waiting) == ("time left", 2)
    assert list(store.states(run.spec for run in todo).values()) == ["missing", "failed", "missing"]


def store_checkpoint(store: Store, run: StudyRun, **conditions: str) -> None:
    """Store the conditions of a run that has a checkpoint."""
    began = RunConditions(device_kind="cpu", device_name=CPU.name, threads=1, precision="fp32")
    paths = RunPaths(store.begin(run.spec, run.labels))
    paths.checkpoint.write_bytes(b"")
    paths.conditions.write_text(json.dumps(dataclasses.asdict(began) | conditions))


OTHER_TORCH = machine.code().model_copy(update={"versions": {"torch": "1.0", "slbench": "0.1.0"}}).model_dump_json()


@pytest.mark.parametrize(
    ("conditions", "starts"),
    [
        ({}, True),
        ({"device_name": "GPU of another model"}, False),
        ({"device_name": ""}, True),
        ({"code": OTHER_TORCH}, False),
    ],
)
def test_a_checkpoint_that_does_not_continue_here_waits_if_told_so(
    store: Store, python: Script, conditions: dict[str, str], starts: bool
) -> None:
    python("exit 3")
    store_checkpoint(store, runs(set=SHORT)[0], **conditions)
    events, _ = run_all(store, limits=Limits(idle_seconds=0.2), policy=Policy(on_mismatch="wait"))
    assert bool(events_of(Started, events)) is starts
    assert [stopped.limit for stopped in events_of(GridStopped, events)] == ([] if starts else ["idle"])


def test_a_checkpoint_that_does_not_continue_here_starts_by_default(store: Store, python: Script) -> None:
    python("exit 3")
    store_checkpoint(store, runs(set=SHORT)[0], device_name="GPU of another model")
    events, _ = run_all(store, limits=Limits())
    assert len(events_of(Started, events)) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"device_kind": 1}', '{"code": "{}"}'])
def test_unreadable_conditions_of_a_checkpoint_are_left_to_the_job(store: Store, content: str) -> None:
    run = runs(set=SHORT)[0]
    store_checkpoint(store, run)
    paths = RunPaths(store.folder(run.spec, run.labels))
    paths.conditions.write_text(content)
    assert RunConditions.of_checkpoint(paths) is None
