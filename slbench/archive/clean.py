"""What a store need not keep: what a killed process left, and checkpoints of runs that are finished or pruned."""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from slbench.archive.export import MEASURED
from slbench.archive.import_archive import STAGING
from slbench.errors import StoreError
from slbench.files import read_json
from slbench.spec import digest
from slbench.store import Store, state_of

Kind = Literal["temporary file", "import", "claim", "checkpoint", "no run", "unfinished run"]
TEMPORARY = re.compile(r"\..+\.tmp|\.slbench-\d+")
CHECKPOINT = re.compile(r"checkpoint.*\.pt")
RUN_ID = re.compile(r"[0-9a-f]{12}")
OLD_SECONDS = 3600  # a temporary file in nobody's folder is left over if it is older


@dataclass(frozen=True)
class Removable:
    """Something that can go."""

    kind: Kind
    path: Path
    size: int  # bytes


def find_removable(store: Store, *, unfinished: bool = False) -> list[Removable]:
    """All that can go. Nothing of a run that somebody is at work on, no record, nothing that is a link.

    Args:
        unfinished: also the folders of runs that were begun and not finished, with their checkpoints and logs.
    """
    held = set(store.claims.holders())
    found = [Removable("claim", path, size(path)) for path in store.claims.stale()]
    found += [Removable(kind, path, size(path)) for kind, path in beside_runs(store, held)]
    for folder in folders(store.root / "runs"):
        if run_of(folder) not in held:
            found += [Removable(kind, path, size(path)) for kind, path in in_run(folder, unfinished=unfinished)]
    return found


def folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.glob("*") if path.is_dir() and not path.is_symlink())


def run_of(folder: Path) -> str:
    return folder.name.rpartition("-")[2]


def beside_runs(store: Store, held: set[str]) -> Iterator[tuple[Kind, Path]]:
    """What can go outside the folders of runs."""
    for folder in folders(store.root):
        if folder.name.startswith(STAGING) and folder.name not in held:
            yield "import", folder
    for pattern in (".*", "runs/.*", *(f"{kind}/*/.*" for kind in (*MEASURED, "reports", "analysis"))):
        for path in sorted(store.root.glob(pattern)):
            if is_temporary(path) and time.time() - path.stat().st_mtime > OLD_SECONDS:
                yield "temporary file", path


def is_temporary(path: Path) -> bool:
    return TEMPORARY.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def in_run(folder: Path, *, unfinished: bool) -> Iterator[tuple[Kind, Path]]:
    """What can go of a run's folder on which nobody is at work, or all of it."""
    has_record = (folder / "record.json").exists()  # whole or not: a damaged one is for its owner to look at
    has_checkpoint = any(CHECKPOINT.fullmatch(path.name) for path in folder.iterdir())
    if not has_record and not has_checkpoint and not is_run(folder):
        yield "no run", folder
        return
    if not has_record and unfinished:
        yield "unfinished run", folder
        return
    is_over = state_of(folder) in ("done", "pruned")
    for path in sorted(folder.iterdir()):
        if is_temporary(path):
            yield "temporary file", path
        elif is_over and CHECKPOINT.fullmatch(path.name) and path.is_file():
            yield "checkpoint", path


def is_run(folder: Path) -> bool:
    """Whether a folder holds the spec of the run that its name ends in."""
    content = read_json(folder / "spec.json")
    return isinstance(content, dict) and digest(content) == run_of(folder)


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; what goes meanwhile counts nothing."""
    total = 0
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        try:
            total += file.lstat().st_size if not file.is_dir() else 0
        except OSError:
            continue
    return total


def remove(store: Store, found: list[Removable]) -> list[Removable]:
    """Remove what was found, but for what somebody has begun to work on; give what went.

    Raises:
        StoreError: if something cannot be removed.
    """
    return [each for each in found if remove_one(store, each)]


def remove_one(store: Store, each: Removable) -> bool:
    try:
        if each.kind == "claim":
            store.claims.forget([each.path.name])
            return not each.path.exists()
        folder = each.path if each.kind in ("no run", "unfinished run") else each.path.parent
        if folder.parent != store.root / "runs":
            discard(each.path)
            return True
        return remove_of_run(store, run_of(folder), each.path)
    except OSError as error:
        raise StoreError(f"{each.path}: cannot be removed: {error.strerror}") from error


def remove_of_run(store: Store, run_id: str, path: Path) -> bool:
    """Remove something of a run while its claim is ours; of what is no run there is no claim."""
    if RUN_ID.fullmatch(run_id) is None:
        discard(path)
        return True
    claim = store.claims.acquire(run_id)
    if claim is None:
        return False
    try:
        if path.parent == store.root / "runs" and (path / "record.json").exists():
            return False
        discard(path)
    finally:
        claim.release(done=True)
    return True


def discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
