"""The local executor fed with runs while it works, and told to leave some."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slbench.grid.events import AlreadyFinished, Event, Finished, JobPruned, Progressed, Started
from slbench.grid.local import LocalExecutor
from slbench.grid.slots import Device, Slot
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from tests.support import runs

SLOT = Slot(0, Device("cpu", "Processor", False), 1)
SHORT = {"recipe.epochs": 3, "recipe.batch_size": 90, "recipe.precision": "fp32", "dataset.fraction": 0.1}


class Launcher:
    """Runs what an iterator gives, one at a time, and leaves one run after its first epoch."""

    def __init__(self, store: Store, runs: Iterator[StudyRun], *, leave: StudyRun | None = None) -> None:
        self.events, self.leave = list[Event](), leave
        self.executor = LocalExecutor([SLOT], store=store, precisions={"fp32": "fp32"}, on_event=self)
        assert self.executor.run([], more=lambda: next(runs, None)) == 0

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Progressed) and event.run == self.leave and event.progress.epoch == 2:
            self.executor.prune(event.run, pruned())

    def of(self, kind: type[Started] | type[Finished] | type[AlreadyFinished] | type[JobPruned]) -> list[StudyRun]:
        return [event.run for event in self.events if isinstance(event, kind)]


def pruned() -> Pruned:
    ended_at = datetime(2026, 11, 24, tzinfo=UTC).isoformat()
    return Pruned(
        search="sieve", trial=7, epochs=1, reason="pruned by the search 'sieve' after epoch 1", ended_at=ended_at
    )


def test_further_runs_are_asked_for_when_a_slot_is_free_a_finished_one_is_found_and_a_pruned_one_keeps_its_metrics(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    one, other = runs({"method": ["none", "lsa"]}, set=SHORT)
    launcher = Launcher(store, iter([one, other, other]), leave=one)  # one process does both
    assert launcher.of(Started) == [one, other]
    assert launcher.of(JobPruned) == [one]
    assert launcher.of(Finished) == launcher.of(AlreadyFinished) == [other]
    folder = store.folder(one.spec, one.labels)
    assert (folder / "metrics.csv").read_text().splitlines()[1].startswith("1,")
    assert store.pruned(one.spec.run_id) == pruned()
    assert store.states([one.spec, other.spec]) == {one.spec.run_id: "pruned", other.spec.run_id: "done"}
    assert store.claims.holders() == {}
    assert (store.folder(other.spec, other.labels) / "log.txt").exists()
    assert not (folder / "failure.json").exists()


@pytest.mark.slow
def test_a_pruned_run_that_is_asked_for_again_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    calm, pruned_once = Store(tmp_path / "calm"), Store(tmp_path / "pruned")
    (run,) = runs(set=SHORT)
    Launcher(calm, iter([run]))
    assert Launcher(pruned_once, iter([run]), leave=run).of(JobPruned) == [run]
    again = Launcher(pruned_once, iter([run]))
    first = next(event for event in again.events if isinstance(event, Progressed))
    assert first.progress.step > run.spec.steps_per_epoch  # from its checkpoint
    one, other = calm.record(run.spec.run_id), pruned_once.record(run.spec.run_id)
    assert one is not None and other is not None
    assert one.differences(other) == {}
    assert pruned_once.pruned(run.spec.run_id) is None
