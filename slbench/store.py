"""The store: folder of all results.

    <store>/runs/<backbone>-<method>-<dataset>-s<seed>-<run_id>/   one folder per run
    <store>/ids/<run_id>                                           link to the run's folder; see Store.folder_of
    <store>/claims/<run_id>/                                       active claim; see slbench.claims
    <store>/throughput/<machine>/<key>.json                        throughput by machine
    <store>/memory/<machine>/<key>.json                            peak memory by machine
    <store>/probes/<machine>/<key>.json                            job costs by machine
    <store>/reports/<study>/                                       tables
    <store>/studies/<study>.json                                  questions, runs and looks; see slbench.study_files
    <store>/analysis/<study or run>/                               output of slbench.analysis
    <store>/replaced/                                              runs before `--force` trained them again
    <store>/conflicts/<machine>/                                   imported runs with other results; see slbench.archive

A run is finished when its folder holds record.json, which is written last, atomically, and never overwritten. A run
that diverged has diverged.json instead, and is not run again unasked.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import ValidationError

from slbench import claims
from slbench.errors import InputError, StoreError
from slbench.files import (
    DISK_FULL,
    dump_json,
    nearest_existing,
    owner_hint,
    read_json,
    read_regular,
    remove,
    write_atomic,
    write_new,
)
from slbench.measurement_records import Probe, Throughput, TrainingMemory
from slbench.record import (
    WEIGHTS,
    DivergedRecord,
    Failure,
    Labels,
    Launch,
    Outcome,
    Pruned,
    RunRecord,
    read_diverged,
    read_failure,
    read_record,
)
from slbench.record_files import check_files
from slbench.run_paths import CHECKPOINTS, SURVIVES_RESTART, RunPaths
from slbench.spec import RunSpec
from slbench.validation import adapter

State = Literal["done", "diverged", "running", "failed", "damaged", "pruned", "paused", "missing"]
RESUME_CHECK = "resume-check"  # file in the stores of slbench verify-resume, whose runs are no results of a grid
ENDED: tuple[State, ...] = ("done", "diverged")  # states that another grid does not change unasked
STATES: tuple[State, ...] = get_args(State)
SHARED = ("runs", "ids", "claims", "studies", "versions")  # folders that all users of a store change
SHARING = "users of one store need a common group and umask 002"
LINKED = "../runs"  # in ids/, where the link of a run leads


def safe(name: str) -> str:
    """Return a name that is valid for folders on any file system; not unique."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:40].lower() or "x"


class AlreadyEndedError(StoreError):
    """A run that is to begin has ended already."""


