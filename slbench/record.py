"""Files of a run: record, failure, pruning."""

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from slbench.errors import StoreError
from slbench.files import read_regular
from slbench.machine import Code, Host
from slbench.run_paths import RunPaths
from slbench.spec import SCHEMA, RunSpec
from slbench.text import one_line, shown
from slbench.validation import first_complaint, joined

VOLATILE_FIELDS = {
    "seconds",
    "started_at",
    "train_images_per_second",
    "peak_memory_bytes",
}  # costs, not results
MAX_BYTES = 10_000_000  # of a record
T = TypeVar("T", "RunRecord", "DivergedRecord")
Kind = Literal["error", "killed", "out of memory", "diverged", "timeout", "device lost", "disk full"]
Keep = Literal["last", "best", "none"]
WEIGHTS: dict[Keep, str] = {"last": RunPaths.weights, "best": RunPaths.selected_weights}
Name = Annotated[str, AfterValidator(one_line)]  # on one line, without control characters


Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Measured = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # a loss, a time, a rate
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
HistoryFile = Literal["metrics.csv"]


class Labels(BaseModel):
    """Names given by the study, location of the data and weights to keep. Not part of a run's identity."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    backbone: Name  # as printed in tables
    method: Name
    dataset: Name
    data: str = ""  # of a user's own data: "npz:/absolute/path"; empty for a named set
    keep: Keep = "last"  # weights to keep: last epoch, epoch of the best validation accuracy, or none


class Launch(BaseModel):
    """How an unfinished run was started: its labels, and the command."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="ignore")

    labels: Labels
    trial: Name = ""  # of a search: "trial 3 of vit-cifar10"
    command: Name = ""  # that was given, and continues the run; empty: not one of slbench


class RunRecord(BaseModel):
    """Record of a finished run: spec, results, costs and provenance. Accuracies in percent.

    Raises:
        ValidationError: for results that no run can have: not finite, out of range, contradicting each other or the
            spec, or with an id that is not the hash of the spec.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    run_id: str
    spec: RunSpec
    labels: Labels

    final_test_top1: Percent  # of the last epoch
    final_test_top5: Percent
    final_test_loss: Measured
    final_val_top1: Percent | None
    selected_test_top1: Percent | None  # of the epoch with the best validation accuracy; None without that split
    selected_epoch: Positive | None
    best_test_top1: Percent  # of the best epoch on the test images, as in the paper
    best_test_epoch: Positive
    final_train_loss: Measured
    scales_below_zero: Count  # number of negative learned temperatures, maximum over epochs
    history: HistoryFile  # file in the run's folder with a row per epoch

    steps: Count
    samples_seen: Count  # training images, counted at each use
    macs: Count  # multiply-adds of a forward pass of one image
    norm_operations: Count
    uncounted_operators: dict[str, Count]
    params: Positive
    train_images_per_second: Measured  # of this run beside other load; not for comparisons
    peak_memory_bytes: Count  # of the process (CPU) or the allocator (GPU)
    seconds: Measured  # from start to record

    started_at: str  # ISO 8601, UTC
    device: str  # "cpu", "cuda:0"
    device_name: str
    threads: Positive
    precision: Literal["bf16", "fp32"]  # the one used, where the recipe says "auto"
    compiled: bool = False  # whether torch.compile compiled the training steps
    not_compiled: Name = ""  # why it did not, if they were to be compiled
    host: Host
    code: Code
    data_sha256: Sha256  # of the loaded images, labels and split
    weights_sha256: Sha256  # of the last epoch's weights.safetensors, kept or not
    selected_weights_sha256: Sha256 | None = None  # of weights-selected.safetensors; None unless keep is "best"

    @model_validator(mode="after")
    def check_sense(self) -> Self:
        """Raise ValueError for results that contradict each other or the spec."""
        check_run_id(self.run_id, self.spec)
        check_compiled(self.spec.recipe.compile, self.compiled, self.not_compiled)
        epochs, steps = self.spec.recipe.epochs, self.spec.recipe.epochs * self.spec.steps_per_epoch
        selects = self.spec.protocol == "holdout"
        check(self.steps == steps, "steps", self.steps, f"{steps} of {epochs} epochs")
        for name in ("final_val_top1", "selected_test_top1", "selected_epoch"):
            value = getattr(self, name)
            check((value is not None) is selects, name, value, "a number under protocol holdout, none under others")
        check(self.best_test_epoch <= epochs, "best_test_epoch", self.best_test_epoch, f"1 to {epochs}")
        samples = epochs * self.spec.samples_per_epoch
        check(self.samples_seen == samples, "samples_seen", self.samples_seen, f"{samples}")
        check((self.selected_epoch or 1) <= epochs, "selected_epoch", self.selected_epoch, f"1 to {epochs}")
        best = self.best_test_top1
        check(self.final_test_top1 <= best, "final_test_top1", self.final_test_top1, f"at most best_test_top1, {best}")
        check(
            (self.selected_test_top1 or 0) <= best,
            "selected_test_top1",
            self.selected_test_top1,
            f"at most best_test_top1, {best}",
        )
        check(
            self.final_test_top5 >= self.final_test_top1,
            "final_test_top5",
            self.final_test_top5,
            f"final_test_top1, {self.final_test_top1}, or more",
        )
        return self

    def differences(self, other: "Outcome") -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ from another outcome, as (self, other), except times, speeds and memory."""
        if isinstance(other, DivergedRecord):
            return {"status": ("finished", "diverged")}
        ours, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        ignored = VOLATILE_FIELDS | ({"selected_weights_sha256"} if self.labels.keep != other.labels.keep else set())
        return {key: (ours[key], theirs[key]) for key in ours if key not in ignored and ours[key] != theirs[key]}


