"""One run from its spec to its record: what a grid's child and `slbench train` both call."""

import csv
import dataclasses
import hashlib
import io
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import Tensor, nn

from slbench import machine
from slbench.data import load
from slbench.data.batches import Batches
from slbench.data.splits import Splits, content_hash
from slbench.data.subset import subset
from slbench.files import write_atomic
from slbench.machine import Code
from slbench.measure.macs import count
from slbench.record import TEMPERATURES, WEIGHTS, Keep, Labels, RunRecord
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.torch_runtime import reproducible
from slbench.train.checkpoint import Checkpoints
from slbench.train.loop import EpochMetrics, Progress, Training
from slbench.train.temperatures import TemperatureHistory, as_csv
from slbench.train.tensorboard import board

HISTORY = "metrics.csv"
CHECKPOINT_SECONDS = 300.0
log = logging.getLogger(__name__)


def execute(
    spec: RunSpec,
    labels: Labels,
    *,
    store: Store,
    device: torch.device,
    precision: Literal["bf16", "fp32"],
    threads: int,
    device_label: str,
    device_name: str,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    tensorboard: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    wanted: Callable[[], bool] = lambda: True,
) -> RunRecord:
    """Train a run in this process and file it in the store; from its last checkpoint, if it has one.

    A run that goes on keeps the threads and the precision it was started with. On another kind of device
    it starts again, since its numbers would be those of neither.

    Args:
        device_label: what the record calls the device; a launcher may have renamed it for this process.
        device_name: its product name.
        checkpoint_seconds: between two checkpoints within an epoch; there is one after every epoch.
        tensorboard: where TensorBoard's folders of runs are; None for no logging.
        wanted: asked after every step; once it says no, there is a checkpoint, and Stopped is raised.
    Raises:
        TrainingError: if the run cannot be finished; the store then holds no record of it.
    """
    began = time.perf_counter()
    folder = store.folder(spec, labels)
    checkpoints = Checkpoints(folder)
    start = RunConditions(device_kind=device.type, threads=threads, precision=precision)
    state = resumable(checkpoints.load(), start, run_id=spec.run_id, keep=labels.keep)
    if state is not None:
        start = RunConditions(**state["start"])
    with reproducible(start.threads):
        splits = load(spec.dataset, labels.data)
        training, network = prepare(spec, splits, device=device, precision=start.precision, on_progress=on_progress)
        keeper = CheckpointManager(
            training, checkpoints, start, seconds=checkpoint_seconds, keep=labels.keep, wanted=wanted
        )
        keeper.restore(state)
        with board(tensorboard and tensorboard / folder.name, training.history) as log_epoch:
            for metrics in training.epochs():
                keeper.select()
                write_history(folder / HISTORY, training.history)
                write_temperatures(folder / TEMPERATURES, training.temperatures)
                log_epoch(metrics)
                keeper.save()
                keeper.stop_if_unwanted()
        write_history(folder / HISTORY, training.history)
        write_temperatures(folder / TEMPERATURES, training.temperatures)
        hashes = file_results(folder, training, keep=labels.keep, selected=keeper.selected)
    record = RunRecord(
        run_id=spec.run_id,
        spec=spec,
        labels=labels,
        **outcome(spec, training, network),
        peak_memory_bytes=peak_memory(device),
        seconds=keeper.before + time.perf_counter() - began,
        started_at=start.started_at,
        device=device_label,
        device_name=device_name,
        threads=start.threads,
        precision=start.precision,
        host=machine.host(),
        code=Code.model_validate_json(start.code),
        data_sha256=content_hash(splits),
        **hashes,
    )
    store.finish(folder, record)
    checkpoints.clear()
    return record


@dataclass(frozen=True, kw_only=True)
class RunConditions:
    """What a run was started with, and keeps when it goes on."""

    device_kind: str
    threads: int
    precision: Literal["bf16", "fp32"]
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    code: str = field(
        default_factory=lambda: machine.code().model_dump_json()
    )  # as JSON; edits made later are not in it


def resumable(
    state: dict[str, Any] | None, asked: RunConditions, *, run_id: str, keep: Keep = "last"
) -> dict[str, Any] | None:
    """A checkpoint that the run can go on from; what is kept from its start, or that it begins anew, is logged."""
    if state is None or state["run_id"] != run_id:
        return None
    start = RunConditions(**state["start"])
    if start.device_kind != asked.device_kind:
        log.warning("begun on %s and now on %s: it starts again", start.device_kind, asked.device_kind)
        return None
    if keep == "best" and state["training"]["history"] and state.get("selected") is None:
        log.warning("begun without keeping the weights of its best epoch: it starts again")
        return None
    for name in ("threads", "precision"):
        kept, given = getattr(start, name), getattr(asked, name)
        if kept != given:
            log.warning("goes on with %s %s, with which it was begun, not %s", name, kept, given)
    return state


class RunInterrupted(BaseException):
    """A run was asked to stop, and did so just after a checkpoint. Not an error."""


