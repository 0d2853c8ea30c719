"""What a job died of: told apart by the child where it can still speak, else by its exit code, signal and log."""

import errno
import platform
import signal
import traceback
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from slbench.errors import DivergedError
from slbench.grid.messages import JobFailed
from slbench.record import Failure, Kind

LAST_LINES = 10
NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
# What CUDA says when the process, or the device, cannot be used any more.
LOST = (
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
    """What sort of end an exception is."""
    words = str(error).lower()
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk full"
    if isinstance(error, MemoryError) or any(sign in words for sign in NO_MEMORY):
        return "out of memory"
    if any(sign in words for sign in LOST):
        return "device lost"
    return "error"


def death_of(error: BaseException) -> JobFailed:
    """What a child says of the exception that ends it."""
    words = " ".join(str(error).split())
    name = "" if isinstance(error, DivergedError) else f"{type(error).__name__}: "
    return JobFailed(
        kind=kind_of(error), message=(name + words)[:500], traceback="".join(traceback.format_exception(error))
    )


def failure(
    returncode: int,
    log: Path,
    *,
    begun_at: int = 0,
    died: JobFailed | None = None,
    timeout: float | None = None,
    killed_for_memory: bool = False,
    attempt: int = 1,
    device: str = "",
) -> Failure:
    """Why a child ended without a record.

    Args:
        returncode: as subprocess has it: negative for a signal.
        begun_at: bytes of the log that are of earlier attempts.
        died: what it said itself.
        timeout: seconds it was allowed, if it was ended for taking longer.
        killed_for_memory: the system has killed a process of this container for want of memory meanwhile.
    """
    lines = last_lines(log, begun_at)
    number = -returncode if returncode < 0 else None
    how = f"exit code {returncode}" if number is None else f"killed by {signal_name(number)}"
    kind: Kind
    if timeout is not None:
        kind, reason = "timeout", f"took longer than --timeout {timeout:g} s"
    elif died is not None:
        kind, reason = died.kind, f"{how}: {died.message}"
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
        traceback="" if died is None else died.traceback,
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
    """The last lines of a log that are not empty, from a byte on."""
    try:
        with log.open(errors="replace") as file:
            file.seek(start)
            return list(deque((line.rstrip("\n")[:500] for line in file if line.strip()), maxlen=LAST_LINES))
    except OSError:
        return []


def memory_kills() -> int:
    """How many processes the system has killed for want of memory, in this container or at all; 0 if unknown."""
    for source in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        try:
            lines = source.read_text().splitlines()
        except OSError:
            continue
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0
