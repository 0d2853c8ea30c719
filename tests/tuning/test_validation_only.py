"""Sampling, pruning and selection use validation accuracies only."""

import ast
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import slbench.tuning
from slbench.grid.events import Event, Finished, JobPruned, Progressed
from slbench.grid.queue import Policy
from slbench.record import Pruned
from slbench.store import Store
from slbench.study import StudyRun
from slbench.train.progress import Progress
from slbench.tuning import run as tuning_run
from slbench.tuning.run import prepare_tuning
from slbench.tuning.search_file import space_of
from slbench.tuning.validation import validation_curve
from tests.tuning.simulation import config, curve_of, target

CHOOSING = ("search", "space", "search_file", "strategy", "validation", "from_optuna", "storage", "target")
HEADER = "epoch,lr,train_loss,val_loss,val_top1,test_loss,test_top1,test_top5,scales_below_zero,train_seconds\n"


def names(path: Path) -> Iterator[str]:
    """Yield every name, attribute, imported name and text of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
            yield node.value


@pytest.mark.parametrize("module", CHOOSING)
def test_no_module_of_the_search_names_test_accuracies_or_records(module: str) -> None:
    assert slbench.tuning.__file__ is not None
    found = set(names(Path(slbench.tuning.__file__).with_name(f"{module}.py")))
    assert not {name for name in found if "test_" in name or name in ("RunRecord", "Standing", "record", "records")}


def write_metrics(store: Store, run: StudyRun, epochs: int, chance: random.Random) -> None:
    folder = store.folder(run.spec, run.labels)
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{epoch},0.1,1.0,1.0,{value},{chance.random()},{100 * chance.random()},{100 * chance.random()},0,1.0\n"
        for epoch, value in enumerate(curve_of(run)[:epochs], start=1)
    ]
    (folder / "metrics.csv").write_text(HEADER + "".join(lines))


def simulated_executor(chance: random.Random) -> Any:
    """Return an executor with simulated validation accuracies and random test accuracies."""

    class Executor:
        def __init__(self, slots: Any, *, store: Store, on_event: Callable[[Event], None], **_: Any) -> None:
            self.slot, self.store, self.on_event = slots[0], store, on_event
            self.left: set[str] = set()

        def prune(self, run: StudyRun, pruned: Pruned) -> None:
            self.left.add(run.spec.run_id)
            self.on_event(JobPruned(run, self.slot, pruned))

        def run(self, runs: list[StudyRun], *, more: Callable[[], StudyRun | None]) -> int:
            while (run := more()) is not None:
                self.train(run)
            return len(runs)

        def train(self, run: StudyRun) -> None:
            epochs = run.spec.recipe.epochs
            for epoch in range(1, epochs + 1):
                write_metrics(self.store, run, epoch, chance)
                test_top1 = 100 * chance.random()
                progress = Progress(
                    epoch=epoch + 1, epochs=epochs, step=epoch, steps=epochs, loss=chance.random(), val_top1=None,
                    test_top1=test_top1, images_per_second=1.0,
                )  # fmt: skip
                if epoch < epochs:
                    self.on_event(Progressed(run, self.slot, progress))
                if run.spec.run_id in self.left:
                    return
            self.on_event(Finished(run, self.slot, 100 * chance.random(), 1.0))

    return Executor


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
@pytest.mark.slow
def test_a_search_is_independent_of_the_test_accuracies(
    sampler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    monkeypatch.setattr(
        "slbench.tuning.figures.draw", lambda record, folder, look: []
    )  # drawing takes most of the time
    for chance in (1, 2):
        store = Store(tmp_path / str(chance))
        target_ = target()
        tuning = prepare_tuning(
            config(trials=12, sampler=sampler, pruner="median"), [target_], [space_of(target_)], store,
            devices="cpu", jobs_per_device=1, threads=1, storage=None, policy=Policy(), compare_seeds=0, seconds=None,
            command="slbench tune-temperature", executor=simulated_executor(random.Random(chance)),
        )  # fmt: skip
        record, is_whole = tuning_run.run_tuning(tuning, on_event=lambda event: None)
        assert is_whole
        outcomes.append(record.model_dump())
        document = json.dumps(record.model_dump(mode="json"))
        shown = (tuning.folder / "trials.csv").read_text() + (tuning.folder / "summary.md").read_text()
        assert not [word for word in ("test_top", "final_test", "best_test", "test_loss") if word in document + shown]
    assert {trial["state"] for trial in outcomes[0]["rows"][0]["trials"]} == {"complete", "pruned"}
    assert outcomes[0] == outcomes[1]


def test_the_curve_is_the_column_of_validation_accuracies(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (run,) = target().runs({}, seeds=[1])
    assert validation_curve(store, run) == ()
    write_metrics(store, run, 3, random.Random(0))
    assert validation_curve(store, run) == curve_of(run)[:3]


def test_the_search_receives_only_run_ids_of_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The search is called with ids, kinds and reasons only."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    class RecordedCalls:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *arguments, **named: calls.append((name, arguments, named))

    (run,) = target().runs({}, seeds=[0])
    progress = Progress(
        epoch=2, epochs=4, step=1, steps=4, loss=1.0, val_top1=50.0, test_top1=60.0, images_per_second=1.0
    )

    class Executor:
        def __init__(self, slots: Any, *, on_event: Callable[[Event], None], **_: Any) -> None:
            self.slot, self.on_event = slots[0], on_event

        def run(self, _runs: Any, *, more: Any) -> None:  # noqa: ARG002
            self.on_event(Progressed(run, self.slot, progress))
            self.on_event(Finished(run, self.slot, 61.0, 1.0))

    monkeypatch.setattr(tuning_run, "Search", RecordedCalls)
    tuning = SimpleNamespace(
        grid=SimpleNamespace(slots=["a slot"], precisions={}),
        store=Store(tmp_path),
        policy=Policy(),
        seconds=None,
        executor=Executor,
    )
    tuning_run.run_trials(tuning, [], on_event=lambda event: None)  # type: ignore[arg-type]
    run_id = run.spec.run_id
    assert calls == [("on_epoch", (run_id,), {}), ("on_finished", (run_id,), {})]
