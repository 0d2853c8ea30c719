"""Images per second of networks, timed in turns."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import torch
import torch.nn.functional as F

from slbench import machine
from slbench.measure.network import BATCH_SIZE, Network
from slbench.measure.throughput_keys import TIMINGS, Mode, Timing, network_key
from slbench.measurement_records import Throughput
from slbench.torch_runtime import autocast, reproducible, synchronize


def interleaved(
    passes: Mapping[str, Callable[[], None]], *, images: int, timing: Timing, wait: Callable[[], None]
) -> dict[str, list[float]]:
    """Return the images per second of each pass in each round; rounds alternate the passes (A B A B).

    Args:
        images: images per call of a pass.
        wait: waits for the device; called before and after each turn.
    """
    for run_pass in passes.values():
        for _ in range(timing.warmup):
            run_pass()
    speeds: dict[str, list[float]] = {name: [] for name in passes}
    for _ in range(timing.rounds):
        for name, run_pass in passes.items():
            wait()
            started, calls = time.perf_counter(), 0
            while calls < timing.passes or time.perf_counter() - started < timing.seconds:
                run_pass()
                calls += 1
            wait()
            speeds[name].append(calls * images / (time.perf_counter() - started))
    return speeds


def make_pass(
    network: Network, mode: Mode, *, batch_size: int, device: torch.device, precision: str
) -> Callable[[], None]:
    """Return a function that processes one batch of random images.

    Mode "inference" is a forward pass without gradients, "train" a step: forward, backward, AdamW.
    """
    module = network.build().to(device).train(mode == "train")
    images = torch.randn(batch_size, network.in_channels, *network.image_size, device=device)
    labels = torch.randint(network.num_classes, (batch_size,), device=device)
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def classify() -> None:
        with torch.no_grad(), autocast(device, precision):
            module(images)

    def train() -> None:
        with autocast(device, precision):
            logits = module(images)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return train if mode == "train" else classify


def measure(
    networks: Sequence[Network],
    modes: Sequence[Mode],
    *,
    machine_id: str,
    device: torch.device,
    device_label: str,
    device_name: str,
    threads: int,
    precision: str,
    batch_size: int = BATCH_SIZE,
    timing: Timing = TIMINGS["short"],
) -> list[Throughput]:
    """Return the throughput of each network in each mode: median and quartiles over the rounds."""
    with reproducible(threads):
        passes = {
            network_key(
                network, device_kind=device.type, threads=threads, precision=precision, mode=mode, batch_size=batch_size
            ): make_pass(network, mode, batch_size=batch_size, device=device, precision=precision)
            for network in networks
            for mode in modes
        }
        before = machine.CpuClock.now()
        speeds = interleaved(passes, images=batch_size, timing=timing, wait=lambda: synchronize(device))
        load = machine.CpuClock.now().other_load(before)
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
                batch_size=batch_size,
                timing=timing.name,
                median=median,
                q1=q1,
                q3=q3,
                n=len(measured),
                measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
                other_load=round(load, 2),
                cores=os.cpu_count() or 1,
            )
        )
    return results
