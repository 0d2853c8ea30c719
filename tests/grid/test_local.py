"""The local executor with real worker processes, on a network that trains in a second."""

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil
import pytest

from slbench.claims import process_start_time
from slbench.cli.views import started
from slbench.grid.events import Event, Failed, Finished, Progressed, SlotsReduced, Started
from slbench.grid.failures import LOST, failure
from slbench.grid.messages import Job
from slbench.grid.processes import spawn, stop, worker_device
from slbench.grid.slots import Device, Slot
from slbench.grid.worker import CommandReader
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.progress import Progress
from tests.grid.helpers import CPU, SHORT, events_of, local_executor, run_all
from tests.support import TINY, missing, runs

TOO_LARGE = {**TINY, "label": "Large", "dim": 8192, "mlp_ratio": 1000.0}  # layers of some 270 GB
Spawned = list[subprocess.Popen[str]]


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> Spawned:
    """Return the list of worker processes that executors start."""
    processes: Spawned = []

    def recorded(job: Job, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
        processes.append(spawn(job, device, threads=threads, log=log))
        return processes[-1]

    monkeypatch.setattr("slbench.grid.local.spawn", recorded)
    return processes


def start_worker(run: StudyRun, store: Store, folder: Path) -> subprocess.Popen[str]:
    """Start a worker process on a job; return it after its first progress message."""
    job = Job(
        spec=run.spec,
        labels=run.labels,
        store=str(store.root),
        device="cpu",
        device_label="cpu",
        device_name="Processor",
        threads=1,
        precision="fp32",
    )
    with (folder / "log.txt").open("wb") as log:
        process = spawn(job, CPU, threads=1, log=log)
    assert process.stdout is not None
    assert process.stdout.readline().startswith('{"epoch":1,')
    return process


@pytest.mark.slow
def test_a_job_out_of_memory_is_retried_with_fewer_jobs_then_alone_then_fails_and_stops_no_other(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    large, tiny = runs({"backbone": [TOO_LARGE, TINY]}, set=SHORT)
    failures, events = run_all([large, tiny], store, CPU, CPU)
    assert failures == 1

    first, second = Slot(0, CPU, 1), Slot(1, CPU, 1)
    assert events_of(Started, events) == [
        Started(run, slot) for run, slot in ((large, first), (tiny, second), (large, second), (large, second))
    ]
    assert events_of(SlotsReduced, events) == [SlotsReduced(CPU, 1)]
    *retried, failed = events_of(Failed, events)
    assert ([event.will_retry for event in retried], failed.will_retry) == ([True, True], False)
    (finished,) = events_of(Finished, events)
    assert (failed.run, finished.run) == (large, tiny)
    assert failed.failure.kind == "out of memory"
    assert not missing(failed.failure.reason, "exit code 1", "RuntimeError")
    assert failed.log == store.folder(large.spec, large.labels) / "log.txt"
    assert "Traceback" in failed.log.read_text()

    assert store.states([large.spec, tiny.spec]) == {large.spec.run_id: "failed", tiny.spec.run_id: "done"}
    assert store.failure(large.spec.run_id) == failed.failure
    assert failed.failure.attempt == 3
    assert "in build" in failed.failure.traceback

    record = store.record(tiny.spec.run_id)
    assert record is not None
    assert record.final_test_top1 == finished.final_test_top1
    assert (record.device, record.device_name, record.threads, record.precision) == ("cpu", "Processor", 1, "fp32")
    progress = events_of(Progressed, events)[-1].progress
    assert progress.step == progress.steps == tiny.spec.steps_per_epoch == 17
    assert not psutil.Process().children(recursive=True)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exit 0", "exit code 0"),
        ("echo not a progress message; exec sleep 60", "killed by SIGKILL"),
        ("""echo '{"run_id": "x"}'; exec sleep 60""", LOST),
    ],
)
def test_a_worker_process_that_exits_without_a_record_is_a_failed_job(
    tmp_path: Path, python: Callable[[str], None], script: str, reason: str
) -> None:
    python(script)
    store, two = Store(tmp_path / "results"), runs({"seed": [0, 1]}, set=SHORT)
    failures, events = run_all(two, store)
    assert failures == 2
    assert [type(event) for event in events] == [Started, Failed, Started, Failed]
    assert {event.failure.reason for event in events_of(Failed, events)} == {reason}
    assert set(store.states(run.spec for run in two).values()) == {"failed"}


def test_an_executor_without_runs_starts_no_process_and_writes_nothing(tmp_path: Path) -> None:
    assert run_all([], Store(tmp_path / "results")) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_executor_stops_its_worker_processes(
    tmp_path: Path, python: Callable[[str], None], spawned: Spawned
) -> None:
    message = Progress(
        epoch=1, epochs=2, step=1, steps=34, loss=2.5, val_top1=None, test_top1=None, images_per_second=7.0
    )
    python(f"echo '{message.model_dump_json()}'\nexec sleep 1000")

    def interrupt(event: Event) -> None:
        if isinstance(event, Progressed):
            assert event.progress == message
            raise KeyboardInterrupt

    store, three = Store(tmp_path / "results"), runs({"seed": [0, 1, 2]}, set=SHORT)
    with pytest.raises(KeyboardInterrupt):
        local_executor(store, CPU, CPU, on_event=interrupt).run(three)
    assert [process.returncode for process in spawned] == [-15, -15]
    assert set(store.states(run.spec for run in three).values()) == {"missing"}
    for thread in threading.enumerate():
        if "_read_messages" in thread.name:
            thread.join(10)
    for process in spawned:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@pytest.mark.slow
