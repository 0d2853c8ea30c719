"""Start, command and stop worker processes."""

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
from slbench.grid.worker import stop_lines, task_lines

LOG = "log.txt"
GRACE_SECONDS = 5  # between SIGTERM and SIGKILL


def child_environment(device: Device, threads: int) -> dict[str, str]:
    """Return the environment of a worker that sees one device and uses `threads` CPU threads."""
    count = str(threads)
    return {
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "CUDA_VISIBLE_DEVICES": device.cuda,  # empty (no GPU) for jobs on the processor
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # needed for deterministic matmuls on CUDA
    }


def spawn(task: BaseModel, device: Device, *, threads: int, log: IO[bytes]) -> subprocess.Popen[str]:
    """Start a worker on a task. It ends when its stdin closes.

    It has its own process group, so that Ctrl-C reaches only the launcher.
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
    send_task(task, process)  # if it has died already, its log has the reason
    return process


def send_task(task: BaseModel, process: subprocess.Popen[str]) -> bool:
    """Send a task to a worker; return False if it has exited."""
    return send(task_lines(task), process)


def request_stop(run_id: str, process: subprocess.Popen[str]) -> bool:
    """Ask a worker to stop a run after a checkpoint and wait for the next; return False if it has exited."""
    return send(stop_lines(run_id), process)


def send(lines: str, process: subprocess.Popen[str]) -> bool:
    """Write to a worker's stdin; return False if it has exited."""
    assert process.stdin is not None
    try:
        process.stdin.write(lines)
        process.stdin.flush()
    except OSError:
        return False
    return True


def close_pipes(process: subprocess.Popen[str]) -> None:
    """Close the launcher's ends of a worker's pipes."""
    for pipe in (process.stdin, process.stdout):
        # unread input of a dead worker cannot be flushed
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Terminate workers, kill those that do not exit within the grace period, and close their pipes."""
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


def worker_device(device: Device) -> str:
    """Return torch's name of a device in a worker that sees only this device."""
    return "cuda:0" if device.kind == "cuda" else device.label


@contextlib.contextmanager
def on_interrupt(callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback` on SIGINT and SIGTERM within the block, instead of raising at an arbitrary point.

    An exception between starting a worker and registering it would leave the worker behind. Does nothing outside
    the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: callback()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
