"""Simulated training for searches: accuracies are a function of setting, seed and epoch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from slbench.record import Pruned
from slbench.study import StudyRun
from slbench.tuning.search import MethodSearch, Search, TrialOutcome

Curve = Callable[[StudyRun], tuple[float, ...]]


@dataclass
class World:
    """Executor without training: slots take turns, one epoch each."""

    curve: Curve  # validation accuracy of a run after each epoch
    slots: int = 1
    steps: int | None = None  # epochs until the search is killed
    on_told: Callable[[TrialOutcome], None] = lambda told: None
    done: dict[str, int] = field(default_factory=dict)  # epochs, by run id
    started: list[StudyRun] = field(default_factory=list)
    pruned: dict[str, Pruned] = field(default_factory=dict)
    told: list[TrialOutcome] = field(default_factory=list)
    epochs: int = 0

    def search(self, rows: Sequence[MethodSearch]) -> bool:
        """Run the search; return False if it was killed."""
        at_work: list[StudyRun] = []
        search = Search(rows, curve=self._seen, stop=self._stop, tell=self._tell)
        while True:
            while len(at_work) < self.slots and (run := search.next()) is not None:
                self.started.append(run)
                at_work.append(run)
            if not at_work:
                return True
            run = at_work.pop(0)
            if not self._train(run):
                return False
            if self.done[run.spec.run_id] == run.spec.recipe.epochs:
                search.ended(run.spec.run_id)
                continue
            search.moved(run.spec.run_id)
            if run.spec.run_id not in self.pruned:
                at_work.append(run)

    def _train(self, run: StudyRun) -> bool:
        """Train one epoch if the run is not finished; return False if killed before it."""
        run_id = run.spec.run_id
        if self.done.get(run_id, 0) < run.spec.recipe.epochs:
            if self.epochs == self.steps:
                return False
            self.epochs += 1
            self.done[run_id] = self.done.get(run_id, 0) + 1
        return True

    def _seen(self, run: StudyRun) -> tuple[float, ...]:
        return self.curve(run)[: self.done.get(run.spec.run_id, 0)]

    def _stop(self, run: StudyRun, pruned: Pruned) -> None:
        self.pruned[run.spec.run_id] = pruned

    def _tell(self, told: TrialOutcome) -> None:
        self.told.append(told)
        self.on_told(told)
