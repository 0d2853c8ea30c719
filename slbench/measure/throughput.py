"""Images per second of networks, each measured alone and against the others, in turns."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import numpy as np
import torch

from slbench.backbones import build
from slbench.compute import autocast, reproducible, synchronize
from slbench.measure.speeds import BATCH_SIZE, network_key
from slbench.spec import RunSpec
from slbench.store import Throughput

ROUNDS = 9
ROUND_SECONDS = 0.25  # each network, each round, at least one batch
WARMUP_BATCHES = 2


def interleaved(
    passes: Mapping[str, Callable[[], None]], *, images: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Images per second of each pass in each round; the rounds go through all passes in turn (A B A B).

    Args:
        images: that one call of a pass handles; it must have ended when it returns.
        seconds: how long a pass is repeated in a round, at least once.
    """
    speeds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(rounds):
        for name, run_pass in passes.items():
            started, calls = time.perf_counter(), 0
            while calls == 0 or time.perf_counter() - started < seconds:
                run_pass()
                calls += 1
            speeds[name].append(calls * images / (time.perf_counter() - started))
    return speeds


def inference_pass(run: RunSpec, *, device: torch.device, precision: str) -> Callable[[], None]:
    """A function that classifies one batch of random images and waits for the device, warmed up."""
    network = build(
        run.backbone,
        run.method,
        image_size=run.dataset.image_size,
        in_channels=run.dataset.in_channels,
        num_classes=run.dataset.num_classes,
        drop_path=0.0,
        seed=0,
    )
    network.to(device).eval()
    images = torch.randn(BATCH_SIZE, run.dataset.in_channels, *run.dataset.image_size, device=device)

    def classify() -> None:
        with torch.no_grad(), autocast(device, precision):
            network(images)
        synchronize(device)

    for _ in range(WARMUP_BATCHES):
        classify()
    return classify


def measure(
    runs: tuple[RunSpec, ...],
    *,
    machine_id: str,
    device: torch.device,
    device_label: str,
    device_name: str,
    threads: int,
    precision: str,
) -> list[Throughput]:
    """Inference speed of each run's network: batch 128, no gradients, median and quartiles over rounds."""
    by_key = {network_key(run, device_kind=device.type, threads=threads, precision=precision): run for run in runs}
    with reproducible(threads):
        passes = {key: inference_pass(run, device=device, precision=precision) for key, run in by_key.items()}
        speeds = interleaved(passes, images=BATCH_SIZE, rounds=ROUNDS, seconds=ROUND_SECONDS)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    results = []
    for key, measured in speeds.items():
        q1, median, q3 = (float(value) for value in np.percentile(measured, [25, 50, 75]))
        results.append(
            Throughput(
                key=key,
                machine_id=machine_id,
                device=device_label,
                device_name=device_name,
                threads=threads,
                precision=precision,
                batch_size=BATCH_SIZE,
                median=median,
                q1=q1,
                q3=q3,
                n=len(measured),
                measured_at=now,
            )
        )
    return results
