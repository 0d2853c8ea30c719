"""A study on this machine: everything checked first, then run, then measured."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from slbench.data import check_here
from slbench.grid.adaptive_seeds import AdaptiveSeeds
from slbench.grid.concurrency import choose
from slbench.grid.estimate import Estimate, ProbeResults, estimate, probe_missing, setting_of, unprobed
from slbench.grid.events import AlreadyFinished, Event, Failed, GridStopped, SeedAdded, WaitingForOthers
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.grid.slots import NO_DEVICES, Device, Resolved, Slot, make_slots, resolve_precision
from slbench.grid.throughput import measure_missing
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.store import State, Store
from slbench.study import Study, StudyRun


@dataclass(frozen=True)
class PreparedGrid:
    """A grid that is known to be good, before anything is written."""

    runs: tuple[StudyRun, ...]
    states: Mapping[str, State]  # by run id
    slots: tuple[Slot, ...]
    precisions: Mapping[Precision, Resolved]  # what each that a recipe asks for has become
    store: Store

    @property
    def todo(self) -> list[StudyRun]:
        """The runs that are not finished, in order."""
        return [run for run in self.runs if self.states[run.spec.run_id] != "done"]


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
    """Check store, devices and precision, and look up what is finished. Writes nothing.

    Args:
        writing: also make sure that the store can be written to.
        with_data: also make sure that the data are here.
        elsewhere: as `make_slots` has it.
    Raises:
        StoreError, InputError: for what is wrong.
    """
    store.check(writing=writing)
    slots = make_slots(devices, jobs_per_device=jobs_per_device, threads=threads, elsewhere=elsewhere)
    requested = dict.fromkeys(run.spec.recipe.precision for run in runs)
    precisions = {precision: resolve_precision(precision, slots) for precision in requested}
    grid = PreparedGrid(tuple(runs), store.states(run.spec for run in runs), tuple(slots), precisions, store)
    if with_data:
        for run in grid.todo:
            check_here(run.spec.dataset)
    return grid


def launch_jobs(
    grid: PreparedGrid,
    *,
    policy: Policy,
    on_event: Callable[[Event], None],
    tensorboard: Path | None = None,
    study: Study | None = None,
) -> bool:
    """Run what is not finished; whether this launcher did just that at the first try, so that its time says something.

    Args:
        study: whose rule of seeds, if it has one, may want further runs when these have ended.
    """
    unclean: list[Event] = []

    def see(event: Event) -> None:
        if isinstance(event, SeedAdded | Failed | AlreadyFinished | WaitingForOthers | GridStopped):
            unclean.append(event)
        if further is not None:
            further.see(event)
        on_event(event)

    further = AdaptiveSeeds(study, grid.store, on_event=see) if study is not None and study.seeds is not None else None
    executor = LocalExecutor(
        grid.slots,
        store=grid.store,
        precisions=grid.precisions,
        on_event=see,
        policy=policy,
        tensorboard=tensorboard,
    )
    executor.run(largest_first(grid.todo, slots=len(grid.slots)), more=further or nothing)
    runs = grid.runs if further is None else further.given.values()
    after = grid.store.states(run.spec for run in runs)
    grid.store.claims.forget(run for run, state in after.items() if state == "done")
    return not unclean


def nothing() -> None:
    """No further run."""


def measure_speeds(grid: PreparedGrid, *, on_event: Callable[[Event], None]) -> None:
    """Measure the images/s that a report on the grid lacks."""
    measure_missing(grid.runs, grid.store, [slot.device for slot in grid.slots], on_event=on_event)


def packed(grid: PreparedGrid, *, devices: str, threads: int, tell: Callable[[str], None]) -> PreparedGrid:
    """The grid with as many jobs a device as end it first; see `slbench.grid.concurrency`."""
    jobs = choose(grid.todo, devices, threads=threads, precisions=grid.precisions, store=grid.store, tell=tell)
    return dataclasses.replace(grid, slots=tuple(make_slots(devices, jobs_per_device=jobs, threads=threads)))


def probe_grid(grid: PreparedGrid, probes: ProbeResults, *, tell: Callable[[str], None]) -> None:
    """Try every kind of job of the grid whose cost is not known."""
    missing = unprobed(grid.todo, grid.slots, precisions=grid.precisions, probes=probes)
    probe_missing(missing, grid.slots, grid.store, tell=tell)


def cost_of(grid: PreparedGrid, probes: ProbeResults) -> Estimate | None:
    """What is left of the grid will take; None if a job of it was never probed."""
    return estimate(grid.todo, grid.slots, precisions=grid.precisions, probes=probes)


def known(grid: PreparedGrid, probes: ProbeResults) -> list[Probe]:
    """What is known of the cost of the grid's jobs."""
    found = {}
    for run in grid.runs:
        for slot in grid.slots:
            setting = setting_of(slot, grid.slots, grid.precisions[run.spec.recipe.precision])
            probe = probes.get(run.spec, setting)
            if probe is not None:
                found[probe.key] = probe
    return list(found.values())


def largest_first(runs: Sequence[StudyRun], *, slots: int) -> list[StudyRun]:
    """Runs by what they have to compute, so that no long one is left for the end; alike ones in their order."""
    networks = {(run.spec.backbone, run.spec.method, run.spec.dataset.name, run.spec.recipe.epochs) for run in runs}
    if slots == 1 or len(runs) <= slots or len(networks) == 1:
        return list(runs)  # no order is better than another, and counting takes torch
    from slbench.measure.compute_budget import work

    return sorted(runs, key=lambda run: work(run.spec).macs, reverse=True)