class Store:
    """Results under one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims = claims.Claims(root / "claims")
        self._folders: dict[str, Path] | None = None  # of runs by id, as far as they are known

    def check(self, *, writing: bool) -> None:
        """Raise StoreError if this cannot be a store or, with `writing`, is not writable. Leaves no files."""
        try:
            str(self.root.absolute()).encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"--store: must be UTF-8 (got {str(self.root)!r}); choose another") from error
        try:
            existing = nearest_existing(self.root)
            runs = nearest_existing(self.root / "runs")
        except OSError as error:
            part = "" if error.filename == str(self.root) else f"{error.filename} "
            raise StoreError(
                f"{self.root}: {part}cannot be used: {error.strerror}; choose another with --store"
            ) from error
        if not existing.is_dir():
            raise StoreError(f"{self.root}: must be a folder, but {existing} is a file; choose another with --store")
        if not runs.is_dir():
            raise StoreError(f"{self.root}: runs: must be a folder, but is a file; choose another with --store")
        try:
            if writing:
                probe = existing / f".slbench-{os.getpid()}"
                probe.touch()
                probe.unlink()
        except OSError as error:
            owner = owner_hint(existing) if isinstance(error, PermissionError) else ""
            raise StoreError(
                f"{self.root}: not writable: {error.strerror}{owner}; choose another with --store"
            ) from error
        for name in SHARED if writing else SHARED[:1]:
            folder, mode = self.root / name, os.R_OK | os.X_OK | (os.W_OK if writing else 0)
            if folder.is_dir() and not os.access(folder, mode):
                raise StoreError(
                    f"{folder}: may not be {'written' if os.access(folder, os.R_OK) else 'read'}"
                    f"{owner_hint(folder)}; {SHARING}"
                )

    def free_bytes(self) -> int:
        """Return the free bytes on its disk."""
        return shutil.disk_usage(nearest_existing(self.root.absolute())).free

    def folder(self, run: RunSpec, labels: Labels) -> Path:
        """Return the folder with the run's id, else the one that it would get."""
        found = self.folder_of(run.run_id)
        if found is not None:
            return found
        parts = (labels.backbone, labels.method, labels.dataset)
        return self.root / "runs" / "-".join([*(safe(part) for part in parts), f"s{run.seed}", run.run_id])

    def folder_of(self, run_id: str) -> Path | None:
        """Return the folder with a run's id; None without one.

        All folders are listed once; later ones are found by the links that `begin` creates, so that a look-up costs the
        same however many runs there are. A folder that was copied into the store by hand since is not found.
        """
        known = (self.ids() if self._folders is None else self._folders).get(run_id)
        if known is not None and not known.is_dir():  # removed, or replaced by that of an import
            known = self.ids().get(run_id)
        if known is None and (known := self._linked(run_id)) is not None and self._folders is not None:
            self._folders[run_id] = known
        return known

    def ids(self) -> dict[str, Path]:
        """Return the folders of all runs, finished or not, by id, sorted by name."""
        runs = self.root / "runs"
        try:
            with os.scandir(runs) as entries:
                names = sorted(entry.name for entry in entries if "-" in entry.name and is_folder(entry))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            names = []
        self._folders = {name.rsplit("-", 1)[-1]: runs / name for name in names}
        return dict(self._folders)

    def _linked(self, run_id: str) -> Path | None:
        """Return the folder that the link of a run names; None without one."""
        name = self._link_target(run_id)
        return self.root / "runs" / name if name is not None and (self.root / "runs" / name).is_dir() else None

    def _link_target(self, run_id: str) -> str | None:
        """Return the name in the link of a run; None if it cannot be that of its folder."""
        try:
            parent, _, name = str((self.root / "ids" / run_id).readlink()).rpartition("/")
        except OSError:
            return None
        return name if parent == LINKED and name.endswith(f"-{run_id}") else None

    def link(self, run_id: str, folder: Path, *, replace: bool = False) -> Path:
        """Create the link of a run, whose claim we hold, to its folder; return the folder of the link that exists now.

        Creating it is atomic and never answered from a cache, so that a run has one folder also if studies name it
        differently. On file systems without links all folders are listed instead.
        """
        path = self.root / "ids" / run_id
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if replace:
                path.unlink(missing_ok=True)
            path.symlink_to(f"{LINKED}/{folder.name}")
        except FileExistsError:
            folder = self.root / "runs" / (self._link_target(run_id) or folder.name)
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            folder = self.ids().get(run_id, folder)
        if self._folders is not None:
            self._folders[run_id] = folder
        return folder

    def unlink(self, run_id: str) -> None:
        """Remove the link of a run, whose claim we hold and whose folder is gone."""
        path = self.root / "ids" / run_id
        if path.is_symlink():
            path.unlink()

    def find(self, prefix: str) -> tuple[str, Path]:
        """Return the id and folder of the run with this id prefix; the name of its folder is understood too.

        Raises:
            InputError: if no run matches, or several.
        """
        folders = self.ids()
        beginning = Path(prefix).name.rpartition("-")[2]  # also of the name of a folder
        ids = [run_id for run_id in folders if beginning and run_id.startswith(beginning)]
        if not ids:
            raise InputError(
                f"{self.root}: no run id starts with this (got '{prefix}'); slbench status --json lists them"
            )
        if len(ids) > 1:
            names = ", ".join(folders[run_id].name for run_id in ids[:5])
            raise InputError(
                f"{self.root}: {len(ids)} run ids start with this (got '{prefix}'); allowed: {names}; "
                "use a longer prefix"
            )
        return ids[0], folders[ids[0]]

    def begun(self) -> Iterator[tuple[RunSpec, Launch]]:
        """Yield all runs that were started, sorted by folder name.

        Unfinished runs of an older version get labels from the name of their folder, all of it as the backbone's.
        Folders whose spec is not readable here are left out; see `unreadable`.
        """
        for run_id, folder in self.ids().items():
            spec = read_spec(folder)
            if isinstance(spec, RunSpec) and spec.run_id == run_id:
                label = folder.name.removesuffix(f"-s{spec.seed}-{run_id}").removesuffix(f"-{safe(spec.dataset.name)}")
                launch = read_launch(folder) or Launch(
                    labels=Labels(backbone=label, method="", dataset=spec.dataset.name)
                )
                with contextlib.suppress(StoreError):  # `damaged` names it
                    outcome = read_ended(folder)
                    launch = launch if outcome is None else Launch(labels=outcome.labels)
                yield spec, launch

    def launch(self, run: RunSpec) -> Launch | None:
        """Return how an unfinished run was started; None if that is not known."""
        folder = self.folder_of(run.run_id)
        return None if folder is None else read_launch(folder)

    def unreadable(self) -> list[str]:
        """Return a line for each run whose spec is not readable here, such as one of a backbone of another version."""
        return [line for folder in self.ids().values() if (line := unreadable(folder)) is not None]

    def states(self, runs: Iterable[RunSpec]) -> dict[str, State]:
        """Return the state of each run by id."""
        folders, active = self.ids(), self.claims.holders()
        states = {run.run_id: state_of(folders.get(run.run_id)) for run in runs}
        return {run: "running" if run in active and state not in ENDED else state for run, state in states.items()}

    def epochs_done(self, run: RunSpec) -> int:
        """Return the number of epochs that need not be repeated: those in the history, if there is a checkpoint."""
        folder = self.folder_of(run.run_id)
        try:
            if folder is None or not has_checkpoint(folder):
                return 0
            return max(0, len(read_regular(RunPaths(folder).history).splitlines()) - 1)
        except OSError:
            return 0

    def has_ended(self, run: RunSpec) -> bool:
        """Return whether the run has a record, or the outcome of a run that diverged."""
        folder = self.folder_of(run.run_id)
        return folder is not None and outcome_state(folder) is not None

    def without_weights(self, runs: Iterable[tuple[RunSpec, Labels]]) -> list[Path]:
        """Return the folders of finished runs that lack the weights requested by `labels.keep`."""
        folders = self.ids()
        requested = [(folders.get(run.run_id), WEIGHTS.get(labels.keep)) for run, labels in runs]
        return [
            path
            for path, name in requested
            if path and name and state_of(path) == "done" and not (path / name).exists()
        ]

    def begin(self, run: RunSpec, labels: Labels, *, trial: str = "", command: str = "") -> Path:
        """Prepare the folder of a run, whose claim we hold: write its spec, keep log, checkpoints and their history.

        Args:
            trial: of a search.
            command: that started the run.
        Raises:
            AlreadyEndedError: if the run has ended. A network file system may tell so only now: a write to a folder
                renews what this machine sees of it.
        """
        folder = self._linked_folder(run, labels)
        paths, launch = RunPaths(folder), Launch(labels=labels, trial=trial, command=command)
        write_atomic(paths.spec, dump_json(run.as_dict()))
        if outcome_state(folder) is not None:
            raise AlreadyEndedError(f"{folder}: the run has ended; delete the folder to run it again")
        continues = paths.history.is_file() and not paths.history.is_symlink() and has_checkpoint(folder)
        kept = [*SURVIVES_RESTART, RunPaths.spec, *([RunPaths.history] if continues else [])]
        for path in folder.iterdir():
            if path.name not in kept:
                remove(path)
        write_atomic(paths.launch, dump_json(launch.model_dump(mode="json")))
        return folder

    def finish(self, folder: Path, record: RunRecord) -> None:
        """Finish a run: write its record, unless there is one, and its spec, if it was removed meanwhile.

        Raises:
            StoreError: if its files contradict the record.
        """
        write_new(RunPaths(folder).spec, dump_json(record.spec.as_dict()))
        check_files(folder, record)
        write_new(RunPaths(folder).record, dump_json(record.model_dump(mode="json")))
        RunPaths(folder).launch.unlink(missing_ok=True)

    def diverge(self, folder: Path, outcome: DivergedRecord) -> None:
        """Finish a run that diverged: write its outcome, unless there is one. Raises StoreError like `finish`."""
        write_new(RunPaths(folder).spec, dump_json(outcome.spec.as_dict()))
        check_files(folder, outcome)
        write_new(RunPaths(folder).diverged, dump_json(outcome.model_dump(mode="json")))
        RunPaths(folder).launch.unlink(missing_ok=True)

    def diverged(self, run_id: str) -> DivergedRecord | None:
        """Return the outcome of a run that diverged; None for another. Raises StoreError if the file is damaged."""
        folder = self.folder_of(run_id)
        outcome = None if folder is None else read_ended(folder)
        return outcome if isinstance(outcome, DivergedRecord) else None

    def retry_diverged(self, runs: Iterable[RunSpec]) -> None:
        """Delete the outcomes of those runs that diverged, so that they are run again."""
        folders = self.ids()
        for run_id, state in self.states(runs).items():
            if state == "diverged":
                RunPaths(folders[run_id]).diverged.unlink(missing_ok=True)

    def _linked_folder(self, run: RunSpec, labels: Labels) -> Path:
        """Return the folder of a run, whose claim we hold, with a link by which other processes find a new one."""
        folder = self.folder(run, labels)
        return folder if folder.is_dir() else self.link(run.run_id, folder)

    def fail(self, run: RunSpec, labels: Labels, failure: Failure) -> None:
        """Write why a run ended without a record. The next grid retries it."""
        write_atomic(RunPaths(self._linked_folder(run, labels)).failure, dump_json(failure.model_dump(mode="json")))

    def failure(self, run_id: str) -> Failure | None:
        """Return why the run's last attempt failed; None if it did not, or if the file is unreadable."""
        folder = self.folder_of(run_id)
        return None if folder is None else read_failure(folder)

    def prune(self, run: RunSpec, labels: Labels, pruned: Pruned) -> None:
        """Write that a search pruned a run, which can be resumed from its checkpoint."""
        write_atomic(RunPaths(self._linked_folder(run, labels)).pruned, dump_json(pruned.model_dump(mode="json")))

    def pruned(self, run_id: str) -> Pruned | None:
        """Return why a search pruned the run; None if none did, or if the file is unreadable."""
        folder = self.folder_of(run_id)
        try:
            return None if folder is None else Pruned.model_validate_json(read_regular(RunPaths(folder).pruned))
        except (OSError, ValidationError):
            return None

    def record(self, run_id: str) -> RunRecord | None:
        """Return the run's record; None if it has none. Raises StoreError if the file is damaged."""
        folder = self.folder_of(run_id)
        outcome = None if folder is None else read_ended(folder)
        return outcome if isinstance(outcome, RunRecord) else None

    def records(self, run_ids: Iterable[str] | None = None) -> Iterator[RunRecord]:
        """Yield the records of the finished runs among these, in their order; by default of all, by folder name.

        Raises:
            StoreError: at a damaged record, naming its file.
        """
        folders = self.ids()
        for run_id in folders if run_ids is None else run_ids:
            if run_id in folders:
                record = read_ended(folders[run_id])
                if isinstance(record, RunRecord):
                    yield record

    def throughput(self, machine_id: str, key: str) -> Throughput | None:
        """Return a throughput measured on a machine; None if missing or unreadable."""
        try:
            return Throughput.model_validate_json(read_regular(self._throughput_file(machine_id, key)))
        except (OSError, ValidationError):
            return None

    def add_throughput(self, measured: Throughput) -> None:
        path = self._throughput_file(measured.machine_id, measured.key)
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def memory(self, machine_id: str, key: str) -> TrainingMemory | None:
        """Return a peak memory measured on a machine; None if missing or unreadable."""
        try:
            return TrainingMemory.model_validate_json(read_regular(self._memory_file(machine_id, key)))
        except (OSError, ValidationError):
            return None

    def add_memory(self, measured: TrainingMemory) -> None:
        path = self._memory_file(measured.machine_id, measured.key)
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def probe(self, machine_id: str, key: str) -> Probe | None:
        """Return a job cost measured on a machine; None if missing or unreadable."""
        try:
            return Probe.model_validate_json(read_regular(self.root / "probes" / machine_id / f"{key}.json"))
        except (OSError, ValidationError):
            return None

    def add_probe(self, measured: Probe) -> None:
        path = self.root / "probes" / measured.machine_id / f"{measured.key}.json"
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def _throughput_file(self, machine_id: str, key: str) -> Path:
        return self.root / "throughput" / machine_id / f"{key}.json"

    def _memory_file(self, machine_id: str, key: str) -> Path:
        return self.root / "memory" / machine_id / f"{key}.json"


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_ended(folder: Path) -> Outcome | None:
    """Return the outcome of a run from its folder; None if it has not ended.

    Raises:
        StoreError: if it is damaged, impossible, of another run, or contradicted by the other files of the run.
    """
    paths = RunPaths(folder)
    path = paths.record if os.path.lexists(paths.record) else paths.diverged
    if not os.path.lexists(path):
        return None
    try:
        outcome = read_record(path) if path == paths.record else read_diverged(path)
    except StoreError:
        if os.path.lexists(path):
            raise
        return None  # it was removed in the meantime
    if not folder.name.endswith(f"-{outcome.run_id}"):
        raise StoreError(f"{path}: record of another run (got {outcome.run_id}); delete its folder to run it again")
    check_files(folder, outcome)
    return outcome


