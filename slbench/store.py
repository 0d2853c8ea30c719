"""The results folder: where runs are kept, and how anything gets there.

    <store>/runs/<backbone>-<method>-<dataset>-s<seed>-<run_id>/   one folder a run
    <store>/claims/<run_id>/                                       who is at work on it: see slbench.claims
    <store>/throughput/<machine>/<key>.json                        speeds, filed by machine
    <store>/memory/<machine>/<key>.json                            peak memory, filed by machine
    <store>/probes/<machine>/<key>.json                            what a job costs, filed by machine
    <store>/reports/<study>/                                       tables
    <store>/analysis/<study>/                                      what finished runs have learned
    <store>/conflicts/<machine>/                                   runs that came out otherwise there: slbench.upkeep

A run is finished when its folder holds record.json, which is written last, at once, and only if none is there.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from slbench import claims
from slbench.errors import InputError, StoreError
from slbench.files import dump_json, read_json, write_atomic, write_new
from slbench.machine import Code, Host
from slbench.measured import Probe, Throughput, TrainingMemory
from slbench.spec import RunSpec

State = Literal["done", "running", "failed", "pruned", "missing"]
PASSING = {"seconds", "started_at", "train_images_per_second", "peak_memory_bytes"}  # of a record: not science
STATES: tuple[State, ...] = get_args(State)
Kind = Literal["error", "killed", "out of memory", "diverged", "timeout", "device lost", "disk full"]
Keep = Literal["last", "best", "none"]
WEIGHTS: dict[Keep, str] = {"last": "weights.safetensors", "best": "weights-selected.safetensors"}
TEMPERATURES = "temperatures.csv"  # of a run that learns any: a row for each epoch, layer and head
KEPT = ("checkpoint.pt", "checkpoint-previous.pt", "log.txt")  # of an attempt that did not end


class Labels(BaseModel):
    """How the study that made a run called its parts, where it found and what it keeps. Not part of its identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str  # as tables print it
    method: str
    dataset: str
    data: str = ""  # where a user's own data lay, "npz:/absolute/path"; empty for a named set
    keep: Keep = "last"  # which weights stay: of the last epoch, of the one with the best validation accuracy, none


class RunRecord(BaseModel):
    """A finished run: its spec, what came out, and what it was made with. Accuracies in percent."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    run_id: str
    spec: RunSpec
    labels: Labels

    final_test_top1: float  # of the last epoch
    final_test_top5: float
    final_test_loss: float
    final_val_top1: float | None
    selected_test_top1: float | None  # of the epoch with the best validation accuracy; None without that split
    selected_epoch: int | None
    best_test_top1: float  # the paper's habit: the best epoch on the test images themselves
    best_test_epoch: int
    final_train_loss: float
    scales_below_zero: int  # learned temperatures that were negative after some epoch, at most
    history: str  # file in the run's folder, a row an epoch

    steps: int
    samples_seen: int  # images trained on, counted at each use
    macs: int  # multiply-adds of one image, forward
    norm_operations: int
    uncounted_operators: dict[str, int]
    params: int
    train_images_per_second: float  # of this run, beside whatever else ran; not for comparisons
    peak_memory_bytes: int  # of the process on a CPU, of the allocator on a GPU
    seconds: float  # from start to record

    started_at: str  # ISO 8601, UTC
    device: str  # "cpu", "cuda:0"
    device_name: str
    threads: int
    precision: Literal["bf16", "fp32"]  # what the recipe's has become
    host: Host
    code: Code
    data_sha256: str  # of the images, labels and split that were loaded
    weights_sha256: str  # of the last epoch's, as weights.safetensors holds them where they are kept
    selected_weights_sha256: str | None = None  # of weights-selected.safetensors; None unless that was to be kept

    def differences(self, other: "RunRecord") -> dict[str, tuple[Any, Any]]:
        """The fields that differ from another record of the same run, but for times, speeds and memory."""
        mine, its = self.model_dump(mode="json"), other.model_dump(mode="json")
        passing = PASSING | ({"selected_weights_sha256"} if self.labels.keep != other.labels.keep else set())
        return {key: (mine[key], its[key]) for key in mine if key not in passing and mine[key] != its[key]}


class Failure(BaseModel):
    """Why the last attempt at a run ended without a record."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    reason: str  # one line: exit code or signal, and what it died of
    exit_code: int | None = None
    signal: str | None = None
    traceback: str = ""
    last_lines: tuple[str, ...] = ()  # of its log
    attempt: int = 1  # by the launcher that wrote this, counted from 1
    device: str = ""
    hostname: str = ""
    ended_at: str = ""  # ISO 8601, UTC

    @property
    def cause(self) -> str:
        """The same for failures that died the same way: by traceback if there is one, else by reason, numbers apart."""
        places = re.findall(r'File "(.+?)", line (\d+), in (\S+)', self.traceback)
        last = next((line for line in reversed(self.traceback.splitlines()) if line.strip()), "")
        told = [*places, last.partition(":")[0]] if places else re.sub(r"[-+]?\d[\d.e+-]*", "#", self.reason)
        return f"{self.kind} {hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]}"


class Pruned(BaseModel):
    """Why a run was stopped before its last epoch: a search had seen enough. What it did is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    search: str  # its name
    trial: int
    epochs: int  # of this run that had ended
    reason: str  # one line
    ended_at: str  # ISO 8601, UTC


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
            if folder is None or not any((folder / name).exists() for name in KEPT[:2]):
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
            if left_over.name in (*KEPT, "spec.json"):
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
        try:
            return None if folder is None else Failure.model_validate_json((folder / "failure.json").read_bytes())
        except (OSError, ValidationError):
            return None

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


def read_record(path: Path) -> RunRecord:
    """A record from its file. Raises StoreError, naming the file and the first thing wrong in it."""
    try:
        return RunRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise StoreError(
            f"{path}: damaged or of another version: {first_wrong(error)}; delete its folder to run it again"
        ) from error


def first_wrong(error: ValidationError) -> str:
    """The first thing that pydantic found wrong in a file, with its place there."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    return f"{where}: {first['msg'].lower()}"
