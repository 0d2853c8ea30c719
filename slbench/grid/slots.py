"""Devices of this machine and slots for one job at a time. Free of torch."""

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from slbench import machine
from slbench.errors import InputError
from slbench.kernel_choice import compiles
from slbench.text import choices, shown

if TYPE_CHECKING:
    from slbench.spec import RunSpec

Resolved = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Device:
    """A device that can train: the processor, a CUDA GPU or Apple's GPU."""

    label: str  # "cpu", "cuda:0", "mps"
    name: str  # product name
    computes_bf16: bool  # natively
    cuda: str = ""  # CUDA_VISIBLE_DEVICES of a process that sees only this device
    memory_bytes: int = 0  # of a GPU; 0 if unknown

    @property
    def kind(self) -> str:
        return self.label.partition(":")[0]


NO_DEVICES: Mapping[str, Device] = MappingProxyType({})


@dataclass(frozen=True)
class Slot:
    """Room for one job on a device."""

    index: int  # among all slots
    device: Device
    threads: int  # CPU threads of its job
    cores: tuple[int, ...] = ()  # CPU affinity of its job; empty: any core


def devices() -> dict[str, Device]:
    """Return the devices of this machine by label, the processor last; GPUs as numbered under CUDA_VISIBLE_DEVICES."""
    by_label = {
        f"cuda:{i}": Device(f"cuda:{i}", gpu.name, gpu.computes_bf16, cuda=gpu.uuid, memory_bytes=gpu.memory_bytes)
        for i, gpu in enumerate(visible_gpus())
    }
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        by_label["mps"] = Device("mps", machine.cpu_name(), False)
    by_label["cpu"] = Device("cpu", machine.cpu_name(), machine.cpu_computes_bf16())
    return by_label


def free_memory(device: Device) -> int:
    """Return the bytes of memory that are free on a device: its own, or of this machine; 0 if unknown."""
    if device.kind != "cuda":
        return machine.available_memory()
    return min(device.memory_bytes, machine.free_gpu_memory(device.cuda) or device.memory_bytes)


def visible_gpus() -> list[machine.Gpu]:
    """Return the GPUs visible under CUDA_VISIBLE_DEVICES (indices or UUIDs), in its order.

    Like CUDA, stops at the first entry that is unknown or repeated.
    """
    gpus = machine.gpus()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(gpus)
    chosen = []
    for entry in (part.strip() for part in visible.split(",")):
        matching = [gpu for gpu in gpus if entry and (entry == str(gpu.index) or gpu.uuid.startswith(entry))]
        if len(matching) != 1 or matching[0] in chosen:
            break
        chosen.append(matching[0])
    return chosen


def make_slots(
    requested: str, *, jobs_per_device: int | None, threads: int, elsewhere: Mapping[str, Device] = NO_DEVICES
) -> list[Slot]:
    """Return the slots of a grid.

    Args:
        requested: "auto" (all CUDA GPUs, else Apple's, else the processor), or comma-separated labels: "cuda:0,cuda:1".
        jobs_per_device: None: one on a GPU, cores / threads on the processor.
        threads: CPU threads of each job.
        elsewhere: devices by kind of another machine that is planned for; any number of each is available.
    Raises:
        InputError: for an unknown device, or more CPU threads than cores.
    """
    chosen = choose(requested, elsewhere)
    cores = machine.usable_cores()
    slots: list[Slot] = []
    for device in chosen:
        default = max(1, cores // threads) if device.kind == "cpu" else 1
        jobs = default if jobs_per_device is None else jobs_per_device
        if device.kind == "cpu" and jobs * threads > cores and not elsewhere:
            raise InputError(
                f"--jobs-per-device {jobs} x --threads {threads} needs {jobs * threads} cores, and there are {cores}; "
                "jobs that share cores slow each other down"
            )
        slots += [Slot(len(slots) + i, device, threads) for i in range(jobs)]
    return slots if elsewhere else with_cores(slots)


def with_cores(slots: list[Slot]) -> list[Slot]:
    """Return CPU slots with disjoint cores if together they use all cores of this process, else the slots unchanged.

    Otherwise another launcher could be using the rest, and would choose the same cores.
    """
    threads = sum(slot.threads for slot in slots)
    if not hasattr(os, "sched_getaffinity") or any(slot.device.kind != "cpu" for slot in slots):
        return slots
    cores = sorted(os.sched_getaffinity(0))
    if threads != len(cores) or len(slots) == 1:
        return slots
    first = [sum(slot.threads for slot in slots[:i]) for i in range(len(slots))]
    return [
        dataclasses.replace(slot, cores=tuple(cores[at : at + slot.threads]))
        for slot, at in zip(slots, first, strict=True)
    ]


def choose(requested: str, elsewhere: Mapping[str, Device] = NO_DEVICES) -> list[Device]:
    """Return the devices of a `--devices` value."""
    known = devices()
    if requested == "auto":
        gpus = [device for device in known.values() if device.kind == "cuda"]
        return gpus or [known.get("mps", known["cpu"])]
    labels = [label.strip() for label in requested.split(",")]
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(
            f"--devices: '{repeated}' is named twice (got {shown(requested)}); more jobs on one: --jobs-per-device"
        )
    for label in labels:
        kind, _, number = label.partition(":")
        if kind in elsewhere and (number.isdecimal() or label == kind):
            known[label] = dataclasses.replace(elsewhere[kind], label=label)
        if label not in known:
            allowed = choices(["auto", *known], label)
            raise InputError(f"--devices: unknown device (got {shown(label)}){allowed}")
    return [known[label] for label in labels]


def resolve_compile(run: "RunSpec", slots: Sequence[Slot]) -> bool:
    """Return whether a run is compiled on these slots, as its recipe requests; the same for the whole grid.

    Raises:
        InputError: if "auto" would differ from slot to slot.
    """
    steps = run.recipe.epochs * run.steps_per_epoch
    by_kind = {
        kind: compiles(run.recipe.compile, device_kind=kind, steps=steps)
        for kind in dict.fromkeys(slot.device.kind for slot in slots)
    }
    if len(set(by_kind.values())) > 1:
        mixed = ", ".join(f"{kind} {'compiled' if found else 'eager'}" for kind, found in by_kind.items())
        raise InputError(
            f"compile: auto would differ between devices (got {mixed}); choose with --set recipe.compile=false"
        )
    return any(by_kind.values())


def resolve_precision(requested: str, slots: list[Slot]) -> Resolved:
    """Return the precision used on these slots for the one a recipe requests; decided once for a grid.

    Raises:
        InputError: if "auto" would differ from slot to slot.
    """
    if requested != "auto":
        return "bf16" if requested == "bf16" else "fp32"
    native_bf16 = {slot.device.label: slot.device.computes_bf16 for slot in slots}
    if len(set(native_bf16.values())) > 1:
        mixed = ", ".join(f"{label} {'bf16' if bf16 else 'fp32'}" for label, bf16 in native_bf16.items())
        raise InputError(
            f"precision: auto would differ between devices (got {mixed}); choose one with --set recipe.precision=fp32"
        )
    return "bf16" if all(native_bf16.values()) else "fp32"
