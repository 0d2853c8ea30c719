"""Probe of a folder from two processes: whether claims in it hold and records in it are read as a whole."""

import contextlib
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from slbench.errors import StoreError
from slbench.files import create, nearest_existing, replace

CLAIMS = 50  # files that two processes try to create at once
SIZES = (10_000, 20_000)  # characters of the two contents of a file that is replaced
START_SECONDS = 20.0  # for the second process
COMPETE, READ = "compete", "read"  # roles of the second process


def store_faults(root: Path) -> list[str]:
    """Return a line for each promise of a file system that the folder of a store breaks; empty for a usable one.

    Both processes are on this machine, so that delays between machines are not seen.

    Raises:
        StoreError: if the folder cannot be written.
    """
    try:
        with temporary_folder(nearest_existing(root.absolute())) as folder:
            return [*competition(folder), *reading(folder)]
    except OSError as error:
        raise StoreError(f"{root}: cannot be probed: {error.strerror}; choose another with --store") from error


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
