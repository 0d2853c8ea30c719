"""Status of a study, read from its store: states, active claims, failures, time left."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from pydantic import ValidationError

from slbench.claims import ActiveClaim
from slbench.errors import StoreError
from slbench.record import DivergedRecord, Failure, Outcome, Pruned, RunRecord
from slbench.store import State, Store, read_ended
from slbench.study import StudyRun

if TYPE_CHECKING:
    from slbench.train.progress import Progress


@dataclass(frozen=True)
class Pause:
    """Where a run that was interrupted continues."""

    epoch: int  # counted from 1
    command: str  # that started it, and continues it; empty: not known

    @classmethod
    def of(cls, run: StudyRun, store: Store) -> "Pause":
        """Read where a run with a checkpoint continues."""
        launch = store.launch(run.spec)
        return cls(resume_epoch(run, store), "" if launch is None else launch.command)


def resume_epoch(run: StudyRun, store: Store) -> int:
    """Return the epoch, counted from 1, at which a run with a checkpoint continues."""
    return min(store.epochs_done(run.spec) + 1, run.spec.recipe.epochs)


@dataclass(frozen=True)
class GridStatus:
    """Status of the runs of a study at one moment."""

    runs: tuple[StudyRun, ...]
    states: Mapping[str, State]  # by run id
    holders: Mapping[str, ActiveClaim]  # of the running
    failures: Mapping[str, Failure]  # of the failed
    pruned: Mapping[str, Pruned]  # of the pruned
    records: Mapping[str, RunRecord]  # of the done
    diverged: Mapping[str, DivergedRecord]  # of the diverged
    damaged: Mapping[str, str]  # what is wrong with the records of the damaged, in one line
    paused: Mapping[str, Pause]  # of the paused

    @classmethod
    def of(cls, runs: Sequence[StudyRun], store: Store) -> "GridStatus":
        """Read the status of runs."""
        states = store.states(run.spec for run in runs)
        outcomes, damaged = read_outcomes(store, runs)
        states |= dict.fromkeys((run for run in damaged if states[run] != "running"), "damaged")
        active = store.claims.holders()
        failures = {run: store.failure(run) for run, state in states.items() if state == "failed"}
        pruned = {run: store.pruned(run) for run, state in states.items() if state == "pruned"}
        return cls(
            runs=tuple(runs),
            states=states,
            holders={run: active[run] for run, state in states.items() if state == "running" and run in active},
            failures={run: why for run, why in failures.items() if why is not None},
            pruned={run: why for run, why in pruned.items() if why is not None},
            records={run: outcome for run, outcome in outcomes.items() if isinstance(outcome, RunRecord)},
            diverged={run: outcome for run, outcome in outcomes.items() if isinstance(outcome, DivergedRecord)},
            damaged={run: line for run, line in damaged.items() if states[run] == "damaged"},
            paused={run.spec.run_id: Pause.of(run, store) for run in runs if states[run.spec.run_id] == "paused"},
        )

    @property
    def is_over(self) -> bool:
        """Return whether no run is running, paused or missing."""
        return not {"running", "paused", "missing"} & set(self.states.values())

    def by_cause(self) -> list[tuple[Failure, list[StudyRun]]]:
        """Return the failed runs grouped by cause, the largest group first."""
        groups = defaultdict[str, list[StudyRun]](list)
        for run in self.runs:
            if run.spec.run_id in self.failures:
                groups[self.failures[run.spec.run_id].cause].append(run)
        ordered = sorted(groups.values(), key=len, reverse=True)
        return [(self.failures[group[0].spec.run_id], group) for group in ordered]

    def seconds_left(self, run: StudyRun) -> float | None:
        """Return the seconds left of a running run at its own speed; None before its first step."""
        progress = self.progress(run)
        return None if progress is None else (progress.steps - progress.step) * step_seconds(progress, run)

    def progress(self, run: StudyRun) -> "Progress | None":
        """Return the latest progress of a running run; None before its first step, or if it is unreadable."""
        from slbench.train.progress import Progress

        holder = self.holders.get(run.spec.run_id)
        try:
            progress = None if holder is None else Progress.model_validate(holder.progress)
        except ValidationError:
            return None
        return progress if progress is not None and progress.images_per_second > 0 else None

    def total_seconds_left(self) -> float | None:
        """Return the seconds until all runs are done, with as many concurrent jobs as now.

        None if no run is running or no step was timed. A step of a waiting run is taken to cost the mean of the
        same network and data, else the mean over all.
        """
        known = self._step_seconds_by_cost()
        running = [run for run in self.runs if run.spec.run_id in self.holders]
        if not running or not known:
            return None
        typical = mean(mean(seconds) for seconds in known.values())
        total = 0.0
        for run in self.runs:
            if self.states[run.spec.run_id] in ("missing", "paused", "pruned", "running"):
                whole = mean(known.get(cost_group(run), [typical])) * steps(run)
                seconds_left = self.seconds_left(run)
                total += whole if seconds_left is None else seconds_left
        return total / len(running)

    def _step_seconds_by_cost(self) -> dict[str, list[float]]:
        """Return the seconds per step, with evaluation, of finished and running runs by cost group."""
        known = defaultdict[str, list[float]](list)
        for run in self.runs:
            record, progress = self.records.get(run.spec.run_id), self.progress(run)
            if record is not None:
                known[cost_group(run)].append(record.seconds / record.steps)
            elif progress is not None:
                known[cost_group(run)].append(step_seconds(progress, run))
        return known


def read_outcomes(store: Store, runs: Sequence[StudyRun]) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Return the outcomes of runs by id, and what is wrong with those that cannot be used."""
    folders, outcomes, damaged = store.ids(), dict[str, Outcome](), dict[str, str]()
    for run_id in (run.spec.run_id for run in runs if run.spec.run_id in folders):
        try:
            outcome = read_ended(folders[run_id])
        except StoreError as error:
            damaged[run_id] = str(error)
            continue
        if outcome is not None:
            outcomes[run_id] = outcome
    return outcomes, damaged


def step_seconds(progress: "Progress", run: StudyRun) -> float:
    """Return the seconds per step of a run at its reported speed."""
    return run.spec.samples_per_epoch / run.spec.steps_per_epoch / progress.images_per_second


def cost_group(run: StudyRun) -> str:
    """Return a key shared by the runs whose steps cost the same."""
    return f"{run.spec.backbone} {run.spec.method} {run.spec.dataset.image_size} {run.spec.recipe.batch_size}"


def steps(run: StudyRun) -> int:
    return run.spec.recipe.epochs * run.spec.steps_per_epoch
