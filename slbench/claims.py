"""Claims: exclusive ownership of runs by processes, as plain files in a folder that may be shared by machines.

    <store>/claims/<run id>/1.json, 2.json, ...    the one with the highest number counts
    <store>/claims/<run id>/progress.json          how far the run is

A number is taken by a hard link, which is atomic on NFS too. A claim is released by renaming it to `N.free`. Taking
over creates the next number, so that an owner presumed dead notices that it was replaced. Clocks of machines are not
compared: a claim is alive while its modification time keeps changing within STALE_SECONDS of the observer's monotonic
clock. Only `status` compares the modification time with the clock.

A network file system may show a folder as it was some seconds ago, so that a number looks free beside a newer claim.
Creating a file renews what this machine sees of its folder. Whoever has created a claim therefore lists the folder
again, and gives the claim back if there is one that it had not seen: of two such processes the later one sees the
other's.
"""

import contextlib
import json
import logging
import os
import platform
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.errors import StoreError
from slbench.files import create, open_regular, read_json, replace
from slbench.text import duration

HEARTBEAT_SECONDS = 10.0  # between two heartbeats
STALE_SECONDS = 120.0  # without a heartbeat; then a claim of another machine is taken over
LOOK_SECONDS = 1.0  # between two looks for a heartbeat
NAME = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]*")  # id of a run or an import; cannot leave the folder
NUMBERED = re.compile(r"(\d+)\.(json|free)")
log = logging.getLogger(__name__)


