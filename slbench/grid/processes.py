"""Start, command and stop worker processes."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Generic, TypeVar

from pydantic import BaseModel

from slbench import machine
from slbench.data.config import existing
from slbench.grid.messages import Line, Message
from slbench.grid.slots import Device
from slbench.grid.worker import stop_lines, task_lines

J = TypeVar("J")
GRACE_SECONDS = 5  # between SIGTERM and SIGKILL


def child_environment(device: Device, threads: int) -> dict[str, str]:
    """Return the environment of a worker that sees one device and uses `threads` CPU threads."""
    count = str(threads)
    return {
        **compile_environment(threads),
        **os.environ,
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "CUDA_VISIBLE_DEVICES": device.cuda,  # empty (no GPU) for jobs on the processor
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # needed for deterministic matmuls on CUDA
    }


def compile_environment(threads: int) -> dict[str, str]:
    """Return where torch keeps code that it has compiled, for all jobs of this user, and how many processes compile.

    A folder for each kind of machine, as the code is made for its processor. Not in a store, which others may write to:
    torch loads pickles and libraries from it. Must be set before torch is imported. Where the folder is not writable,
    torch has one of its own.
    """
    import platformdirs

    folder = platformdirs.user_cache_path("slbench") / "compile" / machine.host().machine_id
    found = {"TORCHINDUCTOR_COMPILE_THREADS": str(threads)}
    return found | ({"TORCHINDUCTOR_CACHE_DIR": str(folder)} if os.access(existing(folder), os.W_OK) else {})


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
    send(task_lines(task), process)  # if it has died already, its log has the reason
    return process


def send(lines: str, process: subprocess.Popen[str]) -> bool:
    """Write to a worker's stdin; return False if it has exited."""
    assert process.stdin is not None
    try:
        process.stdin.write(lines)
        process.stdin.flush()
    except OSError:
        return False
    return True


class WorkerProcess(Generic[J]):
    """A worker that does one job after another on a slot.

    Args:
        on_message: called from another thread with this worker and each of its messages; None once it has ended.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        on_message: Callable[["WorkerProcess[J]", Message | None], None],
    ) -> None:
        self.process, self.on_message = process, on_message
        self.job: J | None = None  # its current job
        threading.Thread(target=self._read_messages, daemon=True).start()

    def send_task(self, task: BaseModel) -> bool:
        """Send the next task; return False if the worker has exited."""
        return send(task_lines(task), self.process)

    def request_stop(self, run_id: str) -> None:
        """Ask the worker to stop a run after a checkpoint and wait for the next task."""
        send(stop_lines(run_id), self.process)

    def _read_messages(self) -> None:
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                self.on_message(self, Line.validate_json(line))
        except ValueError:
            self.process.kill()  # unreadable output: fail the job instead of waiting for ever
        finally:
            self.process.wait()
            self.on_message(self, None)


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
def on_signals(callback: Callable[[int], None], numbers: Iterable[int]) -> Iterator[None]:
    """Call `callback` with the number of each of these signals within the block, instead of raising at any point.

    An exception between starting a worker and registering it would leave the worker behind. Does nothing outside
    the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda number, _frame: callback(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
