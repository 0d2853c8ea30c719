"""Probe of a folder from two processes: whether claims in it hold and records in it are read as a whole.

Both processes are on this machine. What other machines see, and how late, cannot be probed from one: the kind of file
system and its mount options tell.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slbench.claims import HEARTBEAT_SECONDS, STALE_SECONDS
from slbench.errors import StoreError
from slbench.files import create, nearest_existing, replace

CLAIMS = 50  # files that two processes try to create at once
SIZES = (10_000, 20_000)  # characters of the two contents of a file that is replaced
START_SECONDS = 20.0  # for the second process
COMPETE, READ = "compete", "read"  # roles of the second process
MOUNTS = Path("/proc/self/mountinfo")
MAX_DELAY = STALE_SECONDS - 2 * HEARTBEAT_SECONDS  # seconds by which a heartbeat may be seen late
# file systems that several machines share
SHARED = {
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "cifs",
    "smb3",
    "glusterfs",
    "9p",
    "virtiofs",
    "afs",
    "ocfs2",
}
OBJECTS = re.compile(r"s3|gcs|goofys|rclone|blob|juicefs-gateway|ossfs|cosfs|obsfs")  # object stores as folders


def store_faults(root: Path) -> list[str]:
    """Return a line for each promise of a file system that the folder of a store breaks; empty for a usable one.

    Delays between machines are not seen; limits on them are read from the mount options.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        existing = nearest_existing(root.absolute())
        with temporary_folder(existing) as folder:
            return [*competition(folder), *reading(folder), *mount_faults(mount_of(existing))]
    except OSError as error:
        raise StoreError(f"{root}: cannot be probed: {error.strerror}; choose another with --store") from error


@dataclass(frozen=True)
class Mount:
    """File system of a folder."""

    kind: str  # such as nfs4
    options: tuple[str, ...]

    @property
    def is_shared(self) -> bool:
        """Whether other machines may have it too, as far as its name tells."""
        return self.kind.removeprefix("fuse.") in SHARED

    @property
    def delay(self) -> int | None:
        """Return the seconds for which attributes may be cached; None if the mount options do not tell."""
        values = dict(option.partition("=")[::2] for option in self.options)
        if "noac" in values:
            return 0
        told = [values[name] for name in ("acregmax", "acdirmax", "actimeo") if values.get(name, "").isdigit()]
        return max(map(int, told), default=60) if told or self.kind in ("nfs", "nfs4") else None


def mount_of(folder: Path, mounts: Path = MOUNTS) -> Mount | None:
    """Return the file system of a folder; None where the system does not tell."""
    found: tuple[int, Mount] | None = None
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    for line in lines:  # later mounts hide earlier ones
        before, _, after = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split(" ")[4])
        if folder.resolve().is_relative_to(point) and (found is None or len(point) >= found[0]):
            kind, *_, options = after.split(" ")
            found = len(point), Mount(kind, (*before.split(" ")[5].split(","), *options.split(",")))
    return None if found is None else found[1]


def mount_faults(mount: Mount | None) -> Iterator[str]:
    """Yield why a file system cannot hold a store that several machines share."""
    if mount is None:
        return
    if mount.kind.startswith("fuse") and OBJECTS.search(mount.kind):
        yield f"{mount.kind} is an object store: two machines could both create a file, so that a run is claimed twice"
    if mount.delay is not None and mount.delay > MAX_DELAY:
        yield (
            f"{mount.kind}: attributes are cached for up to {mount.delay} s (acregmax, acdirmax or actimeo; "
            f"allowed: up to {MAX_DELAY:.0f}): the claim of a run in progress could be taken over"
        )


def what_holds(root: Path) -> str:
    """Return in one line what the probe of a folder without faults has shown, and what it cannot show.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        folder = nearest_existing(root.absolute())
        with temporary_folder(folder) as temporary:
            links = "links and renames" if has_links(temporary) else "exclusive files (no hard links here) and renames"
    except OSError as error:
        raise StoreError(f"{root}: cannot be probed: {error.strerror}; choose another with --store") from error
    mount = mount_of(folder)
    shown = f"{links} hold between two processes of this machine"
    if mount is None or not mount.is_shared:
        return shown
    late = f"up to {mount.delay} s" if mount.delay is not None else "for how long its mount options do not tell"
    return (
        f"{shown}; on {mount.kind} other machines see them late ({late}; claims allow {MAX_DELAY:.0f} s), "
        "which one machine cannot probe"
    )


def has_links(folder: Path) -> bool:
    """Return whether a file in a folder can get a second name."""
    (folder / "one").touch()
    try:
        os.link(folder / "one", folder / "two")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    folder = parent / f".slbench-probe-{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def competition(folder: Path) -> Iterator[str]:
    """Create the same files in two processes; each must be created by one of them."""
    other = second_process(COMPETE, folder)
    own = won(folder)
    out, _ = other.communicate()
    others = set(out.split())
    if own & others:
        yield f"two processes both created a file ({len(own & others)} of {CLAIMS}): a run could be claimed twice"
    if lost := CLAIMS - len(own | others):
        yield f"neither of two processes created a file ({lost} of {CLAIMS}): a run could not be claimed"


def reading(folder: Path) -> Iterator[str]:
    """Replace a file while another process reads it, which must always see one of its contents as a whole."""
    path = folder / "replaced"
    replace(path, "x" * SIZES[0])
    with second_process(READ, folder) as reader:
        while reader.poll() is None:
            for size in SIZES:
                replace(path, "x" * size)
    if reader.returncode != 0:
        yield "a file was missing or cut while it was replaced: a record could be read half-written"


def second_process(role: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "slbench.store_probe", role, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def won(folder: Path) -> set[str]:
    """Create as many of the files as no other process has created; return their names."""
    (folder / f"ready-{uuid.uuid4().hex}").touch()
    deadline = time.monotonic() + START_SECONDS
    while len(list(folder.glob("ready-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    return {str(number) for number in range(CLAIMS) if create(folder / str(number), "")}


def sizes_read(path: Path, *, times: int = 500) -> set[int]:
    """Return the different sizes of a file that is replaced meanwhile; -1 if it was missing."""
    sizes = set[int]()
    for _ in range(times):
        try:
            sizes.add(len(path.read_text()))
        except FileNotFoundError:
            sizes.add(-1)
    return sizes


def main(role: str, folder: Path) -> int:
    """Play the second process; return its exit code."""
    if role == READ:
        return int(not sizes_read(folder / "replaced") <= set(SIZES))
    sys.stdout.write(" ".join(won(folder)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
