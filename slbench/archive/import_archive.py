"""Bringing an archive's runs into a store: all of it checked before any of it is seen there."""

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
from slbench.claims import HEARTBEAT_SECONDS, Claim
from slbench.errors import InputError, StoreError
from slbench.files import sync_folder
from slbench.record import WEIGHTS, RunRecord, first_wrong
from slbench.store import Store, safe, state_of
from slbench.text import megabytes

M = TypeVar("M", bound=BaseModel)
STAGING = ".import-"
# Fields of a record that say how and where it was made, not what came out.
CIRCUMSTANCES = ("device", "device_name", "threads", "precision", "host", "code", "labels")


@dataclass(frozen=True)
class Conflict:
    """One run, made twice, with two results."""

    here: RunRecord
    there: RunRecord  # the archive's
    differences: dict[str, tuple[Any, Any]]  # by field, here and there
    kept_in: Path

    @property
    def was_made_alike(self) -> bool:
        """Whether both were made on one kind of device, with the same threads and precision: bits are promised then."""
        return how(self.here) == how(self.there)


@dataclass
class ImportResult:
    """What became of an archive's runs, by folder name."""

    added: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)  # here already, with the same results
    conflicts: list[Conflict] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)  # another process is at work on them
    measurements: int = 0  # speeds and peaks of memory that were not here


def how(record: RunRecord) -> tuple[str, int, str]:
    return record.device.partition(":")[0], record.threads, record.precision


def different(here: RunRecord, there: RunRecord) -> dict[str, tuple[Any, Any]]:
    """The results that differ between two records of one run."""
    return {name: pair for name, pair in here.differences(there).items() if name not in CIRCUMSTANCES}


def import_archive(path: Path, store: Store) -> ImportResult:
    """Bring the runs of an archive into a store, which may be new. What is there already is never overwritten.

    Killed at any moment, it leaves whole runs and a staging folder that `slbench clean` removes; the same
    command brings the rest.

    Raises:
        InputError: for an archive that is damaged in any way; the store is then as it was.
        StoreError: for a damaged record in the store, or if it cannot be written.
    """
    store.check(writing=True)
    with reading(path) as reader:
        check_space(reader, store)
        try:
            with staging(store) as (folder, claim):
                for _ in reader.unpack(folder):
                    send_heartbeats(claim)
                records = checked(reader, folder)
                before = {run: store.record(run) for run in records if is_done(store, run)}
                arrivals = ImportResult(measurements=place_measurements(folder, store))
                for listed in reader.manifest.runs:
                    send_heartbeats(claim)
                    place(listed, records[listed.run_id], before.get(listed.run_id), folder, store, arrivals)
                return arrivals
        except OSError as error:
            raise StoreError(f"{store.root}: cannot be written: {error.strerror}") from error


def check_space(reader: Reader, store: Store) -> None:
    """Raise StoreError if the files cannot fit."""
    free = store.free_bytes()
    if reader.manifest.size > free:
        raise StoreError(
            f"{store.root}: {reader.path} unpacks to {megabytes(reader.manifest.size)}, "
            f"and {megabytes(free)} are free: make space"
        )


@contextmanager
def staging(store: Store) -> Iterator[tuple[Path, Claim]]:
    """A folder in the store for what is not checked yet, and a claim that says it is in use; both go in the end."""
    made = [folder for folder in (store.claims.root, store.root, *store.root.parents) if not folder.exists()]
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
        remove_empty(made)


def remove_empty(folders: list[Path]) -> None:
    """Remove those of these folders, the innermost first, in which nothing is."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def send_heartbeats(claim: Claim) -> None:
    if time.monotonic() - claim.beaten > HEARTBEAT_SECONDS:
        claim.heartbeat()


def checked(reader: Reader, folder: Path) -> dict[str, RunRecord]:
    """The records in a staging folder, by run id. Raises InputError unless all is what the manifest says it is."""
    records = {}
    sums = {file.name: file.sha256 for file in reader.manifest.files}
    for listed in reader.manifest.runs:
        name = f"runs/{listed.folder}/record.json"
        record = read(RunRecord, folder / name, f"{reader.path}: {name}")
        weights = sums.get(f"runs/{listed.folder}/{WEIGHTS['last']}", listed.weights_sha256)
        if not record.run_id == record.spec.run_id == listed.run_id:
            raise InputError(f"{reader.path}: {name}: damaged: not the record of run {listed.run_id}")
        if not record.weights_sha256 == listed.weights_sha256 == weights:
            raise InputError(f"{reader.path}: {name}: damaged: its weights are not those of the archive")
        records[listed.run_id] = record
    for kind, model in MEASURED.items():
        for path in folder.glob(f"{kind}/*/*"):
            name = path.relative_to(folder).as_posix()
            measured = read(model, path, f"{reader.path}: {name}")
            if name != f"{kind}/{measured.machine_id}/{measured.key}.json":
                raise InputError(f"{reader.path}: {name}: damaged: not what its name says")
    return records


def read(model: type[M], path: Path, where: str) -> M:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{where}: damaged or of another version: {first_wrong(error)}") from error


def is_done(store: Store, run_id: str) -> bool:
    return state_of(store.ids().get(run_id)) == "done"


def place_measurements(folder: Path, store: Store) -> int:
    """Move into the store what was measured and is not there; how many that were."""
    placed = 0
    for kind in MEASURED:
        for path in sorted(folder.glob(f"{kind}/*/*.json")):
            target = store.root / path.relative_to(folder)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
                sync_folder(target.parent)
                placed += 1
    return placed


def place(
    listed: ArchivedRun, record: RunRecord, here: RunRecord | None, staged: Path, store: Store, arrivals: ImportResult
) -> None:
    """Move a run into the store, aside, or leave it, and note which."""
    source = staged / "runs" / listed.folder
    if here is None:
        claim = store.claims.acquire(listed.run_id)
        if claim is None:
            arrivals.busy.append(listed.folder)
            return
        try:
            here = store.record(listed.run_id) if is_done(store, listed.run_id) else None
            if here is None:
                replace_unfinished(store.ids().get(listed.run_id), staged)
                move(source, store.root / "runs" / listed.folder)
                arrivals.added.append(listed.folder)
        finally:
            claim.release(done=True)
    if here is None:
        return
    differences = different(here, record)
    if differences:
        arrivals.conflicts.append(Conflict(here, record, differences, set_aside(source, record, store)))
    else:
        arrivals.same.append(listed.folder)


def replace_unfinished(folder: Path | None, staged: Path) -> None:
    """Put what is there of a run that was never finished out of the way; its claim is ours."""
    if folder is not None:
        folder.replace(staged / folder.name)


def set_aside(source: Path, record: RunRecord, store: Store) -> Path:
    """Keep a run with other results apart, under the machine that made it; once, however often it comes."""
    digest = hashlib.sha256((source / "record.json").read_bytes()).hexdigest()[:8]
    target = store.root / "conflicts" / safe(record.host.machine_id) / f"{source.name}-{digest}"
    if not target.exists():
        move(source, target)
    return target


def move(source: Path, target: Path) -> None:
    """Give a whole folder its place, at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sync_folder(source)
    source.rename(target)
    sync_folder(target.parent)
