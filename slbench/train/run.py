"""One run from its spec to its record: what a grid's child and `slbench train` both call."""

import csv
import dataclasses
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save
from torch import nn

from slbench import machine
from slbench.backbones import build
from slbench.compute import reproducible
from slbench.data import load
from slbench.data.batches import Batches
from slbench.data.splits import Splits, content_hash
from slbench.data.subset import subset
from slbench.measure.macs import count
from slbench.spec import RunSpec
from slbench.store import Labels, RunRecord, Store, write_atomic
from slbench.train.loop import EpochMetrics, Progress, Training

HISTORY = "metrics.csv"


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
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> RunRecord:
    """Train a run in this process and file it in the store.

    Args:
        device_label: what the record calls the device; a launcher may have renamed it for this process.
        device_name: its product name.
    Raises:
        TrainingError: if the run cannot be finished; the store then holds no record of it.
    """
    started, started_at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    code = machine.code()  # before the work: what is edited meanwhile did not make this result
    folder = store.folder(spec, labels)
    with reproducible(threads):
        splits = load(spec.dataset, labels.data)
        training, network = prepare(spec, splits, device=device, precision=precision, on_progress=on_progress)
        history = []
        for metrics in training.epochs():
            append_row(folder / HISTORY, metrics)
            history.append(metrics)
        weights = file_results(folder, training)
    cost = count(network, image_size=spec.dataset.image_size, in_channels=spec.dataset.in_channels)
    samples = len(history) * spec.samples_per_epoch
    record = RunRecord(
        run_id=spec.run_id,
        spec=spec,
        labels=labels,
        **accuracies(history),
        history=HISTORY,
        steps=len(history) * training.steps_per_epoch,
        samples_seen=samples,
        **dataclasses.asdict(cost),
        train_images_per_second=samples / sum(metrics.train_seconds for metrics in history),
        peak_memory_bytes=peak_memory(device),
        seconds=time.perf_counter() - started,
        started_at=started_at,
        device=device_label,
        device_name=device_name,
        threads=threads,
        precision=precision,
        host=machine.host(),
        code=code,
        data_sha256=content_hash(splits),
        weights_sha256=weights,
    )
    store.finish(folder, record)
    return record


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
    network = build(
        spec.backbone,
        spec.method,
        image_size=spec.dataset.image_size,
        in_channels=spec.dataset.in_channels,
        num_classes=spec.dataset.num_classes,
        drop_path=spec.recipe.drop_path,
        seed=spec.seed,
    ).to(device)
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


def append_row(path: Path, metrics: EpochMetrics) -> None:
    """Add an epoch to the history, with a header if it is the first."""
    row = dataclasses.asdict(metrics)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def file_results(folder: Path, training: Training) -> str:
    """Write the final weights and test logits; give the sha256 of the weights' file."""
    weights = save({name: value.detach().cpu().contiguous() for name, value in training.evaluated.state_dict().items()})
    write_atomic(folder / "weights.safetensors", weights)
    logits = training.logits(training.test).half().cpu()
    write_atomic(folder / "test_logits.safetensors", save({"logits": logits, "labels": training.test.labels.cpu()}))
    return hashlib.sha256(weights).hexdigest()


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
