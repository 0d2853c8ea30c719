"""The local executor with real children, on a network that trains in a second."""

import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil
import pytest

from slbench.grid.events import Event, Failed, Finished, Progressed, SlotsReduced, Started
from slbench.grid.failures import failure
from slbench.grid.local import LocalExecutor
from slbench.grid.messages import Job
from slbench.grid.processes import spawn, stop, worker_device
from slbench.grid.slots import Device, Slot
from slbench.grid.worker import CommandReader
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.progress import Progress
from tests.support import TINY, missing, runs

CPU = Device("cpu", "Processor", False)
ENOUGH_FOR_NO_MACHINE = 1e14  # an MLP of some 25 petabytes
SHORT = {"recipe.epochs": 1, "recipe.batch_size": 512, "recipe.precision": "fp32"}


def broken_and_whole() -> tuple[StudyRun, ...]:
    broken = {**TINY, "label": "Broken", "mlp_ratio": ENOUGH_FOR_NO_MACHINE}
    return runs({"backbone": [broken, TINY]}, set=SHORT)


def job(run: StudyRun, store: Path) -> Job:
    return Job(
        spec=run.spec,
        labels=run.labels,
        store=str(store),
        device="cpu",
        device_label="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
    )


@pytest.mark.slow
def test_a_job_without_memory_is_tried_with_fewer_beside_then_alone_then_fails_and_stops_no_other(
    tmp_path: Path,
) -> None:
    store, events = Store(tmp_path), list[Event]()
    executor = LocalExecutor(
        [Slot(0, CPU, 1), Slot(1, CPU, 1)], store=store, precisions={"fp32": "fp32"}, on_event=events.append
    )
    broken, whole = broken_and_whole()
    assert executor.run([broken, whole]) == 1

    assert [event for event in events if isinstance(event, Started)] == [
        Started(broken, Slot(0, CPU, 1)),
        Started(whole, Slot(1, CPU, 1)),
        Started(broken, Slot(1, CPU, 1)),
        Started(broken, Slot(1, CPU, 1)),
    ]
    assert [event for event in events if isinstance(event, SlotsReduced)] == [SlotsReduced(CPU, 1)]
    *before, failed = [event for event in events if isinstance(event, Failed)]
    assert ([event.will_retry for event in before], failed.will_retry) == ([True, True], False)
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert (failed.run, finished.run) == (broken, whole)
    assert failed.failure.kind == "out of memory"
    assert not missing(failed.failure.reason, "exit code 1", "RuntimeError")
    assert failed.log == store.folder(broken.spec, broken.labels) / "log.txt"
    assert "Traceback" in failed.log.read_text()

    assert store.states([broken.spec, whole.spec]) == {broken.spec.run_id: "failed", whole.spec.run_id: "done"}
    assert store.failure(broken.spec.run_id) == failed.failure
    assert failed.failure.attempt == 3
    assert "in build" in failed.failure.traceback

    record = store.record(whole.spec.run_id)
    assert record is not None
    assert record.final_test_top1 == finished.final_test_top1
    assert (record.device, record.device_name, record.threads, record.precision) == ("cpu", "Processor", 1, "fp32")
    moves = [event.progress for event in events if isinstance(event, Progressed)]
    assert moves
    assert moves[-1].step == moves[-1].steps == whole.spec.steps_per_epoch == 17
    assert not psutil.Process().children(recursive=True)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo no such python >&2; exit 7", "exit code 7: no such python"),
        ("kill -KILL $$", "killed by SIGKILL"),
        ("exit 0", "exit code 0"),  # but it left no record
        ("echo this is no progress; exec sleep 60", "killed by SIGKILL"),
    ],
)
def test_a_child_that_ends_without_a_record_is_a_failure(
    tmp_path: Path, python: Callable[[str], None], script: str, reason: str
) -> None:
    python(script)
    store, events = Store(tmp_path / "results"), list[Event]()
    executor = LocalExecutor([Slot(0, CPU, 1)], store=store, precisions={"fp32": "fp32"}, on_event=events.append)
    made = runs({"seed": [0, 1]}, set=SHORT)
    assert executor.run(made) == 2
    assert [type(event) for event in events] == [Started, Failed, Started, Failed]
    assert {event.failure.reason for event in events if isinstance(event, Failed)} == {reason}
    assert set(store.states(run.spec for run in made).values()) == {"failed"}


