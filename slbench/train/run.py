"""Execute one run from its spec to its record, for grid workers and `slbench train`."""

import dataclasses
import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from safetensors.torch import save
from torch import Tensor, nn

from slbench import __version__, machine
from slbench.data import DataConfig, load
from slbench.data.batches import Batches
from slbench.data.splits import Splits, content_hash
from slbench.data.subset import subset
from slbench.errors import DivergedError, TrainingError
from slbench.files import dump_json, write_atomic
from slbench.history import EpochMetrics, results_of, write_history
from slbench.machine import Code
from slbench.measure.macs import count
from slbench.record import WEIGHTS, DivergedRecord, Keep, Labels, RunRecord
from slbench.run_paths import RunPaths
from slbench.spec import RunSpec
from slbench.store import Store
from slbench.stored_outputs import seal
from slbench.text import duration, plural
from slbench.torch_runtime import reproducible
from slbench.train.checkpoint import Checkpoints
from slbench.train.loop import Training
from slbench.train.parts import make_parts
from slbench.train.progress import Progress
from slbench.train.resume_check import check_state
from slbench.train.run_conditions import RunConditions
from slbench.train.temperatures import TemperatureHistory, as_csv
from slbench.train.tracking import Tracking, run_log

CHECKPOINT_SECONDS = 300.0
log = logging.getLogger(__name__)


def execute(
    spec: RunSpec,
    labels: Labels,
    *,
    store: Store,
    data: DataConfig | None = None,
    device: torch.device,
    precision: Literal["bf16", "fp32"],
    compiled: bool = False,
    threads: int,
    device_label: str,
    device_name: str,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    tracking: Tracking | None = None,
    name: str = "",
    on_progress: Callable[[Progress], None] = lambda progress: None,
    should_continue: Callable[[], bool] = lambda: True,
) -> RunRecord:
    """Train a run in this process, from its last checkpoint if there is one, and write its record to the store.

    A resumed run keeps its threads and precision, and whether it is compiled. On another device model, or with another
    version of torch or slbench, it restarts, because its numbers would match neither.

    Args:
        data: default: as the environment says.
        compiled: compile the training steps, before any clock runs. Where that fails, a line of the log and the record
            say so, and the run is eager.
        device_label: name of the device in the record; may differ from this process's name for it.
        device_name: product name of the device.
        checkpoint_seconds: between two checkpoints within an epoch; every epoch ends with one.
        tracking: where the run is logged besides; None: nowhere.
        name: of the run in its log; default: its labels and seed.
        should_continue: called after every step; once False, saves a checkpoint and raises RunInterrupted.
    Raises:
        DivergedError: if a loss or an evaluation is not finite; the store then has this outcome.
        TrainingError: if the run cannot be finished, such as one that began compiled where compiling fails; the store
            then has no record of it.
    """
    began = time.perf_counter()
    folder = store.folder(spec, labels)
    paths, checkpoints = RunPaths(folder), Checkpoints(folder)
    start = RunConditions(
        device_kind=device.type, device_name=device_name, threads=threads, precision=precision, compiled=compiled
    )
    state = resumable(checkpoints.load(lambda saved: check_state(saved, spec)), start, keep=labels.keep)
    if state is not None:
        start = RunConditions(**state["start"])
    with run_log(tracking, spec, folder.name) as tracker:
        with reproducible(start.threads):
            splits = load(spec.dataset, labels.data, data)
            training, network = prepare(spec, splits, device=device, precision=start.precision, on_progress=on_progress)
            start = with_compiled_steps(training, start, resumes=state is not None)
            manager = CheckpointManager(
                training,
                checkpoints,
                start,
                seconds=checkpoint_seconds,
                keep=labels.keep,
                should_continue=should_continue,
            )
            manager.restore(state)
            if training.history or paths.history.exists():  # of an attempt that is not continued
                write_history(paths.history, training.history)
            log.info(
                "%s: %s on %s (%s, %s, %s%s), %s of %s; slbench %s",
                "start" if state is None else f"resume at {position(training)}",
                name or f"{labels.backbone} {labels.method} {labels.dataset} seed {spec.seed}",
                device_label,
                device_name or device.type,
                plural(start.threads, "thread"),
                start.precision,
                ", compiled" if start.compiled else "",
                plural(spec.recipe.epochs, "epoch"),
                plural(spec.steps_per_epoch, "step"),
                code_version(Code.model_validate_json(start.code)),
            )
            reason: DivergedError | None = None
            for metrics in training.history:  # of the first part of a resumed run
                tracker.add(metrics)
            try:
                for metrics in training.epochs():
                    manager.select()
                    write_history(paths.history, training.history)
                    write_temperatures(paths.temperatures, training.temperatures)
                    tracker.add(metrics)
                    manager.save()
                    log.info("%s; checkpoint saved", epoch_line(metrics, spec))
                    manager.interrupt_if_requested()
            except DivergedError as error:
                reason = error
            write_history(paths.history, training.history)
            write_temperatures(paths.temperatures, training.temperatures)
            hashes: dict[str, Any] = (
                {} if reason else write_results(folder, training, keep=labels.keep, selected=manager.selected)
            )
        about: dict[str, Any] = {
            "run_id": spec.run_id,
            "spec": spec,
            "labels": labels,
            "seconds": manager.before + time.perf_counter() - began,
            "started_at": start.started_at,
            "device": device_label,
            "device_name": device_name,
            "threads": start.threads,
            "precision": start.precision,
            "compiled": start.compiled,
            "not_compiled": start.not_compiled,
            "host": machine.host(),
            "code": Code.model_validate_json(start.code),
            "data_sha256": content_hash(splits),
        }
        if reason is not None:
            store.diverge(folder, DivergedRecord(**about, **diverged_outcome(training, reason)))
            checkpoints.clear()
            raise reason
        record = RunRecord(**about, **outcome(spec, training, network), peak_memory_bytes=peak_memory(device), **hashes)
        store.finish(folder, record)
        tracker.finish(record)
        checkpoints.clear()
        log.info("done: test top-1 %.2f %% in %s", record.final_test_top1, duration(record.seconds))
        return record


