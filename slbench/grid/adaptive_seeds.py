"""Adaptive seeds of a study, decided from stored outcomes alone, so that the same store requests the same runs.

Every comparison of the study is analyzed after `min` seeds of all its methods; while it is neither better nor worse nor
equivalent, they get one more seed, up to `max` (slbench.stats.sequential keeps the error rate of the whole family). The
only state is the outcomes of runs, so a killed grid resumes and several launchers on one store agree. An analysis needs
all its seeds, the first one also those of the same contrast in other cells: a failed run blocks them until that run is
finished. A run that diverged is an outcome and blocks nothing.
"""

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slbench.errors import StoreError
from slbench.record import RunRecord
from slbench.store import Store, read_ended
from slbench.study import Comparison, SeedRule, Study, StudyRun
from slbench.study.planned import answers_beside_rule
from slbench.study_files import Look, write_study
from slbench.text import plural

if TYPE_CHECKING:
    from slbench.grid.events import Event
    from slbench.stats.sequential import InterimAnalysis, Outcome, SequentialDesign

READ_SECONDS = 2.0  # between two reads of what other launchers have finished
Outcomes = Mapping[str, "Outcome"]  # by run id


@dataclass(frozen=True)
class Decision:
    """A comparison and its latest interim analysis."""

    comparison: Comparison
    analysis: "InterimAnalysis"

    @property
    def look(self) -> Look:
        """The analysis as it is stored."""
        return Look.of(self.comparison, self.analysis)


class SeedRuleState:
    """Seed rule of a study and all runs it can request.

    Args:
        study: a study with a seed rule.
    """

    def __init__(self, study: Study) -> None:
        assert study.seeds is not None, "the study has no seed rule"
        self.seeds: SeedRule = study.seeds
        self.comparisons, self.statistics = study.comparisons, study.statistics
        self.family_size = len(study.comparisons) + len(answers_beside_rule(study))
        self.first = tuple(run for run in study.runs if run.spec.seed < self.seeds.min)
        by_id = {run.spec.run_id: run for comparison in study.comparisons for run in comparison.runs}
        ids = [run.spec.run_id for run in self.first if run.spec.seed == 0]
        # runs and run ids of each cell by seed; keyed by the run with seed 0, in the study's order
        self.cells = {run: [by_id[run].at(seed) for seed in range(self.seeds.max)] for run in ids if run in by_id}
        self.ids = {run: [member.spec.run_id for member in runs] for run, runs in self.cells.items()}

    @property
    def design(self) -> "SequentialDesign":
        """Levels and settings of the analyses."""
        from slbench.stats.sequential import SequentialDesign

        return SequentialDesign(self.seeds, self.family_size, self.statistics)

    def decisions(self, outcomes: Outcomes) -> tuple[Decision, ...]:
        """Return the decision on each comparison.

        Args:
            outcomes: test accuracy of the last epoch in percent, or "diverged", by run id.
        """
        from slbench.stats.sequential import interim_analyses

        groups = defaultdict[object, list[Comparison]](list)
        for comparison in self.comparisons:
            groups[comparison.contrast].append(comparison)
        design, found = self.design, list[Decision]()
        for group in groups.values():
            cells = [self._by_side(comparison, outcomes) for comparison in group]
            found += map(Decision, group, interim_analyses(group[0].contrast, cells, design))
        return tuple(found)

    def requested(self, decisions: Iterable[Decision]) -> tuple[StudyRun, ...]:
        """Return the runs of the first seeds, then the runs requested since, by seed."""
        requested = defaultdict[str, int](int)
        for decision in decisions:
            for run in decision.comparison.runs:
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

    def _by_side(self, comparison: Comparison, outcomes: Outcomes) -> "dict[str, dict[int, Outcome]]":
        """Return the outcomes of a comparison by side of its contrast and seed."""
        sides = zip(comparison.contrast.sides, comparison.runs, strict=True)
        return {side: self._by_seed(run, outcomes) for side, run in sides}

    def _by_seed(self, run: StudyRun, outcomes: Outcomes) -> "dict[int, Outcome]":
        """Return the outcomes of a run's cell by seed; diverged runs as chance if the study says so."""
        ids = enumerate(self.ids[run.spec.run_id])
        found = {seed: outcomes[run_id] for seed, run_id in ids if run_id in outcomes}
        if self.statistics.failures == "chance":
            chance = 100 / run.spec.dataset.num_classes
            return {seed: chance if outcome == "diverged" else outcome for seed, outcome in found.items()}
        return found


def decisions(study: Study, outcomes: Outcomes) -> tuple[Decision, ...]:
    """Return the decision on each comparison of a study; empty without a seed rule.

    Args:
        outcomes: test accuracy of the last epoch in percent, or "diverged", by run id, of the `requested_runs`.
    """
    return () if study.seeds is None else SeedRuleState(study).decisions(outcomes)


