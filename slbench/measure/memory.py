"""Peak memory of a training step: of the allocator on a GPU, else of a process that does nothing else.

A resident set is never given back whole, so on a processor each network is measured in a child of its own:
`python -m slbench.measure.memory` reads a Request from stdin and writes bytes to stdout.
"""

import os
import statistics
import subprocess
import sys
from datetime import UTC, datetime

import torch
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from slbench import machine
from slbench.errors import TrainingError
from slbench.measure.network import BATCH_SIZE, Network
from slbench.measure.throughput import make_pass
from slbench.measure.throughput_keys import network_key
from slbench.measurement_records import TrainingMemory
from slbench.torch_runtime import reproducible, synchronize

REPEATS = 3  # how a C library lays out its heap moves a resident set by some percent
STEPS = 2  # the first makes the optimizer's state, the second has it beside the activations


@dataclass(frozen=True)
class MemoryRequest:
    """What a child is to measure."""

    network: Network
    batch_size: int
    precision: str
    threads: int


@dataclass(frozen=True)
class Peak:
    """Bytes: at most, and before the network was made."""

    peak: int
    idle: int


def measure(
    network: Network,
    *,
    machine_id: str,
    device: torch.device,
    device_label: str,
    device_name: str,
    threads: int,
    precision: str,
    batch_size: int = BATCH_SIZE,
    repeats: int = REPEATS,
) -> TrainingMemory:
    """Peak memory of training steps on one batch of random images, with AdamW.

    Raises:
        TrainingError: if the step cannot be made; for a GPU torch's own error for want of memory.
    """
    request = MemoryRequest(network, batch_size, precision, threads)
    found = [allocator_peak(request, device) if device.type == "cuda" else in_child(request) for _ in range(repeats)]
    peaks = [each.peak for each in found]
    return TrainingMemory(
        key=network_key(
            network,
            device_kind=device.type,
            threads=threads,
            precision=precision,
            mode="train",
            batch_size=batch_size,
        ),
        machine_id=machine_id,
        device=device_label,
        device_name=device_name,
        threads=threads,
        precision=precision,
        batch_size=batch_size,
        median=round(statistics.median(peaks)),
        lowest=min(peaks),
        highest=max(peaks),
        n=repeats,
        idle=found[0].idle,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def steps(request: MemoryRequest, device: torch.device) -> None:
    """Make the network and train it for some steps."""
    with reproducible(request.threads):
        train = make_pass(
            request.network, "train", batch_size=request.batch_size, device=device, precision=request.precision
        )
        for _ in range(STEPS):
            train()
        synchronize(device)


def allocator_peak(request: MemoryRequest, device: torch.device) -> Peak:
    """What torch's allocator held at most on a CUDA device, above what it held before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    steps(request, device)
    return Peak(torch.cuda.max_memory_allocated(device) - before, 0)


def in_child(request: MemoryRequest) -> Peak:
    """The resident set of a child that makes these steps on the processor."""
    done = subprocess.run(
        [sys.executable, "-m", "slbench.measure.memory"],
        input=TypeAdapter(MemoryRequest).dump_json(request),
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": str(request.threads), "CUDA_VISIBLE_DEVICES": ""},
    )
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise TrainingError(f"memory of {request.network.backbone.name}: its process ended with {how}: {''.join(last)}")
    return TypeAdapter(Peak).validate_json(done.stdout)


def main() -> None:
    """Be that child."""
    request = TypeAdapter(MemoryRequest).validate_json(sys.stdin.buffer.read())
    idle = machine.peak_resident_bytes()
    steps(request, torch.device("cpu"))
    sys.stdout.buffer.write(TypeAdapter(Peak).dump_json(Peak(machine.peak_resident_bytes(), idle)))


if __name__ == "__main__":
    main()