class Owner(BaseModel):
    """Owner of a claim."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    token: str
    hostname: str
    boot: str  # shared by the processes that see each other's pids
    processes: tuple[tuple[int, str], ...]  # (pid, start time); the claim is dead when all of them are
    device: str = ""


@dataclass(eq=False)
class Claim:
    """A claim held by this process."""

    path: Path
    owner: Owner
    last_heartbeat: float = field(default_factory=time.monotonic)

    def heartbeat(self) -> bool:
        """Renew the claim; return False if it was taken over."""
        self.last_heartbeat = time.monotonic()
        newest = current_claim(self.path.parent)
        if newest is None or newest.path != self.path or not self._is_ours():
            return False
        try:
            os.utime(self.path)
        except OSError:
            return False
        return True

    def _is_ours(self) -> bool:
        """Return whether the file still has our token; it may have been deleted and recreated."""
        owner, _ = read(self.path)
        return owner is not None and owner.token == self.owner.token

    def add_process(self, pid: int, device: str) -> None:
        """Add a process that works on the run to the owner, with its device."""
        processes = (*self.owner.processes, (pid, process_start_time(pid)))
        self.owner = self.owner.model_copy(update={"processes": processes, "device": device})
        replace(self.path, self.owner.model_dump_json())

    def write_progress(self, progress: dict[str, Any]) -> None:
        """Publish the progress of the run, for `status`."""
        replace(self.path.parent / "progress.json", json.dumps(progress))

    def release(self, *, done: bool) -> None:
        """Release the claim; remove its folder if the run is done."""
        if not self._is_ours():
            return  # taken over
        if done:
            shutil.rmtree(self.path.parent, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            (self.path.parent / "progress.json").unlink(missing_ok=True)
            self.path.replace(self.path.with_suffix(".free"))

    @contextlib.contextmanager
    def heartbeats(self) -> Iterator[Callable[[], bool]]:
        """Send heartbeats from a thread within the block; yield a function: whether the claim is still held."""
        ended, lost = threading.Event(), threading.Event()

        def send_heartbeats() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                if not self.heartbeat():
                    lost.set()

        thread = threading.Thread(target=send_heartbeats, daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            ended.set()
            thread.join()


@dataclass(frozen=True)
class ClaimFile:
    """File of a claim and its number."""

    number: int
    path: Path

    @property
    def is_free(self) -> bool:
        return self.path.suffix == ".free"


@dataclass(frozen=True)
class ActiveClaim:
    """Owner and progress of a run in progress."""

    owner: Owner
    progress: dict[str, Any]


class Claims:
    """Claims of a store. Remembers when each claim's heartbeat was last seen to change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[tuple[Path, str], tuple[int, float]] = {}

    def acquire(self, run_id: str) -> Claim | None:
        """Claim a run; return None if another process holds it, on this machine or another.

        Raises:
            StoreError: if the folder of the claim is a link, through which nothing is written.
            OSError: if the claim cannot be written. Then no process held it.
        """
        assert NAME.fullmatch(run_id), f"invalid name of a claim: {run_id!r}"
        folder = self.root / run_id
        if folder.is_symlink():
            raise StoreError(f"{folder}: must be a folder, but is a link; delete it")
        before = numbered(folder)
        newest = before[-1] if before else None
        # lower numbers are left over where whoever took the claim over was killed before it had removed them
        outdated = {(older.path.name, token_of(older.path)) for older in before[:-1]}
        if newest is not None and not newest.is_free:
            last, changed = read(newest.path)
            if not self._abandoned(newest.path, last, changed):
                return None
            outdated.add((newest.path.name, None if last is None else last.token))
        number = 1 if newest is None else newest.number + 1
        owner = Owner(
            token=uuid.uuid4().hex,
            hostname=platform.node(),
            boot=boot_id(),
            processes=((os.getpid(), process_start_time(os.getpid())),),
        )
        path = folder / f"{number}.json"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if not create(path, owner.model_dump_json()):
                return None
        except OSError:
            with contextlib.suppress(OSError):
                folder.rmdir()  # unless it has an older claim
            raise
        others = [other for other in numbered(folder) if other.path != path]
        if any(not other.is_free and (other.path.name, token_of(other.path)) not in outdated for other in others):
            path.unlink(missing_ok=True)
            return None
        for other in others:
            other.path.unlink(missing_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)  # of the previous owner
        return Claim(path, owner)

    def acquire_unless_alive(self, name: str) -> Claim | None:
        """Like `acquire`, but wait until it is known whether the owner is alive: for a heartbeat, or STALE_SECONDS.

        For a command that does not try again. It would always find the claim of a dead process held if that ran on
        another machine, or before this one was restarted.
        """
        seen: tuple[Path, int] | None = None
        while (claim := self.acquire(name)) is None:
            newest = current_claim(self.root / name)
            if newest is None or newest.is_free:
                continue
            owner, changed = read(newest.path)
            if is_observable(owner) or seen not in (None, (newest.path, changed)):
                return None
            if seen is None:
                hostname = "unknown" if owner is None else owner.hostname
                most = duration(STALE_SECONDS)
                log.warning("%s: held on %s; waiting up to %s for a sign that it is alive", name, hostname, most)
                self.seem_held()  # notes all heartbeats, so that several dead claims take no longer than one
            seen = newest.path, changed
            time.sleep(LOOK_SECONDS)
        return claim

    def names(self) -> set[str]:
        """Return the names that have a claim, held or released, without looking at them."""
        try:
            return {path.name for path in self.root.iterdir()}
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return set()

    def seem_held(self) -> set[str]:
        """Return the names whose owner is not known to be dead, as far as this process has observed them."""
        return set(filter(self.seems_held, self.names()))

    def seems_held(self, name: str) -> bool:
        """Return whether a name has an owner who is not known to be dead, as far as this process has observed it."""
        claim = current_claim(self.root / name)
        return claim is not None and not claim.is_free and not self._abandoned(claim.path, *read(claim.path))

    def holders(self) -> dict[str, ActiveClaim]:
        """Return the active claims by run id; for claims of other machines by modification time and clock."""
        active = {}
        for folder in sorted(self.root.glob("*")):
            newest = current_claim(folder)
            if newest is None or newest.is_free:
                continue
            owner, changed = read(newest.path)
            if owner is None or not is_owner_alive(owner, age_seconds=time.time() - changed / 1e9):
                continue
            active[folder.name] = ActiveClaim(owner, read_progress(folder))
        return active

    def forget(self, run_ids: Iterable[str]) -> None:
        """Remove the claims of finished runs whose owner is known to be dead."""
        names = self.names()
        for run_id in (run_id for run_id in run_ids if run_id in names):
            folder = self.root / run_id
            claim = self.acquire(run_id) if folder.is_dir() and not folder.is_symlink() else None
            if claim is not None:
                claim.release(done=True)

    def stale(self) -> list[Path]:
        """Return the folders without an active claim."""
        active = self.holders()
        folders = [path for path in sorted(self.root.glob("*")) if path.is_dir() and not path.is_symlink()]
        return [folder for folder in folders if folder.name not in active]

    def _abandoned(self, path: Path, owner: Owner | None, changed: int) -> bool:
        """Return whether the owner of a claim is known to be dead, or sent no heartbeat for STALE_SECONDS.

        Args:
            owner, changed: as `read` returned them just now.
        """
        if owner is not None and is_observable(owner):
            return not any(is_alive(pid, start) for pid, start in owner.processes)
        key = (path, owner.token if owner else "")
        before, since = self._seen.get(key, (None, 0.0))
        if before != changed:
            self._seen[key] = (changed, time.monotonic())
            return False
        return time.monotonic() - since > STALE_SECONDS


