"""DataConfig: where data are kept on this machine and how images are read; and checks of that folder."""

import contextlib
import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slbench.errors import InputError
from slbench.text import megabytes

ROOT_VARIABLE = "SLBENCH_DATA"
STREAM_VARIABLE = "SLBENCH_STREAM"  # any value but 0: stream
OTHER_FOLDER = f"choose another folder with --data-root or {ROOT_VARIABLE}"
PATIENCE_SECONDS = 60.0  # of waiting for a lock before a warning
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataConfig:
    """Folder of downloaded and prepared data, and whether images are read from disk on access."""

    root: Path
    stream: bool = False
    runs_plugins: bool = False  # run a plugin's data set to know it; commands that only report do not

    @classmethod
    def read(cls, root: Path | None = None, *, stream: bool = False, runs_plugins: bool = False) -> "DataConfig":
        """Return the given settings, completed by SLBENCH_DATA and SLBENCH_STREAM.

        Args:
            root: default: SLBENCH_DATA, else the platform's cache folder.
        """
        stream = stream or os.environ.get(STREAM_VARIABLE, "") not in ("", "0")
        if root is not None:
            return cls(root.expanduser().absolute(), stream, runs_plugins)
        if configured := os.environ.get(ROOT_VARIABLE):
            return cls(Path(configured).expanduser(), stream, runs_plugins)
        import platformdirs

        return cls(platformdirs.user_cache_path("slbench") / "data", stream, runs_plugins)


def file_exists(path: Path) -> bool:
    """Return whether the data root has a file. Raises InputError if it is not readable."""
    try:
        return path.exists()
    except OSError as error:
        raise InputError(f"{path.parent}: not readable ({error.strerror}); {OTHER_FOLDER}") from error


@contextlib.contextmanager
def writing(folder: Path, *, create: bool = True) -> Iterator[None]:
    """Create a folder of the data root to write in. Raises InputError if that is not possible."""
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if not error.filename and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(f"{folder}: not writable ({error.strerror}); {OTHER_FOLDER}") from error


def check_writable(folder: Path) -> None:
    """Raise InputError if a folder, which need not exist, is not writable. Leaves nothing behind."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            pass
    except OSError as error:
        raise InputError(f"{folder}: not writable ({error.strerror}); {OTHER_FOLDER}") from error


def existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def check_space(folder: Path, needed: int) -> None:
    """Raise InputError if the disk of a folder has fewer than `needed` free bytes."""
    free = shutil.disk_usage(existing(folder)).free
    if needed > free:
        raise InputError(
            f"{folder}: not enough space (needs {megabytes(needed)}, {megabytes(free)} free); "
            f"make space, or {OTHER_FOLDER}"
        )


@contextlib.contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Lock a file against other processes that would write it; no lock where nothing can be written."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(path.with_name(f"{path.name}.lock")))
        yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file; a warning names it where the wait is long.

    The system ends the lock of a killed process. Only on a file system without `flock` a file remains, which another
    machine cannot tell from a lock that is held.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        log.warning("%s: waiting for the process that holds this lock; if none does, delete the file", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
