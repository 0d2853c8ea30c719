"""A study on this machine: everything checked first, then run, then measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from slbench.data import check_here
from slbench.grid.events import Event
from slbench.grid.local import LocalExecutor, Policy
from slbench.grid.slots import Resolved, Slot, make_slots, resolve_precision
from slbench.grid.speeds import measure_missing
from slbench.recipes import Precision
from slbench.store import State, Store
from slbench.study import StudyRun


@dataclass(frozen=True)
class Launch:
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
    runs: Sequence[StudyRun], store: Store, *, devices: str, jobs_per_device: int | None, threads: int, writing: bool
) -> Launch:
    """Check store, devices and precision, and look up what is finished. Writes nothing.

    Args:
        writing: also make sure that the store can be written to, and that the data are here.
    Raises:
        StoreError, InputError: for what is wrong.
    """
    store.check(writing=writing)
    slots = make_slots(devices, jobs_per_device=jobs_per_device, threads=threads)
    requested = dict.fromkeys(run.spec.recipe.precision for run in runs)
    precisions = {precision: resolve_precision(precision, slots) for precision in requested}
    grid = Launch(tuple(runs), store.states(run.spec for run in runs), tuple(slots), precisions, store)
    if writing:
        for run in grid.todo:
            check_here(run.spec.dataset)
    return grid


def launch(grid: Launch, *, policy: Policy, throughput: bool, on_event: Callable[[Event], None]) -> None:
    """Run what is not finished, then measure the speeds that a report on the grid lacks."""
    executor = LocalExecutor(grid.slots, store=grid.store, precisions=grid.precisions, on_event=on_event, policy=policy)
    executor.run(grid.todo)
    after = grid.store.states(run.spec for run in grid.runs)
    grid.store.claims.forget(run for run, state in after.items() if state == "done")
    if throughput:
        measure_missing(grid.runs, grid.store, [slot.device for slot in grid.slots], on_event=on_event)
