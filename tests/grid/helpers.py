"""Devices, a local executor with recorded events, and probes with invented measurements."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from slbench.grid.estimate import JobSetting, probe_key
from slbench.grid.events import Event
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import DEFAULT_POLICY, Policy
from slbench.grid.slots import Device, Slot
from slbench.measurement_records import Probe
from slbench.store import Store
from slbench.study import StudyRun

CPU = Device("cpu", "Processor", False)
GPUS = [Device(f"cuda:{i}", "GPU", True, cuda=f"GPU-{i}") for i in range(2)]
SHORT = {"recipe.epochs": 1, "recipe.batch_size": 512, "recipe.precision": "fp32"}
T = TypeVar("T")


def slots_on(*devices: Device) -> list[Slot]:
    """Return one slot per device, of one thread each."""
    return [Slot(index, device, 1) for index, device in enumerate(devices)]


def local_executor(
    store: Store, *devices: Device, on_event: Callable[[Event], None], policy: Policy = DEFAULT_POLICY
) -> LocalExecutor:
    """Return an executor with one slot per device, by default one on the CPU."""
    slots = slots_on(*(devices or (CPU,)))
    return LocalExecutor(slots, store=store, precisions={"fp32": "fp32"}, on_event=on_event, policy=policy)


def run_all(
    runs: Sequence[StudyRun], store: Store, *devices: Device, policy: Policy = DEFAULT_POLICY
) -> tuple[int, list[Event]]:
    """Run all jobs; return the number of failed runs and the events."""
    events = list[Event]()
    return local_executor(store, *devices, on_event=events.append, policy=policy).run(runs), events


def events_of(kind: type[T], events: Sequence[Event]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def make_probe(run: StudyRun, setting: JobSetting, **changes: object) -> Probe:
    """Return a probe with invented measurements."""
    content: dict[str, object] = {
        "key": probe_key(run.spec, setting),
        "title": "Tiny none",
        "machine_id": "m1",
        "device_kind": setting.device_kind,
        "device_name": "Processor",
        "computes_bf16": False,
        "threads": setting.threads,
        "precision": setting.precision,
        "jobs": setting.jobs,
        "data": "its own",
        "startup_seconds": 0.0,
        "load_seconds": 2.0,
        "step_seconds": 0.5,
        "steps": 9,
        "evaluation_seconds": 0.001,
        "save_seconds": 0.25,
        "finish_seconds": 1.0,
        "params": 1000,
        "peak_memory_bytes": 3 * 10**8,
        "measured_at": "2025-11-22T23:12:54+00:00",
    }
    return Probe.model_validate(content | changes)
