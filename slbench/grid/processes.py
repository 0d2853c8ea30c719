"""Child processes: how they are started, what they see, how they are ended."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from pydantic import BaseModel

from slbench.grid.slots import Device
from slbench.grid.worker import cease_lines, task_lines

LOG = "log.txt"
GRACE_SECONDS = 5  # between asking a child to end and killing it


def child_environment(device: Device, threads: int) -> dict[str, str]:
    """The environment of a child that sees one device and keeps to its threads."""
    count = str(threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "CUDA_VISIBLE_DEVICES": device.cuda,  # empty, so none, for a job on the processor
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what deterministic matmuls ask for on CUDA
    }


def spawn(task: BaseModel, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
    """Start a child on a task. Its stdin stays open: when it closes, the child ends.

    It gets a process group of its own, so that Ctrl-C reaches the launcher alone.
    """
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "slbench.grid.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        env=child_environment(device, threads),
        start_new_session=True,
    )
    hand(task, process)  # if it died at once, its log says why
    return process


def hand(task: BaseModel, process: subprocess.Popen[str]) -> bool:
    """Give a child a task; False if it is not there any more."""
    return tell(task_lines(task), process)


def ask_to_cease(run_id: str, process: subprocess.Popen[str]) -> bool:
    """Ask a child to leave a run after a checkpoint, and to wait for another; False if it is not there any more."""
    return tell(cease_lines(run_id), process)


def tell(lines: str, process: subprocess.Popen[str]) -> bool:
    """Write to a child's stdin; False if it is not there any more."""
    assert process.stdin is not None
    try:
        process.stdin.write(lines)
        process.stdin.flush()
    except OSError:
        return False
    return True


def close_pipes(process: subprocess.Popen[str]) -> None:
    """Close this end of a child's pipes."""
    for pipe in (process.stdin, process.stdout):
        # What was not read before the child died cannot be flushed, and need not be.
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """End children: ask, wait a little, kill; then close their pipes."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process in processes:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        close_pipes(process)


def in_child(device: Device) -> str:
    """What torch calls a device in a child that sees it alone."""
    return "cuda:0" if device.kind == "cuda" else device.label


@contextlib.contextmanager
def on_interrupt(tell: Callable[[], None]) -> Iterator[None]:
    """Within it, SIGINT and SIGTERM call a function in place of raising wherever the program is.

    A child that has started but is in no list yet would outlive an exception raised just then. Signals are
    for the main thread; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: tell()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
