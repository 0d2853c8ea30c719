"""A backbone, a module, a method, a data set, a column and an executor of a user go through every command."""

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slbench.backbones import BACKBONES, NAMED
from slbench.cli import main
from slbench.data import DATASETS, DataConfig
from slbench.grid.events import Event, Finished
from slbench.grid.launch import Outcome, launch_jobs, prepare
from slbench.grid.local import LocalExecutor
from slbench.grid.queue import Policy
from slbench.methods import METHODS
from slbench.record import RunRecord
from slbench.store import Store
from slbench.study import Study, load_study
from slbench.table_spec import COSTS, METRICS, Cost, Metric
from slbench.train.run import RunInterrupted
from tests.contracts.additions import BACKBONE, DATASET, METHOD, InThisProcess
from tests.support import make_record, make_speed, missing, runs, train_here

STUDY = """
[grid]
backbone = ["added"]
dataset = ["added-set"]
method = ["none", "added-method"]
[set]
recipe.epochs = 2
recipe.batch_size = 6
recipe.precision = "fp32"
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def added() -> Iterator[None]:
    """Register the additions, as a plugin would."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "added", BACKBONE)
        patch.setitem(NAMED, "added", BACKBONE)
        patch.setitem(METHODS, "added-method", METHOD)
        patch.setitem(DATASETS, "added-set", DATASET)
        memory = Cost(head="Memory (MiB)", value=lambda record, _: record.peak_memory_bytes, scale=2**20, digits=0)
        patch.setitem(COSTS, "peak_memory", memory)
        yield


@pytest.fixture(scope="module")
def trained(added: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Store]:  # noqa: ARG001
    """A store with the runs of the study, trained by the added executor; the first was stopped once and resumed."""
    folder = tmp_path_factory.mktemp("added")
    path = folder / "study.toml"
    path.write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLBENCH_DATA", str(folder / "data"))
        study, store = load_study(path), Store(folder / "results")
        first = study.runs[0]
        answers = iter([True] * 4)
        with pytest.raises(RunInterrupted):
            train_here(first, store, should_continue=lambda: next(answers, False))
        assert store.epochs_done(first.spec) == 0 or (store.folder(first.spec, first.labels) / "checkpoint.pt").exists()
        grid = prepare(study.runs, store, devices="cpu", jobs_per_device=1, threads=1, writing=True, with_data=True)
        events = list[Event]()
        outcome = launch_jobs(grid, policy=Policy(), on_event=events.append, executor=InThisProcess)
    assert outcome == Outcome(0, stopped=False, clean=True)
    assert [event.run for event in events if isinstance(event, Finished)] == list(study.runs)
    return study, store


