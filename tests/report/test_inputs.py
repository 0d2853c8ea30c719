"""What a report reads of a store."""

import json
from pathlib import Path
from typing import Any

import pytest

import slbench
from slbench.errors import InputError
from slbench.files import dump_json, write_atomic
from slbench.measure.throughput_keys import record_key
from slbench.record import Failure
from slbench.report import inputs as module
from slbench.report.inputs import gather, gather_store, kinds_of_runs, only
from slbench.report.sections import make_sections
from slbench.report.table import make_table
from slbench.report.verdicts import verdicts
from slbench.stats.settings import Statistics
from slbench.store import RESUME_CHECK, Store, read_ended
from slbench.study_files import StoredStudy
from tests.archive.conftest import finish
from tests.support import ROOT, TINY, make_record, make_speed, missing, naming, runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_store_that_is_a_link_to_itself_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=naming(tmp_path / "loop")) as error:
        slbench.load_runs(tmp_path / "loop")
    assert "\n" not in str(error.value)


def test_records_have_the_order_of_the_runs_and_the_names_of_the_study(store: Store) -> None:
    runs_ = runs({"method": ["lsa", "none"], "seed": [1, 0]})
    for run in runs_[::-1]:
        finish(store, run)
    renamed = runs({"backbone": [{**TINY, "label": "Other"}], "method": ["lsa", "none"], "seed": [1, 0]})
    inputs = gather(renamed, store, name="x")
    assert [record.run_id for record in inputs.records] == [run.spec.run_id for run in runs_]
    assert {record.labels.backbone for record in inputs.records} == {"Other"}


def test_started_runs_have_failures_and_folders(store: Store) -> None:
    runs_ = runs({"seed": [0, 1, 2]})
    finish(store, runs_[0])
    store.fail(runs_[1].spec, runs_[1].labels, Failure(kind="timeout", reason="took 7 s"))
    inputs = gather(runs_, store, name="x")
    assert {run_id: failure.reason for run_id, failure in inputs.failures.items()} == {runs_[1].spec.run_id: "took 7 s"}
    assert list(inputs.folders) == [run.spec.run_id for run in runs_[:2]]


def test_throughput_is_that_of_the_network_on_the_records_machine(store: Store) -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    for run in runs_:
        finish(store, run)
    store.add_throughput(make_speed(record_key(make_record(runs_[0])), 321.0))
    inputs = gather(runs_, store, name="x")
    assert {run_id: speed.median for run_id, speed in inputs.speeds.items()} == {
        run.spec.run_id: 321.0 for run in runs_[:2]
    }


def test_a_whole_store_lists_methods_in_the_order_of_the_shipped_ones(store: Store) -> None:
    runs_ = runs({"method": ["both", "none", "lsa"]})
    for run in runs_:
        finish(store, run)
    inputs = gather_store(store)
    assert [run.labels.method for run in inputs.runs] == ["none", "lsa", "both"]
    assert [record.run_id for record in inputs.records] == [run.spec.run_id for run in inputs.runs]


def test_a_query_chooses_runs_by_their_columns(store: Store) -> None:
    runs_ = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    for run in runs_:
        finish(store, run)
    inputs = only(gather(runs_, store, name="x"), "method == 'lsa' and seed > 0")
    assert [run.spec.run_id for run in inputs.runs] == [runs_[3].spec.run_id]
    assert [record.run_id for record in inputs.records] == [runs_[3].spec.run_id]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("recipe_lrr < 1", ("recipe_lrr", "recipe_lr", "run")),
        ("seed >", ("seed >",)),
        ("seed > 5", ("none of 1",)),
        ("seed", ("--query", "seed")),
    ],
)
def test_an_impossible_query_is_one_line(store: Store, query: str, words: tuple[object, ...]) -> None:
    (run,) = runs()
    finish(store, run)
    with pytest.raises(InputError) as refused:
        only(gather([run], store, name="x"), query)
    assert str(refused.value).startswith("--query: ")
    assert not missing(str(refused.value), *words)
    assert "\n" not in str(refused.value)


def test_load_runs_returns_all_runs_and_warns_of_unreadable_ones(store: Store) -> None:
    runs_ = runs({"seed": [0, 1]})
    for run in runs_:
        finish(store, run)
    frame = slbench.load_runs(store.root)
    assert sorted(frame.index) == sorted(run.spec.run_id for run in runs_)
    assert set(frame["final_test_top1"]) == {80.0}
    next(store.root.glob(f"runs/*-{runs_[0].spec.run_id}/record.json")).write_text("{}")
    with pytest.warns(UserWarning, match=naming("record.json")):
        assert len(slbench.load_runs(str(store.root))) == 1


