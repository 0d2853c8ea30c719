"""Whether the time that is left to a worker is enough for another run."""

import time
from collections.abc import Callable, Mapping, Sequence

from slbench import machine
from slbench.grid.estimate import ProbeResults, job_seconds, setting_of
from slbench.grid.events import Event, Finished
from slbench.grid.slots import Resolved, Slot
from slbench.grid.status import cost_group, steps
from slbench.measurement_records import Probe
from slbench.recipes import Precision
from slbench.store import Store
from slbench.study import StudyRun


class TimeLeft:
    """Time left of an allocation, against the time of runs as measured: by probes of this machine, or by this worker.

    A run that no allocation of this length can hold may start at any time, since it is interrupted in any case. So may
    one whose speed is not known.

    Args:
        seconds: from now on, when the allocation begins.
    """

    def __init__(
        self,
        seconds: float,
        *,
        store: Store,
        slots: Sequence[Slot],
        precisions: Mapping[Precision, Resolved],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock, self.ends, self.allocation = clock, clock() + seconds, seconds
        self.store, self.slots, self.precisions = store, slots, precisions
        self._probes = ProbeResults(store, machine_id=machine.host().machine_id)
        self._measured: dict[str, float] = {}  # seconds per step, by cost group
        self._probed: dict[tuple[str, str], Probe | None] = {}
        self._done: dict[str, int] = {}  # epochs, by run id

    def see(self, event: Event) -> None:
        """Learn the speed of a run that has finished here."""
        if isinstance(event, Finished):
            self._measured[cost_group(event.run)] = event.seconds / steps(event.run)

    def holds(self, run: StudyRun) -> bool:
        """Return whether a run would end in time, as far as its speed is known."""
        left, whole = self.ends - self.clock(), self._seconds(run, epochs_done=0)
        if whole is None or whole <= left:
            return True
        rest = self._seconds(run, epochs_done=self._epochs_done(run))
        return rest is None or rest <= left or rest > self.allocation

    def _epochs_done(self, run: StudyRun) -> int:
        """Return the epochs that need not be repeated, as they were when this was first asked."""
        if run.spec.run_id not in self._done:
            self._done[run.spec.run_id] = self.store.epochs_done(run.spec)
        return self._done[run.spec.run_id]

    def _seconds(self, run: StudyRun, *, epochs_done: int) -> float | None:
        """Return the expected seconds of a run; None if its speed is not known."""
        if (per_step := self._measured.get(cost_group(run))) is not None:
            return per_step * (steps(run) - epochs_done * run.spec.steps_per_epoch)
        setting = setting_of(self.slots[0], self.slots, self.precisions[run.spec.recipe.precision])
        group = (cost_group(run), run.spec.recipe.precision)
        if group not in self._probed:
            self._probed[group] = self._probes.get(run.spec, setting)
        probe = self._probed[group]
        return None if probe is None else job_seconds(run.spec, probe, epochs_done=epochs_done)