def test_a_worker_process_exits_when_its_stdin_closes(tmp_path: Path) -> None:
    (run,) = runs(set={**SHORT, "recipe.epochs": 10_000})
    store = Store(tmp_path)
    with start_worker(run, store, store.begin(run.spec, run.labels)) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs prctl")
def test_a_worker_process_that_reads_no_more_commands_is_killed_with_its_launcher() -> None:
    worker = (
        "import time; from slbench.grid.worker import end_with_launcher; end_with_launcher(); "
        "print('ready', flush=True); time.sleep(60)"
    )
    launcher = (
        "import subprocess, sys, time; "
        f'worker = subprocess.Popen([sys.executable, "-c", """{worker}"""], stdout=subprocess.PIPE); '
        "worker.stdout.read(5) or sys.exit('dead'); print(worker.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-u", "-c", launcher], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker_id = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 10
    while (start := process_start_time(worker_id)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert start == ""


def test_processes_that_ignore_sigterm_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slbench.grid.processes.GRACE_SECONDS", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
    ignoring = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    obeying = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], text=True)
    assert ignoring.stdout is not None
    with ignoring.stdout:
        assert ignoring.stdout.readline() == "ready\n"
        stop([ignoring, obeying])
    assert (ignoring.returncode, obeying.returncode) == (-9, -15)


@pytest.mark.parametrize(
    ("returncode", "log", "expected"),
    [
        (1, "Traceback\n  line\nValueError: x\n\n", "exit code 1: ValueError: x"),
        (-9, "last words", "killed by SIGKILL: last words"),
        (-9, "2026-11-27T12:50:18Z epoch 1 of 8: loss 2.6682\n", "killed by SIGKILL"),
        (3, "", "exit code 3"),
        (3, None, "exit code 3"),
    ],
)
def test_a_failure_names_the_exit_code_or_signal_and_the_last_line_of_the_log(
    tmp_path: Path, returncode: int, log: str | None, expected: str
) -> None:
    path = tmp_path / "log.txt"
    if log is not None:
        path.write_text(log)
    assert failure(returncode, path).reason == expected


def test_a_worker_process_numbers_its_only_gpu_0() -> None:
    assert [worker_device(Device(label, "", True)) for label in ("cuda:3", "cpu", "mps")] == ["cuda:0", "cpu", "mps"]


@pytest.mark.slow
def test_a_worker_process_runs_several_jobs_with_separate_logs_and_the_weights_of_separate_processes(
    tmp_path: Path, spawned: Spawned
) -> None:
    two = runs({"method": ["none", "lsa"]}, set=SHORT)
    assert run_all(two, Store(tmp_path / "together"))[0] == 0
    assert len(spawned) == 1
    assert run_all(two[1:], Store(tmp_path / "alone"))[0] == 0
    together, alone = (Store(tmp_path / name).record(two[1].spec.run_id) for name in ("together", "alone"))
    assert together is not None and alone is not None and together.differences(alone) == {}
    assert all((folder / "log.txt").exists() for folder in (tmp_path / "together" / "runs").iterdir())
    assert not psutil.Process().children(recursive=True)


def test_a_terminated_worker_process_writes_a_checkpoint_and_exits_by_the_signal(tmp_path: Path) -> None:
    (run,) = runs(set={**SHORT, "recipe.epochs": 10_000, "recipe.batch_size": 64})
    store = Store(tmp_path)
    folder = store.begin(run.spec, run.labels)
    with start_worker(run, store, folder) as process:
        process.terminate()
        assert process.wait(timeout=20) == -15
    assert (folder / "checkpoint.pt").exists()
    log = (folder / "log.txt").read_text()
    assert not missing(log.splitlines()[-1], "stopped on request", "of 10000, step")
    events = list[Event]()
    executor = local_executor(store, on_event=events.append)
    assert executor._resumes_at(run, executor.queue.slots[0]) == store.epochs_done(run.spec) + 1
    other = Device("cpu", "Another processor", False)  # where its numbers could differ, so that it restarts
    assert executor._resumes_at(run, Slot(0, other, 1)) is None


@pytest.mark.parametrize(
    ("resumes_at", "words"), [(None, ("start ", "on cpu")), (35, ("resume ", "on cpu", "epoch 35 of 150"))]
)
def test_a_line_says_where_a_job_starts_and_at_which_epoch_it_resumes(
    resumes_at: int | None, words: tuple[str, ...]
) -> None:
    (run,) = runs(set={"recipe.epochs": 150})
    assert not missing(started(Started(run, Slot(0, CPU, 1), resumes_at)), run.title, *words)


@pytest.mark.parametrize(
    ("lines", "stopped"),
    [("job\n{}\nstop\nabc\n", "abc"), ("stop\nabc\njob\n{}\n", "")],
    ids=["before the run starts", "after the run"],
)
def test_a_request_to_stop_applies_only_to_a_job_that_was_sent_before(
    monkeypatch: pytest.MonkeyPatch, lines: str, stopped: str
) -> None:
    exits = list[int]()
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    monkeypatch.setattr("os._exit", exits.append)
    commands = CommandReader()
    commands.listen()
    assert (commands.stopped_run_id, commands.tasks.get(), exits) == (stopped, ("job", "{}\n"), [1])