def test_no_run_starts_no_child(tmp_path: Path) -> None:
    events = list[Event]()
    executor = LocalExecutor([Slot(0, CPU, 1)], store=Store(tmp_path / "x"), precisions={}, on_event=events.append)
    assert executor.run([]) == 0
    assert events == []
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_executor_ends_its_children(
    tmp_path: Path, python: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    message = Progress(
        epoch=1, epochs=2, step=1, steps=34, loss=2.5, val_top1=None, test_top1=None, images_per_second=7.0
    )
    python(f"echo '{message.model_dump_json()}'\nexec sleep 1000")
    children: list[subprocess.Popen[str]] = []

    def remembered(task: Job, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
        children.append(spawn(task, device, threads=threads, log=log))
        return children[-1]

    def interrupt(event: Event) -> None:
        if isinstance(event, Progressed):
            assert event.progress == message
            raise KeyboardInterrupt

    monkeypatch.setattr("slbench.grid.local.spawn", remembered)
    store = Store(tmp_path / "results")
    executor = LocalExecutor(
        [Slot(0, CPU, 1), Slot(1, CPU, 1)], store=store, precisions={"fp32": "fp32"}, on_event=interrupt
    )
    made = runs({"seed": [0, 1, 2]}, set=SHORT)
    with pytest.raises(KeyboardInterrupt):
        executor.run(made)
    assert [child.returncode for child in children] == [-15, -15]
    assert set(store.states(run.spec for run in made).values()) == {"missing"}
    for thread in threading.enumerate():
        if "_read_messages" in thread.name:
            thread.join(10)
    for child in children:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.close()
        child.stdout.close()


def test_a_child_ends_when_its_launchers_end_of_stdin_closes(tmp_path: Path) -> None:
    (run,) = runs(set={**SHORT, "recipe.epochs": 10_000})
    store = Store(tmp_path)
    folder = store.begin(run.spec, run.labels)
    with (folder / "log.txt").open("wb") as log:
        process = spawn(job(run, tmp_path), CPU, threads=1, log=log)
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline().startswith('{"epoch":1,')  # it is at work
        process.stdin.close()
        assert process.wait(timeout=20) == 1


def test_children_that_do_not_listen_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.grid.processes.GRACE_SECONDS", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    deaf = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    meek = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], text=True)
    assert deaf.stdout is not None
    with deaf.stdout:
        assert deaf.stdout.readline() == "deaf\n"
        stop([deaf, meek])
    assert (deaf.returncode, meek.returncode) == (-9, -15)


@pytest.mark.parametrize(
    ("returncode", "log", "expected"),
    [
        (1, "Traceback\n  line\nValueError: x\n\n", "exit code 1: ValueError: x"),
        (-9, "last words", "killed by SIGKILL: last words"),
        (3, "", "exit code 3"),
        (3, None, "exit code 3"),
    ],
)
def test_an_end_is_told_by_code_or_signal_and_the_last_line_of_the_log(
    tmp_path: Path, returncode: int, log: str | None, expected: str
) -> None:
    path = tmp_path / "log.txt"
    if log is not None:
        path.write_text(log)
    assert failure(returncode, path).reason == expected


def test_a_child_calls_its_only_gpu_the_first() -> None:
    assert [worker_device(Device(label, "", True)) for label in ("cuda:3", "cpu", "mps")] == ["cuda:0", "cpu", "mps"]


def run_all(made: tuple[StudyRun, ...], store: Path) -> tuple[int, list[Event]]:
    """How many of the runs failed on one slot, and what happened."""
    events = list[Event]()
    executor = LocalExecutor([Slot(0, CPU, 1)], store=Store(store), precisions={"fp32": "fp32"}, on_event=events.append)
    return executor.run(made), events


@pytest.mark.slow
def test_a_loss_that_is_no_number_is_a_failed_job(tmp_path: Path) -> None:
    failures, events = run_all(runs(set={**SHORT, "recipe.lr": 1e30}), tmp_path)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failures == 1
    assert failed.failure.kind == "diverged"
    assert not missing(failed.failure.reason, "exit code 1", "nan", "step 3", "epoch 1", "learning rate")


def test_a_process_does_job_after_job_each_with_its_log_and_the_weights_it_would_have_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runs({"method": ["none", "lsa"]}, set=SHORT)
    spawned: list[subprocess.Popen[str]] = []

    def counted(task: Job, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
        spawned.append(spawn(task, device, threads=threads, log=log))
        return spawned[-1]

    monkeypatch.setattr("slbench.grid.local.spawn", counted)
    assert run_all(made, tmp_path / "together")[0] == 0
    assert len(spawned) == 1
    assert run_all(made[1:], tmp_path / "alone")[0] == 0
    one, other = (Store(tmp_path / name).record(made[1].spec.run_id) for name in ("together", "alone"))
    assert one is not None and other is not None and one.differences(other) == {}
    assert all((folder / "log.txt").exists() for folder in (tmp_path / "together" / "runs").iterdir())
    assert not psutil.Process().children(recursive=True)


def test_a_child_that_is_asked_to_end_leaves_a_checkpoint_and_dies_of_the_signal(tmp_path: Path) -> None:
    (run,) = runs(set={**SHORT, "recipe.epochs": 10_000, "recipe.batch_size": 64})
    store = Store(tmp_path)
    folder = store.begin(run.spec, run.labels)
    with (folder / "log.txt").open("wb") as log:
        process = spawn(job(run, tmp_path), CPU, threads=1, log=log)
    assert process.stdout is not None
    with process, process.stdout:
        assert process.stdout.readline().startswith('{"epoch":1,')
        process.terminate()
        assert process.wait(timeout=20) == -15
    assert (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("lines", "stopped"),
    [("job\n{}\nstop\nabc\n", "abc"), ("stop\nabc\njob\n{}\n", "")],
    ids=["asked before the run has begun", "asked too late"],
)
def test_a_request_to_stop_counts_from_the_moment_its_task_was_sent(
    monkeypatch: pytest.MonkeyPatch, lines: str, stopped: str
) -> None:
    exits = list[int]()
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    monkeypatch.setattr("os._exit", exits.append)
    commands = CommandReader()
    commands.listen()
    assert (commands.stopped_run_id, commands.tasks.get(), exits) == (stopped, ("job", "{}\n"), [1])