def position(training: Training) -> str:
    """Return where a training stands: "epoch 35 of 150, step 12 of 140"."""
    epoch = f"epoch {min(training.epoch, training.spec.recipe.epochs)} of {training.spec.recipe.epochs}"
    return f"{epoch}, step {training.done} of {training.steps_per_epoch}"


def code_version(code: Code) -> str:
    """Return "0.1.0, commit 7c4f6cc19"."""
    return __version__ if code.commit is None else f"{__version__}, commit {code.commit[:9]}"


def epoch_line(metrics: EpochMetrics, spec: RunSpec) -> str:
    """Return the line of the log on an epoch. Accuracies on the test images only under the protocol that uses them."""
    validated = "" if metrics.val_top1 is None else f", validation top-1 {metrics.val_top1:.2f} %"
    tested = f", test top-1 {metrics.test_top1:.2f} %" if spec.protocol == "paper" else ""
    speed = spec.samples_per_epoch / metrics.train_seconds if metrics.train_seconds else 0.0
    return (
        f"epoch {metrics.epoch} of {spec.recipe.epochs}: loss {metrics.train_loss:.4f}{validated}{tested}, "
        f"{speed:.0f} images/s"
    )


def resumable(state: dict[str, Any] | None, asked: RunConditions, *, keep: Keep = "last") -> dict[str, Any] | None:
    """Return the checkpoint if the run can be resumed from it, else None; log differences and restarts."""
    if state is None:
        return None
    start = RunConditions(**state["start"])
    if (why := start.mismatch(asked)) is not None:
        log.warning("restarting: the checkpoint is from %s", why)
        return None
    if keep == "best" and state["training"]["history"] and state.get("selected") is None:
        log.warning("restarting: checkpoint lacks the weights of the best epoch")
        return None
    for name in ("threads", "precision", "compiled"):
        original, requested = getattr(start, name), getattr(asked, name)
        if original != requested:
            log.warning("resuming with the original %s %s, not %s", name, original, requested)
    return state


class RunInterrupted(BaseException):
    """A run has stopped on request, after saving a checkpoint. Not an error."""


class CheckpointManager:
    """Saves checkpoints of a training, on demand and at intervals between steps.

    Args:
        seconds: interval.
        keep: "best" keeps the weights of the best epoch so far, also in each checkpoint.
    """

    def __init__(
        self,
        training: Training,
        checkpoints: Checkpoints,
        start: RunConditions,
        *,
        seconds: float,
        keep: Keep,
        should_continue: Callable[[], bool],
    ) -> None:
        self.training, self.checkpoints, self.start = training, checkpoints, start
        self.interval, self.keep, self.should_continue = seconds, keep, should_continue
        self.selected: dict[str, Tensor] | None = None  # on the CPU
        self.before = 0.0  # seconds spent on the run by earlier processes
        self.began = self.last = time.perf_counter()
        self.described = False  # whether the conditions are beside the checkpoints
        training.on_step = self.after_step

    def restore(self, state: dict[str, Any] | None) -> None:
        """Resume from a saved state, if there is one."""
        if state is None:
            return
        self.training.restore(state["training"])
        self.before = state["seconds"]
        if self.keep == "best":
            self.selected = state["selected"]

    def after_step(self) -> None:
        if time.perf_counter() - self.last >= self.interval or not self.should_continue():
            self.save()
            log.info("checkpoint saved at %s", position(self.training))
            self.interrupt_if_requested()

    def interrupt_if_requested(self) -> None:
        """Raise RunInterrupted if the run should not continue. Call after `save`."""
        if not self.should_continue():
            log.info("stopped on request at %s", position(self.training))
            raise RunInterrupted

    def select(self) -> None:
        """Keep the weights of the last epoch if it has the best validation accuracy so far."""
        if self.keep == "best" and results_of(self.training.history)["selected_epoch"] == len(self.training.history):
            self.selected = weights_of(self.training)

    def save(self) -> None:
        if not self.described:
            write_atomic(self.checkpoints.conditions, dump_json(dataclasses.asdict(self.start)))
            self.described = True
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
    """Return the training, ready to start, and its network on the device."""
    training, validation, test = splits.for_protocol(spec.protocol)
    network = spec.build_network().to(device)
    return Training(
        spec,
        network,
        parts=make_parts(spec, network),
        training=Batches(subset(training, spec.dataset, seed=spec.seed), spec.dataset, device=device),
        validation=None if validation is None else Batches(validation, spec.dataset, device=device),
        test=Batches(test, spec.dataset, device=device),
        device=device,
        precision=precision,
        on_progress=on_progress,
    ), network


