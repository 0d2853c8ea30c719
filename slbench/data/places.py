"""Where data are kept on this machine, and writing there so that a file is whole or not there."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from slbench.errors import InputError

ROOT_VARIABLE = "SLBENCH_DATA"  # children of a grid inherit it
STREAM_VARIABLE = "SLBENCH_STREAM"  # anything but 0: images of folders stay on the disk; inherited too


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


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes its place under `path` only when all is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
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
