"""What a report reads of a store."""

from pathlib import Path

import pytest

import slbench
from slbench.errors import InputError
from slbench.measure.throughput_keys import record_key
from slbench.record import Failure
from slbench.report.inputs import gather, gather_store, only
from slbench.store import Store
from tests.archive.conftest import finish
from tests.support import TINY, make_record, make_speed, missing, naming, runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_records_stand_in_the_order_of_the_runs_under_the_names_of_the_study(store: Store) -> None:
    made = runs({"method": ["lsa", "none"], "seed": [1, 0]})
    for run in made[::-1]:
        finish(store, run)
    renamed = runs({"backbone": [{**TINY, "label": "Other"}], "method": ["lsa", "none"], "seed": [1, 0]})
    found = gather(renamed, store, name="x")
    assert [record.run_id for record in found.records] == [run.spec.run_id for run in made]
    assert {record.labels.backbone for record in found.records} == {"Other"}


def test_failures_and_folders_are_known_of_what_has_begun(store: Store) -> None:
    made = runs({"seed": [0, 1, 2]})
    finish(store, made[0])
    store.fail(made[1].spec, made[1].labels, Failure(kind="timeout", reason="took 7 s"))
    found = gather(made, store, name="x")
    assert {run_id: failure.reason for run_id, failure in found.failures.items()} == {made[1].spec.run_id: "took 7 s"}
    assert list(found.folders) == [run.spec.run_id for run in made[:2]]


def test_a_speed_is_that_of_the_network_on_the_records_machine(store: Store) -> None:
    made = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    for run in made:
        finish(store, run)
    store.add_throughput(make_speed(record_key(make_record(made[0])), 321.0))
    found = gather(made, store, name="x")
    assert {run_id: speed.median for run_id, speed in found.speeds.items()} == {
        run.spec.run_id: 321.0 for run in made[:2]
    }


def test_a_whole_store_is_read_rows_in_the_order_of_the_shipped_ones(store: Store) -> None:
    made = runs({"method": ["both", "none", "lsa"]})
    for run in made:
        finish(store, run)
    found = gather_store(store)
    assert [run.labels.method for run in found.runs] == ["none", "lsa", "both"]
    assert [record.run_id for record in found.records] == [run.spec.run_id for run in found.runs]


def test_a_query_chooses_runs_by_their_columns(store: Store) -> None:
    made = runs({"method": ["none", "lsa"], "seed": [0, 1]})
    for run in made:
        finish(store, run)
    found = only(gather(made, store, name="x"), "method == 'lsa' and seed > 0")
    assert [run.spec.run_id for run in found.runs] == [made[3].spec.run_id]
    assert [record.run_id for record in found.records] == [made[3].spec.run_id]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("recipe_lrr < 1", ("recipe_lrr", "recipe_lr", "run")),
        ("seed >", ("seed >",)),
        ("seed > 5", ("none of 1",)),
        ("seed", ("--query", "seed")),
    ],
)
def test_a_query_that_cannot_be_is_one_line(store: Store, query: str, words: tuple[object, ...]) -> None:
    (run,) = runs()
    finish(store, run)
    with pytest.raises(InputError) as refused:
        only(gather([run], store, name="x"), query)
    assert str(refused.value).startswith(f"--query {query}: ")
    assert not missing(str(refused.value), *words)
    assert "\n" not in str(refused.value)


def test_a_notebook_loads_all_runs_and_is_warned_of_what_cannot_be_read(store: Store) -> None:
    made = runs({"seed": [0, 1]})
    for run in made:
        finish(store, run)
    frame = slbench.load_runs(store.root)
    assert sorted(frame.index) == sorted(run.spec.run_id for run in made)
    assert set(frame["final_test_top1"]) == {80.0}
    next(store.root.glob(f"runs/*-{made[0].spec.run_id}/record.json")).write_text("{}")
    with pytest.warns(UserWarning, match=naming("record.json")):
        assert len(slbench.load_runs(str(store.root))) == 1
