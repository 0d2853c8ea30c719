"""What is filed of a run: its record when it is finished, how it failed, why it was stopped."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from slbench.errors import StoreError
from slbench.machine import Code, Host
from slbench.spec import SCHEMA, RunSpec

VOLATILE_FIELDS = {"seconds", "started_at", "train_images_per_second", "peak_memory_bytes"}  # of a record: not science
Kind = Literal["error", "killed", "out of memory", "diverged", "timeout", "device lost", "disk full"]
Keep = Literal["last", "best", "none"]
WEIGHTS: dict[Keep, str] = {"last": "weights.safetensors", "best": "weights-selected.safetensors"}
TEMPERATURES = "temperatures.csv"  # of a run that learns any: a row for each epoch, layer and head


class Labels(BaseModel):
    """How the study that made a run called its parts, where it found and what it keeps. Not part of its identity."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    backbone: str  # as tables print it
    method: str
    dataset: str
    data: str = ""  # where a user's own data lay, "npz:/absolute/path"; empty for a named set
    keep: Keep = "last"  # which weights stay: of the last epoch, of the one with the best validation accuracy, none


class RunRecord(BaseModel):
    """A finished run: its spec, what came out, and what it was made with. Accuracies in percent."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=False)

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
        passing = VOLATILE_FIELDS | ({"selected_weights_sha256"} if self.labels.keep != other.labels.keep else set())
        return {key: (mine[key], its[key]) for key in mine if key not in passing and mine[key] != its[key]}


class Failure(BaseModel):
    """Why the last attempt at a run ended without a record."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

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

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    search: str  # its name
    trial: int
    epochs: int  # of this run that had ended
    reason: str  # one line
    ended_at: str  # ISO 8601, UTC


def read_failure(folder: Path) -> Failure | None:
    """Why the last attempt at a run ended, from its folder; None if it did not, or if the file cannot be read."""
    try:
        return Failure.model_validate_json((folder / "failure.json").read_bytes())
    except (OSError, ValidationError):
        return None


def read_record(path: Path) -> RunRecord:
    """A record from its file. Raises StoreError, naming the file and the first thing wrong in it."""
    try:
        content = path.read_bytes()
        record = RunRecord.model_validate_json(content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        refuse_schema(path, schema_of(content))
        raise StoreError(
            f"{path}: damaged or of another version: {first_wrong(error)}; delete its folder to run it again"
        ) from error
    refuse_schema(path, record.spec.schema)
    return record


def schema_of(content: bytes) -> Any:
    """The schema number that a record names, whatever else is in it; None if it names none."""
    try:
        return json.loads(content)["spec"]["schema"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


def refuse_schema(path: Path, schema: Any) -> None:
    """Raise StoreError, with the way out, if a record is of another schema than this code's."""
    if isinstance(schema, int) and schema != SCHEMA:
        raise StoreError(
            f"{path}: of schema {schema}, and this slbench reads {SCHEMA}: ids of runs mean something else there; "
            "delete its folder, and slbench run-grid STUDY makes the run again, or use the slbench that wrote it"
        )


def first_wrong(error: ValidationError) -> str:
    """The first thing that pydantic found wrong in a file, with its place there."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    return f"{where}: {first['msg'].lower()}"
