"""Find and remove leftovers of killed processes, and checkpoints of finished or pruned runs."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slbench.archive.export import MEASURED
from slbench.archive.import_archive import STAGING
from slbench.claims import NAME
from slbench.errors import StoreError
from slbench.files import DISK_FULL, TEMPORARY, read_json
from slbench.run_paths import RunPaths
from slbench.spec import digest
from slbench.store import ENDED, Store, state_of

Kind = Literal["temporary file", "import", "claim", "checkpoint", "no run", "unfinished run"]
PROBE = re.compile(r"\.slbench-\d+")  # of `Store.check`
CHECKPOINT = re.compile(r"checkpoint.*\.pt|checkpoint\.json")
RUN_ID = re.compile(r"[0-9a-f]{12}")
OLD_SECONDS = 3600  # age from which temporary files outside the folders of runs are leftovers


@dataclass(frozen=True)
class Removable:
    """A file or folder that can be removed."""

    kind: Kind
    path: Path
    size: int  # bytes


def find_removable(store: Store, *, unfinished: bool = False) -> list[Removable]:
    """Return all that can be removed; never files of active runs, records or links.

    Args:
        unfinished: include the folders of unfinished runs, with their checkpoints and logs.
    """
    active = set(store.claims.holders())
    removable = [Removable("claim", path, size(path)) for path in store.claims.stale()]
    removable += [Removable(kind, path, size(path)) for kind, path in outside_runs(store, active)]
    for folder in folders(store.root / "runs"):
        if run_of(folder) not in active:
            removable += [Removable(kind, path, size(path)) for kind, path in in_run(folder, unfinished=unfinished)]
    return removable


def folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.glob("*") if path.is_dir() and not path.is_symlink())


def run_of(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def outside_runs(store: Store, active: set[str]) -> Iterator[tuple[Kind, Path]]:
    """Yield what can be removed outside the folders of runs."""
    for folder in folders(store.root):
        if folder.name.startswith(STAGING) and folder.name not in active:
            yield "import", folder
    for pattern in (".*", "runs/.*", "studies/.*", *(f"{kind}/*/.*" for kind in (*MEASURED, "reports", "analysis"))):
        for path in sorted(store.root.glob(pattern)):
            if is_temporary(path) and time.time() - path.stat().st_mtime > OLD_SECONDS:
                yield "temporary file", path


def is_temporary(path: Path) -> bool:
    named = TEMPORARY.fullmatch(path.name) or PROBE.fullmatch(path.name)
    return named is not None and path.is_file() and not path.is_symlink()


def in_run(folder: Path, *, unfinished: bool) -> Iterator[tuple[Kind, Path]]:
    """Yield what can be removed of the folder of an inactive run: files in it, or the folder."""
    paths = RunPaths(folder)
    has_record = paths.record.exists() or paths.diverged.exists()  # damaged ones too: the user decides on them
    has_checkpoint = any(CHECKPOINT.fullmatch(path.name) for path in folder.iterdir())
    if not has_record and not has_checkpoint and not is_run(folder):
        yield "no run", folder
        return
    if not has_record and unfinished:
        yield "unfinished run", folder
        return
    is_over = state_of(folder) in (*ENDED, "pruned")
    for path in sorted(folder.iterdir()):
        if is_temporary(path):
            yield "temporary file", path
        elif is_over and CHECKPOINT.fullmatch(path.name) and path.is_file():
            yield "checkpoint", path


def is_run(folder: Path) -> bool:
    """Return whether a folder holds the spec of the run whose id ends its name."""
    content = read_json(RunPaths(folder).spec)
    return isinstance(content, dict) and digest(content) == run_of(folder)


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; files deleted meanwhile count 0."""
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        try:
            total += file.lstat().st_size if not file.is_dir() else 0
        except OSError:
            continue
    return total


def remove(store: Store, items: list[Removable]) -> list[Removable]:
    """Remove these leftovers unless their run has become active; return the removed ones.

    Raises:
        StoreError: if something cannot be removed.
    """
    return [item for item in items if remove_one(store, item)]


def remove_one(store: Store, item: Removable) -> bool:
    try:
        if item.kind == "claim":
            return remove_claim(store, item.path)
        if item.kind == "import":
            return remove_import(store, item.path)
        folder = item.path if item.kind in ("no run", "unfinished run") else item.path.parent
        if folder.parent != store.root / "runs":
            delete(item.path)
            return True
        return remove_from_run(store, run_of(folder), item.path)
    except OSError as error:
        raise StoreError(f"{item.path}: cannot be removed: {error.strerror}") from error


def remove_import(store: Store, folder: Path) -> bool:
    """Remove the staging folder of an import that has died, as far as this process can know; return whether it did.

    Clocks of machines may differ by minutes: the claim decides, not its age.
    """
    if NAME.fullmatch(folder.name) is None:  # nobody can claim it
        delete(folder)
        return True
    with claimed(store, folder.name) as is_free:
        if is_free:
            delete(folder)
    return is_free


def remove_claim(store: Store, folder: Path) -> bool:
    """Remove the folder of a claim whose owner is dead."""
    if NAME.fullmatch(folder.name) is None:  # nobody can claim it
        delete(folder)
        return True
    with claimed(store, folder.name) as is_free:
        if is_free:
            delete(folder)
    return not folder.exists()


def remove_from_run(store: Store, run_id: str, path: Path) -> bool:
    """Remove a path of a run while holding its claim; folders without a run id need no claim."""
    if RUN_ID.fullmatch(run_id) is None:
        delete(path)
        return True
    with claimed(store, run_id) as is_free:
        paths = RunPaths(path)
        is_run = path.parent == store.root / "runs"
        if not is_free or (is_run and (paths.record.exists() or paths.diverged.exists())):
            return False
        delete(path)
        if is_run:
            store.unlink(run_id)
    return True


@contextmanager
def claimed(store: Store, run_id: str) -> Iterator[bool]:
    """Hold the claim of a run within the block; yield whether no other process has it.

    On a full disk, where room is needed most, nobody can write a claim: a run that is free is free without one.
    """
    claim, is_free = None, True
    try:
        claim = store.claims.acquire_unless_alive(run_id)
        is_free = claim is not None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
    try:
        yield is_free
    finally:
        if claim is not None:
            claim.release(done=True)


def delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