def with_compiled_steps(training: Training, start: RunConditions, *, resumes: bool) -> RunConditions:
    """Compile the steps of a run that is to be compiled; return its conditions: eager, with the reason, if that fails.

    Raises:
        TrainingError: if it fails for a run that resumes, whose first part was compiled.
    """
    if not start.compiled:
        return start
    from slbench.train.compiled import compile_steps

    reason = compile_steps(training, threads=start.threads)
    if not reason:
        return start
    if resumes:
        raise TrainingError(
            f"recipe.compile: the run began compiled, and compiling fails now: {reason}; "
            "its checkpoint is kept; repair the compiler, or run it again from the start with --force"
        )
    log.warning("recipe.compile: not compiled, the run is eager: %s", reason)
    return dataclasses.replace(start, compiled=False, not_compiled=reason)


def write_temperatures(path: Path, temperatures: TemperatureHistory) -> None:
    """Write the learned temperatures of all epochs atomically, if the network learns any."""
    if temperatures.layers:
        write_atomic(path, as_csv(temperatures.rows()))


def weights_of(training: Training) -> dict[str, Tensor]:
    """Return a CPU copy of the weights that are evaluated and saved."""
    state = training.evaluated.state_dict()
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in state.items()}


def write_results(
    folder: Path, training: Training, *, keep: Keep, selected: dict[str, Tensor] | None
) -> dict[str, str | None]:
    """Write test outputs and weights; return the record's hashes of weights."""
    last, best = save(weights_of(training)), None if selected is None else save(selected)
    if keep == "last":
        write_atomic(folder / WEIGHTS["last"], last)
    if best is not None:
        write_atomic(folder / WEIGHTS["best"], best)
    outputs = stored_outputs(training.test_outputs(), training.test.labels)
    sealed = seal({name: value.numpy() for name, value in outputs.items()})
    write_atomic(RunPaths(folder).logits, save(outputs, metadata=sealed))
    return {
        "weights_sha256": hashlib.sha256(last).hexdigest(),
        "selected_weights_sha256": None if best is None else hashlib.sha256(best).hexdigest(),
    }


def stored_outputs(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> dict[str, Tensor]:
    """Return test outputs as stored: logits as float16, labels, and what rounding to float16 could change.

    The predicted classes, and whether the label is among the five likeliest, come from the logits as evaluated, so that
    accuracies from the file equal those of the record.
    """
    highest = logits.topk(min(5, logits.shape[1]), dim=1).indices
    outputs = {
        "logits": logits.half(),
        "labels": labels,
        "predictions": highest[:, 0].int(),
        "in_top5": (highest == labels[:, None]).any(dim=1),
    }
    return {name: value.cpu().contiguous() for name, value in outputs.items()}


def outcome(spec: RunSpec, training: Training, network: nn.Module) -> dict[str, Any]:
    """Return the record's accuracies, numbers of steps and samples, and cost of the network."""
    history = training.history
    samples = len(history) * spec.samples_per_epoch
    cost = count(network, shape=spec.dataset.shape)
    return {
        **results_of(history),
        "history": RunPaths.history,
        "steps": len(history) * training.steps_per_epoch,
        "samples_seen": samples,
        **dataclasses.asdict(cost),
        "train_images_per_second": samples / sum(metrics.train_seconds for metrics in history),
    }


def diverged_outcome(training: Training, reason: DivergedError) -> dict[str, Any]:
    """Return the metrics of a diverged run, of its epochs with finite ones, and where it diverged."""
    history = training.history
    return {
        **(results_of(history) if history else {}),
        "reason": str(reason),
        "epoch": len(history) + 1,
        "history": RunPaths.history,
        "steps": len(history) * training.steps_per_epoch + training.done,
    }


def peak_memory(device: torch.device) -> int:
    """Return the peak bytes of the allocator on a CUDA device, else of the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return machine.peak_resident_bytes()