class DivergedRecord(BaseModel):
    """Outcome of a run whose loss or evaluation was not finite: the last finite metrics, and provenance.

    A type of its own, so that nothing that averages records can take one in by mistake. Metrics are named as in
    `RunRecord`, and None if no epoch had finite ones.
    """

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", strict=True)

    run_id: str
    spec: RunSpec
    labels: Labels

    reason: str  # one line
    epoch: Positive  # in which it diverged, counted from 1
    final_test_top1: Percent | None = None  # of the last epoch with finite metrics
    final_test_top5: Percent | None = None
    final_test_loss: Measured | None = None
    final_val_top1: Percent | None = None
    final_train_loss: Measured | None = None
    selected_test_top1: Percent | None = None  # over the epochs with finite metrics
    selected_epoch: Positive | None = None
    best_test_top1: Percent | None = None
    best_test_epoch: Positive | None = None
    scales_below_zero: Count | None = None
    history: HistoryFile  # file in the run's folder with a row per finite epoch

    steps: Count  # made, over all epochs
    seconds: Measured  # from start to outcome
    started_at: str  # ISO 8601, UTC
    device: str
    device_name: str
    threads: Positive
    precision: Literal["bf16", "fp32"]
    compiled: bool = False
    not_compiled: Name = ""
    host: Host
    code: Code
    data_sha256: Sha256

    @model_validator(mode="after")
    def check_sense(self) -> Self:
        """Raise ValueError for an outcome that contradicts the spec."""
        check_run_id(self.run_id, self.spec)
        check_compiled(self.spec.recipe.compile, self.compiled, self.not_compiled)
        epochs, steps = self.spec.recipe.epochs, self.spec.recipe.epochs * self.spec.steps_per_epoch
        check(self.epoch <= epochs, "epoch", self.epoch, f"1 to {epochs}")
        check(self.steps <= steps, "steps", self.steps, f"at most {steps}")
        return self

    def differences(self, other: "Outcome") -> dict[str, tuple[Any, Any]]:
        """Return the fields that differ from another outcome, as (self, other), except times."""
        if isinstance(other, RunRecord):
            return {"status": ("diverged", "finished")}
        ours, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return {
            key: (ours[key], theirs[key]) for key in ours if key not in VOLATILE_FIELDS and ours[key] != theirs[key]
        }


def check_run_id(run_id: str, spec: RunSpec) -> None:
    """Raise ValueError unless a run id is the hash of the spec."""
    check(run_id == spec.run_id, "run_id", run_id, f"{spec.run_id}, the hash of the spec")


