"""Adaptive seeds of a study, decided from records alone, so that the same store requests the same runs.

Every comparison of a method with its plain backbone is analyzed after `min` seeds of both; while it is undecided, both
get one more seed, up to `max` (slbench.stats.sequential keeps the error rate). The only state is the records, so a
killed grid resumes and several launchers on one store agree. An analysis needs all its seeds: a failed run blocks its
comparison until that run is finished.
"""

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slbench.errors import StoreError
from slbench.record import read_record
from slbench.run_paths import RunPaths
from slbench.store import Store
from slbench.study import Comparison, SeedRule, Study, StudyRun

if TYPE_CHECKING:
    from slbench.grid.events import Event
    from slbench.stats.sequential import InterimAnalysis

READ_SECONDS = 2.0  # between two reads of what other launchers have finished


@dataclass(frozen=True)
class Decision:
    """A comparison and its latest interim analysis."""

    comparison: Comparison
    analysis: "InterimAnalysis"


class SeedRuleState:
    """Seed rule of a study and all runs it can request.

    Args:
        study: a study with a seed rule.
    """

    def __init__(self, study: Study) -> None:
        assert study.seeds is not None, "the study has no seed rule"
        self.seeds: SeedRule = study.seeds
        self.comparisons = study.comparisons
        self.first = tuple(run for run in study.runs if run.spec.seed < self.seeds.min)
        pairs = [run for comparison in study.comparisons for run in (comparison.row, comparison.plain)]
        by_id = {run.spec.run_id: run for run in pairs}
        ids = [run.spec.run_id for run in self.first if run.spec.seed == 0]
        # runs and run ids of each cell by seed; keyed by the run with seed 0, in the study's order
        self.cells = {run: [by_id[run].at(seed) for seed in range(self.seeds.max)] for run in ids if run in by_id}
        self.ids = {run: [member.spec.run_id for member in runs] for run, runs in self.cells.items()}

    def decisions(self, accuracies: Mapping[str, float]) -> tuple[Decision, ...]:
        """Return the decision on each comparison from test accuracies of the last epoch by run id."""
        from slbench.stats.sequential import interim_analysis

        return tuple(
            Decision(
                comparison,
                interim_analysis(
                    self._by_seed(comparison.row, accuracies), self._by_seed(comparison.plain, accuracies), self.seeds
                ),
            )
            for comparison in self.comparisons
        )

    def requested(self, accuracies: Mapping[str, float]) -> tuple[StudyRun, ...]:
        """Return the runs of the first seeds, then the runs requested since, by seed."""
        requested = defaultdict[str, int](int)
        for decision in self.decisions(accuracies):
            for run in (decision.comparison.row, decision.comparison.plain):
                requested[run.spec.run_id] = max(requested[run.spec.run_id], decision.analysis.seeds)
        added = [
            runs[seed]
            for seed in range(self.seeds.min, self.seeds.max)
            for cell, runs in self.cells.items()
            if seed < requested[cell]
        ]
        return (*self.first, *added)

    def all_run_ids(self) -> set[str]:
        """Return the ids of all runs that the rule can depend on."""
        return {run for ids in self.ids.values() for run in ids}

    def _by_seed(self, run: StudyRun, accuracies: Mapping[str, float]) -> dict[int, float]:
        """Return the accuracies of a run's cell by seed."""
        ids = self.ids[run.spec.run_id]
        return {seed: accuracies[run_id] for seed, run_id in enumerate(ids) if run_id in accuracies}


def decisions(study: Study, accuracies: Mapping[str, float]) -> tuple[Decision, ...]:
    """Return the decision on each comparison of a study; empty without a seed rule.

    Args:
        accuracies: test accuracy of the last epoch in percent by run id, of the finished `requested_runs`.
    """
    return () if study.seeds is None else SeedRuleState(study).decisions(accuracies)


def requested_runs(study: Study, store: Store) -> tuple[StudyRun, ...]:
    """Return the runs of a study, including the seeds requested so far given the store."""
    if study.seeds is None:
        return study.runs
    rule = SeedRuleState(study)
    return rule.requested(accuracies_in(store, rule.all_run_ids()))


