"""Hardware and software of this machine. Free of torch."""

import contextlib
import hashlib
import json
import os
import platform
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from slbench import __version__
from slbench.text import hide_password

VERSIONED = ("torch", "torchvision", "numpy", "fvcore", "pandas")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # options of mallopt
NEVER = 2**31 - 1  # bytes: a threshold that nothing reaches
AGAIN = ("--force", "--retry-diverged")  # flags that have ended runs trained again
NATIVE_BF16 = {"avx512_bf16", "amx_bf16"}  # flags of /proc/cpuinfo


class Host(BaseModel):
    """The machine of a run."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    machine_id: str  # hash of processor, cores and accelerators, which decide speed
    hostname: str
    platform: str
    cpu: str
    cores: int  # usable by this process
    memory_bytes: int
    accelerators: tuple[str, ...]


class Code(BaseModel):
    """Versions of the code that computed a result."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    python: str
    versions: dict[str, str]  # of packages that can change results
    commit: str | None  # None outside the repository of slbench
    dirty: bool | None  # whether tracked files differ from that commit


def command_line() -> str:
    """Return the command of slbench that this process is, as a shell reads it.

    Without passwords of storage URLs, and without flags that would begin again what the command has done. Empty for
    another program, and for a worker that was submitted to a cluster.
    """
    program = Path(sys.argv[0])
    is_ours = program.name == "slbench" or (program.name == "__main__.py" and program.parent.name == "slbench")
    is_submitted = "--submission" in sys.argv  # by a cluster, not by a person
    return (
        shlex.join(["slbench", *(hide_password(word) for word in sys.argv[1:] if word not in AGAIN)])
        if is_ours and not is_submitted
        else ""
    )


def usable_cores() -> int:
    """Return the cores usable by this process: its CPU affinity, its cgroup's limit, its SLURM job's; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cgroup_cores(Path("/sys/fs/cgroup/cpu.max"))
    allocated = os.environ.get("SLURM_CPUS_ON_NODE", "")  # a cluster need not bind a job to its cores
    limits = [cores, *([] if quota is None else [int(quota)]), *([int(allocated)] if allocated.isdecimal() else [])]
    return max(1, min(limits))


def cgroup_cores(cpu_max: Path) -> float | None:
    """Return the limit of a cgroup v2 `cpu.max` file ("quota period", in microseconds) in cores; None for no limit."""
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


@cache
def cpu_info() -> dict[str, str]:
    """Return the entries of the first processor in /proc/cpuinfo; empty without that file."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def cpu_computes_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
    return bool(NATIVE_BF16 & set(cpu_info().get("flags", "").split()))


@dataclass(frozen=True)
class Gpu:
    """A CUDA device of this machine."""

    index: int  # as in nvidia-smi
    uuid: str
    name: str
    computes_bf16: bool  # compute capability 8.0 and above
    memory_bytes: int = 0  # 0 if unknown


@cache
def gpus() -> tuple[Gpu, ...]:
    """Return all CUDA devices of this machine, visible to this process or not; empty without NVIDIA's driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        devices = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            major, _ = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
            uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
            devices.append(Gpu(index=index, uuid=uuid, name=name, computes_bf16=major >= 8, memory_bytes=memory))
        return tuple(devices)
    except pynvml.NVMLError:
        return ()


@dataclass(frozen=True)
class CpuClock:
    """Seconds at a moment: of the wall, of all processors busy, and of this process."""

    wall: float
    busy: float
    own: float

    @classmethod
    def now(cls) -> "CpuClock":
        import time

        import psutil

        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user and nice too
        return cls(time.perf_counter(), sum(times) - idle - guests, time.process_time())

    def other_load(self, since: "CpuClock") -> float:
        """Return the cores that other processes used on average since an earlier moment."""
        wall = self.wall - since.wall
        return max(0.0, ((self.busy - since.busy) - (self.own - since.own)) / wall) if wall > 0 else 0.0


def free_gpu_memory(uuid: str) -> int:
    """Return the free bytes of a CUDA device by its UUID; 0 if unknown."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid)).free)
    except pynvml.NVMLError:
        return 0


def available_memory() -> int:
    """Return the bytes of memory that programs can take without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def peak_resident_bytes() -> int:
    """Return the peak resident set of this process in bytes.

    Read from VmHWM on Linux, where the value of getrusage includes the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024  # macOS counts bytes
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024  # "VmHWM:  1234 kB"


def forget_peak() -> None:
    """Reset `peak_resident_bytes` to the current resident set (Linux only)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def keep_freed_memory() -> None:
    """Have this process keep the memory it frees for its next allocations; only with glibc.

    Tensors of more than 32 MiB otherwise get new pages each time, which the system fills with zeros.
    """
    with contextlib.suppress(AttributeError):  # another C library
        for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
            c_library().mallopt(option, NEVER)


def return_freed_memory() -> None:
    """Return the memory that this process has freed to the system, even if it keeps it otherwise; only with glibc."""
    with contextlib.suppress(AttributeError):
        c_library().malloc_trim(0)


@cache
def c_library() -> Any:
    """Return the C library of this process; None outside Linux."""
    if sys.platform != "linux":
        return None
    import ctypes

    return ctypes.CDLL(None)


def cpu_name() -> str:
    """Return the product name of the processor, as far as known."""
    return cpu_info().get("model name") or platform.processor() or platform.machine()


@cache
def host() -> Host:
    """Return the description of this machine."""
    import psutil

    accelerators = tuple(gpu.name for gpu in gpus())
    decisive = [cpu_name(), sorted(set(cpu_info().get("flags", "").split())), os.cpu_count(), accelerators]
    return Host(
        machine_id="m"
        + hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:11],  # the "m" keeps it a text in CSV files
        hostname=platform.node(),
        platform=platform.platform(),
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        accelerators=accelerators,
    )


def code() -> Code:
    """Return versions, commit and whether the working tree is dirty."""
    from importlib.metadata import PackageNotFoundError, version

    commit, dirty = git_state(Path(__file__).parent)
    versions = {"slbench": __version__}
    for package in VERSIONED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return Code(python=sys.version.split()[0], versions=versions, commit=commit, dirty=dirty)


def git_state(package: Path) -> tuple[str | None, bool | None]:
    """Return (commit, dirty) of the repository that tracks this package; (None, None) if none does."""

    def git(*arguments: str) -> str | None:
        import subprocess

        try:
            process = subprocess.run(
                ["git", "-C", str(package), *arguments], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return process.stdout.strip() if process.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    status = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD"), None if status is None else bool(status)
