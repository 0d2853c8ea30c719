"""Import the runs of an archive into a store, after checking the whole archive."""

import gzip
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from slbench.archive.export import MEASURED, ArchivedRun, Reader, reading
from slbench.archive.studies import check_studies, import_studies
from slbench.claims import HEARTBEAT_SECONDS, Claim
from slbench.errors import InputError, StoreError
from slbench.files import sync_folder
from slbench.record import DivergedRecord, Outcome, RunRecord, first_wrong
from slbench.record_files import ARCHIVED, problems
from slbench.run_paths import RunPaths
from slbench.store import ENDED, Store, read_ended, safe, state_of
from slbench.text import megabytes

M = TypeVar("M", bound=BaseModel)
STAGING = ".import-"
# fields of a record on how and where it was computed, not results
CIRCUMSTANCES = ("device", "device_name", "threads", "precision", "compiled", "not_compiled", "host", "code", "labels")


@dataclass(frozen=True)
class Conflict:
    """A run with different results in store and archive."""

    here: Outcome
    there: Outcome  # in the archive
    differences: dict[str, tuple[Any, Any]]  # by field: (here, there)
    kept_in: Path

    @property
    def same_conditions(self) -> bool:
        """Return whether device kind, threads, precision and compilation agree, so that equal bits are expected."""
        return conditions(self.here) == conditions(self.there)


@dataclass
class ImportResult:
    """Outcome of an import: runs by folder name."""

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  # in the store already, with the same results
    conflicts: list[Conflict] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)  # in progress in another process
    measurements: int = 0  # number of measurements that were added
    studies: int = 0  # number of files of studies that were added or grew


def conditions(record: Outcome) -> tuple[str, int, str, bool]:
    return record.device.partition(":")[0], record.threads, record.precision, record.compiled


def different(here: Outcome, there: Outcome) -> dict[str, tuple[Any, Any]]:
    """Return the results that differ between two records of one run."""
    return {name: pair for name, pair in here.differences(there).items() if name not in CIRCUMSTANCES}


def import_archive(path: Path, store: Store) -> ImportResult:
    """Import the runs of an archive into a store, which need not exist. Never overwrites.

    If killed, it leaves complete runs and a staging folder that `slbench clean` removes; repeating the command
    imports the rest.

    Raises:
        InputError: for a damaged archive; the store is then unchanged.
        StoreError: for a damaged record in the store, or if it cannot be written.
    """
    store.check(writing=True)
    with reading(path) as reader:
        check_space(reader, store)
        try:
            with staging(store) as (folder, claim):
                for _ in reader.unpack(folder):
                    send_heartbeats(claim)
                records = check_staged(reader, folder)
                check_studies(folder, reader.path, records)
                existing = {run: outcome_in(store, run) for run in records}
                result = ImportResult(measurements=import_measurements(folder, store))
                for listed in reader.manifest.runs:
                    send_heartbeats(claim)
                    import_run(listed, records[listed.run_id], existing.get(listed.run_id), folder, store, result)
                result.studies = import_studies(folder, store)
                return result
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile):  # of the archive
                raise
            raise StoreError(f"{store.root}: cannot be written: {error.strerror}") from error


def check_space(reader: Reader, store: Store) -> None:
    """Raise StoreError if the disk has no room for the files."""
    free = store.free_bytes()
    if reader.manifest.size > free:
        raise StoreError(
            f"{store.root}: no room for the files of {reader.path} "
            f"(got {megabytes(reader.manifest.size)}); allowed: {megabytes(free)}, all that is free"
        )


@contextmanager
def staging(store: Store) -> Iterator[tuple[Path, Claim]]:
    """Create a folder in the store for unchecked files, and claim it; remove both at the end."""
    created = [folder for folder in (store.claims.root, store.root, *store.root.parents) if not folder.exists()]
    store.root.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=STAGING, dir=store.root))
    claim = None
    try:
        claim = store.claims.acquire(folder.name)
        assert claim is not None, "the name is new"
        yield folder, claim
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if claim is not None:
            claim.release(done=True)
        remove_empty(created)


