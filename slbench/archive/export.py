"""Archive of finished runs: a tar whose first member lists all others with sizes and checksums.

    manifest.json
    runs/<folder>/<file>                    files of finished runs
    throughput/<machine>/<key>.json         throughput on their machines
    memory/<machine>/<key>.json             peak memory on their machines
    probes/<machine>/<key>.json             job costs on their machines
    studies/<study>.json                    studies that any of the runs belongs to; see slbench.archive.studies

Names are as in the store. Other members are refused.
"""

import gzip
import hashlib
import io
import itertools
import json
import os
import re
import tarfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slbench import __version__
from slbench.archive import studies
from slbench.data.sets.archives import DAMAGED, UnpackBudget
from slbench.errors import InputError, StoreError, similar
from slbench.files import atomic_writer, dump_json, open_regular
from slbench.measurement_records import Probe, Throughput, TrainingMemory
from slbench.record import Outcome, RunRecord, first_wrong
from slbench.record_files import ARCHIVED, absent, output_problem
from slbench.run_paths import RunPaths
from slbench.store import Store, read_ended
from slbench.text import choices, plural, shown

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 2**28
SUFFIXES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
MEASURED: dict[str, type[Throughput] | type[TrainingMemory] | type[Probe]] = {
    "throughput": Throughput,
    "memory": TrainingMemory,
    "probes": Probe,
}
WITHOUT_WEIGHTS = tuple(name for name in ARCHIVED if name not in (RunPaths.weights, RunPaths.selected_weights))
CHUNK = 2**20  # bytes
MAX_PADDING = 2**24  # bytes after the last member; tar fills up to some 10 kB
GZIP = b"\x1f\x8b"  # first bytes of a compressed file
FILE = re.compile(r"\w[\w.+-]{0,150}", re.ASCII)
MEMBER = re.compile(r"(runs|throughput|memory|probes)/(\w[\w.-]{0,150})/(\w[\w.+-]{0,150})", re.ASCII)


class FrozenModel(BaseModel):
    """Base of the models in a manifest."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")


class ArchivedRun(FrozenModel):
    """A run in an archive."""

    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    folder: str
    weights_sha256: str  # as in its record; empty for a run that diverged

    @property
    def outcome_file(self) -> str:
        """Name of the file with its record or, if it diverged, its outcome."""
        return RunPaths.record if self.weights_sha256 else RunPaths.diverged


class ArchivedFile(FrozenModel):
    """A file in an archive."""

    name: str
    size: Annotated[int, Field(ge=0)]  # bytes
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(FrozenModel):
    """Table of contents of an archive."""

    format: int = FORMAT
    slbench: str = __version__
    created_at: str  # ISO 8601, UTC
    runs: tuple[ArchivedRun, ...]
    files: tuple[ArchivedFile, ...]

    @property
    def size(self) -> int:
        """Return the unpacked bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass
class ArchiveContents:
    """Runs and files to archive."""

    runs: list[ArchivedRun] = field(default_factory=list)
    files: list[tuple[Path, ArchivedFile]] = field(default_factory=list)

    def add(self, path: Path, name: str) -> ArchivedFile:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            member = ArchivedFile(name=name, size=file.tell(), sha256=digest)
        self.files.append((path, member))
        return member


def check_name(path: Path) -> None:
    """Raise InputError unless this is a valid name of an archive."""
    if mode_of(path) is None:
        raise InputError(f"{path}: unknown suffix of an archive{choices(SUFFIXES)}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; choose a file name")


def mode_of(path: Path) -> str | None:
    """Return the mode of tarfile for a file name; None if the suffix is unknown."""
    return next((mode for suffix, mode in SUFFIXES.items() if path.name.lower().endswith(suffix)), None)


def export(
    store: Store, run_ids: Iterable[str] | None, target: Path, *, weights: bool = True, replace: bool = False
) -> Manifest:
    """Write the finished runs among these, by default of the whole store, into an archive, atomically.

    Args:
        weights: whether to include the weights; without them, records still have their sha256.
    Raises:
        InputError: for an invalid name, or an existing file without `replace`.
        StoreError: if no run is finished, a run is damaged or lacks a file, or the archive cannot be written.
    """
    check_name(target)
    if target.exists() and not replace:
        raise InputError(f"{target}: file exists; choose another, or add --replace")
    contents = collect(store, store.ids() if run_ids is None else run_ids, weights=weights)
    if not contents.runs:
        raise StoreError(f"{store.root}: no finished run to export; see slbench status STUDY")
    manifest = Manifest(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=tuple(contents.runs),
        files=tuple(member for _, member in contents.files),
    )
    try:
        with atomic_writer(target) as file:
            write(file, manifest, contents, mode=mode_of(target) or "w")
    except OSError as error:
        raise StoreError(f"{target}: cannot be written: {error.strerror}") from error
    return manifest


