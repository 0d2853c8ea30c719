"""The results folder: where runs are kept, and how anything gets there.

    <store>/runs/<backbone>-<method>-<dataset>-s<seed>-<run_id>/   one folder a run
    <store>/claims/<run_id>/                                       who is at work on it: see slbench.claims
    <store>/throughput/<machine>/<key>.json                        speeds, filed by machine
    <store>/memory/<machine>/<key>.json                            peak memory, filed by machine
    <store>/probes/<machine>/<key>.json                            what a job costs, filed by machine
    <store>/reports/<study>/                                       tables
    <store>/analysis/<study or run>/                               what was found in weights: slbench.analysis
    <store>/conflicts/<machine>/                                   runs that came out otherwise there: slbench.archive

A run is finished when its folder holds record.json, which is written last, at once, and only if none is there.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from slbench import claims
from slbench.errors import InputError, StoreError
from slbench.files import dump_json, read_json, write_atomic, write_new
from slbench.measurement_records import Probe, Throughput, TrainingMemory
from slbench.record import WEIGHTS, Failure, Labels, Pruned, RunRecord, read_failure, read_record
from slbench.spec import RunSpec

State = Literal["done", "running", "failed", "pruned", "missing"]
STATES: tuple[State, ...] = get_args(State)
SURVIVES_RESTART = ("checkpoint.pt", "checkpoint-previous.pt", "log.txt")  # of an attempt that did not end


def safe(name: str) -> str:
    """A name fit for a folder on any file system; not unique."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:40].lower() or "x"


