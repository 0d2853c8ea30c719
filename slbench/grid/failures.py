"""Why a job failed: as reported by the worker, else from exit code, signal and log."""

import platform
import re
import signal
import traceback
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from slbench.errors import DivergedError
from slbench.files import DISK_FULL
from slbench.grid.messages import JobFailed
from slbench.record import Failure, Kind

LAST_LINES = 10
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"  # in front of lines of a log that say how a healthy run goes on
TIMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")
LOST = "finished, but the store has no record of it: files of the store were deleted or moved during the run"
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
# messages of CUDA when the process or the device is no longer usable
DEVICE_LOST = (
    "illegal memory access",
    "unspecified launch failure",
    "device-side assert",
    "uncorrectable ecc",
    "no cuda-capable device",
    "devices are unavailable",
    "fallen off the bus",
    "cuda error: unknown error",
)


def kind_of(error: BaseException) -> Kind:
    """Return the kind of failure that an exception means."""
    message = str(error).lower()
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "disk full"
    if isinstance(error, MemoryError) or any(sign in message for sign in NO_MEMORY):
        return "out of memory"
    if any(sign in message for sign in DEVICE_LOST):
        return "device lost"
    return "error"


def failure_message(error: BaseException) -> JobFailed:
    """Return the message that reports an exception to the launcher."""
    message = " ".join(str(error).split())
    name = "" if isinstance(error, DivergedError) else f"{type(error).__name__}: "
    return JobFailed(
        kind=kind_of(error), message=(name + message)[:500], traceback="".join(traceback.format_exception(error))
    )


def failure(
    returncode: int,
    log: Path,
    *,
    log_start: int = 0,
    report: JobFailed | None = None,
    timeout: float | None = None,
    killed_for_memory: bool = False,
    lost: bool = False,
    attempt: int = 1,
    device: str = "",
) -> Failure:
    """Return why a worker ended without a record.

    Args:
        returncode: of subprocess; negative for a signal.
        log_start: bytes of the log written by earlier attempts.
        report: the worker's own message, if it could send one.
        timeout: time limit in seconds, if it was exceeded.
        killed_for_memory: the kernel's out-of-memory killer was active in this container during the job.
        lost: the worker said that it had finished, and was killed since the store had no record.
    """
    lines = last_lines(log, log_start)
    number = -returncode if returncode < 0 else None
    how = f"exit code {returncode}" if number is None else f"killed by {signal_name(number)}"
    kind: Kind
    if timeout is not None:
        kind, reason = "timeout", f"took longer than --timeout {timeout:g} s"
    elif lost:
        kind, reason = "error", LOST
    elif report is not None:
        kind, reason = report.kind, f"{how}: {report.message}"
    else:
        memory = number == signal.SIGKILL and killed_for_memory
        kind = "out of memory" if memory else "error" if number is None else "killed"
        reason = f"{how}: {lines[-1].strip()}" if lines else how
        reason += " (the system ran out of memory)" if memory else ""
    return Failure(
        kind=kind,
        reason=reason,
        exit_code=returncode if number is None else None,
        signal=None if number is None else signal_name(number),
        traceback="" if report is None else report.traceback,
        last_lines=tuple(lines),
        attempt=attempt,
        device=device,
        hostname=platform.node(),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def last_lines(log: Path, start: int) -> list[str]:
    """Return the last non-empty lines of a log, from byte `start` on, without those of healthy progress."""
    try:
        with log.open(errors="replace") as file:
            file.seek(start)
            return list(
                deque(
                    (line.rstrip("\n")[:500] for line in file if line.strip() and not TIMED.match(line)),
                    maxlen=LAST_LINES,
                )
            )
    except OSError:
        return []


def memory_kills() -> int:
    """Return the number of out-of-memory kills in this container, else on this machine; 0 if unknown."""
    for source in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        try:
            lines = source.read_text().splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0
