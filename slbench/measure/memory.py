"""Peak memory of a training step: of the allocator on a GPU, else of a dedicated process.

Freed memory may stay resident, so on a processor each network is measured in its own process:
`python -m slbench.measure.memory` reads a MemoryRequest from stdin and writes a Peak to stdout.
"""

import os
import statistics
import subprocess
import sys
from dataclasses import field
from datetime import UTC, datetime

import torch
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from slbench import machine, user_files
from slbench.errors import TrainingError
from slbench.measure.network import BATCH_SIZE, Network
from slbench.measure.throughput import make_pass
from slbench.measure.throughput_keys import network_key
from slbench.measurement_records import TrainingMemory
from slbench.torch_runtime import reproducible, synchronize

REPEATS = 3  # the layout of the heap changes the resident set by some percent
STEPS = 2  # the first creates the optimizer's state, the second holds it beside the activations


@dataclass(frozen=True)
class MemoryRequest:
    """Network and setting that a child process measures."""

    network: Network
    batch_size: int
    precision: str
    threads: int
    files: tuple[str, ...] = field(default_factory=user_files.paths)  # that the user named


@dataclass(frozen=True)
class Peak:
    """Bytes at the peak, and before the network was built."""

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
    """Return the peak memory of training steps with AdamW on one batch of random images.

    Raises:
        TrainingError: if the child process fails; on a GPU torch's own out-of-memory error is raised.
    """
    request = MemoryRequest(network, batch_size, precision, threads)
    results = [allocator_peak(request, device) if device.type == "cuda" else in_child(request) for _ in range(repeats)]
    peaks = [result.peak for result in results]
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
        idle=results[0].idle,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def steps(request: MemoryRequest, device: torch.device) -> None:
    """Build the network and train it for STEPS steps."""
    with reproducible(request.threads):
        train = make_pass(
            request.network, "train", batch_size=request.batch_size, device=device, precision=request.precision
        )
        for _ in range(STEPS):
            train()
        synchronize(device)


def allocator_peak(request: MemoryRequest, device: torch.device) -> Peak:
    """Return the peak of torch's allocator on a CUDA device, above its value before."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    steps(request, device)
    return Peak(torch.cuda.max_memory_allocated(device) - before, 0)


def in_child(request: MemoryRequest) -> Peak:
    """Return the peak resident set of a child process that trains on the processor."""
    process = subprocess.run(
        [sys.executable, "-m", "slbench.measure.memory"],
        input=TypeAdapter(MemoryRequest).dump_json(request),
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": str(request.threads), "CUDA_VISIBLE_DEVICES": ""},
    )
    if process.returncode != 0:
        code = process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        last = process.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise TrainingError(f"memory of {request.network.backbone.name}: process ended with {how}: {''.join(last)}")
    return TypeAdapter(Peak).validate_json(process.stdout)


def main() -> None:
    """Measure the network of a request; entry point of the child process."""
    request = TypeAdapter(MemoryRequest).validate_json(sys.stdin.buffer.read())
    user_files.add_all(request.files)
    idle = machine.peak_resident_bytes()
    steps(request, torch.device("cpu"))
    sys.stdout.buffer.write(TypeAdapter(Peak).dump_json(Peak(machine.peak_resident_bytes(), idle)))


if __name__ == "__main__":
    main()
