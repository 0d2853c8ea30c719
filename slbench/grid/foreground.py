"""Train one run in this process, with the claim, the store and the record of a grid."""

import os
from collections.abc import Callable

from slbench import machine
from slbench.errors import DivergedError, InputError, TrainingError
from slbench.grid.disk_budget import disk_shortfall
from slbench.grid.model_check import check_models_of
from slbench.grid.processes import compile_environment, worker_device
from slbench.grid.slots import make_slots, resolve_compile, resolve_precision
from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.progress import Progress
from slbench.train.tracking import Tracking


def train_in_foreground(
    run: StudyRun,
    store: Store,
    *,
    devices: str,
    threads: int,
    tracking: Tracking | None,
    on_progress: Callable[[Progress], None],
) -> RunRecord:
    """Train a run on the first device, from its last checkpoint if there is one; return its record.

    Raises:
        InputError: if another process has claimed the run, or a device is not usable.
        TrainingError: if the run cannot be finished, or another process takes it over.
    """
    slot = make_slots(devices, jobs_per_device=1, threads=threads)[0]
    precision = resolve_precision(run.spec.recipe.precision, [slot])
    compiled = resolve_compile(run.spec, [slot])
    for name, value in compile_environment(threads).items():  # before torch is imported
        os.environ.setdefault(name, value)
    check_models_of([run])
    import torch

    from slbench.train.run import RunInterrupted, execute

    machine.keep_freed_memory()
    claim = store.claims.acquire_unless_alive(run.spec.run_id)
    if claim is None:
        raise InputError(f"{run.title}: is being trained by another process (see slbench status)")
    device = slot.device.label if slot.device.kind == "cuda" else worker_device(slot.device)
    try:
        with claim.heartbeats() as still_ours:
            if (record := store.record(run.spec.run_id)) is not None:
                return record  # another process has just finished it
            if (diverged := store.diverged(run.spec.run_id)) is not None:
                raise DivergedError(f"{run.title}: diverged: {diverged.reason}; --retry-diverged trains it again")
            if (shortfall := disk_shortfall(store, run, [])) is not None:
                raise TrainingError(shortfall)
            store.begin(run.spec, run.labels, trial=run.trial, command=machine.command_line())
            return execute(
                run.spec,
                run.labels,
                data=run.data,
                store=store,
                device=torch.device(device),
                device_label=slot.device.label,
                device_name=slot.device.name,
                precision=precision,
                compiled=compiled,
                threads=threads,
                tracking=tracking,
                name=run.name,
                on_progress=on_progress,
                should_continue=still_ours,
            )
    except RunInterrupted as stopped:
        raise TrainingError(f"{run.title}: another process took the run over") from stopped
    finally:
        claim.release(done=store.has_ended(run.spec))
