"""Claims: which process on which machine is doing a run. Plain files on a folder that may be shared.

    <store>/claims/<run id>/1.json, 2.json, ...    the one with the highest number counts
    <store>/claims/<run id>/progress.json          how far the run is

A number is taken by a hard link, which one process alone can make, on NFS too. A claim is given back by renaming it to
`N.free`; whoever takes over makes the next number, so that a claim that was thought dead can tell that it was replaced.
To take one over, no clock of a machine is compared with that of another: a claim lives as long as its time of change
goes on changing, by the watch of whoever looks. Only what `status` shows goes by the clock.
"""

import contextlib
import errno
import json
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

from slbench.files import temporary_beside

HEARTBEAT_SECONDS = 10.0  # between two signs of life
STALE_SECONDS = 120.0  # without one, and the claim of another machine is taken over
NAME = re.compile(r"\.?[A-Za-z0-9][A-Za-z0-9._-]*")  # a run's id, or that of an import; never a way out of the folder
NUMBERED = re.compile(r"(\d+)\.(json|free)")


class Owner(BaseModel):
    """Who holds a claim."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    token: str
    hostname: str
    boot: str  # what processes that can see each other's numbers have in common
    processes: tuple[tuple[int, str], ...]  # number and start of each that must be dead before the claim is
    device: str = ""


@dataclass(eq=False)
class Claim:
    """A run that is ours."""

    path: Path
    owner: Owner
    beaten: float = field(default_factory=time.monotonic)

    def heartbeat(self) -> bool:
        """Give a sign of life; False if the claim is no longer ours."""
        self.beaten = time.monotonic()
        newest = current_claim(self.path.parent)
        if newest is None or newest.path != self.path or not self._is_ours():
            return False
        try:
            os.utime(self.path)
        except OSError:
            return False
        return True

    def _is_ours(self) -> bool:
        """Whether the file is the one that we made: after it went, another may have made one of its name."""
        owner, _ = read(self.path)
        return owner is not None and owner.token == self.owner.token

    def add(self, pid: int, device: str) -> None:
        """Note a process that works on the run, and where."""
        processes = (*self.owner.processes, (pid, process_start_time(pid)))
        self.owner = self.owner.model_copy(update={"processes": processes, "device": device})
        replace(self.path, self.owner.model_dump_json())

    def note(self, progress: dict[str, Any]) -> None:
        """Say how far the run is, for whoever asks for its status."""
        replace(self.path.parent / "progress.json", json.dumps(progress))

    def release(self, *, done: bool) -> None:
        """Give it back; of a run that is done nothing is kept."""
        if not self._is_ours():
            return  # taken over
        if done:
            shutil.rmtree(self.path.parent, ignore_errors=True)
            return
        with contextlib.suppress(OSError):
            (self.path.parent / "progress.json").unlink(missing_ok=True)
            self.path.replace(self.path.with_suffix(".free"))

    @contextlib.contextmanager
    def kept(self) -> Iterator[Callable[[], bool]]:
        """Gives signs of life from a thread of its own; what it gives says whether the claim is still ours."""
        over, lost = threading.Event(), threading.Event()

        def give_signs() -> None:
            while not over.wait(HEARTBEAT_SECONDS):
                if not self.heartbeat():
                    lost.set()

        thread = threading.Thread(target=give_signs, daemon=True)
        thread.start()
        try:
            yield lambda: not lost.is_set()
        finally:
            over.set()
            thread.join()


@dataclass(frozen=True)
class ClaimFile:
    """A claim's file and its number."""

    number: int
    path: Path

    @property
    def is_free(self) -> bool:
        return self.path.suffix == ".free"


@dataclass(frozen=True)
class ActiveClaim:
    """Who is doing a run, and how far it is."""

    owner: Owner
    progress: dict[str, Any]


