"""Workers that file an invented record for each job and train nothing."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from slbench.grid.messages import Job, JobFinished
from slbench.grid.slots import Device, Slot
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import make_record, store_history


@dataclass
class FakeProcess:
    """Process of a fake worker: this one."""

    job: Job
    pid: int = field(default_factory=os.getpid)
    returncode: int | None = None
    stdin: None = None
    stdout: None = None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002
        return 0

    def terminate(self) -> None:
        self.returncode = -15

    def kill(self) -> None:
        self.returncode = -9


class FakeWorker:
    """Worker that ends each job after some seconds, or at once."""

    def __init__(
        self, process: FakeProcess, on_message: Callable[["FakeWorker", Any], None], seconds: Callable[[], float]
    ) -> None:
        self.process, self.on_message, self.seconds = process, on_message, seconds
        self.job: Any = None  # of the executor
        self.send_task(process.job)

    def send_task(self, job: Job) -> bool:
        if self.process.returncode is not None:
            return False
        if (seconds := self.seconds()) > 0:
            threading.Timer(seconds, self.end, [job]).start()
        else:
            self.end(job)
        return True

    def end(self, job: Job) -> None:
        if self.process.returncode is not None:
            self.on_message(self, None)
            return
        folder, record = Path(job.log).parent, make_record(StudyRun(job.spec, job.labels))
        store_history(folder, record)
        Store(Path(job.store)).finish(folder, record)
        self.on_message(self, JobFinished(run_id=job.spec.run_id))


def spawn(job: Job, *_: object, **__: object) -> FakeProcess:
    return FakeProcess(job)


@contextmanager
def fake_workers(seconds: Callable[[], float] = lambda: 0.0) -> Iterator[None]:
    """Let local executors start fake workers within the block.

    Args:
        seconds: called for the duration of each job.
    """

    def make(process: FakeProcess, on_message: Callable[[FakeWorker, Any], None]) -> FakeWorker:
        return FakeWorker(process, on_message, seconds)

    where = "slbench.grid.local"
    with mock.patch(f"{where}.spawn", spawn), mock.patch(f"{where}.WorkerProcess", make):
        yield


def one_slot() -> list[Slot]:
    return [Slot(0, Device("cpu", "Processor", False), 1)]
