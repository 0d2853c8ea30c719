"""What a grid will take, from probes of its jobs: time on the slots there are, space on the disk."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from slbench import machine
from slbench.errors import InputError
from slbench.files import dump_json, write_atomic
from slbench.grid.disk_budget import checkpoint_bytes, kept_bytes
from slbench.grid.failures import failure
from slbench.grid.messages import Job, ProbeTask
from slbench.grid.processes import LOG, in_child, spawn, stop
from slbench.grid.slots import Device, Resolved, Slot
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.spec import RunSpec, digest
from slbench.store import Store
from slbench.study import StudyRun

PROBE_SECONDS = 5.0  # of training
# What of a recipe changes no job's speed, or only how long it lasts.
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
    """Where and how a job would run."""

    device_kind: str
    threads: int
    precision: Resolved
    jobs: int  # at a time on the device


@dataclass(frozen=True)
class Estimate:
    """What is left of a grid."""

    job_seconds: Mapping[str, float]  # by run id, on the kind of device that the slots begin with
    wall_seconds: float  # until the last job ends; images/s, measured afterwards, not included
    disk_bytes: int  # that finished runs take, and checkpoints while they run
    peak_memory_bytes: int  # of one job, the largest


def setting_of(slot: Slot, slots: Sequence[Slot], precision: Resolved) -> JobSetting:
    beside = sum(other.device == slot.device for other in slots)
    return JobSetting(slot.device.kind, slot.threads, precision, beside)


def probe_key(run: RunSpec, setting: JobSetting) -> str:
    """Everything that decides what a job costs but the machine: not its seed, nor for how many epochs it runs."""
    content = run.as_dict()
    del content["seed"], content["protocol"], content["dataset"]["fraction"], content["dataset"]["per_class"]
    content["recipe"].pop("equal", None)  # of subsets alone, whose steps cost what those of the whole set cost
    content["numerics"].pop("subset", None)
    for field in COST_NEUTRAL_FIELDS:
        del content["recipe"][field]
    return digest({"run": content, "setting": TypeAdapter(JobSetting).dump_python(setting)})


class ProbeResults:
    """What is known of the cost of jobs: from this machine's store, or from a file that another machine wrote.

    Args:
        machine_id: of the machine whose measurements count.
        others: from a file; if there are any, they alone count.
    """

    def __init__(self, store: Store, *, machine_id: str, others: Sequence[Probe] = ()) -> None:
        self.store, self.machine_id = store, machine_id
        self.others = {probe.key: probe for probe in others}

    def get(self, run: RunSpec, setting: JobSetting) -> Probe | None:
        key = probe_key(run, setting)
        return self.others.get(key) if self.others else self.store.probe(self.machine_id, key)


def load_probes(path: Path) -> list[Probe]:
    """Probes from a file. Raises InputError if it is none."""
    try:
        return PROBES.validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"--speeds {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(
            f"--speeds {path}: not what --save-speeds writes: {first['msg'].lower()}; write it again on that machine"
        ) from error


def kinds_of(probes: Sequence[Probe]) -> dict[str, Device]:
    """The kinds of devices that another machine has measured, by name."""
    return {probe.device_kind: Device(probe.device_kind, probe.device_name, probe.computes_bf16) for probe in probes}


def save_probes(path: Path, probes: Sequence[Probe]) -> None:
    """Write probes for another machine."""
    try:
        write_atomic(path, dump_json([probe.model_dump(mode="json") for probe in probes]))
    except OSError as error:
        raise InputError(f"--save-speeds {path}: cannot be written: {error.strerror}: name another file") from error


def job_seconds(run: RunSpec, probe: Probe, *, epochs_done: int = 0) -> float:
    """What a job takes in a process that has begun, from the epochs on that an earlier attempt has done."""
    validated = run.dataset.num_validation if run.protocol == "holdout" else 0
    evaluated = run.dataset.num_test + validated
    epoch = run.steps_per_epoch * probe.step_seconds + evaluated * probe.evaluation_seconds + probe.save_seconds
    last = run.dataset.num_test * probe.evaluation_seconds + probe.finish_seconds
    return probe.load_seconds + max(0, run.recipe.epochs - epochs_done) * epoch + last


def estimate(
    runs: Sequence[StudyRun], slots: Sequence[Slot], *, precisions: Mapping[Precision, Resolved], probes: ProbeResults
) -> Estimate | None:
    """What runs will take on these slots, the longest first; None if a job of theirs was never probed."""
    if not runs or not slots:
        return None
    seconds: dict[tuple[str, str], float] = {}
    found: list[tuple[StudyRun, Probe]] = []
    for run in runs:
        done = probes.store.epochs_done(run.spec)
        for slot in slots:
            setting = setting_of(slot, slots, precisions[run.spec.recipe.precision])
            probe = probes.get(run.spec, setting)
            if probe is None:
                return None
            seconds[run.spec.run_id, slot.device.kind] = job_seconds(run.spec, probe, epochs_done=done)
            if slot is slots[0]:
                found.append((run, probe))
    first = {run.spec.run_id: seconds[run.spec.run_id, slots[0].device.kind] for run in runs}
    startup = max(probe.startup_seconds for _, probe in found)
    free = dict.fromkeys(slots, startup)
    for run_id in sorted(first, key=lambda run_id: first[run_id], reverse=True):
        slot = min(free, key=lambda slot: free[slot])  # as the executor does: the first that is free
        free[slot] += seconds[run_id, slot.device.kind]
    kept = sum(kept_bytes(run, probe.params * BYTES_OF_WEIGHT) for run, probe in found)
    largest = max(checkpoint_bytes(run, probe.params * BYTES_OF_WEIGHT) for run, probe in found)
    return Estimate(
        job_seconds=first,
        wall_seconds=max(free.values()),
        disk_bytes=kept + len(slots) * largest,
        peak_memory_bytes=max(probe.peak_memory_bytes for _, probe in found),
    )


@dataclass(frozen=True)
class Unprobed:
    """A job that is to be tried, and where."""

    run: StudyRun
    setting: JobSetting
    key: str


def unprobed(
    runs: Sequence[StudyRun], slots: Sequence[Slot], *, precisions: Mapping[Precision, Resolved], probes: ProbeResults
) -> list[Unprobed]:
    """A job for each cost that is not known yet."""
    missing: dict[str, Unprobed] = {}
    for run in runs:
        for slot in slots:
            setting = setting_of(slot, slots, precisions[run.spec.recipe.precision])
            if probes.get(run.spec, setting) is None:
                key = probe_key(run.spec, setting)
                missing.setdefault(key, Unprobed(run, setting, key))
    return list(missing.values())


def probe_missing(
    missing: Sequence[Unprobed], slots: Sequence[Slot], store: Store, *, tell: Callable[[str], None]
) -> None:
    """Try jobs, a slot's worth at a time, so that each has as much beside it as in the grid; file what they cost.

    Args:
        tell: told of each that is tried, and of one that could not be.
    """
    for kind in dict.fromkeys(each.setting.device_kind for each in missing):
        mine = [slot for slot in slots if slot.device.kind == kind]
        waiting = [each for each in missing if each.setting.device_kind == kind]
        for first in range(0, len(waiting), len(mine)):
            together = waiting[first : first + len(mine)]
            # Fewer jobs than slots would have less beside them than in the grid.
            filled = [together[i % len(together)] for i in range(len(mine))]
            for each in together:
                tell(f"probing {each.run.labels.backbone} {each.run.labels.method} on {kind}")
            try_together(list(zip(filled, mine, strict=True)), store, tell=tell)


def try_together(jobs: Sequence[tuple[Unprobed, Slot]], store: Store, *, tell: Callable[[str], None]) -> None:
    log_path = store.root / "probes" / LOG
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("wb") as log:
        processes = [
            spawn(task_of(each, slot, store), slot.device, threads=slot.threads, log=log) for each, slot in jobs
        ]
    try:
        for process, (each, _) in zip(processes, jobs, strict=True):
            if process.wait() != 0:
                why = failure(process.returncode, log_path).reason
                tell(f"could not be probed: {each.run.labels.backbone} {each.run.labels.method}: {why}")
    finally:
        stop(processes)


def task_of(each: Unprobed, slot: Slot, store: Store) -> ProbeTask:
    job = Job(
        spec=each.run.spec,
        labels=each.run.labels,
        store=str(store.root),
        device=in_child(slot.device),
        device_label=slot.device.label,
        device_name=slot.device.name,
        threads=slot.threads,
        precision=each.setting.precision,
        cores=slot.cores,
    )
    return ProbeTask(
        job=job,
        key=each.key,
        title=f"{each.run.labels.backbone} {each.run.labels.method} {each.run.labels.dataset}",
        machine_id=machine.host().machine_id,
        computes_bf16=slot.device.computes_bf16,
        jobs=each.setting.jobs,
        seconds=PROBE_SECONDS,
        asked_at=time.time(),
    )
