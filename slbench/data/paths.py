"""Where data are kept on this machine."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from slbench.errors import InputError

ROOT_VARIABLE = "SLBENCH_DATA"  # children of a grid inherit it
STREAM_VARIABLE = "SLBENCH_STREAM"  # anything but 0: images are read when they are asked for; inherited too


def data_root() -> Path:
    """The folder of fetched and prepared data: SLBENCH_DATA, else one in the platform's cache folder."""
    import platformdirs

    given = os.environ.get(ROOT_VARIABLE)
    return Path(given).expanduser() if given else platformdirs.user_cache_path("slbench") / "data"


def is_there(path: Path) -> bool:
    """Whether the data root has a file. Raises InputError, with the cure, where nobody may look."""
    try:
        return path.exists()
    except OSError as error:
        raise InputError(
            f"{path.parent}: cannot be read ({error.strerror}): name another folder with --data-root or {ROOT_VARIABLE}"
        ) from error


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder of the data root and write in it. Raises InputError, with the cure, where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if not error.filename and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{folder}: cannot write here ({error.strerror}): name another folder with --data-root or {ROOT_VARIABLE}"
        ) from error


def check_writable(folder: Path) -> None:
    """Raise InputError if nothing could be written in a folder, which need not exist; leaves nothing behind."""
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write here ({error.strerror}): name another folder with --data-root or {ROOT_VARIABLE}"
        ) from error


def check_space(folder: Path, needed: int) -> None:
    """Raise InputError if a folder's disk has not so many bytes free."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free: "
            f"make room, or name another folder with --data-root or {ROOT_VARIABLE}"
        )


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Held against other processes that would make the same file; not held where nothing can be written."""
    from filelock import FileLock

    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()
