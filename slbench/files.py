"""Files that are whole or not there, also after a crash; and JSON for people to read."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is whole or not there: temporary file, fsync, rename, fsync of the folder."""
    with atomic_writer(path) as file:
        file.write(content)


@contextmanager
def atomic_writer(path: Path) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces `path` once everything is written and on the disk."""
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


@contextmanager
def durable_temporary(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a temporary file beside `path`, making its folder; a rename within the block survives a power loss."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(path) as temporary, temporary.open("wb") as file:
        yield temporary, file
    sync_folder(path.parent)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield an unused name beside `path`; whatever still has it at the end is removed."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def sync_file(file: IO[bytes]) -> None:
    """Flush a file to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> Any:
    """What a file of JSON holds; None if it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def dump_json(content: Any) -> bytes:
    """JSON for people to read, keys in the order given."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