class Store:
    """The results under one folder, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.claims = claims.Claims(root / "claims")

    def check(self, *, writing: bool) -> None:
        """Raise StoreError if this cannot be a store, or cannot be written to; leaves nothing behind."""
        try:
            str(self.root.absolute()).encode()
        except UnicodeEncodeError as error:
            raise StoreError(f"{self.root!r}: the store's path must be UTF-8: name another with --store") from error
        existing = self.root
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        if not existing.is_dir():
            raise StoreError(
                f"{self.root}: the store must be a folder, and {existing} is a file: name another with --store"
            )
        if (self.root / "runs").exists() and not (self.root / "runs").is_dir():
            raise StoreError(f"{self.root}: its 'runs' is a file and must be a folder: name another store with --store")
        if not writing:
            return
        try:
            probe = existing / f".slbench-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise StoreError(
                f"{self.root}: cannot write here ({error.strerror}): name another store with --store"
            ) from error

    def free_bytes(self) -> int:
        """What is free on its disk."""
        existing = self.root.absolute()
        while not existing.exists():
            existing = existing.parent
        return shutil.disk_usage(existing).free

    def folder(self, run: RunSpec, labels: Labels) -> Path:
        """The run's folder: the one that carries its id, else the one it would get."""
        for found in (self.root / "runs").glob(f"*-{run.run_id}"):
            return found
        parts = (labels.backbone, labels.method, labels.dataset)
        return self.root / "runs" / "-".join([*(safe(part) for part in parts), f"s{run.seed}", run.run_id])

    def ids(self) -> dict[str, Path]:
        """Every run's folder, finished or not, by id."""
        return {
            folder.name.rsplit("-", 1)[-1]: folder
            for folder in sorted((self.root / "runs").glob("*-*"))
            if folder.is_dir()
        }

    def find(self, start: str) -> tuple[str, Path]:
        """The run whose id begins so, and its folder.

        Raises:
            InputError: if no run's id does, or several.
        """
        folders = self.ids()
        found = [run_id for run_id in folders if start and run_id.startswith(start)]
        if not found:
            raise InputError(f"{self.root}: no run's id begins with '{start}': slbench status STUDY --json lists them")
        if len(found) > 1:
            names = ", ".join(folders[run_id].name for run_id in found[:5])
            raise InputError(f"{self.root}: {len(found)} runs' ids begin with '{start}': {names}: give more of it")
        return found[0], folders[found[0]]

    def begun(self) -> Iterator[tuple[RunSpec, Labels]]:
        """Every run that was begun, by folder name; folders of no run are left out.

        Labels of those that are not done are what their folder's name tells, all of it as the backbone's.
        """
        specs = TypeAdapter(RunSpec)
        for run_id, folder in self.ids().items():
            try:
                spec = specs.validate_json((folder / "spec.json").read_bytes())
            except (OSError, ValueError):
                continue
            if spec.run_id == run_id:
                told = folder.name.removesuffix(f"-s{spec.seed}-{run_id}").removesuffix(f"-{safe(spec.dataset.name)}")
                done = state_of(folder) == "done"
                named = Labels(backbone=told, method="", dataset=spec.dataset.name)
                yield spec, read_record(folder / "record.json").labels if done else named

    def states(self, runs: Iterable[RunSpec]) -> dict[str, State]:
        """The state of each run, by id."""
        folders, held = self.ids(), self.claims.holders()
        found = {run.run_id: state_of(folders.get(run.run_id)) for run in runs}
        return {run: "running" if run in held and state != "done" else state for run, state in found.items()}

    def epochs_done(self, run: RunSpec) -> int:
        """How many epochs of a run need not be made again: those in the history of an attempt that has a checkpoint."""
        folder = self.ids().get(run.run_id)
        try:
            if folder is None or not any((folder / name).exists() for name in SURVIVES_RESTART[:2]):
                return 0
            return max(0, len((folder / "metrics.csv").read_text().splitlines()) - 1)
        except (OSError, UnicodeDecodeError):
            return 0

    def is_done(self, run: RunSpec) -> bool:
        """Whether the run has its record."""
        return state_of(self.ids().get(run.run_id)) == "done"

    def without_weights(self, runs: Iterable[tuple[RunSpec, Labels]]) -> list[Path]:
        """Folders of the finished among these runs in which the weights that are asked for were not kept."""
        folders = self.ids()
        asked = [(folders.get(run.run_id), WEIGHTS.get(labels.keep)) for run, labels in runs]
        return [
            path for path, name in asked if path and name and state_of(path) == "done" and not (path / name).exists()
        ]

    def begin(self, run: RunSpec, labels: Labels) -> Path:
        """Make the run's folder ready: its spec, and of an earlier attempt its log and checkpoints."""
        folder = self.folder(run, labels)
        write_atomic(folder / "spec.json", dump_json(run.as_dict()))
        assert state_of(folder) != "done", f"{folder}: a finished run is not begun again"
        for left_over in folder.iterdir():
            if left_over.name in (*SURVIVES_RESTART, "spec.json"):
                continue
            if left_over.is_dir():
                shutil.rmtree(left_over)
            else:
                left_over.unlink(missing_ok=True)
        return folder

    def finish(self, folder: Path, record: RunRecord) -> None:
        """Make a run finished: its record is the last file to appear, and a record that is there stays."""
        write_new(folder / "record.json", dump_json(record.model_dump(mode="json")))

    def fail(self, run: RunSpec, labels: Labels, failure: Failure) -> None:
        """Note why a run ended without a record. The next grid tries it again."""
        write_atomic(self.folder(run, labels) / "failure.json", dump_json(failure.model_dump(mode="json")))

    def failure(self, run_id: str) -> Failure | None:
        """Why the run's last attempt ended; None if it did not, or if the file cannot be read."""
        folder = self.ids().get(run_id)
        return None if folder is None else read_failure(folder)

    def prune(self, run: RunSpec, labels: Labels, pruned: Pruned) -> None:
        """Note that a search stopped a run. Whoever asks for the run again goes on from its checkpoint."""
        write_atomic(self.folder(run, labels) / "pruned.json", dump_json(pruned.model_dump(mode="json")))

    def pruned(self, run_id: str) -> Pruned | None:
        """Why a search stopped the run; None if none did, or if the file cannot be read."""
        folder = self.ids().get(run_id)
        try:
            return None if folder is None else Pruned.model_validate_json((folder / "pruned.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def record(self, run_id: str) -> RunRecord | None:
        """The run's record, None if it has none. Raises StoreError if the file is damaged."""
        return next(iter(self.records([run_id])), None)

    def records(self, run_ids: Iterable[str] | None = None) -> Iterator[RunRecord]:
        """Records of the finished among these runs, in their order; of all runs, by folder name.

        Raises:
            StoreError: at a damaged record, naming its file.
        """
        folders = self.ids()
        for run_id in folders if run_ids is None else run_ids:
            if run_id in folders and (folders[run_id] / "record.json").exists():
                record = read_record(path := folders[run_id] / "record.json")
                if record.run_id != run_id:
                    raise StoreError(f"{path}: is of run {record.run_id}; delete its folder to run it again")
                yield record

    def throughput(self, machine_id: str, key: str) -> Throughput | None:
        """A measured speed of this machine, if it is there and readable."""
        try:
            return Throughput.model_validate_json(self._throughput_file(machine_id, key).read_bytes())
        except (OSError, ValidationError):
            return None

    def add_throughput(self, measured: Throughput) -> None:
        path = self._throughput_file(measured.machine_id, measured.key)
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def memory(self, machine_id: str, key: str) -> TrainingMemory | None:
        """A measured peak memory of this machine, if it is there and readable."""
        try:
            return TrainingMemory.model_validate_json(self._memory_file(machine_id, key).read_bytes())
        except (OSError, ValidationError):
            return None

    def add_memory(self, measured: TrainingMemory) -> None:
        path = self._memory_file(measured.machine_id, measured.key)
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def probe(self, machine_id: str, key: str) -> Probe | None:
        """What this machine has measured of a job, if it is there and readable."""
        try:
            return Probe.model_validate_json((self.root / "probes" / machine_id / f"{key}.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def add_probe(self, measured: Probe) -> None:
        path = self.root / "probes" / measured.machine_id / f"{measured.key}.json"
        write_atomic(path, dump_json(measured.model_dump(mode="json")))

    def _throughput_file(self, machine_id: str, key: str) -> Path:
        return self.root / "throughput" / machine_id / f"{key}.json"

    def _memory_file(self, machine_id: str, key: str) -> Path:
        return self.root / "memory" / machine_id / f"{key}.json"


def state_of(folder: Path | None) -> State:
    """What a run's folder says of it. A record that is not of this run counts as none: the run is made again."""
    if folder is None:
        return "missing"
    record = read_json(folder / "record.json")
    if isinstance(record, dict) and folder.name.endswith(str(record.get("run_id", "-"))):
        return "done"
    if (folder / "failure.json").exists():
        return "failed"
    return "pruned" if (folder / "pruned.json").exists() else "missing"
