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
from slbench.grid.jobs import Done, Job, ProbeTask, Said, SpeedTest
from slbench.measured import Probe
from slbench.store import Store

KINDS: dict[type[BaseModel], str] = {Job: "job", ProbeTask: "probe", SpeedTest: "speed"}


def main() -> int:
    """Do jobs until there are no more, or the one task of another kind; give the exit code."""
    report = take_stdout()
    tasks, busy = queue.SimpleQueue[tuple[str, str] | None](), threading.Event()
    threading.Thread(target=listen, args=(tasks, busy), daemon=True).start()
    while (task := tasks.get()) is not None:
        kind, content = task
        try:
            if kind == "job":
                do_job(Job.model_validate_json(content), report)
            elif kind == "probe":
                do_probe(ProbeTask.model_validate_json(content))
            else:
                do_speed_test(SpeedTest.model_validate_json(content))
        except Exception as error:
            say(report, death_of(error))
            with contextlib.suppress(OSError):  # the log may be on the disk that is full
                print(error if isinstance(error, SlbenchError) else traceback.format_exc(), file=sys.stderr)
            return 1
        if kind != "job":
            break
        busy.clear()
        say(report, Done(run_id=Job.model_validate_json(content).spec.run_id))
    return 0


def die_of_sigterm() -> None:
    """End as the signal would have ended this process by itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


def listen(tasks: "queue.SimpleQueue[tuple[str, str] | None]", busy: threading.Event) -> None:
    """Take in tasks, two lines each. When the launcher's end of stdin closes, leave: at once if there is work."""
    while True:
        kind, content = sys.stdin.readline().strip(), sys.stdin.readline()
        if not content:
            break
        busy.set()
        tasks.put((kind, content))
    if busy.is_set():
        os._exit(1)
    tasks.put(None)


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


def do_job(job: Job, report: TextIO) -> None:
    print_to(job.log)
    keep_to(job.cores)
    machine.forget_peak()
    import torch

    from slbench.train.loop import Progress
    from slbench.train.run import Stopped, execute

    unwanted = threading.Event()

    def tell(progress: Progress) -> None:
        say(report, Said(**dataclasses.asdict(progress)))

    signal.signal(signal.SIGTERM, lambda _number, _frame: unwanted.set())
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
            wanted=lambda: not unwanted.is_set(),
        )
    except Stopped:
        die_of_sigterm()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()
    if job.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def do_probe(task: ProbeTask) -> None:
    job = task.job
    keep_to(job.cores)
    import torch

    from slbench.train.probe import probe

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


if __name__ == "__main__":
    sys.exit(main())
