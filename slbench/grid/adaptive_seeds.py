"""The further seeds that a study's rule wants: decided from records alone, so the same store wants the same runs.

Every comparison of a row with its plain backbone is looked at after `min` seeds of both, and where it is undecided both
get one seed more, up to `max`: see slbench.stats.sequential for what a look is and why it does not err more often.
Nothing is kept but records; so a grid that was killed goes on, and several launchers on one store agree. A look waits
for all its seeds: where a run failed, its comparison goes no further until that run is made.
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
from slbench.store import Store
from slbench.study import Comparison, SeedRule, Study, StudyRun

if TYPE_CHECKING:
    from slbench.grid.events import Event
    from slbench.stats.sequential import InterimAnalysis

LOOK_SECONDS = 2.0  # between two looks for what other launchers have finished


@dataclass(frozen=True)
class Decision:
    """A comparison and where it stands."""

    comparison: Comparison
    look: "InterimAnalysis"


class SeedRuleState:
    """A study's rule of seeds, with the runs that it may want.

    Args:
        study: one with a rule.
    """

    def __init__(self, study: Study) -> None:
        assert study.seeds is not None, "the study has no rule of seeds"
        self.seeds: SeedRule = study.seeds
        self.comparisons = study.comparisons
        self.first = tuple(run for run in study.runs if run.spec.seed < self.seeds.min)
        pairs = [run for comparison in study.comparisons for run in (comparison.row, comparison.plain)]
        by_id = {run.spec.run_id: run for run in pairs}
        ids = [run.spec.run_id for run in self.first if run.spec.seed == 0]
        # By the run with seed 0, in the study's order: the runs of a cell by seed, and their ids.
        self.cells = {run: [by_id[run].at(seed) for seed in range(self.seeds.max)] for run in ids if run in by_id}
        self.ids = {run: [each.spec.run_id for each in runs] for run, runs in self.cells.items()}

    def decisions(self, accuracies: Mapping[str, float]) -> tuple[Decision, ...]:
        """Where each comparison stands, from test accuracies of the last epoch by run id."""
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

    def wanted(self, accuracies: Mapping[str, float]) -> tuple[StudyRun, ...]:
        """The runs of the first seeds, and then those that were asked for since, by seed."""
        asked = defaultdict[str, int](int)
        for decision in self.decisions(accuracies):
            for run in (decision.comparison.row, decision.comparison.plain):
                asked[run.spec.run_id] = max(asked[run.spec.run_id], decision.look.seeds)
        further = [
            runs[seed]
            for seed in range(self.seeds.min, self.seeds.max)
            for cell, runs in self.cells.items()
            if seed < asked[cell]
        ]
        return (*self.first, *further)

    def possible(self) -> set[str]:
        """The ids of all runs that can matter to it."""
        return {run for ids in self.ids.values() for run in ids}

    def _by_seed(self, run: StudyRun, accuracies: Mapping[str, float]) -> dict[int, float]:
        """Accuracies of a run's cell."""
        ids = self.ids[run.spec.run_id]
        return {seed: accuracies[each] for seed, each in enumerate(ids) if each in accuracies}


def decisions(study: Study, accuracies: Mapping[str, float]) -> tuple[Decision, ...]:
    """Where each comparison of a study stands under its rule of seeds; none without a rule.

    Args:
        accuracies: test accuracy of the last epoch in percent by run id, of the finished among `wanted_runs`.
    """
    return () if study.seeds is None else SeedRuleState(study).decisions(accuracies)


def wanted_runs(study: Study, store: Store) -> tuple[StudyRun, ...]:
    """The runs of a study with those that its rule of seeds has asked for so far, by what the store holds."""
    if study.seeds is None:
        return study.runs
    rule = SeedRuleState(study)
    return rule.wanted(accuracies_in(store, rule.possible()))


def with_adaptive_seeds(study: Study, store: Store) -> Study:
    """The study with `wanted_runs` as its runs; what it was without a rule."""
    return study if study.seeds is None else dataclasses.replace(study, runs=wanted_runs(study, store))


def accuracies_in(store: Store, run_ids: Iterable[str]) -> dict[str, float]:
    """Test accuracy of the last epoch of the finished among these runs.

    A record that cannot be read counts as none: what its comparison would want is not known. Who lists runs names it.
    """
    folders, found = store.ids(), dict[str, float]()
    for run_id in run_ids:
        if run_id in folders and (path := folders[run_id] / "record.json").exists():
            with contextlib.suppress(StoreError):
                record = read_record(path)
                if record.run_id == run_id:
                    found[run_id] = record.final_test_top1
    return found


class AdaptiveSeeds:
    """Gives a launcher the runs that a rule asks for while its grid runs, each once: what failed is not given again.

    Args:
        study: one with a rule; its runs are the launcher's already.
        on_event: told of each run that is added.
    """

    def __init__(self, study: Study, store: Store, *, on_event: "Callable[[Event], None]") -> None:
        self.rule, self.store, self.on_event = SeedRuleState(study), store, on_event
        self.given = {run.spec.run_id: run for run in study.runs}
        self.accuracies: dict[str, float] = {}
        self._wanted: tuple[StudyRun, ...] = ()
        self._looked: float | None = None  # on the monotonic clock; None when something has ended since

    def see(self, event: "Event") -> None:
        """Take note of what happens in the grid."""
        from slbench.grid.events import AlreadyFinished, Finished

        if isinstance(event, Finished | AlreadyFinished):
            self._looked = None

    def __call__(self) -> StudyRun | None:
        """The next run that nobody was given here and nobody has finished; None if there is none now."""
        from slbench.grid.events import SeedAdded

        now = time.monotonic()
        if self._looked is None or now - self._looked > LOOK_SECONDS:
            self._looked = now
            self._look()
        for run in self._wanted:
            if run.spec.run_id not in self.given:
                self.given[run.spec.run_id] = run
                if run.spec.run_id not in self.accuracies:
                    self.on_event(SeedAdded(run))
                    return run
        return None

    def _look(self) -> None:
        """Read what was finished since the last look."""
        before = len(self.accuracies)
        self.accuracies |= accuracies_in(self.store, self.rule.possible() - self.accuracies.keys())
        if not self._wanted or len(self.accuracies) > before:
            self._wanted = self.rule.wanted(self.accuracies)


def summary(found: Iterable[Decision]) -> str:
    """What a rule of seeds has come to, in a line: what was decided after how many seeds, what was not, what waits."""
    groups = defaultdict[tuple[int, str], list[str]](list)
    for decision in found:
        title, at = decision.comparison.title, decision.look
        if at.state == "decided":
            groups[at.seeds, f"decided after {at.seeds} seeds"].append(f"{title} ({at.verdict})")
        elif at.state == "undecided":
            groups[1_000, f"undecided after {at.seeds} seeds, the most"].append(title)
        else:
            groups[1_001, "waiting"].append(f"{title} (for {at.seeds} seeds of both)")
    return "against the plain rows: " + "; ".join(
        f"{words}: {', '.join(titles)}" for (_, words), titles in sorted(groups.items())
    )