def is_observable(owner: Owner | None) -> bool:
    """Return whether this process sees which processes of an owner are alive; not of another machine, or unreadable."""
    return owner is not None and owner.boot == boot_id() and not any(is_hidden(pid) for pid, _ in owner.processes)


def is_owner_alive(owner: Owner, *, age_seconds: float) -> bool:
    """Return whether an owner is alive: its processes on this machine, its last heartbeat on another."""
    if owner.boot == boot_id():
        return any(is_alive(pid, start) for pid, start in owner.processes)
    return age_seconds < STALE_SECONDS


def numbered(folder: Path) -> list[ClaimFile]:
    """Return the claims in a folder, sorted by number."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    matches = [match for match in map(NUMBERED.fullmatch, names) if match]
    claims = (ClaimFile(int(match[1]), folder / match[0]) for match in matches)
    return sorted(claims, key=lambda claim: (claim.number, not claim.is_free))


def current_claim(folder: Path) -> ClaimFile | None:
    """Return the claim with the highest number; None if there is none."""
    return next(reversed(numbered(folder)), None)


def read(path: Path) -> tuple[Owner | None, int]:
    """Return a claim's owner (None if unreadable) and modification time in ns; opening the file bypasses NFS caches."""
    try:
        with open_regular(path) as file:
            changed = os.fstat(file.fileno()).st_mtime_ns
            return Owner.model_validate_json(file.read()), changed
    except ValidationError:
        return None, changed
    except OSError:
        return None, 0


def token_of(path: Path) -> str | None:
    """Return the token of a claim's owner; None if it is unreadable."""
    owner, _ = read(path)
    return None if owner is None else owner.token


def read_progress(folder: Path) -> dict[str, Any]:
    content = read_json(folder / "progress.json")
    return content if isinstance(content, dict) else {}


@cache
def boot_id() -> str:
    """Return an id shared by the processes of this boot, this host name and this process namespace.

    Machines restored from one snapshot share the rest, so that the name is part of it. A process that sees another
    namespace in /proc, and so cannot know who is alive, shares its id with none.
    """
    try:
        started_once = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return f"{started_once} {uuid.uuid4().hex}"
        return f"{started_once} {Path('/proc/self/ns/pid').readlink()} {platform.node()}"
    except OSError:
        import psutil

        return f"{platform.node()} {uuid.getnode()} {psutil.boot_time():.0f}"


def process_start_time(pid: int) -> str:
    """Return the start time of a process, which tells it from a later process with its pid; empty if it is not alive.

    On Linux in ticks since boot, which setting the clock does not change.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return ""
    except (OSError, IndexError):
        return ""
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def is_alive(pid: int, start: str) -> bool:
    """Return whether the process with this pid and start time is still running."""
    return start != "" and process_start_time(pid) == start


def is_hidden(pid: int) -> bool:
    """Return whether a process exists that /proc does not show: one of another user, under the option `hidepid`."""
    if os.name != "posix" or Path(f"/proc/{pid}").exists() or not Path("/proc/self").exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return False
