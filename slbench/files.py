"""Atomic writes of files, durable or quick, and readable JSON."""

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
TEMPORARY = re.compile(r"\..+\.tmp")  # names of `temporary_beside`


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file atomically and durably: temporary file, fsync, rename, fsync of the folder."""
    with atomic_writer(path) as file:
        file.write(content)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces `path` at the end of the block, after fsync."""
    with durable_temporary(path) as (temporary, file):
        yield file
        sync_file(file)
        temporary.replace(path)


def write_new(path: Path, content: bytes) -> None:
    """Like `write_atomic`, but never overwrites: the first writer wins."""
    with durable_temporary(path) as (temporary, file):
        file.write(content)
        sync_file(file)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not path.exists():
                temporary.replace(path)


def create(path: Path, content: str) -> bool:
    """Create a file atomically, without fsync; return False if it exists or its folder has been removed."""
    with temporary_beside(path) as temporary:
        try:
            temporary.write_text(content)
            os.link(temporary, path)
        except FileExistsError:
            return temporary.stat().st_nlink == 2  # NFS may repeat the request and report its second answer
        except FileNotFoundError:
            return False  # the folder was removed
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            return create_exclusively(path, content)  # a file system without hard links
    return True


def create_exclusively(path: Path, content: str) -> bool:
    """Like `create`, for file systems without hard links: the file is empty for a moment."""
    try:
        with path.open("x") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def replace(path: Path, content: str) -> None:
    """Replace a file atomically, without fsync: its content may be lost in a crash."""
    with temporary_beside(path) as temporary, contextlib.suppress(FileNotFoundError):  # the folder was removed
        temporary.write_text(content)
        temporary.replace(path)


@contextmanager
def durable_temporary(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a temporary file beside `path`, creating the folder; a rename within the block survives a power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary, temporary.open("wb") as file:
        yield temporary, file
    sync_folder(path.parent)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield an unused name beside `path`; a file that still has it at the end is removed."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(written: Path, path: Path) -> None:
    """Rename a folder of synced files to `path`; a folder there is removed."""
    sync_folder(written)
    if path.exists():
        with temporary_beside(path) as outdated:
            path.rename(outdated)
            written.rename(path)
            shutil.rmtree(outdated, ignore_errors=True)
    else:
        written.rename(path)
    sync_folder(path.parent)


def nearest_existing(path: Path) -> Path:
    """Return the path or, if it does not exist, its innermost parent that does.

    Raises:
        OSError: if a part of the path cannot exist: a link to itself or to nothing, a name that is too long.
    """
    existing = path
    while not is_present(existing):
        existing = existing.parent
    for part in path.relative_to(existing).parts:
        is_present(existing / part)  # a system looks at a name only if its folder exists
    return existing


def is_present(path: Path) -> bool:
    """Return whether a path exists. Raises OSError if it cannot."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise OSError(errno.ENOENT, "is a link to nothing", str(path)) from None
        return False
    return True


def owner_hint(path: Path) -> str:
    """Return "; it belongs to ann" for a path that may not be used, or its folder; empty if it is this user's."""
    for each in (path, *path.parents):
        try:
            uid = each.lstat().st_uid
        except OSError:  # missing, or in a folder that may not be entered
            continue
        if hasattr(os, "geteuid") and uid != os.geteuid():
            try:
                return f"; it belongs to {each.owner()}"
            except KeyError:
                return f"; it belongs to user {uid}"
        return ""
    return ""


def remove(path: Path) -> None:
    """Remove a file, a folder with its content, or a link, whose target stays; nothing if there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_file(file: IO[bytes]) -> None:
    """Flush a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it is unreadable."""
    try:
        return json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError, MemoryError):
        return None


def read_regular(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file. Raises like `open_descriptor`, and OSError for more than `max_bytes`."""
    with open_regular(path) as file:
        content = file.read(-1 if max_bytes is None else max_bytes + 1)
    if max_bytes is not None and len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"has more than {max_bytes:,} bytes", str(path))
    return content


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises like `open_descriptor`."""
    return open(open_descriptor(path), "rb")


def open_descriptor(path: Path) -> int:
    """Open a regular file for reading, never a FIFO (which would wait), a device (which may not end) or a socket.

    Raises:
        FileNotFoundError: if there is nothing at the path, not even a link.
        OSError: if the file cannot be opened; the text says what it is if it is not regular.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if path.is_symlink():
            raise OSError(errno.EINVAL, "is a link to nothing", str(path)) from None
        raise
    try:
        check_regular(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_regular(mode: int, path: Path) -> None:
    """Raise OSError unless `mode`, as `os.stat` returns it, is that of a regular file."""
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"is {kind_of(mode)}, not a file", str(path))


def kind_of(mode: int) -> str:
    """Return the kind of something that is neither a file nor a folder."""
    return "a FIFO" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def dump_json(content: Any) -> bytes:
    """Return indented JSON with the keys in order."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
