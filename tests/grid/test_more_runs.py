"""The local executor with runs that are added while it works, and with pruned runs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slbench.grid.events import AlreadyFinished, Event, Finished, JobPruned, Progressed, Started
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from tests.grid.helpers import SHORT, events_of, local_executor
from tests.support import runs

THREE_EPOCHS = {**SHORT, "recipe.epochs": 3, "recipe.batch_size": 90, "dataset.fraction": 0.1}
PRUNED = Pruned(
    search="search-7",
    trial=7,
    epochs=1,
    reason="pruned by the search 'search-7' after epoch 1",
    ended_at=datetime(2026, 11, 24, tzinfo=UTC).isoformat(),
)


class Launcher:
    """Executes the runs of an iterator one at a time and prunes one of them after its first epoch."""

    def __init__(self, store: Store, runs: Iterator[StudyRun], *, prune: StudyRun | None = None) -> None:
        self.events, self.prune = list[Event](), prune
        self.executor = local_executor(store, on_event=self)
        assert self.executor.run([], more=lambda: next(runs, None)) == 0

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Progressed) and event.run == self.prune and event.progress.epoch == 2:
            self.executor.prune(event.run, PRUNED)

    def runs_of(self, kind: type[Started] | type[Finished] | type[AlreadyFinished] | type[JobPruned]) -> list[StudyRun]:
        return [event.run for event in events_of(kind, self.events)]


@pytest.mark.slow
def test_added_runs_are_executed_once_and_a_pruned_run_keeps_its_metrics(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = runs({"method": ["none", "lsa"]}, set=THREE_EPOCHS)
    launcher = Launcher(store, iter([first, second, second]), prune=first)  # one worker process executes both
    assert launcher.runs_of(Started) == [first, second]
    assert launcher.runs_of(JobPruned) == [first]
    assert launcher.runs_of(Finished) == launcher.runs_of(AlreadyFinished) == [second]
    folder = store.folder(first.spec, first.labels)
    assert (folder / "metrics.csv").read_text().splitlines()[1].startswith("1,")
    assert store.pruned(first.spec.run_id) == PRUNED
    assert store.states([first.spec, second.spec]) == {first.spec.run_id: "pruned", second.spec.run_id: "done"}
    assert store.claims.holders() == {}
    assert (store.folder(second.spec, second.labels) / "log.txt").exists()
    assert not (folder / "failure.json").exists()


@pytest.mark.slow
def test_a_pruned_run_that_is_started_again_resumes_and_equals_an_undisturbed_run(tmp_path: Path) -> None:
    undisturbed, pruned = Store(tmp_path / "undisturbed"), Store(tmp_path / "pruned")
    (run,) = runs(set=THREE_EPOCHS)
    Launcher(undisturbed, iter([run]))
    assert Launcher(pruned, iter([run]), prune=run).runs_of(JobPruned) == [run]
    first = events_of(Progressed, Launcher(pruned, iter([run])).events)[0]
    assert first.progress.step > run.spec.steps_per_epoch  # from its checkpoint
    expected, actual = undisturbed.record(run.spec.run_id), pruned.record(run.spec.run_id)
    assert expected is not None and actual is not None
    assert expected.differences(actual) == {}
    assert pruned.pruned(run.spec.run_id) is None
