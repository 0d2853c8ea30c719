"""Where a study stands, read from its store: what is done, who is at work on what, how long it will take."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from pydantic import ValidationError

from slbench.claims import ActiveClaim
from slbench.record import Failure, Pruned, RunRecord
from slbench.store import State, Store
from slbench.study import StudyRun

if TYPE_CHECKING:
    from slbench.grid.messages import ProgressMessage


@dataclass(frozen=True)
class GridStatus:
    """A look at a study's runs."""

    runs: tuple[StudyRun, ...]
    states: Mapping[str, State]  # by run id
    holders: Mapping[str, ActiveClaim]  # of those that run
    failures: Mapping[str, Failure]  # of those that failed
    pruned: Mapping[str, Pruned]  # of those that a search has stopped
    records: Mapping[str, RunRecord]  # of those that are done

    @classmethod
    def of(cls, runs: Sequence[StudyRun], store: Store) -> "GridStatus":
        """Raises StoreError at a damaged record."""
        states = store.states(run.spec for run in runs)
        held = store.claims.holders()
        failures = {run: store.failure(run) for run, state in states.items() if state == "failed"}
        pruned = {run: store.pruned(run) for run, state in states.items() if state == "pruned"}
        return cls(
            runs=tuple(runs),
            states=states,
            holders={run: held[run] for run, state in states.items() if state == "running" and run in held},
            failures={run: why for run, why in failures.items() if why is not None},
            pruned={run: why for run, why in pruned.items() if why is not None},
            records={
                record.run_id: record
                for record in store.records(run for run, state in states.items() if state == "done")
            },
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing is left that a launcher is at work on, or would be."""
        return not {"running", "missing"} & set(self.states.values())

    def by_cause(self) -> list[tuple[Failure, list[StudyRun]]]:
        """The failed runs, those together that died the same way; the largest group first."""
        groups = defaultdict[str, list[StudyRun]](list)
        for run in self.runs:
            if run.spec.run_id in self.failures:
                groups[self.failures[run.spec.run_id].cause].append(run)
        ordered = sorted(groups.values(), key=len, reverse=True)
        return [(self.failures[group[0].spec.run_id], group) for group in ordered]

    def seconds_left(self, run: StudyRun) -> float | None:
        """Of a run that is running: at its own speed; None before its first step."""
        said = self.said(run)
        return None if said is None else (said.steps - said.step) * step_seconds(said, run)

    def said(self, run: StudyRun) -> "ProgressMessage | None":
        """What a run that is running has told last; None if it has not begun, or if that cannot be read."""
        from slbench.grid.messages import ProgressMessage

        holder = self.holders.get(run.spec.run_id)
        try:
            said = None if holder is None else ProgressMessage.model_validate(holder.progress)
        except ValidationError:
            return None
        return said if said is not None and said.images_per_second > 0 else None

    def total_seconds_left(self) -> float | None:
        """Until all is done, with as many jobs at a time as now; None if nobody is at work, or none has begun.

        Runs that wait are taken to cost a step what steps of the same network and data cost, else what a step costs.
        """
        known = self._known()
        at_work = [run for run in self.runs if run.spec.run_id in self.holders]
        if not at_work or not known:
            return None
        typical = mean(mean(seconds) for seconds in known.values())
        left = 0.0
        for run in self.runs:
            if self.states[run.spec.run_id] in ("missing", "pruned", "running"):
                whole = mean(known.get(alike(run), [typical])) * steps(run)
                mine = self.seconds_left(run)
                left += whole if mine is None else mine
        return left / len(at_work)

    def _known(self) -> dict[str, list[float]]:
        """Seconds a step, evaluation included, of what has run or runs."""
        known = defaultdict[str, list[float]](list)
        for run in self.runs:
            record, said = self.records.get(run.spec.run_id), self.said(run)
            if record is not None:
                known[alike(run)].append(record.seconds / record.steps)
            elif said is not None:
                known[alike(run)].append(step_seconds(said, run))
        return known


def step_seconds(said: "ProgressMessage", run: StudyRun) -> float:
    """What a step of a run takes, at the speed it tells."""
    return run.spec.samples_per_epoch / run.spec.steps_per_epoch / said.images_per_second


def alike(run: StudyRun) -> str:
    """The same for runs whose steps cost the same."""
    return f"{run.spec.backbone} {run.spec.method} {run.spec.dataset.image_size} {run.spec.recipe.batch_size}"


def steps(run: StudyRun) -> int:
    return run.spec.recipe.epochs * run.spec.steps_per_epoch