class Claims:
    """The claims of a store. Keeps in mind since when it has seen no sign of life of each."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seen: dict[tuple[Path, str], tuple[int, float]] = {}

    def acquire(self, run_id: str) -> Claim | None:
        """Make a run ours; None if another process, here or elsewhere, is at it."""
        assert NAME.fullmatch(run_id), f"no name of a claim: {run_id!r}"
        folder = self.root / run_id
        folder.mkdir(parents=True, exist_ok=True)
        newest = current_claim(folder)
        if newest is not None and not newest.is_free and not self._abandoned(newest.path):
            return None
        number = 1 if newest is None else newest.number + 1
        owner = Owner(
            token=uuid.uuid4().hex,
            hostname=platform.node(),
            boot=boot_id(),
            processes=((os.getpid(), process_start_time(os.getpid())),),
        )
        path = folder / f"{number}.json"
        if not create(path, owner.model_dump_json()):
            return None
        for older in numbered(folder):
            if older.number < number:
                older.path.unlink(missing_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)  # of whoever had it before
        return Claim(path, owner)

    def holders(self) -> dict[str, ActiveClaim]:
        """Who is at work, by run id. A claim of another machine counts by the clock alone, as far as it goes."""
        found = {}
        for folder in sorted(self.root.glob("*")):
            newest = current_claim(folder)
            if newest is None or newest.is_free:
                continue
            owner, changed = read(newest.path)
            if owner is None or not is_owner_alive(owner, age_seconds=time.time() - changed / 1e9):
                continue
            found[folder.name] = ActiveClaim(owner, read_progress(folder))
        return found

    def forget(self, run_ids: Iterable[str]) -> None:
        """Remove what is left of claims whose owner is known to be dead: a launcher that died as a run ended."""
        for run_id in run_ids:
            claim = self.acquire(run_id) if (self.root / run_id).is_dir() else None
            if claim is not None:
                claim.release(done=True)

    def stale(self) -> list[Path]:
        """Folders in which nobody is at work."""
        held = self.holders()
        return [folder for folder in sorted(self.root.glob("*")) if folder.is_dir() and folder.name not in held]

    def _abandoned(self, path: Path) -> bool:
        """Whether a claim's owner is known to be dead, or has not moved while we looked."""
        owner, changed = read(path)
        if owner is not None and owner.boot == boot_id():
            return not any(is_alive(pid, start) for pid, start in owner.processes)
        key = (path, owner.token if owner else "")
        before, since = self._seen.get(key, (None, 0.0))
        if before != changed:
            self._seen[key] = (changed, time.monotonic())
            return False
        return time.monotonic() - since > STALE_SECONDS


def is_owner_alive(owner: Owner, *, age_seconds: float) -> bool:
    """Whether an owner is at work, as far as one look can tell."""
    if owner.boot == boot_id():
        return any(is_alive(pid, start) for pid, start in owner.processes)
    return age_seconds < STALE_SECONDS


def numbered(folder: Path) -> list[ClaimFile]:
    """The claims in a folder, by number."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return []
    matches = [match for match in map(NUMBERED.fullmatch, names) if match]
    found = (ClaimFile(int(match[1]), folder / match[0]) for match in matches)
    return sorted(found, key=lambda each: (each.number, not each.is_free))


def current_claim(folder: Path) -> ClaimFile | None:
    """The claim that counts."""
    return next(reversed(numbered(folder)), None)


def read(path: Path) -> tuple[Owner | None, int]:
    """A claim's owner, None if the file cannot be read, and its time of change in ns, fresh from the server."""
    try:
        with path.open("rb") as file:
            changed = os.fstat(file.fileno()).st_mtime_ns
            return Owner.model_validate_json(file.read()), changed
    except ValidationError:
        return None, changed
    except OSError:
        return None, 0


def read_progress(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "progress.json").read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def create(path: Path, content: str) -> bool:
    """Make a file, whole from its first moment; False if it is there already."""
    with temporary_beside(path) as temporary:
        try:
            temporary.write_text(content)
            os.link(temporary, path)
        except FileExistsError:
            return temporary.stat().st_nlink == 2  # NFS may ask twice, and answer the second time
        except FileNotFoundError:
            return False  # the run was finished just now, and its folder removed
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            return create_exclusively(path, content)  # a file system without hard links
    return True


def create_exclusively(path: Path, content: str) -> bool:
    """As `create`, on a file system without hard links: for a moment the file is empty."""
    try:
        with path.open("x") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def replace(path: Path, content: str) -> None:
    """Write a file that can be lost, at once, in the place of another."""
    with temporary_beside(path) as temporary, contextlib.suppress(FileNotFoundError):  # the folder may be gone
        temporary.write_text(content)
        temporary.replace(path)


@cache
def boot_id() -> str:
    """The same for all processes of this start of this machine that see each other's process numbers."""
    try:
        started_once = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{started_once} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        import psutil

        return f"{platform.node()} {uuid.getnode()} {psutil.boot_time():.0f}"


def process_start_time(pid: int) -> str:
    """When a process started, so that its number can be told from a later use of it; empty if it is not there.

    On Linux in ticks since the machine's start, which a clock that is set does not move.
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
    """Whether this very process still runs."""
    return start != "" and process_start_time(pid) == start
