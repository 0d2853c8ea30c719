"""A process that is killed before any of its file operations."""

import builtins
import functools
import io
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OPERATIONS = ["link", "symlink", "unlink", "mkdir", "rmdir", "rename", "replace", "utime", "truncate", "fsync"]
DIED, FAILED = 9, 2


def killed_folders(
    parent: Path, action: Callable[[Path], object], *, prepare: Callable[[Path], object] = Path.mkdir, most: int = 200
) -> Iterator[Path]:
    """Yield folders in which a process that did the action was killed before its file operation 0, 1, 2, ...

    The last folder is the one in which the action was completed.

    Args:
        prepare: creates the folder and what the action needs.
    """
    for number in range(most):
        folder = parent / str(number)
        prepare(folder)
        died = dies(functools.partial(action, folder), number)
        yield folder
        if not died:
            assert number, "no file operation"
            return
    raise AssertionError(f"more than {most} file operations")


def dies(action: Callable[[], object], number: int) -> bool:
    """Do an action in a process that is killed before this file operation of it; return whether there is one."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, DIED), "the action failed"
        return code == DIED
    left = iter(range(number))

    def or_die(operation: Callable[..., Any], writes: Callable[..., bool] = lambda *args: True) -> Callable[..., Any]:
        def call(*args: Any, **flags: Any) -> Any:
            if writes(*args) and next(left, None) is None:
                os._exit(DIED)
            return operation(*args, **flags)

        return call

    for name in OPERATIONS:
        setattr(os, name, or_die(getattr(os, name)))
    io.open = builtins.open = or_die(io.open, lambda path, mode="r", *_: not {*mode}.isdisjoint("wax+"))
    try:
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(FAILED)
    os._exit(0)