def check_compiled(requested: bool | Literal["auto"], compiled: bool, why_not: str) -> None:
    """Raise ValueError unless a run was compiled as its recipe requests, or says why not."""
    check(requested is not False or not (compiled or why_not), "compiled", compiled, "false, as recipe.compile is")
    check(requested is not True or compiled or bool(why_not), "compiled", compiled, "true, or a reason in not_compiled")
    check(not (compiled and why_not), "not_compiled", why_not, "empty, as compiled is true")


def check(is_so: bool, key: str, got: object, allowed: str) -> None:
    """Raise ValueError, naming a field, its value and what is allowed, unless something holds."""
    if not is_so:
        raise ValueError(f"{key}: contradicts the record (got {shown(got)}); allowed: {allowed}")


Outcome = RunRecord | DivergedRecord


class Failure(BaseModel):
    """Why the last attempt at a run failed."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    kind: Kind
    reason: str  # one line: exit code or signal, and cause
    exit_code: int | None = None
    signal: str | None = None
    traceback: str = ""
    last_lines: tuple[str, ...] = ()  # of its log
    attempt: int = 1  # of the launcher that wrote this, counted from 1
    device: str = ""
    hostname: str = ""
    ended_at: str = ""  # ISO 8601, UTC

    @property
    def cause(self) -> str:
        """Return a key shared by failures with one cause: equal tracebacks, else equal reasons up to numbers."""
        places = re.findall(r'File "(.+?)", line (\d+), in (\S+)', self.traceback)
        last = next((line for line in reversed(self.traceback.splitlines()) if line.strip()), "")
        content = [*places, last.partition(":")[0]] if places else re.sub(r"[-+]?\d[\d.e+-]*", "#", self.reason)
        return f"{self.kind} {hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]}"


class Pruned(BaseModel):
    """Why a search pruned a run before its last epoch. Its files are kept."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid")

    search: str  # name
    trial: int
    epochs: int  # finished epochs of the run
    reason: str  # one line
    ended_at: str  # ISO 8601, UTC


def read_failure(folder: Path) -> Failure | None:
    """Return why the last attempt failed, from a run's folder; None if it did not, or if the file is unreadable."""
    try:
        return Failure.model_validate_json(read_regular(RunPaths(folder).failure))
    except (OSError, ValidationError):
        return None


def read_record(path: Path) -> RunRecord:
    """Return the record in a file. Raises StoreError, with the first error in it, if it is unreadable."""
    return read_outcome(RunRecord, path)


def read_outcome(kind: type[T], path: Path) -> T:
    """Return the outcome of this kind in a file. Raises StoreError, with the first error in it, if it is unreadable."""
    try:
        content = read_regular(path, max_bytes=MAX_BYTES)
        record = kind.model_validate_json(content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        refuse_schema(path, schema_of(content))
        raise StoreError(
            f"{path}: damaged or of another version: {first_wrong(error)}; delete its folder to run it again"
        ) from error
    refuse_schema(path, record.spec.schema)
    return record


def read_diverged(path: Path) -> DivergedRecord:
    """Return the outcome of a diverged run in a file. Raises StoreError, with the first error in it, if unreadable."""
    return read_outcome(DivergedRecord, path)


def schema_of(content: bytes) -> Any:
    """Return the schema number of a record, valid or not; None if it has none."""
    try:
        return json.loads(content)["spec"]["schema"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return None


def refuse_schema(path: Path, schema: Any) -> None:
    """Raise StoreError if a record has another schema than this version reads."""
    if isinstance(schema, int) and schema != SCHEMA:
        raise StoreError(
            f"{path}: schema: run ids differ (got {schema}); allowed: {SCHEMA}; delete its folder and "
            "repeat the run with slbench run-grid STUDY, or use the slbench that wrote it"
        )


def first_wrong(error: ValidationError) -> str:
    """Return the first error of a validation with its location."""
    keys, complaint = first_complaint(error, None)
    return f"{joined(keys)}: {complaint}".removeprefix(": ")
