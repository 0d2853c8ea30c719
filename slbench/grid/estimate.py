"""Time and disk space that a grid will take, estimated from probes of its jobs."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from slbench import machine
from slbench.errors import InputError, unreadable
from slbench.files import dump_json, read_regular, write_atomic
from slbench.grid.disk_budget import checkpoint_bytes, kept_bytes
from slbench.grid.failures import failure
from slbench.grid.messages import Job, ProbeTask
from slbench.grid.processes import spawn, stop, worker_device
from slbench.grid.slots import Device, Resolved, Slot, resolve_compile
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.run_paths import RunPaths
from slbench.spec import RunSpec, digest
from slbench.store import Store
from slbench.study import StudyRun

PROBE_SECONDS = 5.0  # of training, at most
PROBE_SHARE = 0.1  # of the training that is to come, at most
# fields of a recipe that do not change the cost of a step
COST_NEUTRAL_FIELDS = (
    "epochs",
    "lr",
    "weight_decay",
    "betas",
    "warmup_epochs",
    "warmup_lr",
    "min_lr",
    "label_smoothing",
    "precision",
)
BYTES_OF_WEIGHT = 4
PROBES = TypeAdapter(list[Probe])


@dataclass(frozen=True)
class JobSetting:
    """Device kind, threads, precision and number of concurrent jobs."""

    device_kind: str
    threads: int
    precision: Resolved
    jobs: int  # at a time on the device


@dataclass(frozen=True)
class Estimate:
    """Estimated cost of the rest of a grid."""

    job_seconds: Mapping[str, float]  # by run id, on the kind of device of the first slot
    wall_seconds: float  # until the last job ends, without the throughput measurement after it
    disk_bytes: int  # of finished runs and of checkpoints while they run
    peak_memory_bytes: int  # of the largest job


def setting_of(slot: Slot, slots: Sequence[Slot], precision: Resolved) -> JobSetting:
    beside = sum(other.device == slot.device for other in slots)
    return JobSetting(slot.device.kind, slot.threads, precision, beside)


def probe_key(run: RunSpec, setting: JobSetting) -> str:
    """Return the digest of all that decides the cost of a job on one machine, without seed and number of epochs."""
    content = run.as_dict()
    del content["seed"], content["protocol"], content["dataset"]["fraction"], content["dataset"]["per_class"]
    content["recipe"].pop("equal", None)  # steps on a subset cost the same
    content["numerics"].pop("subset", None)
    for field in COST_NEUTRAL_FIELDS:
        del content["recipe"][field]
    return digest({"run": content, "setting": TypeAdapter(JobSetting).dump_python(setting)})


class ProbeResults:
    """Probe results of this machine's store, or of a file written on another machine.

    Args:
        machine_id: machine whose results in the store are used.
        others: results of a file; if not empty, the store is ignored.
    """

    def __init__(self, store: Store, *, machine_id: str, others: Sequence[Probe] = ()) -> None:
        self.store, self.machine_id = store, machine_id
        self.others = {probe.key: probe for probe in others}

    def get(self, run: RunSpec, setting: JobSetting) -> Probe | None:
        key = probe_key(run, setting)
        return self.others.get(key) if self.others else self.store.probe(self.machine_id, key)


def load_probes(path: Path) -> list[Probe]:
    """Return the probes of a file. Raises InputError if it is not readable as such."""
    try:
        return PROBES.validate_json(read_regular(path))
    except OSError as error:
        raise InputError(f"--speeds: {unreadable(path, error)}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"--speeds: {path}: not a file of --save-speeds: {first['msg'].lower()}; write it again on that machine"
        ) from error


def kinds_of(probes: Sequence[Probe]) -> dict[str, Device]:
    """Return the devices that another machine has measured, by kind."""
    return {probe.device_kind: Device(probe.device_kind, probe.device_name, probe.computes_bf16) for probe in probes}


def save_probes(path: Path, probes: Sequence[Probe]) -> None:
    """Write probes for use on another machine. Raises InputError if the file cannot be written."""
    try:
        write_atomic(path, dump_json([probe.model_dump(mode="json") for probe in probes]))
    except OSError as error:
        raise InputError(f"--save-speeds: {path}: cannot be written: {error.strerror}; name another file") from error


def job_seconds(run: RunSpec, probe: Probe, *, epochs_done: int = 0) -> float:
    """Return the seconds of a job in a started process, resumed after `epochs_done` epochs."""
    validated = run.dataset.num_validation if run.protocol == "holdout" else 0
    evaluated = run.dataset.num_test + validated
    epoch = run.steps_per_epoch * probe.step_seconds + evaluated * probe.evaluation_seconds + probe.save_seconds
    return probe.load_seconds + max(0, run.recipe.epochs - epochs_done) * epoch + probe.finish_seconds


def estimate(
    runs: Sequence[StudyRun], slots: Sequence[Slot], *, precisions: Mapping[Precision, Resolved], probes: ProbeResults
) -> Estimate | None:
    """Return the cost of runs on these slots, longest first; None if some job was never probed."""
    if not runs or not slots:
        return None
    seconds: dict[tuple[str, str], float] = {}
    probed: list[tuple[StudyRun, Probe]] = []
    for run in runs:
        done = probes.store.epochs_done(run.spec)
        for slot in slots:
            setting = setting_of(slot, slots, precisions[run.spec.recipe.precision])
            probe = probes.get(run.spec, setting)
            if probe is None:
                return None
            seconds[run.spec.run_id, slot.device.kind] = job_seconds(run.spec, probe, epochs_done=done)
            if slot is slots[0]:
                probed.append((run, probe))
    first = {run.spec.run_id: seconds[run.spec.run_id, slots[0].device.kind] for run in runs}
    startup = max(probe.startup_seconds for _, probe in probed)
    free = dict.fromkeys(slots, startup)
    for run_id in sorted(first, key=lambda run_id: first[run_id], reverse=True):
        slot = min(free, key=lambda slot: free[slot])  # like the executor: the first free slot
        free[slot] += seconds[run_id, slot.device.kind]
    kept = sum(kept_bytes(run, probe.params * BYTES_OF_WEIGHT) for run, probe in probed)
    largest = max(checkpoint_bytes(run, probe.params * BYTES_OF_WEIGHT) for run, probe in probed)
    return Estimate(
        job_seconds=first,
        wall_seconds=max(free.values()),
        disk_bytes=kept + len(slots) * largest,
        peak_memory_bytes=max(probe.peak_memory_bytes for _, probe in probed),
    )


@dataclass(frozen=True)
class Unprobed:
    """A job to probe and its setting."""

    run: StudyRun
    setting: JobSetting
    key: str
    runs: int = 1  # that cost the same


def unprobed(
    runs: Sequence[StudyRun], slots: Sequence[Slot], *, precisions: Mapping[Precision, Resolved], probes: ProbeResults
) -> list[Unprobed]:
    """Return one job for each cost that is not known yet."""
    missing: dict[str, Unprobed] = {}
    count = Counter[str]()
    for run in runs:
        precision = precisions[run.spec.recipe.precision]
        settings = dict.fromkeys(setting_of(slot, slots, precision) for slot in slots)
        for setting in settings:
            if probes.get(run.spec, setting) is None:
                key = probe_key(run.spec, setting)
                missing.setdefault(key, Unprobed(run, setting, key))
                count[key] += 1
    return [replace(item, runs=count[key]) for key, item in missing.items()]


def probe_missing(
    missing: Sequence[Unprobed], slots: Sequence[Slot], store: Store, *, tell: Callable[[str], None]
) -> None:
    """Probe jobs on all slots at once, as the grid would run them, and store their costs.

    Args:
        tell: called with a line on each job that is probed, and on each that could not be.
    """
    for kind in dict.fromkeys(item.setting.device_kind for item in missing):
        own_slots = [slot for slot in slots if slot.device.kind == kind]
        waiting = [item for item in missing if item.setting.device_kind == kind]
        for first in range(0, len(waiting), len(own_slots)):
            together = waiting[first : first + len(own_slots)]
            # all slots are filled, so that each job competes with as many others as in the grid
            filled = [together[i % len(together)] for i in range(len(own_slots))]
            for item in together:
                tell(f"probing {item.run.cell} on {kind}")
            try_together(list(zip(filled, own_slots, strict=True)), store, tell=tell)


def try_together(jobs: Sequence[tuple[Unprobed, Slot]], store: Store, *, tell: Callable[[str], None]) -> None:
    log_path = store.root / "probes" / RunPaths.log
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        processes = [
            spawn(task_of(item, slot, store), slot.device, threads=slot.threads, log=log) for item, slot in jobs
        ]
    try:
        for process, (item, _) in zip(processes, jobs, strict=True):
            if process.wait() != 0:
                why = failure(process.returncode, log_path).reason
                tell(f"probe failed: {item.run.cell}: {why}")
    finally:
        stop(processes)


def task_of(item: Unprobed, slot: Slot, store: Store) -> ProbeTask:
    job = Job(
        spec=item.run.spec,
        labels=item.run.labels,
        data=item.run.data,
        store=str(store.root),
        device=worker_device(slot.device),
        device_label=slot.device.label,
        device_name=slot.device.name,
        threads=slot.threads,
        precision=item.setting.precision,
        compiled=resolve_compile(item.run.spec, [slot]),
        cores=slot.cores,
    )
    return ProbeTask(
        job=job,
        key=item.key,
        title=item.run.cell,
        machine_id=machine.host().machine_id,
        computes_bf16=slot.device.computes_bf16,
        jobs=item.setting.jobs,
        seconds=PROBE_SECONDS,
        share=PROBE_SHARE * item.runs,
        asked_at=time.monotonic(),
    )
