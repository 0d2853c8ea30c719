"""Slots: places on this machine where one job at a time can run. Found without torch."""

import dataclasses
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from slbench import machine
from slbench.errors import InputError
from slbench.names import suggestion

Resolved = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Device:
    """A device that can train: the processor, one GPU, or Apple's."""

    label: str  # "cpu", "cuda:0", "mps"
    name: str  # product
    computes_bf16: bool  # natively
    cuda: str = ""  # what CUDA_VISIBLE_DEVICES must be for a process to see this one alone
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
    cores: tuple[int, ...] = ()  # that its job keeps to; empty for any


def devices() -> dict[str, Device]:
    """Every device of this machine by label, the processor last.

    CUDA devices are those that CUDA_VISIBLE_DEVICES leaves, counted as CUDA counts them.
    """
    found = {
        f"cuda:{i}": Device(f"cuda:{i}", gpu.name, gpu.computes_bf16, cuda=gpu.uuid, memory_bytes=gpu.memory_bytes)
        for i, gpu in enumerate(visible_gpus())
    }
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        found["mps"] = Device("mps", machine.cpu_name(), False)
    found["cpu"] = Device("cpu", machine.cpu_name(), machine.cpu_computes_bf16())
    return found


def visible_gpus() -> list[machine.Gpu]:
    """The GPUs that CUDA_VISIBLE_DEVICES (indices or UUIDs) leaves, in its order.

    Like CUDA, it stops at the first entry that names none, or one again.
    """
    everything = machine.gpus()
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return list(everything)
    chosen = []
    for entry in (part.strip() for part in wanted.split(",")):
        matching = [gpu for gpu in everything if entry and (entry == str(gpu.index) or gpu.uuid.startswith(entry))]
        if len(matching) != 1 or matching[0] in chosen:
            break
        chosen.append(matching[0])
    return chosen


def make_slots(
    wanted: str, *, jobs_per_device: int | None, threads: int, elsewhere: Mapping[str, Device] = NO_DEVICES
) -> list[Slot]:
    """The slots of a grid.

    Args:
        wanted: "auto" (all GPUs; without any, Apple's; without it, the processor), or labels with
            commas: "cuda:0,cuda:1".
        jobs_per_device: unless given, one on a GPU, and on the processor cores / threads.
        threads: CPU threads of each job.
        elsewhere: kinds of devices of another machine, for which a plan is made: any number of each is there.
    Raises:
        InputError: for a device that is not there, or more CPU threads than cores.
    """
    chosen = choose(wanted, elsewhere)
    cores = machine.usable_cores()
    slots: list[Slot] = []
    for device in chosen:
        default = max(1, cores // threads) if device.kind == "cpu" else 1
        jobs = default if jobs_per_device is None else jobs_per_device
        if device.kind == "cpu" and jobs * threads > cores and not elsewhere:
            raise InputError(
                f"--jobs-per-device {jobs} x --threads {threads} needs {jobs * threads} cores, and there are {cores}: "
                "jobs that share cores slow each other down"
            )
        slots += [Slot(len(slots) + i, device, threads) for i in range(jobs)]
    return slots if elsewhere else with_cores(slots)


def with_cores(slots: list[Slot]) -> list[Slot]:
    """Slots of the processor each with cores of its own, if together they take all that this process may use.

    If they do not, another launcher may be at work on the rest, and would choose the same ones.
    """
    wanted = sum(slot.threads for slot in slots)
    if not hasattr(os, "sched_getaffinity") or any(slot.device.kind != "cpu" for slot in slots):
        return slots
    cores = sorted(os.sched_getaffinity(0))
    if wanted != len(cores) or len(slots) == 1:
        return slots
    first = [sum(slot.threads for slot in slots[:i]) for i in range(len(slots))]
    return [
        dataclasses.replace(slot, cores=tuple(cores[at : at + slot.threads]))
        for slot, at in zip(slots, first, strict=True)
    ]


def choose(wanted: str, elsewhere: Mapping[str, Device] = NO_DEVICES) -> list[Device]:
    """The devices that a `--devices` value names, each once."""
    known = devices()
    if wanted == "auto":
        gpus = [device for device in known.values() if device.kind == "cuda"]
        return gpus or [known.get("mps", known["cpu"])]
    labels = list(dict.fromkeys(label.strip() for label in wanted.split(",")))
    for label in labels:
        kind, _, number = label.partition(":")
        if kind in elsewhere and (number.isdecimal() or label == kind):
            known[label] = dataclasses.replace(elsewhere[kind], label=label)
        if label not in known:
            raise InputError(f"--devices: unknown device '{label}'{suggestion(label, ['auto', *known])}")
    return [known[label] for label in labels]


def resolve_precision(requested: str, slots: list[Slot]) -> Resolved:
    """What a recipe's precision becomes on these slots: decided once for a grid.

    Raises:
        InputError: if "auto" would differ from slot to slot.
    """
    if requested != "auto":
        return "bf16" if requested == "bf16" else "fp32"
    able = {slot.device.label: slot.device.computes_bf16 for slot in slots}
    if len(set(able.values())) > 1:
        mixed = ", ".join(f"{label} {'bf16' if bf16 else 'fp32'}" for label, bf16 in able.items())
        raise InputError(
            f"precision 'auto' would differ between devices ({mixed}): name one with --set recipe.precision=fp32"
        )
    return "bf16" if all(able.values()) else "fp32"