class CheckpointManager:
    """Saves the state of a training: when told, and between steps when some time has passed.

    Args:
        seconds: that have passed then.
        keep: "best" has it hold the weights of the best epoch so far, in each checkpoint too.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: Checkpoints,
        start: RunConditions,
        *,
        seconds: float,
        keep: Keep,
        wanted: Callable[[], bool],
    ) -> None:
        self.training, self.checkpoints, self.start = training, checkpoints, start
        self.interval, self.keep, self.wanted = seconds, keep, wanted
        self.selected: dict[str, Tensor] | None = None  # on the CPU
        self.before = 0.0  # seconds that earlier processes spent on the run
        self.began = self.last = time.perf_counter()
        training.on_step = self.after_step

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go on from what `save` wrote, if it did."""
        if state is None:
            return
        self.training.restore(state["training"])
        self.before = state["seconds"]
        if self.keep == "best":
            self.selected = state["selected"]

    def after_step(self) -> None:
        if time.perf_counter() - self.last >= self.interval or not self.wanted():
            self.save()
            self.stop_if_unwanted()

    def stop_if_unwanted(self) -> None:
        """Raise Stopped if nobody wants the run to go on now. Its checkpoint is written."""
        if not self.wanted():
            raise RunInterrupted

    def select(self) -> None:
        """Hold the weights if the epoch that has just ended is the best so far, by validation."""
        if self.keep == "best" and accuracies(self.training.history)["selected_epoch"] == len(self.training.history):
            self.selected = weights_of(self.training)

    def save(self) -> None:
        self.checkpoints.save(
            {
                "run_id": self.training.spec.run_id,
                "start": dataclasses.asdict(self.start),
                "seconds": self.before + time.perf_counter() - self.began,
                "training": self.training.state(),
                "selected": self.selected,
            }
        )
        self.last = time.perf_counter()


def prepare(
    spec: RunSpec,
    splits: Splits,
    *,
    device: torch.device,
    precision: str,
    on_progress: Callable[[Progress], None],
) -> tuple[Training, nn.Module]:
    """The network on its device, and the training that is about to start."""
    training, validation, test = splits.for_protocol(spec.protocol)
    network = spec.build_network().to(device)
    return Training(
        spec,
        network,
        training=Batches(subset(training, spec.dataset, seed=spec.seed), spec.dataset, device=device),
        validation=None if validation is None else Batches(validation, spec.dataset, device=device),
        test=Batches(test, spec.dataset, device=device),
        device=device,
        precision=precision,
        on_progress=on_progress,
    ), network


def write_history(path: Path, history: list[EpochMetrics]) -> None:
    """Write the metrics of all epochs, a row each, at once: after a crash no epoch stands there twice."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(EpochMetrics)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(metrics) for metrics in history)
    write_atomic(path, text.getvalue().encode())


def write_temperatures(path: Path, temperatures: TemperatureHistory) -> None:
    """Write the learned temperatures of all epochs at once, if the network learns any."""
    if temperatures.layers:
        write_atomic(path, as_csv(temperatures.rows()))


def weights_of(training: Training) -> dict[str, Tensor]:
    """A copy of the weights that are measured and kept, on the CPU."""
    state = training.evaluated.state_dict()
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def file_results(
    folder: Path, training: Training, *, keep: Keep, selected: dict[str, Tensor] | None
) -> dict[str, str | None]:
    """Write the test logits and the weights that are to be kept; give the record's hashes of weights."""
    last, best = save(weights_of(training)), None if selected is None else save(selected)
    if keep == "last":
        write_atomic(folder / WEIGHTS["last"], last)
    if best is not None:
        write_atomic(folder / WEIGHTS["best"], best)
    logits = training.logits(training.test).half().cpu()
    write_atomic(folder / "test_logits.safetensors", save({"logits": logits, "labels": training.test.labels.cpu()}))
    return {
        "weights_sha256": hashlib.sha256(last).hexdigest(),
        "selected_weights_sha256": None if best is None else hashlib.sha256(best).hexdigest(),
    }


def outcome(spec: RunSpec, training: Training, network: nn.Module) -> dict[str, Any]:
    """The record's accuracies, what was trained on, and what the network costs."""
    history = training.history
    samples = len(history) * spec.samples_per_epoch
    cost = count(network, image_size=spec.dataset.image_size, in_channels=spec.dataset.in_channels)
    return {
        **accuracies(history),
        "history": HISTORY,
        "steps": len(history) * training.steps_per_epoch,
        "samples_seen": samples,
        **dataclasses.asdict(cost),
        "train_images_per_second": samples / sum(metrics.train_seconds for metrics in history),
    }


def accuracies(history: list[EpochMetrics]) -> dict[str, Any]:
    """The record's accuracies. The first of several equally good epochs counts."""
    last = history[-1]
    best = max(history, key=lambda metrics: metrics.test_top1)
    selected = None if last.val_top1 is None else max(history, key=lambda metrics: metrics.val_top1 or 0.0)
    return {
        "final_test_top1": last.test_top1,
        "final_test_top5": last.test_top5,
        "final_test_loss": last.test_loss,
        "final_val_top1": last.val_top1,
        "final_train_loss": last.train_loss,
        "scales_below_zero": max(metrics.scales_below_zero for metrics in history),
        "selected_test_top1": None if selected is None else selected.test_top1,
        "selected_epoch": None if selected is None else selected.epoch,
        "best_test_top1": best.test_top1,
        "best_test_epoch": best.epoch,
    }


def peak_memory(device: torch.device) -> int:
    """Bytes: what the allocator has held at most on a CUDA device, else the process's largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return machine.peak_resident_bytes()
