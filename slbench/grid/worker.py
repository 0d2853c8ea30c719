"""The child process: one job from stdin, progress as JSON lines on stdout, everything else to stderr.

It ends when its stdin does, so that no child outlives a launcher that was killed.
"""

import contextlib
import dataclasses
import os
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
from slbench.grid.jobs import Job, ProbeTask, Said, SpeedTest
from slbench.store import Probe, Store

KINDS: dict[type[BaseModel], str] = {Job: "job", ProbeTask: "probe", SpeedTest: "speed"}


def main() -> int:
    """Read the task's kind and its JSON, do it, give the exit code."""
    kind, task = sys.stdin.readline().strip(), sys.stdin.readline()
    report = take_stdout()
    threading.Thread(target=end_with_launcher, daemon=True).start()
    try:
        if kind == "job":
            do_job(Job.model_validate_json(task), report)
        elif kind == "probe":
            do_probe(ProbeTask.model_validate_json(task))
        else:
            do_speed_test(SpeedTest.model_validate_json(task))
    except SlbenchError as error:
        print(error, file=sys.stderr)
        say(report, death_of(error))
        return 1
    except Exception as error:
        traceback.print_exc()
        say(report, death_of(error))
        return 1
    return 0


def say(report: TextIO, line: BaseModel) -> None:
    """Tell the launcher, if it is still there."""
    with contextlib.suppress(BrokenPipeError):
        report.write(line.model_dump_json() + "\n")


def take_stdout() -> TextIO:
    """The pipe to the launcher; what others print goes to stderr from now on."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return pipe


def end_with_launcher() -> None:
    """Leave at once when the launcher's end of stdin closes."""
    while sys.stdin.read(4096):
        pass
    os._exit(1)


def keep_to(cores: tuple[int, ...]) -> None:
    """Run on these cores alone, where the system can do that."""
    machine.host()  # it counts the cores of the launcher: asked once, before there are fewer
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def do_job(job: Job, report: TextIO) -> None:
    keep_to(job.cores)
    import torch

    from slbench.train.loop import Progress
    from slbench.train.run import execute

    def tell(progress: Progress) -> None:
        say(report, Said(**dataclasses.asdict(progress)))

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
    )


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