def collect(store: Store, run_ids: Iterable[str], *, weights: bool) -> ArchiveContents:
    """Return the finished runs among these, their files, the measurements of their machines, and their studies."""
    folders, contents, machines = store.ids(), ArchiveContents(), dict[str, None]()
    try:
        for run_id in run_ids:
            folder = folders.get(run_id)
            if folder is not None and (outcome := read_ended(folder)) is not None:
                check_complete(folder, outcome)
                add_run(contents, folder, outcome, ARCHIVED if weights else WITHOUT_WEIGHTS)
                machines[outcome.host.machine_id] = None
        for kind in MEASURED:
            for machine in machines:
                for path in sorted((store.root / kind / machine).glob("*.json")):
                    if MEMBER.fullmatch(name := f"{kind}/{machine}/{path.name}"):
                        contents.add(path, name)
        for path in studies.studies_with(store, [run.run_id for run in contents.runs]):
            contents.add(path, f"{path.parent.name}/{path.name}")
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return contents


def check_complete(folder: Path, outcome: Outcome) -> None:
    """Raise StoreError for files that are missing or test outputs that are damaged: an import would refuse all runs."""
    lines = [*absent(folder), *(output_problem(folder, outcome) if isinstance(outcome, RunRecord) else ())]
    for line in lines:
        raise StoreError(f"{line}; delete the folder of the run to run it again, or export others")


def add_run(contents: ArchiveContents, folder: Path, record: Outcome, names: Collection[str]) -> None:
    """Add those of a run's files that have one of these names. Raises StoreError if its weights are damaged."""
    checksums = dict[str, str | None]()
    if isinstance(record, RunRecord):
        checksums = {RunPaths.weights: record.weights_sha256, RunPaths.selected_weights: record.selected_weights_sha256}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.is_symlink() or path.name not in names:
            continue
        member = contents.add(path, f"runs/{folder.name}/{path.name}")
        if member.sha256 != checksums.get(path.name, member.sha256):
            raise StoreError(f"{path}: damaged: does not match its record; delete its folder to run it again")
    contents.runs.append(
        ArchivedRun(run_id=record.run_id, folder=folder.name, weights_sha256=checksums.get(RunPaths.weights) or "")
    )


def write(file: IO[bytes], manifest: Manifest, contents: ArchiveContents, *, mode: str) -> None:
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        listing = dump_json(manifest.model_dump(mode="json"))
        archive.addfile(entry(MANIFEST, len(listing)), io.BytesIO(listing))
        for path, member in contents.files:
            with path.open("rb") as source:
                archive.addfile(entry(member.name, member.size), source)