def with_adaptive_seeds(study: Study, store: Store) -> Study:
    """Return the study with `requested_runs` as its runs; unchanged without a seed rule."""
    return study if study.seeds is None else dataclasses.replace(study, runs=requested_runs(study, store))


def accuracies_in(store: Store, run_ids: Iterable[str]) -> dict[str, float]:
    """Return the test accuracy of the last epoch, in percent, of each finished run; unreadable records are skipped."""
    folders, accuracies = store.ids(), dict[str, float]()
    for run_id in run_ids:
        if run_id in folders and (path := RunPaths(folders[run_id]).record).exists():
            with contextlib.suppress(StoreError):
                record = read_record(path)
                if record.run_id == run_id:
                    accuracies[run_id] = record.final_test_top1
    return accuracies


class AdaptiveSeeds:
    """Source of the runs that a seed rule requests while a grid runs, each once, even if it fails.

    Args:
        study: a study with a seed rule, whose runs the launcher already has.
        on_event: called for each run that is added.
    """

    def __init__(self, study: Study, store: Store, *, on_event: "Callable[[Event], None]") -> None:
        self.rule, self.store, self.on_event = SeedRuleState(study), store, on_event
        self.assigned = {run.spec.run_id: run for run in study.runs}
        self.accuracies: dict[str, float] = {}
        self._requested: tuple[StudyRun, ...] = ()
        self._read_at: float | None = None  # monotonic time; None if a run has ended since

    def on_grid_event(self, event: "Event") -> None:
        """Read the store again soon if a run has finished."""
        from slbench.grid.events import AlreadyFinished, Diverged, Finished

        if isinstance(event, Finished | AlreadyFinished | Diverged):
            self._read_at = None

    def __call__(self) -> StudyRun | None:
        """Return the next requested run that is neither assigned nor finished; None if there is none yet."""
        from slbench.grid.events import SeedAdded

        now = time.monotonic()
        if self._read_at is None or now - self._read_at > READ_SECONDS:
            self._read_at = now
            self._read()
        for run in self._requested:
            if run.spec.run_id not in self.assigned:
                self.assigned[run.spec.run_id] = run
                if run.spec.run_id not in self.accuracies:
                    self.on_event(SeedAdded(run))
                    return run
        return None

    def is_pending(self) -> bool:
        """Return whether a comparison that may request more seeds waits for runs that other processes have claimed."""
        active = self.store.claims.holders()
        waiting = (
            decision
            for decision in self.rule.decisions(self.accuracies)
            if decision.analysis.state == "waiting" and decision.analysis.seeds < self.rule.seeds.max
        )
        return any(
            run_id in active and run_id not in self.accuracies
            for decision in waiting
            for run in (decision.comparison.row, decision.comparison.plain)
            for run_id in self.rule.ids[run.spec.run_id]
        )

    def _read(self) -> None:
        """Read newly finished runs from the store."""
        before = len(self.accuracies)
        self.accuracies |= accuracies_in(self.store, self.rule.all_run_ids() - self.accuracies.keys())
        if not self._requested or len(self.accuracies) > before:
            self._requested = self.rule.requested(self.accuracies)


def summary(decisions: Iterable[Decision]) -> str:
    """Return one line on decided, undecided and waiting comparisons, with their seeds."""
    groups = defaultdict[tuple[int, str], list[str]](list)
    for decision in decisions:
        title, analysis = decision.comparison.title, decision.analysis
        if analysis.state == "decided":
            groups[analysis.seeds, f"decided after {analysis.seeds} seeds"].append(f"{title} ({analysis.verdict})")
        elif analysis.state == "undecided":
            groups[1_000, f"undecided after {analysis.seeds} seeds, the maximum"].append(title)
        else:
            groups[1_001, "waiting"].append(f"{title} (for {analysis.seeds} seeds of both)")
    return "against the plain backbones: " + "; ".join(
        f"{outcome}: {', '.join(titles)}" for (_, outcome), titles in sorted(groups.items())
    )