def requested_runs(study: Study, store: Store) -> tuple[StudyRun, ...]:
    """Return the runs of a study, including the seeds requested so far given the store."""
    if study.seeds is None:
        return study.runs
    rule = SeedRuleState(study)
    return rule.requested(rule.decisions(outcomes_in(store, rule.all_run_ids())))


def with_adaptive_seeds(study: Study, store: Store) -> Study:
    """Return the study with `requested_runs` as its runs; unchanged without a seed rule."""
    return study if study.seeds is None else dataclasses.replace(study, runs=requested_runs(study, store))


def outcomes_in(store: Store, run_ids: Iterable[str]) -> "dict[str, Outcome]":
    """Return the outcome of each run that has ended; unreadable ones are skipped."""
    folders, outcomes = store.ids(), dict[str, "Outcome"]()
    for run_id in run_ids:
        if run_id in folders:
            with contextlib.suppress(StoreError):
                ended = read_ended(folders[run_id])
                if ended is not None and ended.run_id == run_id:
                    outcomes[run_id] = ended.final_test_top1 if isinstance(ended, RunRecord) else "diverged"
    return outcomes


def write_study_file(study: Study, store: Store) -> None:
    """Write the study's file in the store, with the requested runs and the latest analyses of its seed rule."""
    if study.seeds is None:
        write_study(store, study)
        return
    rule = SeedRuleState(study)
    found = rule.decisions(outcomes_in(store, rule.all_run_ids()))
    write_study(store, dataclasses.replace(study, runs=rule.requested(found)), [each.look for each in found])


class AdaptiveSeeds:
    """Source of the runs that a seed rule requests while a grid runs, each once, even if it fails.

    Args:
        study: a study with a seed rule, whose runs the launcher already has.
        on_event: called for each run that is added.
    """

    def __init__(self, study: Study, store: Store, *, on_event: "Callable[[Event], None]") -> None:
        self.study, self.rule, self.store, self.on_event = study, SeedRuleState(study), store, on_event
        self.assigned = {run.spec.run_id: run for run in study.runs}
        self.outcomes = dict[str, "Outcome"]()
        self._decisions = self.rule.decisions({})
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
                if run.spec.run_id not in self.outcomes:
                    self.on_event(SeedAdded(run))
                    return run
        return None

    def is_pending(self) -> bool:
        """Return whether a comparison that may request more seeds waits for runs that other processes have claimed."""
        waiting = [decision for decision in self._decisions if may_add_seeds(decision.analysis, self.rule.seeds)]
        active = self.store.claims.seem_held() if waiting else ()
        return any(
            run_id in active and run_id not in self.outcomes
            for decision in waiting
            for run in decision.comparison.runs
            for run_id in self.rule.ids[run.spec.run_id]
        )

    def _read(self) -> None:
        """Read newly ended runs from the store, and store what they decide."""
        before = len(self.outcomes)
        self.outcomes |= outcomes_in(self.store, self.rule.all_run_ids() - self.outcomes.keys())
        if not self._requested or len(self.outcomes) > before:
            self._decisions = self.rule.decisions(self.outcomes)
            self._requested = self.rule.requested(self._decisions)
            looks = [decision.look for decision in self._decisions]
            write_study(self.store, dataclasses.replace(self.study, runs=self._requested), looks)


def may_add_seeds(analysis: "InterimAnalysis", rule: SeedRule) -> bool:
    """Return whether a comparison waits for runs after which it, or another that waits for it, may get more seeds."""
    return analysis.state == "waiting" and (analysis.seeds < rule.max or not analysis.n)


def summary(decisions: Iterable[Decision]) -> str:
    """Return one line on decided, undecided, withheld and waiting comparisons, with their seeds."""
    decisions = list(decisions)
    groups = defaultdict[tuple[int, str], list[str]](list)
    for decision in decisions:
        title, analysis = decision.comparison.title, decision.analysis
        if analysis.state == "decided":
            groups[analysis.seeds, f"decided after {analysis.seeds} seeds"].append(f"{title} ({analysis.verdict})")
        elif analysis.state == "undecided":
            groups[1_000, f"undecided after {analysis.seeds} seeds, the maximum"].append(title)
        elif analysis.state == "withheld":
            groups[1_001, "withheld, as unequal numbers of runs diverged"].append(f"{title} ({analysis.seeds} seeds)")
        else:
            groups[1_002, "waiting"].append(f"{title} (for {analysis.seeds} seeds of each method)")
    outcomes = "; ".join(f"{outcome}: {', '.join(titles)}" for (_, outcome), titles in sorted(groups.items()))
    return f"seeds, {error_words(decisions)}: {outcomes}"


def error_words(decisions: Iterable[Decision]) -> str:
    """Return what the error of the rule holds for: "sequential, on test accuracy, family-wise error 5 % over ..."."""
    design = next(iter(decisions)).analysis.design
    over = f"over {plural(design.count, 'contrast')} and all looks"
    return f"sequential, on test accuracy, family-wise error {100 * (1 - design.statistics.level):.3g} % {over}"
