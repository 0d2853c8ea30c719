"""Simulated training for searches: accuracies are functions of setting, seed and epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slbench.record import Pruned
from slbench.study import StudyRun
from slbench.tuning.search import MethodSearch, Search, TrialOutcome

Curve = Callable[[StudyRun], tuple[float, ...]]


@dataclass
class World:
    """Simulated executor: each slot trains one epoch of its run in turn."""

    curve: Curve  # validation accuracy of a run after each of its epochs
    slots: int = 1
    steps: int | None = None  # epochs until a simulated crash
    on_outcome: Callable[[TrialOutcome], None] = lambda outcome: None
    done: dict[str, int] = field(default_factory=dict)  # epochs, by run id
    started: list[StudyRun] = field(default_factory=list)
    pruned: dict[str, Pruned] = field(default_factory=dict)
    outcomes: list[TrialOutcome] = field(default_factory=list)
    epochs: int = 0

    def search(self, searches: Sequence[MethodSearch]) -> bool:
        """Run the search; return False after a simulated crash."""
        running: list[StudyRun] = []
        search = Search(searches, curve=self._curve, stop=self._stop, on_outcome=self._tell)
        while True:
            while len(running) < self.slots and (run := search.next()) is not None:
                self.started.append(run)
                running.append(run)
            if not running:
                return True
            run = running.pop(0)
            if not self._train(run):
                return False
            if self.done[run.spec.run_id] == run.spec.recipe.epochs:
                search.on_finished(run.spec.run_id)
                continue
            search.on_epoch(run.spec.run_id)
            if run.spec.run_id not in self.pruned:
                running.append(run)

    def _train(self, run: StudyRun) -> bool:
        """Train one epoch of an unfinished run; return False on a simulated crash."""
        run_id = run.spec.run_id
        if self.done.get(run_id, 0) < run.spec.recipe.epochs:
            if self.epochs == self.steps:
                return False
            self.epochs += 1
            self.done[run_id] = self.done.get(run_id, 0) + 1
        return True

    def _curve(self, run: StudyRun) -> tuple[float, ...]:
        return self.curve(run)[: self.done.get(run.spec.run_id, 0)]

    def _stop(self, run: StudyRun, pruned: Pruned) -> None:
        self.pruned[run.spec.run_id] = pruned

    def _tell(self, outcome: TrialOutcome) -> None:
        self.outcomes.append(outcome)
        self.on_outcome(outcome)