def entry(name: str, size: int) -> tarfile.TarInfo:
    """Return a member without owner and time, so that archives of equal stores differ only in the manifest's date."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


@dataclass
class Reader:
    """Open archive, read up to its manifest."""

    path: Path
    manifest: Manifest
    members: Iterator[tuple[tarfile.TarInfo, IO[bytes]]]

    def unpack(self, folder: Path) -> Iterator[ArchivedFile]:
        """Write all files under a folder; yield each after its checksum was verified.

        Raises:
            InputError: at the first difference from the manifest, or if files are missing.
            OSError: if a file cannot be written.
        """
        listed = {member.name: member for member in self.manifest.files}
        for info, source in self.members:
            member = listed.pop(info.name, None)
            if member is None:
                raise InputError(f"{self.path}: {info.name}: damaged: not in its manifest, or a duplicate")
            if info.size != member.size:
                raise InputError(
                    f"{self.path}: {info.name}: damaged: size in its manifest is "
                    f"{member.size:,} bytes (got {info.size:,})"
                )
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if copy(source, target) != member.sha256:
                raise InputError(f"{self.path}: {info.name}: damaged: checksum differs from its manifest")
            yield member
        if listed:
            raise InputError(f"{self.path}: {next(iter(listed))}: truncated: {plural(len(listed), 'file')} missing")


def copy(source: IO[bytes], target: Path) -> str:
    """Write a file durably; return its sha256."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open an archive and check its manifest.

    Raises:
        InputError: if it is no archive of slbench, damaged or of another format; also within the block.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file{similar(path)}")
    if not path.is_file():
        raise InputError(f"{path}: must be a file; choose an archive written by slbench export")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read: permission denied; grant read permission")
    try:
        with decompressed(path) as file, tarfile.open(fileobj=file, mode="r|") as archive:
            manifest = first_member(path, archive)
            yield Reader(path, manifest, other_members(path, file, archive, manifest))
    except DAMAGED as error:
        if isinstance(error, InputError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise InputError(f"{path}: damaged, or not written by slbench export: {error}") from error


@contextmanager
def decompressed(path: Path) -> Iterator[gzip.GzipFile | io.BufferedReader]:
    """Open an archive for reading, through gzip if it is compressed, which checks the checksum at its end."""
    with open_regular(path) as file:
        yield gzip.GzipFile(fileobj=file) if file.peek(len(GZIP)).startswith(GZIP) else file


def check_end(path: Path, file: gzip.GzipFile | io.BufferedReader) -> None:
    """Read on to the end of an archive. Raises InputError for anything but NUL bytes, or for many of them."""
    for _ in range(0, MAX_PADDING, CHUNK):
        block = file.read(CHUNK)
        if not block:
            return
        if block.strip(b"\0"):
            break
    raise InputError(f"{path}: damaged: goes on after its last member")


def first_member(path: Path, archive: tarfile.TarFile) -> Manifest:
    """Return the manifest."""
    info = archive.next()
    if info is None or info.name != MANIFEST or not info.isreg():
        raise InputError(f"{path}: not written by slbench export: its first member must be {MANIFEST}")
    if info.size > MAX_MANIFEST_BYTES:
        limit = f"allowed: at most {MAX_MANIFEST_BYTES:,}"
        raise InputError(f"{path}: {MANIFEST}: too large (got {info.size:,} bytes); {limit}")
    source = archive.extractfile(info)
    assert source is not None
    content = json.loads(source.read())
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise InputError(f"{path}: format: unknown to slbench {__version__} (got {shown(version)}); allowed: {FORMAT}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {MANIFEST}: damaged: {first_wrong(error)}") from error
    check_manifest(path, manifest)
    return manifest


def check_manifest(path: Path, manifest: Manifest) -> None:
    """Raise InputError unless all names in the manifest are those of runs, measurements and studies."""
    folders = {run.folder: run for run in manifest.runs}
    names = {file.name for file in manifest.files}
    if len(names) < len(manifest.files):
        raise InputError(f"{path}: {MANIFEST}: damaged: a file is listed twice")
    if len(folders) < len(manifest.runs) or len({run.run_id for run in manifest.runs}) < len(manifest.runs):
        raise InputError(f"{path}: {MANIFEST}: damaged: a run is listed twice")
    for folder, run in folders.items():
        if not folder.endswith(f"-{run.run_id}"):
            raise InputError(f"{path}: {MANIFEST}: damaged: folder must be of run {run.run_id} (got {shown(folder)})")
        if f"runs/{folder}/{run.outcome_file}" not in names:
            raise InputError(f"{path}: {MANIFEST}: damaged: {shown(folder)} has no {run.outcome_file}")
    for file in manifest.files:
        match = MEMBER.fullmatch(file.name)
        if studies.MEMBER.fullmatch(file.name):
            continue
        if match is None or (match[1] == "runs" and match[2] not in folders):
            raise InputError(f"{path}: refused: a file of no run, measurement or study (got {shown(file.name)})")


def other_members(
    path: Path, file: gzip.GzipFile | io.BufferedReader, archive: tarfile.TarFile, manifest: Manifest
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Yield the members after the manifest.

    Raises:
        InputError: for links, unsafe names, exceeded limits, and other content after the last member.
    """
    budget = UnpackBudget(path, most_members=len(manifest.files), most_bytes=manifest.size)
    for info in itertools.islice(archive, 1, None):  # the first is the manifest
        budget.admit(info.name, info.size, is_link=not info.isreg())
        source = archive.extractfile(info)
        assert source is not None
        yield info, source
    check_end(path, file)
