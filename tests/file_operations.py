"""Count of file operations of this process, as a shared file system would see them."""

import builtins
import io
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

CALLS = ["open", "stat", "lstat", "statvfs", "access", "readlink", "utime", "mkdir", "rmdir", "unlink", "remove"]
CALLS += ["link", "symlink", "rename", "replace"]
ENTRIES = 100  # of a folder in one answer of an NFS server


class FileOperations:
    """Numbers of calls and of entries in listings so far, from all threads."""

    def __init__(self) -> None:
        self._calls, self._entries = itertools.count(), itertools.count()
        self.calls = self.entries = 0

    def call(self) -> None:
        self.calls = next(self._calls) + 1

    def entry(self) -> None:
        self.entries = next(self._entries) + 1

    @property
    def total(self) -> int:
        """Return the operations of a server that lists 100 entries at a time."""
        return self.calls + self.entries // ENTRIES


@contextmanager
def file_operations() -> Iterator[FileOperations]:
    """Count the file operations of all threads within the block; not those of other processes, reads or writes."""
    count = FileOperations()

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count.call()
            return function(*args, **kwargs)

        return call

    def listed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            count.call()
            names = function(*args, **kwargs)
            for _ in names:
                count.entry()
            return names

        return call

    scan = os.scandir

    class Scan:
        """Like the iterator of `os.scandir`, counting entries."""

        def __init__(self, *args: Any) -> None:
            count.call()
            self.entries = scan(*args)

        def __enter__(self) -> "Scan":
            return self

        def __exit__(self, *_: object) -> None:
            self.entries.close()

        def __iter__(self) -> Iterator["os.DirEntry[Any]"]:
            for entry in self.entries:
                count.entry()
                yield entry

        def close(self) -> None:
            self.entries.close()

    replaced: dict[str, Any] = {name: counted(getattr(os, name)) for name in CALLS}
    replaced |= {"listdir": listed(os.listdir), "scandir": Scan}
    opened = counted(builtins.open)
    with mock.patch.multiple(os, **replaced), mock.patch.object(io, "open", opened):
        yield count
