"""Verify exact resumption: run each run twice, once undisturbed and once killed repeatedly, and compare."""

import csv
import dataclasses
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slbench.files import write_atomic
from slbench.grid.events import Event, Failed, Progressed
from slbench.grid.executor import Executor, MakeExecutor
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.grid.slots import Resolved, Slot
from slbench.recipes import Precision
from slbench.record import RunRecord
from slbench.run_paths import RunPaths
from slbench.store import RESUME_CHECK, Store
from slbench.study import StudyRun

CHECKPOINT_SECONDS = 1.0  # between two checkpoints within an epoch, in the killed run
LONGEST_DELAY = 0.5  # seconds between a progress message and the kill, so that some kills hit a write
TIMES = ("train_seconds",)  # columns of a history that may differ


@dataclass(frozen=True)
class Proof:
    """Comparison of the two executions of a run."""

    run: StudyRun
    killed_at: tuple[int, ...]  # steps reported before each kill
    undisturbed: RunRecord | None  # None if it failed
    killed: RunRecord | None
    differences: Mapping[str, tuple[Any, Any]]  # by field: (undisturbed, killed)

    @property
    def holds(self) -> bool:
        return (
            bool(self.killed_at) and self.undisturbed is not None and self.killed is not None and not self.differences
        )


class Killer:
    """Kills the workers of an executor at random steps."""

    def __init__(self, runs: Sequence[StudyRun], *, kills: int, draw: random.Random) -> None:
        self.draw = draw
        self.executor: Executor | None = None
        self.killed_at: dict[str, list[int]] = {run.spec.run_id: [] for run in runs}
        self.pending: dict[str, int] = {}  # runs with a pending kill -> the step they had reported
        self.targets = {}
        for run in runs:
            steps = run.spec.recipe.epochs * run.spec.steps_per_epoch
            self.targets[run.spec.run_id] = sorted(draw.randrange(steps) for _ in range(kills))

    def see(self, event: Event) -> bool:
        """Kill a job that has reached its next target step; return whether the event is an intended failure."""
        if isinstance(event, Progressed):
            self._schedule_kill(event)
        elif isinstance(event, Failed) and event.failure.signal == "SIGKILL":
            step = self.pending.pop(event.run.spec.run_id, None)
            if step is not None:
                self.killed_at[event.run.spec.run_id].append(step)
                return event.will_retry
        return False

    def _schedule_kill(self, event: Progressed) -> None:
        run_id, step = event.run.spec.run_id, event.progress.step
        killed, targets = self.killed_at[run_id], self.targets[run_id]
        is_last = len(killed) == len(targets) or step == event.progress.steps
        if is_last or run_id in self.pending or step < targets[len(killed)] or self.executor is None:
            return
        self.pending[run_id] = step
        threading.Timer(self.draw.uniform(0, LONGEST_DELAY), self._kill, [event.run]).start()

    def _kill(self, run: StudyRun) -> None:
        """Kill the worker of a run, unless the run has ended."""
        if self.executor is None or not self.executor.kill(run):
            self.pending.pop(run.spec.run_id, None)


class Verification:
    """Executes every run twice, in two stores in a folder.

    Args:
        kills: kills per run, fewer if it ends before; a proof needs at least one.
        seed: seed of the steps at which runs are killed.
    """

    def __init__(
        self,
        runs: Sequence[StudyRun],
        folder: Path,
        *,
        slots: Sequence[Slot],
        precisions: Mapping[Precision, Resolved],
        kills: int,
        seed: int,
        executor: MakeExecutor = LocalExecutor,
    ) -> None:
        self.executor = executor
        self.runs, self.slots, self.precisions = runs, slots, precisions
        self.undisturbed, self.killed = Store(folder / "undisturbed"), Store(folder / "killed")
        for store in (self.undisturbed, self.killed):
            write_atomic(store.root / RESUME_CHECK, b"")
        self.kills = kills
        self.killer = Killer(runs, kills=kills, draw=random.Random(seed))

    def run_undisturbed(self, on_event: Callable[[Event], None]) -> None:
        """Execute every run undisturbed."""
        self.executor(self.slots, store=self.undisturbed, precisions=self.precisions, on_event=on_event).run(self.runs)

    def run_killed(self, on_event: Callable[[Event], None]) -> None:
        """Execute every run again, killing it repeatedly; intended failures are not passed to `on_event`."""

        def see(event: Event) -> None:
            if not self.killer.see(event):
                on_event(event)

        policy = Policy(retries=2 * self.kills, checkpoint_seconds=CHECKPOINT_SECONDS)  # neighbours may fail too
        executor = self.executor(self.slots, store=self.killed, precisions=self.precisions, on_event=see, policy=policy)
        self.killer.executor = executor
        executor.run(self.runs)

    def proofs(self) -> list[Proof]:
        """Return the comparison of each run."""
        return [proof(run, self.undisturbed, self.killed, self.killer.killed_at[run.spec.run_id]) for run in self.runs]


def proof(run: StudyRun, undisturbed: Store, killed: Store, killed_at: Sequence[int]) -> Proof:
    """Compare a run in two stores: its histories and all fields except times, speeds and memory."""
    first, second = undisturbed.record(run.spec.run_id), killed.record(run.spec.run_id)
    differences: dict[str, tuple[Any, Any]] = {}
    if first is not None and second is not None:
        differences = first.differences(second)
        folders = [store.folder(run.spec, run.labels) for store in (undisturbed, killed)]
        for name in (first.history, RunPaths.temperatures):
            one, other = (read_rows(folder / name) for folder in folders)
            if one != other:
                differences[name] = (one, other)
    return Proof(run, tuple(killed_at), first, second, differences)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return a history without its times; empty if there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def one_per_network(runs: Sequence[StudyRun]) -> tuple[StudyRun, ...]:
    """Return the first run of each spec up to its seed, which exact resumption does not depend on."""
    first: dict[str, StudyRun] = {}
    for run in runs:
        first.setdefault(repr(dataclasses.replace(run.spec, seed=0)), run)
    return tuple(first.values())