@pytest.fixture
def run(
    trained: tuple[Study, Store], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Return a function that runs a command beside the trained study and returns what it printed."""
    _, store = trained
    monkeypatch.setenv("SLBENCH_DATA", str(store.root.parent / "data"))
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code, capsys.readouterr().err
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run_command


def in_store(trained: tuple[Study, Store]) -> tuple[object, ...]:
    return (trained[1].root.parent / "study.toml", "--store", trained[1].root)


@pytest.mark.parametrize(
    ("listed", "name"), [("backbones", "added"), ("methods", "added-method"), ("datasets", "added-set")]
)
def test_an_addition_is_listed(run: Run, listed: str, name: str) -> None:
    assert not missing(run("list", listed), name)


def test_an_addition_is_planned_with_ids_of_its_own(run: Run, trained: tuple[Study, Store]) -> None:
    document = json.loads(run("run-grid", *in_store(trained), "--plan", "--json"))
    assert {entry["state"] for entry in document["runs"]} == {"done"}
    none, method = (run.spec.as_dict() for run in trained[0].runs)
    assert none["backbone"]["name"] == "added" and none["numerics"]["added"] == 1
    assert method["method"]["learn_temperature"] is True


def test_a_run_that_was_stopped_ends_with_the_weights_of_an_undisturbed_one(
    trained: tuple[Study, Store], tmp_path: Path
) -> None:
    study, store = trained
    resumed = store.record(study.runs[0].spec.run_id)
    config = DataConfig(store.root.parent / "data")
    undisturbed = train_here(study.runs[0], Store(tmp_path), data=config)
    assert resumed is not None and resumed.differences(undisturbed) == {}


def test_an_addition_is_profiled(run: Run, added: None) -> None:  # noqa: ARG001
    document = run(
        "profile", "--backbone", "added", "--method", "none,added-method", "--image-size", 16, "--classes", 3,
        "--no-throughput", "--no-memory", "--csv",
    )  # fmt: skip
    assert [line.split(",")[0] for line in document.splitlines()[1:]] == ["added"] * 2, document


def test_an_added_column_is_in_the_report(run: Run, trained: tuple[Study, Store]) -> None:
    out = run("report", *in_store(trained), "--columns", "peak_memory,final,gain", "--format", "md,csv,latex,html")
    assert not missing(out, "Memory (MiB)")
    folder = trained[1].root / "reports" / "study"
    for name in ("table.md", "table.csv", "table.tex", "report.html"):
        assert "emory" in (folder / name).read_text(), name


@pytest.mark.parametrize(
    "analysis",
    ["attention --per-class 1", "sharpness", "self-relation", "temperature", "receptive-field --images 2"],
)
def test_an_addition_is_analyzed(run: Run, trained: tuple[Study, Store], tmp_path: Path, analysis: str) -> None:
    path, *store = in_store(trained)
    run("analyze", *analysis.split(), "--study", path, *store, "--out", tmp_path / "out")
    assert list((tmp_path / "out").iterdir())


def forgotten_by_columns() -> Iterator[str]:
    """Yield what the costs and metrics of tables lack."""
    (run,) = runs()
    for name, cost in COSTS.items():
        try:
            cost.value(make_record(run), make_speed())
        except AttributeError as error:
            yield f"{name}: {error}"
    for name, metric in METRICS.items():
        if metric.field is not None and metric.field not in RunRecord.model_fields:
            yield f"{name}: a record has no field {metric.field}"
        sources = (metric.field, metric.from_logits, metric.from_predictions)
        if sum(source is not None for source in sources) != 1:
            yield f"{name}: give it a field of the record or a function of logits or predictions"
        if not metric.description:
            yield f"{name}: describe it for the caption"


def forgotten_by_datasets() -> Iterator[str]:
    """Yield what the entries of data sets lack."""
    for name, entry in DATASETS.items():
        module, _, loader = entry.loader.partition(":")
        if not hasattr(importlib.import_module(module), loader):
            yield f"{name}: {module} has no loader {loader}"
        if entry.spec.name != name:
            yield f"{name}: its spec is called {entry.spec.name}"
        if not entry.source:
            yield f"{name}: name its source"


def forgotten_by_executor(executor: type) -> Iterator[str]:
    """Yield the methods of the protocol that an executor lacks."""
    for name in ("run", "prune", "kill"):
        if not hasattr(executor, name):
            yield f"{executor.__name__}: define {name}"


@pytest.mark.usefixtures("added")
def test_what_is_registered_is_complete() -> None:
    assert [*forgotten_by_columns(), *forgotten_by_datasets()] == []
    assert [*forgotten_by_executor(LocalExecutor), *forgotten_by_executor(InThisProcess)] == []


def test_what_an_addition_forgot_is_named(monkeypatch: pytest.MonkeyPatch) -> None:

    def joules(record: Any, _: object) -> float:
        return float(record.joules)

    monkeypatch.setitem(COSTS, "joules", Cost(head="Energy (J)", value=joules))
    monkeypatch.setitem(METRICS, "kappa", Metric(head="kappa", description="", key="kappa"))
    assert [*forgotten_by_columns()] == [
        "joules: 'RunRecord' object has no attribute 'joules'",
        "kappa: give it a field of the record or a function of logits or predictions",
        "kappa: describe it for the caption",
    ]
    monkeypatch.setitem(DATASETS, "birds", dataclasses.replace(DATASET, loader="tests.contracts.additions:load_birds"))
    assert [*forgotten_by_datasets()] == [
        "birds: tests.contracts.additions has no loader load_birds",
        "birds: its spec is called added-set",
    ]
    assert [*forgotten_by_executor(int)] == ["int: define run", "int: define prune", "int: define kill"]


def test_an_addition_of_another_process_is_refused_with_its_name(run: Run, trained: tuple[Study, Store]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(BACKBONES, "added")
        out = run("status", "--store", trained[1].root, code=1)
    assert not missing(out, "unreadable", "added", "allowed", "vit")
