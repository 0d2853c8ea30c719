"""Worker process: reads jobs from stdin, writes messages as JSON lines to stdout, and all other output to a log.

It exits when stdin closes, so that no worker outlives a killed launcher, and after any failure. Results do not depend
on the jobs it has done before.
"""

import contextlib
import gc
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel

from slbench import machine, user_files
from slbench.errors import DivergedError, SlbenchError
from slbench.grid.failures import TIME_FORMAT, failure_message
from slbench.grid.messages import Job, JobFinished, JobStopped, ProbeTask, SpeedTest
from slbench.measurement_records import Probe
from slbench.store import Store

KINDS: dict[type[BaseModel], str] = {Job: "job", ProbeTask: "probe", SpeedTest: "speed"}
PR_SET_PDEATHSIG = 1  # option of prctl: the signal sent to a process when the thread that started it ends
STOP = "stop"  # kind of the command that stops the run whose id follows


class LogFormatter(logging.Formatter):
    """Warnings as they are; what a healthy run says with its time, so that `slbench.grid.failures` tells it apart."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno > logging.INFO else f"{datetime.now(UTC):{TIME_FORMAT}} {text}"


def set_up_log() -> None:
    """Send what slbench logs to stderr, from the start of a run on."""
    logger = logging.getLogger("slbench")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogFormatter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def main() -> int:
    """Run jobs until stdin closes, or a single task of another kind; return the exit code."""
    end_with_launcher()
    machine.keep_freed_memory()
    set_up_log()
    pipe, commands = take_stdout(), CommandReader()
    threading.Thread(target=commands.listen, daemon=True).start()
    while (task := commands.tasks.get()) is not None:
        kind, content = task
        message: BaseModel | None = None
        try:
            if kind == "job":
                message = do_job(Job.model_validate_json(content), pipe, commands)
            elif kind == "probe":
                do_probe(ProbeTask.model_validate_json(content))
            else:
                do_speed_test(SpeedTest.model_validate_json(content))
        except Exception as error:
            send(pipe, failure_message(error))
            with contextlib.suppress(OSError):  # the disk of the log may be full
                print(error if isinstance(error, SlbenchError) else traceback.format_exc(), file=sys.stderr)
            return 1
        if message is None:
            break
        commands.busy.clear()
        send(pipe, message)
    return 0


def end_with_launcher() -> None:
    """Have Linux kill this process when the launcher dies, even while no other thread of it gets to run.

    Without this, a long operation delays the thread that notices that stdin has closed.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_of_sigterm() -> None:
    """End this process by the default action of SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


class CommandReader:
    """Reads the launcher's commands: tasks, and requests to stop the current run."""

    def __init__(self) -> None:
        self.tasks = queue.SimpleQueue[tuple[str, str] | None]()
        self.busy = threading.Event()
        self.stopped_run_id = ""  # run of the latest task that is to stop, perhaps before it has begun

    def listen(self) -> None:
        """Read commands of two lines each. When stdin closes, exit the process if it is busy, else end the tasks."""
        while True:
            kind, content = sys.stdin.readline().strip(), sys.stdin.readline()
            if not content:
                break
            if kind != STOP:
                self.busy.set()
                self.stopped_run_id = ""
                self.tasks.put((kind, content))
            else:
                self.stopped_run_id = content.strip()
        if self.busy.is_set():
            os._exit(1)
        self.tasks.put(None)


def send(pipe: TextIO, message: BaseModel) -> None:
    """Send a message to the launcher, if it still exists."""
    with contextlib.suppress(BrokenPipeError):
        pipe.write(message.model_dump_json() + "\n")


def take_stdout() -> TextIO:
    """Return the pipe to the launcher, and redirect all other output to stderr."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return pipe


def set_affinity(cores: tuple[int, ...]) -> None:
    """Run only on these cores, where the system supports that."""
    machine.host()  # cached before, since it counts the cores of the launcher
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def redirect_output(log: str) -> None:
    """Append all further output to a file."""
    if not log:
        return
    sys.stderr.flush()
    with open(log, "ab") as file:  # noqa: PTH123  (needs a descriptor)
        os.dup2(file.fileno(), 2)
        os.dup2(file.fileno(), 1)


def do_job(job: Job, pipe: TextIO, commands: CommandReader) -> JobFinished | JobStopped:
    """Run one job until it finishes or is stopped; return the final message."""
    redirect_output(job.log)
    set_affinity(job.cores)
    user_files.add_all(job.files)
    machine.forget_peak()
    import torch

    from slbench.train.run import RunInterrupted, execute

    terminated = threading.Event()
    outcome: JobFinished | JobStopped = JobFinished(run_id=job.spec.run_id)

    signal.signal(signal.SIGTERM, lambda _number, _frame: terminated.set())
    try:
        execute(
            job.spec,
            job.labels,
            data=job.data,
            store=Store(Path(job.store)),
            device=torch.device(job.device),
            device_label=job.device_label,
            device_name=job.device_name,
            precision=job.precision,
            compiled=job.compiled,
            threads=job.threads,
            checkpoint_seconds=job.checkpoint_seconds,
            tracking=job.tracking,
            name=job.name,
            on_progress=lambda progress: send(pipe, progress),
            should_continue=lambda: not terminated.is_set() and commands.stopped_run_id != job.spec.run_id,
        )
    except DivergedError as error:
        print(f"diverged: {error}", file=sys.stderr)  # in the log; the outcome is in the store
    except RunInterrupted:
        if terminated.is_set():
            die_of_sigterm()
        outcome = JobStopped(stopped_run_id=job.spec.run_id)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    machine.return_freed_memory()
    if job.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return outcome


def do_probe(task: ProbeTask) -> None:
    job = task.job
    set_affinity(job.cores)
    user_files.add_all(job.files)
    import torch

    from slbench.train.job_probe import probe

    cost = probe(
        job.spec,
        job.labels,
        data=job.data,
        device=torch.device(job.device),
        precision=job.precision,
        compiled=job.compiled,
        threads=job.threads,
        seconds=task.seconds,
        share=task.share,
        asked_at=task.asked_at,
    )
    result = Probe(
        key=task.key,
        title=task.title,
        machine_id=task.machine_id,
        device_kind=job.device_label.partition(":")[0],
        device_name=job.device_name,
        computes_bf16=task.computes_bf16,
        threads=job.threads,
        precision=job.precision,
        jobs=task.jobs,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        **cost.model_dump(),
    )
    Store(Path(job.store)).add_probe(result)


def do_speed_test(test: SpeedTest) -> None:
    import torch

    from slbench.measure.throughput import measure

    store = Store(Path(test.store))
    user_files.add_all(test.files)
    for result in measure(
        test.networks,
        ("inference",),
        machine_id=machine.host().machine_id,
        device=torch.device(test.device),
        device_label=test.device_label,
        device_name=test.device_name,
        threads=test.threads,
        precision=test.precision,
    ):
        store.add_throughput(result)


def task_lines(task: BaseModel) -> str:
    """Return the command that hands a task to a worker."""
    return f"{KINDS[type(task)]}\n{task.model_dump_json()}\n"


def stop_lines(run_id: str) -> str:
    """Return the command that stops a run of a worker, which then waits for the next."""
    return f"{STOP}\n{run_id}\n"


if __name__ == "__main__":
    sys.exit(main())
