"""The proof that a killed run ends as the calm one: each run is made twice, once killed again and again."""

import csv
import dataclasses
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slbench.grid.events import Event, Failed, Progressed
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy, RunningJob
from slbench.grid.slots import Resolved, Slot
from slbench.recipes import Precision
from slbench.record import TEMPERATURES, RunRecord
from slbench.store import Store
from slbench.study import StudyRun

CHECKPOINT_SECONDS = 1.0  # between two within an epoch, in the run that is killed
LONGEST_DELAY = 0.5  # seconds between what a job says and its death, so that it dies while writing too
TIMES = ("train_seconds",)  # columns of a history that may differ


@dataclass(frozen=True)
class Proof:
    """What became of a run that was made twice."""

    run: StudyRun
    killed_at: tuple[int, ...]  # steps that it had said to have done
    calm: RunRecord | None  # None if it failed
    killed: RunRecord | None
    differences: Mapping[str, tuple[Any, Any]]  # by field: of the calm run and of the killed one

    @property
    def holds(self) -> bool:
        return bool(self.killed_at) and self.calm is not None and self.killed is not None and not self.differences


class Killer:
    """Kills the children of an executor at steps drawn at random."""

    def __init__(self, runs: Sequence[StudyRun], *, kills: int, draw: random.Random) -> None:
        self.draw = draw
        self.executor: LocalExecutor | None = None
        self.killed_at: dict[str, list[int]] = {run.spec.run_id: [] for run in runs}
        self.aimed: dict[str, int] = {}  # runs that are to die, and the step they had said
        self.targets = {}
        for run in runs:
            steps = run.spec.recipe.epochs * run.spec.steps_per_epoch
            self.targets[run.spec.run_id] = sorted(draw.randrange(steps) for _ in range(kills))

    def see(self, event: Event) -> bool:
        """Have a child killed that has come as far as its next target; whether the event is a death that was meant."""
        if isinstance(event, Progressed):
            self._aim(event)
        elif isinstance(event, Failed) and event.failure.signal == "SIGKILL":
            step = self.aimed.pop(event.run.spec.run_id, None)
            if step is not None:
                self.killed_at[event.run.spec.run_id].append(step)
                return event.again
        return False

    def _aim(self, event: Progressed) -> None:
        run_id, step = event.run.spec.run_id, event.said.step
        killed, targets = self.killed_at[run_id], self.targets[run_id]
        over = len(killed) == len(targets) or step == event.said.steps
        if over or run_id in self.aimed or step < targets[len(killed)] or self.executor is None:
            return
        for child in self.executor.busy:
            if child.run.spec.run_id == run_id:
                self.aimed[run_id] = step
                threading.Timer(self.draw.uniform(0, LONGEST_DELAY), self._kill, [child]).start()

    def _kill(self, child: RunningJob) -> None:
        """Kill a child unless it has ended meanwhile: its process may be at another job."""
        if child.worker.child is child and child.process.poll() is None:
            child.process.kill()
        else:
            self.aimed.pop(child.run.spec.run_id, None)


class Verification:
    """Makes every run twice, in two stores in a folder.

    Args:
        kills: of each run, if it lives long enough for so many; at least one is part of a proof.
        seed: of the steps at which they come.
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
    ) -> None:
        self.runs, self.slots, self.precisions = runs, slots, precisions
        self.calm, self.stormy = Store(folder / "calm"), Store(folder / "killed")
        self.kills = kills
        self.killer = Killer(runs, kills=kills, draw=random.Random(seed))

    def run_calmly(self, on_event: Callable[[Event], None]) -> None:
        """Make every run once through."""
        LocalExecutor(self.slots, store=self.calm, precisions=self.precisions, on_event=on_event).run(self.runs)

    def run_killed(self, on_event: Callable[[Event], None]) -> None:
        """Make every run again, killed on the way; deaths that were meant are no events."""

        def see(event: Event) -> None:
            if not self.killer.see(event):
                on_event(event)

        policy = Policy(retries=2 * self.kills, checkpoint_seconds=CHECKPOINT_SECONDS)  # a neighbour may die too
        executor = LocalExecutor(self.slots, store=self.stormy, precisions=self.precisions, on_event=see, policy=policy)
        self.killer.executor = executor
        executor.run(self.runs)

    def proofs(self) -> list[Proof]:
        """What has come out, run by run."""
        return [proof(run, self.calm, self.stormy, self.killer.killed_at[run.spec.run_id]) for run in self.runs]


def proof(run: StudyRun, calm: Store, stormy: Store, killed_at: Sequence[int]) -> Proof:
    """Compare what two stores hold of a run: every field that is no time, speed or memory, and its histories."""
    first, second = calm.record(run.spec.run_id), stormy.record(run.spec.run_id)
    differences: dict[str, tuple[Any, Any]] = {}
    if first is not None and second is not None:
        differences = first.differences(second)
        folders = [store.folder(run.spec, run.labels) for store in (calm, stormy)]
        for name in (first.history, TEMPERATURES):
            one, other = (read_rows(folder / name) for folder in folders)
            if one != other:
                differences[name] = (one, other)
    return Proof(run, tuple(killed_at), first, second, differences)


def read_rows(path: Path) -> list[dict[str, str]]:
    """A history without its times; empty where there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


def one_a_network(runs: Sequence[StudyRun]) -> tuple[StudyRun, ...]:
    """The first run of each backbone, row and data set: what decides whether resuming is exact, but for the seed."""
    first: dict[str, StudyRun] = {}
    for run in runs:
        first.setdefault(repr(dataclasses.replace(run.spec, seed=0)), run)
    return tuple(first.values())