def unreadable(folder: Path) -> str | None:
    """Return why the spec of a run, begun or ended, is not readable, in one line; None if it is."""
    spec = read_spec(folder)
    if isinstance(spec, str):
        return spec
    if spec is None and any(os.path.lexists(path) for path in (RunPaths(folder).record, RunPaths(folder).diverged)):
        return damage(folder) or f"{RunPaths(folder).spec}: is missing"
    return damage(folder) if spec is not None and not folder.name.endswith(spec.run_id) else None


def damage(folder: Path) -> str | None:
    """Return in one line what is wrong with the record of a run; None for a good one, and for a run without one."""
    try:
        read_ended(folder)
    except StoreError as error:
        return str(error)
    return None


def read_spec(folder: Path) -> RunSpec | str | None:
    """Return the spec of a run folder, or why it is not readable; None without one."""
    path = RunPaths(folder).spec
    try:
        spec: RunSpec = adapter(RunSpec).validate_json(read_regular(path))
        return spec
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "spec"
        return f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}"


def state_of(folder: Path | None) -> State:
    """Return the state of a run from its folder. A record of another run is ignored."""
    if folder is None:
        return "missing"
    if (outcome := outcome_state(folder)) is not None:
        return outcome
    paths = RunPaths(folder)
    if paths.failure.exists():
        return "failed"
    if paths.pruned.exists():
        return "pruned"
    return "paused" if has_checkpoint(folder) else "missing"


def outcome_state(folder: Path) -> State | None:
    """Return the state of a run that has ended; None for another."""
    paths = RunPaths(folder)
    for path, state in ((paths.record, ENDED[0]), (paths.diverged, ENDED[1])):
        content = read_json(path)
        if isinstance(content, dict) and folder.name.endswith(str(content.get("run_id", "-"))):
            return state
    return None


def has_checkpoint(folder: Path) -> bool:
    """Return whether a run can continue from a checkpoint."""
    return any((folder / name).exists() for name in CHECKPOINTS)


def read_launch(folder: Path) -> Launch | None:
    """Return how an unfinished run was started; None if that is not known."""
    try:
        return Launch.model_validate_json(read_regular(RunPaths(folder).launch))
    except (OSError, ValidationError):
        return None
