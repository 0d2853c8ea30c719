"""Run a case in a forked process with limits of time and memory."""

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.hostile.case import Case, Result

ADDRESS_SPACE = 8 * 10**9  # bytes; `ulimit -v 8000000`
MAX_FILE = 2 * 10**9  # bytes of one written file
DATA_ROOT = "data-root"
GOLDEN = Path(__file__).parent.parent / "golden_store"
HEAVY = ("torch", "pandas", "optuna", "scipy.stats", "matplotlib.pyplot", "slbench.cli.report", "slbench.cli.tune")


def import_heavy_modules() -> None:
    """Import what most commands need, so that the forked processes start quickly."""
    import importlib

    import matplotlib as mpl

    mpl.use("Agg")
    for name in HEAVY:
        importlib.import_module(name)


def run(case: Case) -> Result:
    """Return how the command of a case ended, in a new folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hostile-", ignore_cleanup_errors=True) as name:
        folder = Path(name, "case")
        folder.mkdir()
        if case.store:
            shutil.copytree(GOLDEN / "store", folder / "results")
            for study in GOLDEN.glob("*.toml"):
                shutil.copy(study, folder)
        for prepare in case.prepare:
            prepare(folder)
        before = listing(folder)
        started = time.monotonic()
        code, peak = wait(start(case, folder, Path(name)), case.seconds)
        out, err = (Path(name, kind).read_bytes().decode(errors="backslashreplace") for kind in ("out", "err"))
        for log in sorted(folder.glob(case.logs)) if case.logs else ():
            out += log.read_text(errors="backslashreplace")
        written = tuple(sorted(path for path, state in listing(folder).items() if before.get(path) != state))
        return Result(code, out, err, time.monotonic() - started, peak, written)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and modification time of each file below a folder, without the cache of data sets."""
    found = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != DATA_ROOT]
        for name in names:
            path = Path(parent, name)
            status = path.lstat()
            found[path.relative_to(folder).as_posix()] = (status.st_size, status.st_mtime_ns)
    return found


def start(case: Case, folder: Path, output: Path) -> int:
    """Fork a process that runs the command; return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = run_command(case, folder, output)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except BaseException:
                    code = 1
            os._exit(code)
    return pid


def run_command(case: Case, folder: Path, output: Path) -> int:
    """Run the command in this process, with its limits, output files and folder."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE, MAX_FILE))
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(output / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ |= {"SLBENCH_DATA": str(folder / DATA_ROOT), "SLBENCH_STREAM": "", "COLUMNS": "200"}
    from slbench.cli import main

    return main(list(case.arguments))


def wait(pid: int, seconds: float) -> tuple[int | None, int]:
    """Return exit code and peak memory in bytes of a process; None as code if it is killed at the limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * 1024
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    _, _, usage = os.wait4(pid, 0)
    return None, usage.ru_maxrss * 1024