def test_a_whole_store_is_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for run in runs({"seed": [0, 1, 2]}):
        finish(store, run)
    read = list[str]()

    def counted(folder: Path) -> Any:
        read.append(folder.name)
        return read_ended(folder)

    monkeypatch.setattr(module, "read_ended", counted)
    assert len(gather_store(store).records) == 3
    assert sorted(read) == sorted(folder.name for folder in store.ids().values())


def test_runs_of_searches_and_of_resume_checks_are_no_runs_of_a_grid(store: Store) -> None:
    for run in runs({"seed": [0, 1, 2]}):
        store.finish(store.begin(run.spec, run.labels), make_record(run))
    ids = list(store.ids())
    search = json.loads((ROOT / "tests/golden_store/store/tuning/golden/search.json").read_text())
    search["rows"][0]["trials"][0]["run_ids"] = ids[:2]
    write_atomic(store.root / "tuning" / "mine" / "search.json", json.dumps(search).encode())
    frame = slbench.load_runs(store.root)
    assert dict(frame["kind"].value_counts()) == {"grid": len(frame) - 2, "tuning": 2}
    asked = StoredStudy(name="s", contrasts=None, statistics=Statistics(), seeds=None, runs=ids[:1])
    assert kinds_of_runs(store, [asked])[ids[1]] == "tuning" and ids[0] not in kinds_of_runs(store, [asked])
    write_atomic(store.root / RESUME_CHECK, b"")
    assert set(slbench.load_runs(store.root)["kind"]) == {"resume check"}


def test_means_of_a_store_leave_out_runs_of_searches_where_a_study_has_the_experiment(store: Store) -> None:
    accuracies = {("none", 0): 70.0, ("none", 1): 72.0, ("none", 2): 99.0, ("lsa", 2): 88.0}
    for run in runs({"seed": [0, 1, 2], "method": ["none", "lsa"]}):
        if (top1 := accuracies.get((run.labels.method, run.spec.seed))) is not None:
            store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=top1))
    search = json.loads((ROOT / "tests/golden_store/store/tuning/golden/search.json").read_text())
    of_search = [run_id for run_id, folder in store.ids().items() if "-s2-" in folder.name]
    assert len(of_search) == 2
    search["rows"][0]["trials"][0]["run_ids"] = of_search
    write_atomic(store.root / "tuning" / "mine" / "search.json", json.dumps(search).encode())
    table = make_table(gather_store(store))
    means = {row.method: cell.mean for row in table.rows for cell in row.cells.values() if cell.mean is not None}
    assert means == {"none": 71.0, "lsa": 88.0}
    notes = [note.line for note in table.notes]
    assert any("1 run of searches" in note for note in notes)
    assert [bool(row.marks) for row in table.rows] == [False, True]


def test_results_on_runs_whose_seed_rule_cannot_be_read_are_marked(store: Store) -> None:
    for number, run in enumerate(runs({"seed": [0, 1], "method": ["none", "lsa"]})):
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=70.0 + number**2))

    def first_answer() -> str:
        inputs = gather_store(store)
        return make_sections(inputs, verdicts(inputs, "final"))[0].items[0]

    assert "seed rule unknown" not in first_answer()
    write_atomic(store.root / "studies" / "s.json", b"{")
    assert "seed rule unknown" in first_answer()
    asked = StoredStudy(name="t", contrasts=None, statistics=Statistics(), seeds=None, runs=sorted(store.ids()))
    write_atomic(store.root / "studies" / "t.json", dump_json(asked.model_dump(mode="json")))
    assert "seed rule unknown" not in first_answer()


def test_questions_are_answered_with_a_table_without_accuracy(store: Store) -> None:
    runs_ = runs({"seed": [0, 1], "method": ["none", "lsa"]})
    for number, run in enumerate(runs_):
        store.finish(store.begin(run.spec, run.labels), make_record(run, final_test_top1=70.0 + number**2))
    inputs = gather_store(store)
    tables = [make_table(inputs, columns=columns) for columns in ((), ("params",), ("final", "gain_images"))]
    assert [each.verdicts.metric for each in tables if each.verdicts] == ["final"] * 3
    answers = [make_sections(inputs, each.verdicts)[0].items for each in tables]
    assert answers[0] and answers[0] == answers[1] == answers[2]
    assert len(tables[2].columns) == 2, "a column that is asked for stays, with or without values"
