"""Measure the time of the parts of a job and its peak memory by running it for some seconds."""

import dataclasses
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from slbench.data import DataConfig, is_available, load
from slbench.data.splits import ImageSet, Splits
from slbench.measure.macs import count
from slbench.measurement_records import JobCost
from slbench.record import Labels
from slbench.spec import RunSpec
from slbench.torch_runtime import autocast, reproducible, synchronize
from slbench.train.checkpoint import Checkpoints
from slbench.train.loop import EVALUATION_BATCH, Training
from slbench.train.run import peak_memory, prepare, with_compiled_steps
from slbench.train.run_conditions import RunConditions

WARMUP_STEPS = 2  # of each epoch, not timed
MIN_STEPS = 5  # timed steps
MAX_SECONDS = 60.0  # after which fewer timed steps suffice


class ProbeComplete(Exception):  # noqa: N818  (ends a loop, not an error)
    """Enough steps were timed."""


def probe(
    spec: RunSpec,
    labels: Labels,
    *,
    data: DataConfig | None = None,
    device: torch.device,
    precision: Literal["bf16", "fp32"],
    compiled: bool = False,
    threads: int,
    seconds: float,
    share: float,
    asked_at: float,
) -> JobCost:
    """Train a run for some seconds in this process, then evaluate, save and count once. Writes nothing to the store.

    Args:
        seconds: training time, or less if that is more than `share` of the training that is to come; at least
            MIN_STEPS steps are timed, unless they exceed MAX_SECONDS.
        share: of the training time of one such job: a tenth of their number.
        asked_at: time of the request by the monotonic clock of this machine.
    """
    has_data = is_available(spec.dataset, data)
    if not has_data:  # random images of the whole set, since a subset could be too small for the probe
        spec = dataclasses.replace(spec, dataset=dataclasses.replace(spec.dataset, fraction=None, per_class=None))
    torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())  # does slow imports
    ready = time.monotonic()
    conditions = RunConditions(device_kind=device.type, threads=threads, precision=precision, compiled=compiled)
    with reproducible(threads):
        splits = load(spec.dataset, labels.data, data) if has_data else random_splits(spec)
        training, network = prepare(spec, splits, device=device, precision=precision, on_progress=lambda progress: None)
        with_compiled_steps(training, conditions, resumes=False)
        loaded = time.monotonic()
        times = step_times(training, seconds, share=share)
        evaluation = evaluation_seconds(training)
        save = save_seconds(training)
        began = time.perf_counter()
        params = count(network, shape=spec.dataset.shape).params
        finish = time.perf_counter() - began + save
    return JobCost(
        data="its own" if has_data else "random",
        startup_seconds=ready - asked_at,
        load_seconds=loaded - ready,
        step_seconds=statistics.median(times),
        steps=len(times),
        evaluation_seconds=evaluation,
        save_seconds=save,
        finish_seconds=finish,
        params=params,
        peak_memory_bytes=peak_memory(device),
    )


def step_times(training: Training, seconds: float, *, share: float) -> list[float]:
    """Return the seconds of each timed optimizer step, including its batch; see `probe`."""
    all_steps = training.spec.recipe.epochs * training.steps_per_epoch
    times: list[float] = []
    ends: list[float] = []  # of the steps of the epoch
    began = time.perf_counter()

    def on_step() -> None:
        synchronize(training.device)
        now = time.perf_counter()
        if training.done == 1:
            ends.clear()
        ends.append(now)
        if len(ends) > WARMUP_STEPS:
            times.append(ends[-1] - ends[-2])
        enough = len(times) >= MIN_STEPS and now - began > min(seconds, share * all_steps * statistics.median(times))
        if enough or (times and now - began > MAX_SECONDS):
            raise ProbeComplete

    training.on_step = on_step
    try:
        for _ in training.epochs():
            if time.perf_counter() - began > seconds:
                break
    except ProbeComplete:
        pass
    if times:
        return times
    # epochs too short for a timed step
    total = sum(metrics.train_seconds for metrics in training.history)
    return [total / (training.steps_per_epoch * len(training.history))]


def evaluation_seconds(training: Training) -> float:
    """Return the seconds per image, from the second and third batch of the test images, else from the only one."""
    network = training.evaluated.eval()
    seconds, images_seen = 0.0, 0
    with torch.no_grad(), autocast(training.device, training.precision):
        for number, (images, _) in enumerate([*islice(training.test.in_order(EVALUATION_BATCH), 3)]):
            began = time.perf_counter()
            network(images)
            synchronize(training.device)
            if number == 0:
                first = (time.perf_counter() - began, len(images))
            else:
                seconds, images_seen = seconds + time.perf_counter() - began, images_seen + len(images)
    return seconds / images_seen if images_seen else first[0] / first[1]


def save_seconds(training: Training) -> float:
    """Return the seconds to save a checkpoint, measured in a temporary folder."""
    state: dict[str, Any] = {"training": training.state()}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        Checkpoints(Path(folder)).save(state)
        return time.perf_counter() - began


def random_splits(spec: RunSpec) -> Splits:
    """Return random images of the data set's shape, as many as it has but no more than a probe uses."""
    data = spec.dataset
    source = np.random.default_rng(0)

    def part(count: int) -> ImageSet:
        shape = (count, data.in_channels, *data.image_size)
        labels = np.sort(np.arange(count) % data.num_classes).astype(np.int64)
        return ImageSet.of(source.integers(0, 256, shape, dtype=np.uint8), labels)

    drawn = 40 * spec.recipe.batch_size * spec.recipe.accumulate
    return Splits(train=part(min(drawn, data.num_train)), test=part(min(3 * EVALUATION_BATCH, data.num_test)))
