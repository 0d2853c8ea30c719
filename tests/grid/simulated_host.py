"""One host of several that share a folder: a launcher whose view of the folder is some seconds old.

What another host does is seen late: listings, attributes and missing files are answered from a cache for DELAY seconds.
Links, renames and new files are decided by the server, and renew the cache of their folder; a file that is opened shows
its latest content. Heartbeats have the time of this host's clock, which may be wrong. These are the rules of NFS.
"""

import builtins
import io
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slbench import claims
from slbench.grid import local
from slbench.grid.events import Event, Failed, Finished, JobCancelled, Started
from slbench.grid.local import LocalExecutor
from slbench.store import Store
from tests.grid.fake_jobs import fake_workers
from tests.grid.helpers import CPU, slots_on
from tests.support import runs

DELAY = 2.0  # seconds
HEARTBEAT, STALE = DELAY / 3, 4 * DELAY  # as 10, 30 and 120 seconds
RUNS, SLOTS = 16, 2
LATE = ["stat", "lstat", "readlink"]
CHANGES = ["link", "symlink", "mkdir", "rmdir", "rename", "replace", "unlink", "remove"]
clock = time.monotonic


class LateView:
    """Cache of what a host has seen, put before the functions of `os`."""

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], tuple[float, Any]] = {}

    def install(self) -> None:
        for name in LATE:
            setattr(os, name, self.late(name, getattr(os, name)))
        for name in CHANGES:
            setattr(os, name, self.change(getattr(os, name)))
        os.listdir = self.late("listdir", os.listdir)
        os.open, io.open = self.opened(os.open), self.opened(builtins.open)
        scan, remove_tree, touch = os.scandir, shutil.rmtree, os.utime
        os.scandir = self.late("scandir", lambda path: Scan(scan(path)))

        def rmtree(path: Any, *arguments: Any, **options: Any) -> None:
            self.renew(path)
            remove_tree(path, *arguments, **options)
            self.renew(path)

        def utime(path: Any, times: Any = None, **options: Any) -> None:
            touch(path, (time.time(), time.time()) if times is None else times, **options)
            self.renew(path)

        shutil.rmtree, os.utime = rmtree, utime  # type: ignore[assignment]

    def late(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that answers as it did up to DELAY seconds ago."""

        def call(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            if isinstance(path, int) or options.get("dir_fd") is not None:
                return function(path, *arguments, **options)
            kind_of_call = f"{kind} {options}"
            key, now = (str(path), kind_of_call), clock()
            when, answer = self.seen.get(key, (-DELAY, None))
            if now - when >= DELAY:
                try:
                    answer = function(path, *arguments, **options)
                except FileNotFoundError as error:
                    answer = error
                self.seen[key] = now, answer
            if isinstance(answer, FileNotFoundError):
                raise FileNotFoundError(answer.errno, answer.strerror, str(path))
            return list(answer) if kind == "listdir" else answer

        return call

    def change(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that renews what this host knows of the folders that it changes."""

        def call(*paths: Any, **options: Any) -> Any:
            try:
                return function(*paths, **options)
            finally:
                for path in paths:
                    self.renew(path)

        return call

    def opened(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that opens files; one that was missing a moment ago still is, unless it is created."""
        read = self.late("open", lambda path: None if os.access(path, os.F_OK) else missing(path))

        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, int) or options.get("dir_fd") is not None:
                return function(path, *arguments, **options)
            mode = arguments[0] if arguments else options.get("mode", "r")
            creates = bool(mode & os.O_CREAT) if isinstance(mode, int) else not str(mode).startswith("r")
            if not creates:
                read(path)
                return function(path, *arguments, **options)
            try:
                return function(path, *arguments, **options)
            finally:
                self.renew(path)

        return call

    def renew(self, path: Any) -> None:
        """Forget what was seen of a path, of its folder and of what lies in either."""
        own = {str(path), str(Path(str(path)).parent)}
        for key in [key for key in self.seen.copy() if own & {key[0], str(Path(key[0]).parent)}]:
            self.seen.pop(key, None)


def missing(path: Any) -> None:
    raise FileNotFoundError(2, "No such file or directory", str(path))


class Scan(list[Any]):
    """Entries of a folder, as a context."""

    def __enter__(self) -> "Scan":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


def main(store: Path, log: Path, seed: int) -> None:
    """Work until every run has ended; write begin and end of each run here, by the clock that all processes share."""
    claims.HEARTBEAT_SECONDS = HEARTBEAT
    local.HEARTBEAT_SECONDS = HEARTBEAT  # type: ignore[attr-defined]
    claims.STALE_SECONDS = STALE
    local.TICK_SECONDS, local.CLAIM_SECONDS = DELAY / 20, DELAY / 5
    draw, lines = random.Random(seed), log.open("a", buffering=1)

    def see(event: Event) -> None:
        names = {Started: "begin", Finished: "end", JobCancelled: "cancelled", Failed: "failed"}
        if (name := names.get(type(event))) is not None:
            lines.write(f"{clock()} {name} {event.run.spec.run_id}\n")  # type: ignore[union-attr]

    os.fsync = lambda fd: None  # a busy disk would delay heartbeats, here of fractions of a second
    jobs = runs({"seed": list(range(RUNS))})
    LateView().install()
    executor = LocalExecutor(
        slots_on(*[CPU] * SLOTS), store=Store(store), precisions={"auto": "fp32", "fp32": "fp32"}, on_event=see
    )
    with fake_workers(lambda: draw.uniform(0.2, 1.0)):
        executor.run(jobs)
    lines.write(f"{clock()} over {time.time()}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