def remove_empty(folders: list[Path]) -> None:
    """Remove empty folders, innermost first."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def send_heartbeats(claim: Claim) -> None:
    if time.monotonic() - claim.last_heartbeat > HEARTBEAT_SECONDS:
        claim.heartbeat()


def check_staged(reader: Reader, folder: Path) -> dict[str, Outcome]:
    """Return the outcomes in a staging folder by run id. Raises InputError unless they agree with the manifest."""
    records = dict[str, Outcome]()
    checksums = {file.name: file.sha256 for file in reader.manifest.files}
    for listed in reader.manifest.runs:
        name = f"runs/{listed.folder}/{listed.outcome_file}"
        where = f"{reader.path}: {name}"
        record: Outcome = (
            read(RunRecord, folder / name, where)
            if listed.weights_sha256
            else read(DivergedRecord, folder / name, where)
        )
        weights = checksums.get(f"runs/{listed.folder}/{RunPaths.weights}", listed.weights_sha256)
        if not record.run_id == record.spec.run_id == listed.run_id:
            raise InputError(f"{reader.path}: {name}: damaged: not the record of run {listed.run_id}")
        recorded = record.weights_sha256 if isinstance(record, RunRecord) else ""
        if not recorded == listed.weights_sha256 == weights:
            raise InputError(f"{reader.path}: {name}: damaged: its weights differ from those in the archive")
        check_run_files(folder / "runs" / listed.folder, record, reader.path)
        records[listed.run_id] = record
    for kind, model in MEASURED.items():
        for path in folder.glob(f"{kind}/*/*"):
            name = path.relative_to(folder).as_posix()
            measured = read(model, path, f"{reader.path}: {name}")
            if name != f"{kind}/{measured.machine_id}/{measured.key}.json":
                raise InputError(f"{reader.path}: {name}: damaged: its content does not match its name")
    return records


def check_run_files(folder: Path, record: Outcome, archive: Path) -> None:
    """Raise InputError if a staged run has other files than its record says, or than an archive may have."""
    strange = sorted(path.name for path in folder.iterdir() if path.name not in ARCHIVED)
    if strange:
        name = f"runs/{folder.name}/{strange[0]}"
        raise InputError(f"{archive}: {name}: no file of a run; allowed: {', '.join(ARCHIVED)}")
    for problem in problems(folder, record):
        raise InputError(f"{archive}: {problem.removeprefix(f'{folder.parents[1]}/')}")


def read(model: type[M], path: Path, where: str) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{where}: damaged or of another version: {first_wrong(error)}") from error


def outcome_in(store: Store, run_id: str) -> Outcome | None:
    """Return the outcome of a run in a store; None if it has not ended. Raises StoreError if it is damaged."""
    folder = store.folder_of(run_id)
    return read_ended(folder) if folder is not None and state_of(folder) in ENDED else None


def import_measurements(folder: Path, store: Store) -> int:
    """Move the measurements that the store lacks into it; return their number."""
    moved = 0
    for kind in MEASURED:
        for path in sorted(folder.glob(f"{kind}/*/*.json")):
            target = store.root / path.relative_to(folder)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
                sync_folder(target.parent)
                moved += 1
    return moved


def import_run(
    listed: ArchivedRun, record: Outcome, here: Outcome | None, staged: Path, store: Store, result: ImportResult
) -> None:
    """Move a run into the store, set it aside as a conflict, or skip it; add it to the result."""
    source = staged / "runs" / listed.folder
    if here is None:
        claim = store.claims.acquire(listed.run_id)
        if claim is None:
            result.busy.append(listed.folder)
            return
        try:
            here = outcome_in(store, listed.run_id)
            if here is None:
                replace_unfinished(store.folder_of(listed.run_id), staged)
                target = store.root / "runs" / listed.folder
                store.link(listed.run_id, target, replace=True)  # first: other processes find the run by it
                move(source, target)
                result.added.append(listed.folder)
        finally:
            claim.release(done=True)
    if here is None:
        return
    differences = different(here, record)
    if differences:
        result.conflicts.append(Conflict(here, record, differences, set_aside(source, record, store)))
    else:
        result.same.append(listed.folder)


def replace_unfinished(folder: Path | None, staged: Path) -> None:
    """Move the folder of an unfinished run, whose claim we hold, to the staging folder."""
    if folder is not None:
        folder.replace(staged / folder.name)


def set_aside(source: Path, record: Outcome, store: Store) -> Path:
    """Store a run with other results under conflicts/ of its machine, once; return its folder."""
    path = RunPaths(source).record if isinstance(record, RunRecord) else RunPaths(source).diverged
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    target = store.root / "conflicts" / safe(record.host.machine_id) / f"{source.name}-{digest}"
    if not target.exists():
        move(source, target)
    return target


def move(source: Path, target: Path) -> None:
    """Move a folder atomically and durably."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sync_folder(source)
    source.rename(target)
    sync_folder(target.parent)
