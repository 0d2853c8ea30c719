"""Check a study on this machine, run it, then measure throughput."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slbench.data import check_available, rehash
from slbench.grid.adaptive_seeds import AdaptiveSeeds, write_study_file
from slbench.grid.concurrency import choose
from slbench.grid.estimate import PROBE_SHARE, Estimate, ProbeResults, estimate, probe_missing, setting_of, unprobed
from slbench.grid.events import AlreadyFinished, Event, Failed, GridStopped, Limit, SeedAdded, WaitingForOthers
from slbench.grid.executor import NO_LIMITS, Limits, MakeExecutor
from slbench.grid.local import LocalExecutor
from slbench.grid.model_check import check_models_of
from slbench.grid.queue import Policy
from slbench.grid.slots import (
    NO_DEVICES,
    Device,
    Resolved,
    Slot,
    free_memory,
    make_slots,
    resolve_compile,
    resolve_precision,
)
from slbench.grid.throughput import measure_missing
from slbench.measure.memory_bounds import check_training
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.store import ENDED, State, Store
from slbench.study import Study, StudyRun
from slbench.text import duration, plural
from slbench.train.tracking import Tracking


@dataclass(frozen=True)
class PreparedGrid:
    """A checked grid; nothing has been written yet."""

    runs: tuple[StudyRun, ...]
    states: Mapping[str, State]  # by run id
    slots: tuple[Slot, ...]
    precisions: Mapping[Precision, Resolved]  # requested precision -> the one used
    store: Store
    notes: tuple[str, ...] = ()  # on networks made of others' code

    @property
    def todo(self) -> list[StudyRun]:
        """The runs that have not ended, in order."""
        return [run for run in self.runs if self.states[run.spec.run_id] not in ENDED]


def prepare(
    runs: Sequence[StudyRun],
    store: Store,
    *,
    devices: str,
    jobs_per_device: int | None,
    threads: int,
    writing: bool,
    with_data: bool,
    elsewhere: Mapping[str, Device] = NO_DEVICES,
) -> PreparedGrid:
    """Check store, devices, precision and foreign models, and read the state of the runs. Writes nothing.

    Args:
        writing: also check that the store is writable.
        with_data: also check that the data sets are on this machine.
        elsewhere: see `make_slots`.
    Raises:
        StoreError, InputError: for the first problem found.
    """
    store.check(writing=writing)
    slots = make_slots(devices, jobs_per_device=jobs_per_device, threads=threads, elsewhere=elsewhere)
    requested = dict.fromkeys(run.spec.recipe.precision for run in runs)
    precisions = {precision: resolve_precision(precision, slots) for precision in requested}
    for run in runs:
        resolve_compile(run.spec, slots)
    grid = PreparedGrid(tuple(runs), store.states(run.spec for run in runs), tuple(slots), precisions, store)
    grid = dataclasses.replace(grid, notes=tuple(check_models_of(grid.todo)))
    specs = [run.spec for run in grid.todo]
    different = {(spec.backbone, spec.method, spec.dataset, spec.recipe, spec.protocol): spec for spec in specs}
    for device in {slot.device.label: slot.device for slot in slots}.values():
        memory = free_memory(device) if with_data else 0  # a plan may be for another machine
        for spec in different.values():
            check_training(spec, device.label, memory)
    if with_data:
        check_data(grid)
    return grid


def check_data(grid: PreparedGrid) -> None:
    """Check that the data sets of the unfinished runs are on this machine. Raises InputError if one is not."""
    for spec, data in dict.fromkeys((run.spec.dataset, run.data) for run in grid.todo):
        check_available(spec, data)
        rehash(spec, data)


@dataclass(frozen=True)
class Outcome:
    """How the jobs of a grid ended."""

    failed: int  # runs that failed here
    stopped: bool  # trouble such as a full disk stopped it before all runs were started
    clean: bool  # exactly the unfinished runs ran here, at the first try, so that the time is meaningful
    limit: Limit = ""  # that ended it before all runs were done, if one did
    reason: str = ""  # why it ended then


def launch_jobs(
    grid: PreparedGrid,
    *,
    policy: Policy,
    on_event: Callable[[Event], None],
    tracking: Tracking | None = None,
    study: Study | None = None,
    limits: Limits = NO_LIMITS,
    executor: MakeExecutor = LocalExecutor,
) -> Outcome:
    """Claim and run unfinished runs until none is left to claim.

    Args:
        study: writes its file in the store, and adds the runs that its seed rule, if any, requests.
        limits: how long to go on. Runs claimed elsewhere that an undecided comparison of the seed rule needs are waited
            for in any case.
    Raises:
        StoreError: if the store vanishes.
    """
    if study is not None:
        write_study_file(study, grid.store)
    unclean: list[Event] = []

    def see(event: Event) -> None:
        if isinstance(event, SeedAdded | Failed | AlreadyFinished | WaitingForOthers | GridStopped):
            unclean.append(event)
        if added is not None:
            added.on_grid_event(event)
        on_event(event)

    added = AdaptiveSeeds(study, grid.store, on_event=see) if study is not None and study.seeds is not None else None
    waits = dataclasses.replace(limits, wait=lambda: limits.wait() or (added is not None and added.is_pending()))
    failed = executor(
        grid.slots,
        store=grid.store,
        precisions=grid.precisions,
        on_event=see,
        policy=policy,
        limits=waits,
        tracking=tracking,
    ).run(largest_first(grid.todo, slots=len(grid.slots)), more=added or (lambda: None))
    runs = grid.runs if added is None else added.assigned.values()
    named = grid.store.claims.names()
    after = grid.store.states(run.spec for run in runs if run.spec.run_id in named)
    grid.store.claims.forget(run for run, state in after.items() if state in ENDED)
    stops = [event for event in unclean if isinstance(event, GridStopped)]
    return Outcome(
        failed,
        stopped=any(not stop.is_limit for stop in stops),
        clean=not unclean,
        limit=next((stop.limit for stop in stops if stop.is_limit), ""),
        reason="; ".join(stop.reason for stop in stops),
    )


def measure_speeds(grid: PreparedGrid, *, on_event: Callable[[Event], None]) -> None:
    """Measure the images/s that a report on the grid needs and the store lacks."""
    measure_missing(grid.runs, grid.store, [slot.device for slot in grid.slots], on_event=on_event)


def with_best_concurrency(
    grid: PreparedGrid, *, devices: str, threads: int, tell: Callable[[str], None]
) -> PreparedGrid:
    """Return the grid with the fastest number of jobs per device; see `slbench.grid.concurrency`."""
    jobs = choose(grid.todo, devices, threads=threads, precisions=grid.precisions, store=grid.store, tell=tell)
    return dataclasses.replace(grid, slots=tuple(make_slots(devices, jobs_per_device=jobs, threads=threads)))


def probe_grid(grid: PreparedGrid, probes: ProbeResults, *, tell: Callable[[str], None]) -> None:
    """Probe every kind of job of the grid whose cost is not known; tell if that took more than a tenth of the grid."""
    missing, began = unprobed(grid.todo, grid.slots, precisions=grid.precisions, probes=probes), time.monotonic()
    probe_missing(missing, grid.slots, grid.store, tell=tell)
    took, cost = time.monotonic() - began, cost_of(grid, probes)
    if missing and cost is not None and took > PROBE_SHARE * cost.wall_seconds:
        tell(
            f"the probe took {duration(took)}, {100 * took / cost.wall_seconds:.0f} % of the grid's "
            f"{duration(cost.wall_seconds)}, as each of {plural(len(missing), 'kind')} of job needs a process, "
            "its data and a few steps"
        )


def cost_of(grid: PreparedGrid, probes: ProbeResults) -> Estimate | None:
    """Return the cost of the rest of the grid; None if some job was never probed."""
    return estimate(grid.todo, grid.slots, precisions=grid.precisions, probes=probes)


def known_probes(grid: PreparedGrid, probes: ProbeResults) -> list[Probe]:
    """Return the known probes of the grid's jobs."""
    results = {}
    for run in grid.runs:
        for slot in grid.slots:
            setting = setting_of(slot, grid.slots, grid.precisions[run.spec.recipe.precision])
            probe = probes.get(run.spec, setting)
            if probe is not None:
                results[probe.key] = probe
    return list(results.values())


def largest_first(runs: Sequence[StudyRun], *, slots: int) -> list[StudyRun]:
    """Return the runs sorted by compute, largest first, so that no long run is left for the end."""
    networks = {(run.spec.backbone, run.spec.method, run.spec.dataset.name, run.spec.recipe.epochs) for run in runs}
    if slots == 1 or len(runs) <= slots or len(networks) == 1:
        return list(runs)  # the order does not matter, and counting imports torch
    from slbench.measure.compute_budget import compute_budget

    return sorted(runs, key=lambda run: compute_budget(run.spec).macs, reverse=True)
