"""The child process: jobs from stdin, one after the other, progress as JSON lines on stdout, everything else to a log.

It ends when its stdin does, so that no child outlives a launcher that was killed, and after any failure. That it has
done other jobs before changes no bit of a run.
"""

import contextlib
import dataclasses
import gc
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

from slbench import machine
from slbench.errors import SlbenchError
from slbench.grid.failures import death_of
from slbench.grid.messages import Job, JobFinished, JobStopped, ProbeTask, ProgressMessage, SpeedTest
from slbench.measurement_records import Probe
from slbench.store import Store

KINDS: dict[type[BaseModel], str] = {Job: "job", ProbeTask: "probe", SpeedTest: "speed"}
CEASE = "cease"  # the kind of a line that ends the run whose id follows


def main() -> int:
    """Do jobs until there are no more, or the one task of another kind; give the exit code."""
    report, orders = take_stdout(), CommandReader()
    threading.Thread(target=orders.listen, daemon=True).start()
    while (task := orders.tasks.get()) is not None:
        kind, content = task
        said: BaseModel | None = None
        try:
            if kind == "job":
                said = do_job(Job.model_validate_json(content), report, orders)
            elif kind == "probe":
                do_probe(ProbeTask.model_validate_json(content))
            else:
                do_speed_test(SpeedTest.model_validate_json(content))
        except Exception as error:
            say(report, death_of(error))
            with contextlib.suppress(OSError):  # the log may be on the disk that is full
                print(error if isinstance(error, SlbenchError) else traceback.format_exc(), file=sys.stderr)
            return 1
        if said is None:
            break
        orders.busy.clear()
        say(report, said)
    return 0


def die_of_sigterm() -> None:
    """End as the signal would have ended this process by itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


class CommandReader:
    """What the launcher writes: tasks, one after the other, and that the run at hand is to end."""

    def __init__(self) -> None:
        self.tasks = queue.SimpleQueue[tuple[str, str] | None]()
        self.busy = threading.Event()
        self.unwanted = threading.Event()  # the run at hand is to end
        self.at = ""  # its id

    def begin(self, run_id: str) -> None:
        """From now on this run is at hand."""
        self.at = run_id
        self.unwanted.clear()

    def listen(self) -> None:
        """Take in orders, two lines each. When the launcher's end of stdin closes, leave: at once if there is work."""
        while True:
            kind, content = sys.stdin.readline().strip(), sys.stdin.readline()
            if not content:
                break
            if kind != CEASE:
                self.busy.set()
                self.tasks.put((kind, content))
            elif content.strip() == self.at:
                self.unwanted.set()
        if self.busy.is_set():
            os._exit(1)
        self.tasks.put(None)


def say(report: TextIO, line: BaseModel) -> None:
    """Tell the launcher, if it is still there."""
    with contextlib.suppress(BrokenPipeError):
        report.write(line.model_dump_json() + "\n")


def take_stdout() -> TextIO:
    """The pipe to the launcher; what others print goes to stderr from now on."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return pipe


def keep_to(cores: tuple[int, ...]) -> None:
    """Run on these cores alone, where the system can do that."""
    machine.host()  # it counts the cores of the launcher: asked once, before there are fewer
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def print_to(log: str) -> None:
    """Let what is printed from now on be added to a file."""
    if not log:
        return
    sys.stderr.flush()
    with open(log, "ab") as file:  # noqa: PTH123  (a descriptor is wanted)
        os.dup2(file.fileno(), 2)
        os.dup2(file.fileno(), 1)


def do_job(job: Job, report: TextIO, orders: CommandReader) -> JobFinished | JobStopped:
    """Do a job to its end, or until it is to end; give what is to be said of it."""
    print_to(job.log)
    keep_to(job.cores)
    machine.forget_peak()
    import torch

    from slbench.train.loop import Progress
    from slbench.train.run import RunInterrupted, execute

    terminated = threading.Event()
    orders.begin(job.spec.run_id)
    outcome: JobFinished | JobStopped = JobFinished(run_id=job.spec.run_id)

    def tell(progress: Progress) -> None:
        say(report, ProgressMessage(**dataclasses.asdict(progress)))

    signal.signal(signal.SIGTERM, lambda _number, _frame: terminated.set())
    try:
        execute(
            job.spec,
            job.labels,
            store=store_of(job.store),
            device=torch.device(job.device),
            device_label=job.device_label,
            device_name=job.device_name,
            precision=job.precision,
            threads=job.threads,
            checkpoint_seconds=job.checkpoint_seconds,
            tensorboard=None if job.tensorboard is None else Path(job.tensorboard),
            on_progress=tell,
            wanted=lambda: not terminated.is_set() and not orders.unwanted.is_set(),
        )
    except RunInterrupted:
        if terminated.is_set():
            die_of_sigterm()
        outcome = JobStopped(ceased=job.spec.run_id)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    if job.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return outcome


def do_probe(task: ProbeTask) -> None:
    job = task.job
    keep_to(job.cores)
    import torch

    from slbench.train.job_probe import probe

    cost = probe(
        job.spec,
        job.labels,
        device=torch.device(job.device),
        precision=job.precision,
        threads=job.threads,
        seconds=task.seconds,
        asked_at=task.asked_at,
    )
    measured = Probe(
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
        **dataclasses.asdict(cost),
    )
    store_of(job.store).add_probe(measured)


def do_speed_test(test: SpeedTest) -> None:
    import torch

    from slbench.measure.throughput import measure

    store = store_of(test.store)
    for measured in measure(
        test.networks,
        ("inference",),
        machine_id=machine.host().machine_id,
        device=torch.device(test.device),
        device_label=test.device_label,
        device_name=test.device_name,
        threads=test.threads,
        precision=test.precision,
    ):
        store.add_throughput(measured)


def store_of(root: str) -> Store:
    return Store(Path(root))


def task_lines(task: BaseModel) -> str:
    """What a launcher writes to a child's stdin."""
    return f"{KINDS[type(task)]}\n{task.model_dump_json()}\n"


def cease_lines(run_id: str) -> str:
    """What a launcher writes to a child's stdin to have it leave a run, and wait for another."""
    return f"{CEASE}\n{run_id}\n"


if __name__ == "__main__":
    sys.exit(main())
